package upstream

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Defaults of Health.
const (
	DefaultCheckEvery   = 5 * time.Second
	DefaultCheckTimeout = 2 * time.Second
)

// Health is the question whether a replica is ready. It is so while the answer's status
// is below 400. One that says otherwise, or twice in a row nothing, gets no requests
// while another is ready.
type Health struct {
	Path    string        // such as /readyz; default none: replicas are not asked
	Every   time.Duration // between two questions; default 5 s, spread by a tenth
	Timeout time.Duration // of an answer; default 2 s
}

func (h Health) withDefaults() Health {
	if h.Every == 0 {
		h.Every = DefaultCheckEvery
	}
	if h.Timeout == 0 {
		h.Timeout = DefaultCheckTimeout
	}
	return h
}

// check asks each replica again and again until ctx is done, new ones at once.
func (u *HTTP) check(ctx context.Context) {
	silent := map[*replica]int{}
	for {
		replicas := *u.replicas.Load()
		results := make([]result, len(replicas))
		var all sync.WaitGroup
		for i, r := range replicas {
			all.Go(func() { results[i] = r.ready(ctx) })
		}
		all.Wait()
		if ctx.Err() != nil {
			return
		}
		before := silent
		silent = map[*replica]int{}
		for i, r := range replicas {
			if results[i].silent {
				silent[r] = before[r] + 1
			}
			if silent[r] != 1 {
				r.checked(results[i].refusal)
			}
		}
		every := u.o.Health.Every
		select {
		case <-ctx.Done():
			return
		case <-u.news:
		case <-time.After(every*9/10 + rand.N(every/5+1)):
		}
	}
}

// result is of one check.
type result struct {
	refusal error
	silent  bool // there was no answer
}

// ready asks a replica.
func (r *replica) ready(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, r.u.o.Health.Timeout)
	defer cancel()
	q := (&http.Request{
		Method: http.MethodGet, URL: r.u.question, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {"earshot-health"}},
	}).WithContext(ctx)
	_, answer, err := r.do(q, nil)
	if err != nil {
		return result{err, true}
	}
	defer func() { _ = answer.Body.Close() }()          // the answer is here
	_, _ = io.CopyN(io.Discard, answer.Body, maxHeader) // to keep the connection
	if answer.StatusCode >= 400 {
		return result{refusal: fmt.Errorf("its check says %s", answer.Status)}
	}
	return result{}
}
