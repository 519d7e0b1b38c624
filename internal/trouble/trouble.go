// Package trouble keeps what is not well with a part of a program, in plain words, from its
// beginning to its end, so that health, log, HEAD and `earshot tail` say the same.
//
// # Concurrency
//
// A List may be used from many goroutines.
package trouble

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// List is the troubles of one part. The zero value logs nothing.
type List struct {
	Logger *slog.Logger // is told when a trouble begins, and when it is over

	mu  sync.Mutex
	now map[string]*trouble
}

type trouble struct {
	words string
	since time.Time
}

// Note says how a thing is now. No words mean that it is well; other words for a trouble
// that is known already are its latest.
func (l *List) Note(thing, words string, now time.Time) {
	l.mu.Lock()
	t := l.now[thing]
	switch {
	case words == "" && t == nil:
		l.mu.Unlock()
		return
	case words == "":
		delete(l.now, thing)
		l.mu.Unlock()
		l.log(slog.LevelInfo, "over: "+t.words, thing, "after", now.Sub(t.since).Round(time.Millisecond))
		return
	case t != nil:
		t.words = words
		l.mu.Unlock()
		return
	}
	if l.now == nil {
		l.now = map[string]*trouble{}
	}
	l.now[thing] = &trouble{words, now}
	l.mu.Unlock()
	l.log(slog.LevelWarn, words, thing)
}

func (l *List) log(level slog.Level, words, thing string, more ...any) {
	if l.Logger != nil {
		l.Logger.Log(context.Background(), level, words, append([]any{"trouble", thing}, more...)...)
	}
}

// All is every trouble, the oldest first, each with how long it has lasted.
func (l *List) All(now time.Time) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	things := make([]string, 0, len(l.now))
	for thing := range l.now {
		things = append(things, thing)
	}
	slices.SortFunc(things, func(a, b string) int {
		if d := l.now[a].since.Compare(l.now[b].since); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, thing := range things {
		t := l.now[thing]
		all = append(all, fmt.Sprintf("%s (for %s)", t.words, now.Sub(t.since).Round(time.Second)))
	}
	return all
}

// Ages tells for how many seconds troubles have lasted, by the first word of their thing, so
// that those of many things of a kind are one: the oldest.
func (l *List) Ages(now time.Time, yield func(seconds float64, kind ...string)) {
	l.mu.Lock()
	oldest := map[string]time.Time{}
	for thing, t := range l.now {
		kind, _, _ := strings.Cut(thing, " ")
		if since, ok := oldest[kind]; !ok || t.since.Before(since) {
			oldest[kind] = t.since
		}
	}
	l.mu.Unlock()
	for kind, since := range oldest {
		yield(now.Sub(since).Seconds(), kind)
	}
}

// Keep has the troubles of all things that still says no to be over, in silence: of a thing
// that is gone nothing can be said.
func (l *List) Keep(still func(thing string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for thing := range l.now {
		if !still(thing) {
			delete(l.now, thing)
		}
	}
}

// State is "ok", or "degraded: " and every trouble.
func (l *List) State(now time.Time) string {
	if all := l.All(now); len(all) > 0 {
		return "degraded: " + strings.Join(all, "; ")
	}
	return "ok"
}
