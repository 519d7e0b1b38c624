package drill

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Subscriber is one of a world, with what it is known to have.
type Subscriber struct {
	*Proc
	Net  *Net
	Data string

	wants func(Answer) bool // nil means all
	log   *Log
	seen  int      // so many answers were looked for
	left  []string // of those, the ones that its log does not have yet
}

// ask makes one request after the other, each with words of its own, until stop is closed;
// with only, of that service alone.
func (w *World) ask(who, only string, stop <-chan struct{}, every time.Duration) {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	w.Answers.Loop(client, stop, func(n int) (string, string) {
		if n > 0 && every > 0 {
			pause(stop, every)
		}
		w.requests.Add(1)
		word := fmt.Sprintf("WORD %s %d", who, n)
		if n%197 == 40 {
			word += strings.Repeat(" LONG", 1600)
		}
		id := fmt.Sprintf("%s-%d", who, n)
		switch {
		case n%8 == 3 || n%8 == 6 || only == "wordcount":
			return w.http + "/wordcount/?text=" + url.QueryEscape(word), id
		case n%8 == 5:
			return w.http + "/nobody/?" + url.QueryEscape(word), id // the gateway's own answer
		}
		return w.http + "/downcase/?param=" + url.QueryEscape(word), id
	})
}

// Burst asks from so many clients more, without a pause, for a while.
func (w *World) Burst(clients int, d time.Duration) { w.burst(clients, d, "") }

func (w *World) burst(clients int, d time.Duration, only string) {
	n := w.bursts.Add(1)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for c := range clients {
		wait.Go(func() { w.ask(fmt.Sprintf("b%d.%d", n, c), only, stop, 0) })
	}
	pause(w.stop, d)
	close(stop)
	wait.Wait()
}

// Settle waits until both subscribers have every answer of before it was called.
func (w *World) Settle() error { return w.heard(w.Answers.Count(), w.Subscribers...) }

// Heard waits until one subscriber has every answer of before it was called.
func (w *World) Heard(s *Subscriber) error { return w.heard(w.Answers.Count(), s) }

// heard waits until subscribers have the first so many answers.
func (w *World) heard(answers int, subs ...*Subscriber) error {
	end := time.Now().Add(healLimit)
	for {
		behind := false
		for _, s := range subs {
			ok, err := w.has(s, answers)
			if err != nil {
				return err
			}
			behind = behind || !ok
		}
		if !behind {
			return nil
		}
		for _, p := range append(w.Publishers(), procs(subs)...) {
			if err := p.fell(); err != nil {
				return err
			}
		}
		if time.Now().After(end) {
			return w.behind(subs)
		}
		time.Sleep(10 * time.Millisecond) // a file is read again
	}
}

// has tells whether a subscriber's log has the first so many answers.
func (w *World) has(s *Subscriber, answers int) (bool, error) {
	if err := s.log.Read(); err != nil {
		return false, fmt.Errorf("drill: %s: %w", s.Name, err)
	}
	if n := answers - s.seen; n > 0 {
		for _, got := range w.Answers.Whole()[s.seen:answers] {
			if s.wants == nil || s.wants(got) {
				s.left = append(s.left, got.Record)
			}
		}
		s.seen = answers
	}
	s.left = slices.DeleteFunc(s.left, func(name string) bool { return s.log.has(name) > 0 || s.log.inGap(name) })
	return len(s.left) == 0, nil
}

// behind is the error of subscribers that don't get what is missing.
func (w *World) behind(subs []*Subscriber) error {
	errs := []error{fmt.Errorf("%w: after %v", ErrLoss, healLimit)}
	for _, s := range subs {
		if len(s.left) > 0 {
			errs = append(errs, fmt.Errorf("%s does not have %d of %d answers, %s for one", s.Name, len(s.left), s.seen, s.left[0]))
		}
	}
	return errors.Join(errs...)
}

func procs(subs []*Subscriber) (all []*Proc) {
	for _, s := range subs {
		all = append(all, s.Proc)
	}
	return all
}
