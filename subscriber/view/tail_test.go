package view

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// tailed is what a client has got of a tail: the ids and bodies of its events.
func tailed(t *testing.T, at, last string, want int) (ids, bodies []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for scan := bufio.NewScanner(resp.Body); len(bodies) < want && scan.Scan(); {
		if id, ok := strings.CutPrefix(scan.Text(), "id: "); ok {
			ids = append(ids, id)
		}
		if data, ok := strings.CutPrefix(scan.Text(), "data: "); ok {
			_, body, _ := strings.Cut(data, `"body":"`)
			body, _, _ = strings.Cut(body, `"`)
			if strings.HasPrefix(data, `{"gap":`) {
				body = "gap"
			}
			bodies = append(bodies, body)
		}
	}
	if len(bodies) < want {
		t.Errorf("GET %s: %d events, want %d", at, len(bodies), want)
	}
	return ids, bodies
}

// TestTail: history and present are one reading, from where the client says, each once.
func TestTail(t *testing.T) {
	s := newShelf(t)
	s.add(3) // 1 to 3, one batch
	if _, err := s.log.Append(journal.NewGap(shelfRun, "downcase", s.next, s.next+9, "test")); err != nil {
		t.Fatal(err)
	}
	s.next += 10
	s.add(2) // arrivals 5 and 6
	srv := httptest.NewServer(Tail(s.log, "store"))
	defer srv.Close()
	for name, c := range map[string]struct {
		query, last string
		want        string // bodies, and the id of the last
	}{
		"all":                   {"?from=1", "", "record 1,record 2,record 3,gap,record 14,record 15 store.7"},
		"within a batch":        {"?from=3", "", "record 3,gap,record 14,record 15 store.7"},
		"the last two":          {"?lines=2", "", "record 14,record 15 store.7"},
		"more than there are":   {"?lines=100", "", "record 1,record 2,record 3,gap,record 14,record 15 store.7"},
		"where it was left":     {"", "store.4", "gap,record 14,record 15 store.7"},
		"that counts, not from": {"?from=1", "store.6", "record 15 store.7"},
	} {
		t.Run(name, func(t *testing.T) {
			ids, bodies := tailed(t, srv.URL+c.query, c.last, strings.Count(c.want, ",")+1)
			if got := strings.Join(bodies, ",") + " " + ids[len(ids)-1]; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	t.Run("from now on", func(t *testing.T) {
		pipe, w := io.Pipe()
		rec := &streamed{httptest.NewRecorder(), w, make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			Tail(s.log, "store").ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/tail", nil))
		}()
		<-rec.flushed
		s.add(1)
		line, err := bufio.NewReader(pipe).ReadString('\n')
		if err != nil || line != "id: store.8\n" {
			t.Errorf("the first line is %q, %v", line, err)
		}
		cancel()
		pipe.Close()
		<-done
	})
	for query, last := range map[string]string{"?from=0": "", "?from=x": "", "?lines=-1": "", "": "other.4", "?": "store.x", "?from=1": "store"} {
		req := httptest.NewRequest(http.MethodGet, "/v1/tail"+query, nil)
		req.Header.Set("Last-Event-ID", last)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // what is not refused ends at once
		w := httptest.NewRecorder()
		Tail(s.log, "store").ServeHTTP(w, req.WithContext(ctx))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "detail") {
			t.Errorf("%q with %q = %d %s", query, last, w.Code, w.Body)
		}
	}
}

// streamed passes on what is written, and says when the first flush was.
type streamed struct {
	*httptest.ResponseRecorder
	to      io.Writer
	flushed chan struct{} // closed by the first Flush
}

func (s *streamed) Write(p []byte) (int, error) { return s.to.Write(p) }

func (s *streamed) Flush() {
	select {
	case <-s.flushed:
	default:
		close(s.flushed)
	}
}

// TestEventsOfTail: a printer has a line for each event, gaps as the format has them.
func TestEventsOfTail(t *testing.T) {
	f, err := ParseFormat("text", nil)
	if err != nil {
		t.Fatal(err)
	}
	g := gaps["gap"]
	if got, want := string(f.AppendEvent(nil, jsonGap(nil, &g))), string(f.AppendGap(nil, g)); got != want {
		t.Errorf("gap: %q, want %q", got, want)
	}
	if got, want := string(f.AppendEvent(nil, line(nil))), string(f.Append(nil, line(nil))); got != want {
		t.Errorf("record: %q, want %q", got, want)
	}
	if got := string(f.AppendEvent(nil, []byte(`{"gap":`))); !strings.Contains(got, "MALFORMED") {
		t.Errorf("half a gap: %q", got)
	}
}
