package compose

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkCompose is what a page costs without the network: parts of 1 KiB each, whole
// or with three members picked.
func BenchmarkCompose(b *testing.B) {
	body := []byte(`{"id":7,"name":"x","text":"` + strings.Repeat("a", 960) + `","list":[1,2,3]}`)
	do := func(string, *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
			Header: http.Header{"Content-Type": {"application/json"}},
		}, nil
	}
	for _, n := range []int{1, 5} {
		for form, pick := range map[string][]Pick{"whole": nil, "picked": {{Take: "name"}, {Take: "id"}, {Take: "list.1", As: "one"}}} {
			b.Run(strconv.Itoa(n)+" parts "+form, func(b *testing.B) {
				c := Config{Views: map[string][]Pick{}}
				for i := range n {
					name := "p" + strconv.Itoa(i)
					c.Parts = append(c.Parts, PartConfig{Name: name, Upstream: "u", Path: "/x/{id}"})
					c.Views["v"] = append(c.Views["v"], Pick{Take: name, Pick: pick})
				}
				composition, err := New(c, []string{"u"})
				if err != nil {
					b.Fatal(err)
				}
				r := Request{Do: do, Parameter: func(string) string { return "7" }}
				b.ReportAllocs()
				for b.Loop() {
					if p, err := composition.views["v"].Compose(b.Context(), r); err != nil || len(p.Missing) > 0 {
						b.Fatal(err, p)
					}
				}
			})
		}
	}
}
