package publisher

import (
	"sync"
	"time"
)

// looks is what the keeper reads from the disk each second, for all who ask: nobody else
// waits for a disk that hangs.
type looks struct {
	after time.Duration // a round of the keeper that takes longer hangs; default 10 s

	mu     sync.Mutex
	began  time.Time // of the keeper's round under way; zero while there is none
	lags   []lag
	rate   float64   // bytes a second that the journal gets
	oldest time.Time // the oldest record is of then; zero while there is none
}

const lookHangs = 10 * time.Second

// look reads what the stores lack, and how fast the journal grows.
func (p *Publisher) look(now time.Time) {
	l := &p.looks
	lags := p.readLags(now)
	rate, age, err := p.log.Rate(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lags = lags
	if err == nil { // what can't be read has no age
		l.rate, l.oldest = rate, time.Time{}
		if age > 0 {
			l.oldest = now.Add(-age)
		}
	}
}

// round notes when a round of the keeper begins; the zero time, that it has ended.
func (l *looks) round(began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = began
}

// hangs is for how long the round under way has been waiting for the disk, if that is long.
func (l *looks) hangs(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	after := l.after
	if after == 0 {
		after = lookHangs
	}
	if since := now.Sub(l.began); !l.began.IsZero() && since > after {
		return since
	}
	return 0
}

// lagging tells of every store that has a cursor, as of the last look.
func (l *looks) lagging() []lag {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lags
}

// age is that of the oldest record.
func (l *looks) age(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.oldest.IsZero() {
		return 0
	}
	return max(now.Sub(l.oldest), 0)
}

// growth is how many bytes a second the journal gets.
func (l *looks) growth() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate
}
