package drill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/internal/admin"
)

// Dice is what chance has to say of one fault. It is cast before the fault begins, so that
// a seed means the same faults however long each takes.
type Dice struct {
	Who, Order uint32
	Wait, Hold float64 // from 0 to 1
}

// Fault is one thing that can happen to a world. Do does it, and what mends it; it returns
// when all processes run and the network is whole. What the clients got meanwhile is for
// Settle and the oracle.
type Fault struct {
	Name string
	What string // for people
	need func(w *World) (lack string)
	do   func(w *World, d Dice) error
}

// Lacks tells why a fault can't be in this world, or nothing.
func (f *Fault) Lacks(w *World) string {
	if f.need == nil {
		return ""
	}
	return f.need(w)
}

// Do does the fault.
func (f *Fault) Do(w *World, d Dice) error { return f.do(w, d) }

// Faults is the table of all faults.
func Faults() []Fault {
	disk := func(w *World) string { return w.noDisk }
	wire := func(w *World) string { return w.noNet }
	return []Fault{
		{"kill-service", "SIGKILL to a service", nil, func(w *World, d Dice) error { return w.bounce(d, w.service(d)) }},
		{"kill-gateway", "SIGKILL to the gateway", nil, func(w *World, d Dice) error { return w.bounce(d, w.Gateway) }},
		{"kill-subscriber", "SIGKILL to a subscriber", nil, func(w *World, d Dice) error { return w.bounce(d, w.sub(d).Proc) }},
		{"kill-both", "SIGKILL to a service and a subscriber at once", nil, func(w *World, d Dice) error { return w.bounce(d, w.service(d), w.sub(d).Proc) }},
		{"kill-all", "SIGKILL to every process at once", nil, func(w *World, d Dice) error { return w.bounce(d, w.All()...) }},
		{"kill-in-burst", "SIGKILL to any process, in a burst of requests", nil, killInBurst},
		{"crash-loop", "a process is killed while it starts, three times", nil, crashLoop},
		{"rolling-restart", "SIGTERM to every process, one after the other", nil, rollingRestart},
		{"stop-subscriber", "SIGSTOP to a subscriber for seconds, in a burst", nil, stopSubscriber},
		{"stalled-neighbour", "SIGSTOP to one subscriber; the other must not notice", nil, stalledNeighbour},
		{"stop-service", "SIGSTOP to a service for a while", nil, stopService},
		{"missed-restart", "a publisher is restarted while a subscriber is stopped", nil, missedRestart},
		{"late-subscriber", "a new subscriber comes and wants everything", nil, lateSubscriber},
		{"data-put-back", "a subscriber is killed, and its data replaced by a copy of before", nil, dataPutBack},
		{"net-reset", "all connections of a subscriber are reset, new ones too for a while", wire, func(w *World, d Dice) error {
			return w.broken(d, time.Second, func(n *Net) { n.Cut(true) })
		}},
		{"net-blip", "all connections of a subscriber are reset, again and again", wire, netBlip},
		{"net-half-open", "connections of a subscriber go dead and nobody is told", wire, func(w *World, d Dice) error {
			return w.broken(d, time.Second, func(n *Net) { n.Swallow(false) })
		}},
		{"net-black-hole", "nothing passes to a subscriber, on new connections neither", wire, func(w *World, d Dice) error {
			return w.broken(d, 4*time.Second, func(n *Net) { n.Swallow(true) })
		}},
		{"net-delay", "what a subscriber says and hears comes late", wire, func(w *World, d Dice) error {
			return w.broken(d, 3*time.Second, func(n *Net) { n.Delay(scale(200*time.Millisecond, d.Hold)) })
		}},
		{"net-stall", "a subscriber's connections pass nothing for a while, and lose nothing", wire, func(w *World, d Dice) error {
			return w.broken(d, 4*time.Second, (*Net).Stall)
		}},
		{"net-kill", "SIGKILL to a subscriber behind a slow network", wire, netKill},
		{"disk-full-service", "a service's disk is full for a while", disk, func(w *World, d Dice) error {
			return w.full(d, w.disks[0], w.Services[1], "earshot_journal_degraded")
		}},
		{"disk-full-subscriber", "a subscriber's disk is full for a while", disk, func(w *World, d Dice) error {
			return w.full(d, w.disks[1], w.Subscribers[1].Proc, "earshot_store_full")
		}},
		{"disk-full-kill", "a subscriber with a full disk is killed and started", disk, diskFullKill},
	}
}

