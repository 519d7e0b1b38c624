package reviews_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/services/shop/reviews"
	"github.com/earshot-mq/earshot/services/shop/shoptest"
)

type answer struct {
	Product string
	Count   int
	Average float64
	Stars   [5]int
	Reviews []reviews.Review
	Next    string
}

// said is a review to be posted.
func said(product, customer string, rating int, title, text string) string {
	b, err := json.Marshal(map[string]any{
		"product": product, "customer": customer, "author": "Anna B.", "rating": rating, "title": title, "text": text,
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestReviews(t *testing.T) {
	s := shoptest.Start(t, reviews.New(), "")
	var whole answer
	s.Get("/reviews?product=iphone-16-128", &whole)
	if whole.Count != 4 || whole.Average != 4.3 || whole.Stars != [5]int{0, 0, 1, 1, 2} || len(whole.Reviews) != 4 || whole.Next != "" {
		t.Fatalf("the reviews are %+v", whole)
	}
	var last time.Time
	after := ""
	for i := range whole.Reviews {
		var page answer
		s.Get("/reviews?product=iphone-16-128&limit=1&after="+after, &page)
		if len(page.Reviews) != 1 || page.Reviews[0] != whole.Reviews[i] || page.Count != 4 || (page.Next == "") != (i == 3) {
			t.Fatalf("page %d is %+v", i, page)
		}
		if at := page.Reviews[0].At; i > 0 && at.After(last) {
			t.Errorf("%v is after %v", at, last)
		}
		last, after = page.Reviews[0].At, page.Next
	}
	a := s.Ask(http.MethodGet, "/reviews?product=nothing", "")
	if want := `{"product":"nothing","count":0,"average":0,"stars":[0,0,0,0,0],"reviews":[]}` + "\n"; a.Body != want {
		t.Errorf("of nothing there is %d %s, want %s", a.Status, a.Body, want)
	}
	if a := s.Ask(http.MethodGet, "/reviews?product=iphone-16-128", ""); strings.Contains(a.Body, "customer") {
		t.Errorf("%s tells whose they are", a.Body)
	}
}

func TestPost(t *testing.T) {
	dir := t.TempDir()
	s := shoptest.Start(t, reviews.New(), dir)
	text := "Zwei Wochen im Regen:\n\tdicht. 👨‍👩‍👧 手机套　很好"
	body := said("vase-stoneware", "c1999", 4, " Good <b>vase</b> ", text)
	first := s.Ask(http.MethodPost, "/reviews", body)
	var r reviews.Review
	if err := json.Unmarshal([]byte(first.Body), &r); err != nil || first.Status != http.StatusCreated {
		t.Fatalf("POST = %d %s", first.Status, first.Body)
	}
	if r.Title != "Good <b>vase</b>" || r.Text != text || r.Verified || r.Rating != 4 || time.Since(r.At) > time.Minute {
		t.Errorf("what was posted is %+v", r)
	}
	if again := s.Ask(http.MethodPost, "/reviews", body); again.Status != http.StatusCreated || again.Body != first.Body {
		t.Errorf("the same again = %d %s, want %s", again.Status, again.Body, first.Body)
	}
	s.Refused(http.MethodPost, "/reviews", said("vase-stoneware", "c1999", 1, "Bad vase", text), 409, "has reviewed this product already")
	for when, s := range map[string]*shoptest.Shop{"now": s, "after a restart": shoptest.Start(t, reviews.New(), dir)} {
		var a answer
		s.Get("/reviews?product=vase-stoneware", &a)
		if a.Count != 2 || a.Reviews[0] != r || a.Average != 4.5 || a.Stars != [5]int{0, 0, 0, 1, 1} {
			t.Errorf("%s there is %+v", when, a)
		}
		if again := s.Ask(http.MethodPost, "/reviews", body); again.Body != first.Body {
			t.Errorf("%s the same again = %d %s", when, again.Status, again.Body)
		}
	}
}

func TestRefuse(t *testing.T) {
	s := shoptest.Start(t, reviews.New(), "")
	for name, c := range map[string]struct{ body, detail string }{
		"no product":             {said("", "c1999", 5, "t", "x"), "body.product"},
		"an unknown product":     {said("nothing", "c1999", 5, "t", "x"), "body.product"},
		"no customer":            {said("camera-x", "", 5, "t", "x"), "body.customer"},
		"no stars":               {said("camera-x", "c1999", 0, "t", "x"), "body.rating"},
		"six stars":              {said("camera-x", "c1999", 6, "t", "x"), "body.rating"},
		"no title":               {said("camera-x", "c1999", 5, "", "x"), "body.title"},
		"a title of spaces":      {said("camera-x", "c1999", 5, " \t　", "x"), "nothing but white space"},
		"a title of two lines":   {said("camera-x", "c1999", 5, "a\nb", "x"), `has a character that can't be shown: '\\n'`},
		"too long a title":       {said("camera-x", "c1999", 5, strings.Repeat("ä", 121), "x"), "body.title"},
		"too long a text":        {said("camera-x", "c1999", 5, "t", strings.Repeat("手", 4001)), "body.text"},
		"an escape":              {said("camera-x", "c1999", 5, "t", "\x1b[2J"), `'\\x1b'`},
		"another direction":      {said("camera-x", "c1999", 5, "t", "a\u202eb"), `'\\u202e'`},
		"another line":           {said("camera-x", "c1999", 5, "t\u2028", "a\u2028b"), `'\\u2028'`},
		"bytes that are no text": {strings.Replace(said("camera-x", "c1999", 5, "t", "QQ"), "QQ", "\xff\xfe", 1), `'\\ufffd'`},
		"verified by oneself":    {strings.Replace(said("camera-x", "c1999", 5, "t", "x"), "{", `{"verified":true,`, 1), "body.verified"},
		"half of an object":      {`{"product":`, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.Ask(http.MethodPost, "/reviews", c.body)
			if (a.Status != 422 && a.Status != 400) || !strings.Contains(a.Body, c.detail) {
				t.Errorf("POST = %d %s, want 422 with %s", a.Status, a.Body, c.detail)
			}
			if strings.Contains(a.Body, "\x1b") || a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("POST = %q", a.Body)
			}
		})
	}
	s.Refused(http.MethodGet, "/reviews", "", 422, "query.product")
	s.Refused(http.MethodGet, "/reviews?product=camera-x&after=x", "", 422, "query.after")
	s.Refused(http.MethodPost, "/reviews", strings.Repeat(" ", 33<<10), 413, "too large")
	var a answer
	s.Get("/reviews?product=camera-x", &a)
	if a.Count != 3 {
		t.Errorf("there are %d reviews, want the 3 that there were", a.Count)
	}
}

// TestFull sees that what can't be kept is refused, and what was said before stays.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	shoptest.Fill(t, filepath.Join(dir, "reviews.jsonl"),
		`{"id":"r1088","product":"throw-wool","customer":"c1999","author":"A","rating":1,"title":"T","text":"X","at":"2026-11-23T10:35:12Z"}`)
	s := shoptest.Start(t, reviews.New(), dir)
	s.Refused(http.MethodPost, "/reviews", said("throw-wool", "c2000", 5, "t", "x"), 507, "no more reviews can be kept")
	var a answer
	s.Get("/reviews?product=throw-wool", &a)
	if a.Count != 2 || a.Reviews[0].Title != "T" {
		t.Errorf("there is %+v", a)
	}
}

