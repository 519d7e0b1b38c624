package problem_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/earshot-mq/earshot/internal/problem"
)

func TestWrite(t *testing.T) {
	for name, c := range map[string]struct {
		d      problem.Document
		status int
		want   string
	}{
		"bare": {problem.Document{Status: 404}, 404, `{"status":404,"title":"Not Found","type":"about:blank"}`},
		"full": {
			problem.Document{Type: "https://example.org/limit", Title: "Too much", Status: 429, Detail: `more than 5 & <a "lot">`, Instance: "01JD", More: map[string]any{"limit": 5}},
			429,
			`{"detail":"more than 5 & <a \"lot\">","instance":"01JD","limit":5,"status":429,"title":"Too much","type":"https://example.org/limit"}`,
		},
		"members that are taken": {
			problem.Document{Status: 400, More: map[string]any{"status": 200, "detail": "x", "type": 1}},
			400,
			`{"status":400,"title":"Bad Request","type":"about:blank"}`,
		},
		"no status":               {problem.Document{}, 500, `{"status":500,"title":"Internal Server Error","type":"about:blank"}`},
		"no error":                {problem.Document{Status: 200}, 500, `{"status":500,"title":"Internal Server Error","type":"about:blank"}`},
		"a status without a name": {problem.Document{Status: 599, Title: "Odd"}, 599, `{"status":599,"title":"Odd","type":"about:blank"}`},
		"what is no JSON":         {problem.Document{Status: 502, Detail: "d", More: map[string]any{"x": math.NaN()}}, 502, `{"detail":"d","status":502,"title":"Bad Gateway","type":"about:blank"}`},
		"control and other bytes": {problem.Document{Status: 400, Detail: "a\r\n\x1b\xff"}, 400, `{"detail":"a\r\n\u001b\ufffd","status":400,"title":"Bad Request","type":"about:blank"}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("Content-Length", "12345")
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("ETag", `"x"`)
			w.Header().Set("X-Request-Id", "kept")
			problem.Write(w, c.d)
			if w.Code != c.status || w.Body.String() != c.want+"\n" {
				t.Errorf("Write(%+v) = %d %s, want %d %s", c.d, w.Code, w.Body, c.status, c.want)
			}
			h := w.Result().Header
			want := http.Header{
				"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}, "X-Request-Id": {"kept"},
			}
			if fmt.Sprint(h) != fmt.Sprint(want) {
				t.Errorf("header = %v, want %v", h, want)
			}
		})
	}
}

func TestMoreIsNotChanged(t *testing.T) {
	more := map[string]any{"status": 1}
	if _, err := json.Marshal(problem.Document{Status: 400, More: more}); err != nil || len(more) != 1 {
		t.Errorf("Marshal changed More: %v, %v", more, err)
	}
}

func ExampleWrite() {
	w := httptest.NewRecorder()
	problem.Write(w, problem.Document{Status: http.StatusBadRequest, Detail: "param is missing; try /downcase/?param=HELLO"})
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 400 {"detail":"param is missing; try /downcase/?param=HELLO","status":400,"title":"Bad Request","type":"about:blank"}
}