// Names is the names of all faults.
func Names() (all []string) {
	for _, f := range Faults() {
		all = append(all, f.Name)
	}
	return all
}

// scale is a part of most.
func scale(most time.Duration, part float64) time.Duration {
	return time.Duration(float64(most) * part)
}

func (w *World) service(d Dice) *Proc     { return w.Services[int(d.Who)%len(w.Services)] }
func (w *World) sub(d Dice) *Subscriber   { return w.Subscribers[int(d.Order)%len(w.Subscribers)] }
func (w *World) other(d Dice) *Subscriber { return w.Subscribers[int(d.Order+1)%len(w.Subscribers)] }
func (w *World) any(d Dice) *Proc         { all := w.All(); return all[int(d.Who)%len(all)] }

// wait waits for a part of most, or until the world is closed.
func (w *World) wait(most time.Duration, part float64) { pause(w.stop, scale(most, part)) }

// bounce kills processes at a random moment and starts them again.
func (w *World) bounce(d Dice, all ...*Proc) error {
	w.wait(300*time.Millisecond, d.Wait)
	for _, p := range all {
		p.doom()
	}
	for _, p := range all {
		p.Kill()
	}
	w.wait(300*time.Millisecond, d.Hold)
	return start(all...)
}

func killInBurst(w *World, d Dice) error {
	bursting := make(chan struct{})
	go func() {
		defer close(bursting)
		w.Burst(24, 600*time.Millisecond)
	}()
	err := w.bounce(d, w.any(d))
	<-bursting
	return err
}

func crashLoop(w *World, d Dice) error {
	p := w.any(d)
	p.Kill()
	for range 3 {
		if err := p.Start(); err != nil {
			return err
		}
		w.wait(250*time.Millisecond, d.Hold)
		p.Kill()
	}
	return start(p)
}

func rollingRestart(w *World, d Dice) error {
	all := w.All()
	for i := range all { // a permutation of what chance said
		j := i + int(d.Order>>i)%(len(all)-i)
		all[i], all[j] = all[j], all[i]
		if err := errors.Join(all[i].Stop(), start(all[i])); err != nil {
			return err
		}
	}
	return nil
}

func stopSubscriber(w *World, d Dice) error {
	s := w.sub(d)
	s.Pause()
	defer s.Continue()
	w.Burst(16, 300*time.Millisecond)
	w.wait(4*time.Second, d.Hold)
	return nil
}

// stalledNeighbour asks that the one that is not stopped has all answers meanwhile. Whether it
// had to fetch any is not asked: that may come of the fault before.
func stalledNeighbour(w *World, d Dice) error {
	s := w.sub(d)
	s.Pause()
	defer s.Continue()
	w.Burst(16, 500*time.Millisecond)
	w.wait(3*time.Second, d.Hold)
	if err := w.Heard(w.other(d)); err != nil {
		return fmt.Errorf("while %s is stopped: %w", s.Name, err)
	}
	return nil
}

func stopService(w *World, d Dice) error {
	p := w.service(d)
	p.Pause()
	defer p.Continue()
	w.wait(2*time.Second, d.Hold)
	return nil
}

