package publisher

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// full is a publisher of a policy whose journal has no room for one more record, until the
// reservation that fills it is given back.
func full(t *testing.T, policy Policy) (s *Stream, free func()) {
	t.Helper()
	p, err := New(nil, Options{Dir: t.TempDir(), MaxBytes: 1 << 20, Policy: policy, Required: []string{"main"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if s, err = p.Stream("downcase"); err != nil {
		t.Fatal(err)
	}
	room := p.o.MaxBytes - p.log.Bytes()
	p.reserved.Add(room)
	return s, func() { p.reserved.Add(-room) }
}

// TestReserveWithoutRoom: refuse says no at once; block waits until there is room, and says no
// after five seconds or when the request is over; drop-oldest always has room. What was not
// granted reserves nothing, and what was granted is given back.
func TestReserveWithoutRoom(t *testing.T) {
	const never = time.Hour
	for name, c := range map[string]struct {
		policy       Policy
		freed, ended time.Duration // when room comes, and when the request is over
		after        time.Duration // when Reserve returns, or within a try more
		want         error         // what that wraps besides ErrFull; ErrFull is alone
	}{
		"drop-oldest":            {DropOldest, never, never, 0, nil},
		"refuse":                 {Refuse, never, never, 0, ErrFull},
		"block":                  {Block, never, never, blockFor, ErrFull},
		"block, room at once":    {Block, 0, never, 0, nil},
		"block, room at last":    {Block, blockFor - time.Second, never, blockFor - time.Second, nil},
		"block, room too late":   {Block, blockFor + time.Second, never, blockFor, ErrFull},
		"block, request is over": {Block, never, time.Second, time.Second, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			s, free := full(t, c.policy)
			held := s.p.reserved.Load()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.freed == 0 {
					free()
				} else if c.freed < never {
					time.AfterFunc(c.freed, free)
				}
				time.AfterFunc(c.ended, cancel)
				began := time.Now()
				release, err := s.Reserve(ctx)
				took := time.Since(began)
				if took < c.after || took > c.after+20*time.Millisecond {
					t.Errorf("Reserve took %s, want %s", took, c.after)
				}
				if c.freed <= took {
					held = 0
				}
				if c.want != nil {
					if !errors.Is(err, ErrFull) || !errors.Is(err, c.want) || release != nil {
						t.Errorf("Reserve = %v, want %v and %v", err, ErrFull, c.want)
					}
				} else if err != nil {
					t.Fatalf("Reserve: %v", err)
				} else {
					if got := s.p.reserved.Load() - held; c.policy != DropOldest && got != reserveFor {
						t.Errorf("%d bytes are reserved, want %d", got, reserveFor)
					}
					release()
				}
				if got := s.p.reserved.Load() - held; got != 0 {
					t.Errorf("%d bytes are reserved at the end", got)
				}
			})
		})
	}
}
