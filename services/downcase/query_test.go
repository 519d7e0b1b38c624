package downcase

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzFirst sees that any query has a value of valid UTF-8 or none, and that it is
// net/url's wherever that takes the query as Werkzeug does.
func FuzzFirst(f *testing.F) {
	for _, query := range []string{
		"", "param=A", "param", "param=%", "param=%4", "param=%41+B&param=C", "p%61ram=\xff", "&&=&param==", "param=%E2%82", "param=a;b",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got, found := first(query, "param")
		if !utf8.ValidString(got) {
			t.Errorf("first(%q) = %q, which is not UTF-8", query, got)
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			return // net/url refuses the query, or parts of it
		}
		for name, vs := range values {
			if !utf8.ValidString(name) || !utf8.ValidString(strings.Join(vs, "")) {
				return // net/url leaves bytes as they are
			}
		}
		want, wantFound := "", values.Has("param")
		if wantFound {
			want = values.Get("param")
		}
		if got != want || found != wantFound {
			t.Errorf("first(%q) = %q, %v, want %q, %v as in net/url", query, got, found, want, wantFound)
		}
	})
}

func FuzzLower(f *testing.F) {
	for _, s := range []string{"", "HELLO", "İ", "ΑΣ", "ΑΣ\u0301Α", "Σ\xffΣ", "ΣΣΣ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Lower(s)
		if again := Lower(got); again != got {
			t.Errorf("Lower(%q) = %q, and of that %q", s, got, again)
		}
		if strings.ContainsRune(got, 'Σ') || !utf8.ValidString(got) {
			t.Errorf("Lower(%q) = %q", s, got)
		}
	})
}