func missedRestart(w *World, d Dice) error {
	s, all := w.sub(d), w.Publishers()
	p := all[int(d.Who)%len(all)]
	s.Pause()
	defer s.Continue()
	w.wait(200*time.Millisecond, d.Wait)
	if err := errors.Join(p.Stop(), start(p)); err != nil {
		return err
	}
	w.wait(2*time.Second, d.Hold)
	return nil
}

// lateSubscriber starts one with an empty store, asks that it gets everything from the
// first record on, and has it forgotten. The service with the small journal keeps only the
// last of what all others have committed, so it is left out.
func lateSubscriber(w *World, d Dice) (err error) {
	w.fresh++
	name := fmt.Sprintf("late%d", w.fresh)
	data := filepath.Join(w.o.Dir, name)
	s, err := w.subscriber(name, data, near, []string{w.feeds[0], w.feeds[2]})
	if err != nil {
		return err
	}
	s.wants = func(got Answer) bool { return !strings.Contains(got.URL, "/"+w.Services[1].Name+"/") }
	defer s.Kill()
	w.wait(200*time.Millisecond, d.Wait)
	if err := start(s.Proc); err != nil {
		return err
	}
	answers := slices.DeleteFunc(slices.Clone(w.Answers.Whole()), func(got Answer) bool { return !s.wants(got) })
	if err := errors.Join(w.heard(w.Answers.Count(), s), s.Stop()); err != nil {
		return err
	}
	v, err := s.judge(w, answers, Expect{})
	if err != nil {
		return err
	}
	if v.Broken() {
		return fmt.Errorf("%w: %s: %s: %q", ErrLoss, name, v, v.Found)
	}
	for _, p := range []*Proc{w.Services[0], w.Gateway} {
		if err := p.forget(name); err != nil {
			return err
		}
	}
	return os.RemoveAll(data)
}

// dataPutBack has all that a subscriber wrote since a copy was begun be gone. The publishers
// keep that, for it is not an hour old.
func dataPutBack(w *World, d Dice) error {
	s := w.Subscribers[0] // the other's disk has no room for two
	backup := s.Data + "-copy"
	copying := make(chan error, 1)
	go func() { copying <- copyData(backup, s.Data, func() { w.wait(300*time.Millisecond, d.Wait) }) }()
	w.Burst(8, 300*time.Millisecond)
	if err := <-copying; err != nil {
		return fmt.Errorf("drill: %w", err)
	}
	w.wait(500*time.Millisecond, d.Hold)
	s.Kill()
	if err := errors.Join(os.RemoveAll(s.Data), os.Rename(backup, s.Data)); err != nil {
		return fmt.Errorf("drill: %w", err)
	}
	s.log = NewLog(filepath.Join(s.Data, "logs"))
	return start(s.Proc)
}

// copyData copies a subscriber's data as docs/operating.md says: first the logs, then the
// store, and once more if a file had another name before it was copied. A closed segment is
// linked, since it never changes again.
func copyData(to, from string, between func()) (err error) {
	for range 10 {
		if err = os.RemoveAll(to); err != nil {
			return err
		}
		if err = copyTree(filepath.Join(to, "logs"), filepath.Join(from, "logs")); err == nil {
			between()
			err = copyTree(filepath.Join(to, "store"), filepath.Join(from, "store"))
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return err
}

func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		switch {
		case e.IsDir():
			return os.MkdirAll(target, 0o700)
		case filepath.Ext(path) == ".jsonl":
			return os.Link(path, target)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o600)
	})
}