// TestPostTogether has many customers say something at once, to two services with one
// folder; each is heard once.
func TestPostTogether(t *testing.T) {
	dir := t.TempDir()
	shops := []*shoptest.Shop{shoptest.Start(t, reviews.New(), dir), shoptest.Start(t, reviews.New(), dir)}
	const customers = 30
	var wg sync.WaitGroup
	for i := range customers {
		for _, s := range shops {
			wg.Go(func() {
				body := said("throw-wool", fmt.Sprintf("c%d", 2000+i), 1+i%5, "Title", fmt.Sprintf("Text %d.", i))
				if a := s.Ask(http.MethodPost, "/reviews", body); a.Status != http.StatusCreated {
					t.Errorf("POST = %d %s", a.Status, a.Body)
				}
			})
		}
	}
	wg.Wait()
	for n, s := range append(shops, shoptest.Start(t, reviews.New(), dir)) {
		var a answer
		s.Get("/reviews?product=throw-wool&limit=50", &a)
		ids := map[string]bool{}
		for _, r := range a.Reviews {
			ids[string(r.ID)] = true
		}
		if a.Count != customers+1 || len(ids) != customers+1 || a.Stars != [5]int{6, 6, 6, 6, 7} {
			t.Errorf("service %d has %d reviews, %d ids, stars %v", n, a.Count, len(ids), a.Stars)
		}
	}
}
