package wordcount_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/wordcount"
)

func Example() {
	h, err := wordcount.New().Handler(services.HandlerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/wordcount/?text=to+be+or+not+to+be", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	fmt.Print(w.Body)
	// Output:
	// 200 application/json
	// {"words":6,"characters":18,"bytes":18}
}

func TestCount(t *testing.T) {
	h, err := wordcount.New().Handler(services.HandlerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		target string
		status int
		want   string
	}{
		"beyond ascii":     {"/wordcount?text=%C3%84+%F0%9F%98%80", 200, `{"words":2,"characters":3,"bytes":7}`},
		"only white space": {"/wordcount/?text=+%0A%09", 200, `{"words":0,"characters":3,"bytes":3}`},
		"no text":          {"/wordcount/", 422, `"location":"query.text"`},
		"too long":         {"/wordcount/?text=" + strings.Repeat("a", 16385), 422, `"location":"query.text"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, c.target, nil))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("GET %.40s = %d %s, want %d with %s", c.target, w.Code, w.Body, c.status, c.want)
			}
		})
	}
}
