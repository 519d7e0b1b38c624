package feed

import "time"

const (
	mostOwing  = 24 * time.Second // how long a replay may owe a word that it has owed again and again
	replayIdle = 30 * time.Second // replay that owes nothing and says nothing for so long is greeted
)

// asks notes that replay owes a word from now on, if it owed none.
func (f *Follower) asks() {
	if !f.owed() {
		f.owes = time.Now()
	}
}

// owed tells whether replay owes a word: WELCOME, or the HEAD that comes each second while
// anything is fetched.
func (f *Follower) owed() bool { return f.hello == helloSent || len(f.fetching) > 0 }

// watchReplay finds a replay that owes a word for three seconds, while the feed may be heard:
// their connections break apart. A long DATA on a slow line takes more, so it is waited for
// twice as long each time, until something that was fetched has come.
func (f *Follower) watchReplay(now time.Time) error {
	if f.dealer != nil && f.hello == helloDone && !f.owed() && now.Sub(f.owes) > replayIdle {
		f.reset() // a COMMIT has no answer that would be missed
		return nil
	}
	if f.dealer == nil || !f.owed() || now.Sub(f.owes) < f.owing {
		return nil
	}
	if err := f.drainReplay(); err != nil || !f.owed() || time.Since(f.owes) < f.owing {
		return err
	}
	f.o.Logger.Warn("replay silent", "endpoint", f.replayAt)
	if len(f.fetching) > 0 {
		f.owing = min(2*f.owing, mostOwing)
	}
	f.reconnects()
	f.dropDealer()
	f.reset()
	return nil
}

// dropDealer closes the replay socket; greet opens another.
func (f *Follower) dropDealer() {
	if err := f.closeDealer(); err != nil {
		f.o.Logger.Warn("replay not closed", "endpoint", f.replayAt, "error", err)
	}
}

// reconnects counts one.
func (f *Follower) reconnects() {
	f.Stats.Reconnects.Add(1)
	if f.o.Reconnects != nil {
		f.o.Reconnects.Add(1)
	}
}