// forget ends what a publisher keeps for a store. A commit that the store said as its last
// word may come a little later than its end, and of a publisher that had nothing for it
// there is none.
func (p *Proc) forget(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	late := time.Now().Add(time.Second)
	resp, err := p.delete(ctx, name)
	for errors.Is(err, admin.ErrNotFound) {
		if time.Now().After(late) {
			return nil
		}
		time.Sleep(20 * time.Millisecond) // it has no other way to tell
		resp, err = p.delete(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("drill: %s: %w", p.Name, err)
	}
	return resp.Body.Close()
}

func (p *Proc) delete(ctx context.Context, store string) (*http.Response, error) {
	return (&admin.Client{Addr: p.Admin}).Do(ctx, http.MethodDelete, "/v1/cursors/"+url.PathEscape(store))
}

// broken breaks the network of a subscriber for at most so long, and some answers.
func (w *World) broken(d Dice, most time.Duration, how func(*Net)) error {
	s := w.sub(d)
	w.wait(200*time.Millisecond, d.Wait)
	how(s.Net)
	defer s.Net.Heal()
	w.Burst(8, 200*time.Millisecond)
	w.wait(most, d.Hold)
	return nil
}

func netBlip(w *World, d Dice) error {
	for range 5 {
		w.wait(300*time.Millisecond, d.Wait)
		w.sub(d).Net.Cut(false)
	}
	return nil
}

// netKill kills a subscriber that is fetching what it missed.
func netKill(w *World, d Dice) error {
	s := w.sub(d)
	s.Kill()
	w.Burst(16, 300*time.Millisecond)
	s.Net.Delay(30 * time.Millisecond)
	defer s.Net.Heal()
	if err := start(s.Proc); err != nil {
		return err
	}
	return w.bounce(d, s.Proc)
}

// full fills the disk of a process until it says so by a metric, and frees it after a while.
func (w *World) full(d Dice, disk *Disk, p *Proc, metric string) error {
	w.wait(200*time.Millisecond, d.Wait)
	if err := w.fill(disk, p, metric); err != nil {
		return err
	}
	w.wait(time.Second, d.Hold)
	if err := disk.Free(); err != nil {
		return fmt.Errorf("drill: %w", err)
	}
	return p.mended(metric)
}

// mended waits until a process says that its disk is written again: what it holds in memory
// until then would be lost with it, and declared.
func (p *Proc) mended(metric string) error {
	for end := time.Now().Add(healLimit); ; time.Sleep(10 * time.Millisecond) {
		if v, err := p.Metric(metric); v == 0 || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("drill: %s: %s is still 1, %s after there was room again", p.Name, metric, healLimit)
		}
	}
}

// KillFull kills the service whose disk is full while no subscriber is there: what was in its
// memory is gone, and must be declared. No fault of the table may lose anything, so this is
// none of them.
func (w *World) KillFull() error {
	p := w.Services[1]
	subs := procs(w.Subscribers)
	for _, s := range subs {
		s.Kill()
	}
	if err := w.fill(w.disks[0], p, "earshot_journal_degraded"); err != nil {
		return err
	}
	w.burst(4, 300*time.Millisecond, p.Name)
	p.Kill()
	if err := w.disks[0].Free(); err != nil {
		return fmt.Errorf("drill: %w", err)
	}
	return start(append(subs, p)...)
}

// fill fills a disk under load until its process says so.
func (w *World) fill(disk *Disk, p *Proc, metric string) error {
	if err := disk.Fill(); err != nil {
		return err
	}
	for end := time.Now().Add(startLimit); ; {
		w.burst(8, 100*time.Millisecond, w.Services[1].Name) // all of it goes to either disk
		v, err := p.Metric(metric)
		if v == 1 || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("drill: the disk of %s is full and %s is %v", p.Name, metric, v)
		}
	}
}

func diskFullKill(w *World, d Dice) error {
	s := w.Subscribers[1]
	if err := w.fill(w.disks[1], s.Proc, "earshot_store_full"); err != nil {
		return err
	}
	s.Kill()
	if err := s.Start(); err != nil { // with no byte free; it says that it is not well
		return err
	}
	w.wait(2*time.Second, d.Hold)
	if err := w.disks[1].Free(); err != nil {
		return fmt.Errorf("drill: %w", err)
	}
	if err := s.Ready(startLimit); err != nil { // it may not listen yet
		return err
	}
	return s.mended("earshot_store_full")
}
