package agent

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/earshot-mq/earshot/internal/problem"
)

// maxWaiting is how many answers may wait for a change at a time.
const maxWaiting = 64

// ServeHTTP answers GET containers.Path, with ?after=VERSION when there is news.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	after, refusal := parseAfter(r)
	if refusal != "" {
		problem.Write(w, problem.Document{Status: http.StatusBadRequest, Detail: refusal})
		return
	}
	now, changed, synced := a.list()
	if synced && after == now.Version {
		select {
		case a.seats <- struct{}{}:
			defer func() { <-a.seats }()
		default:
			w.Header().Set("Retry-After", "1")
			problem.Write(w, problem.Document{Status: http.StatusServiceUnavailable, Detail: "too many wait for a change"})
			return
		}
		limit := time.NewTimer(a.wait)
		defer limit.Stop()
		select {
		case <-changed:
		case <-limit.C:
		case <-a.ended:
		case <-r.Context().Done():
			return
		}
		now, _, synced = a.list()
	}
	if !synced {
		// An empty list would say that there is nothing.
		w.Header().Set("Retry-After", "1")
		problem.Write(w, problem.Document{Status: http.StatusServiceUnavailable, Detail: "the Engine has not answered yet"})
		return
	}
	a.stats.answers.Add(1)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(now) // fails only when the client is gone
}

// parseAfter reads the only parameter that there is.
func parseAfter(r *http.Request) (after, refusal string) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", "the query can't be read"
	}
	for name, values := range q {
		if name != "after" || len(values) > 1 {
			return "", "the query may have after=VERSION, once, and nothing else"
		}
	}
	return q.Get("after"), ""
}

// Close lets the answers that wait go, as they are.
func (a *Agent) Close() { a.close.Do(func() { close(a.ended) }) }
