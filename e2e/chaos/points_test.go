package chaos_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/testenv"
)

var points = flag.Int("points", 1, "how often each row of the system calls is done")

// point is a system call at which something befalls a process. The call's number counts in
// one thread, from the start of the process.
type point struct {
	call string
	most int // the number is chosen from 1 to this
}

// newWorld makes a world for a test.
func newWorld(t *testing.T, o drill.WorldOptions) *drill.World {
	t.Helper()
	o.Program, o.Dir = []string{binary}, filepath.Join(t.TempDir(), "world")
	w, err := drill.NewWorld(o)
	err = errors.Join(err, sources())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// verdict ends a world and asks the oracle, and tells how much is declared lost.
func verdict(t *testing.T, w *drill.World) (lost uint64) {
	t.Helper()
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	all, err := w.Judge()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range all {
		t.Logf("subscriber%d: %s", i+1, v)
		lost = max(lost, v.Lost)
		if v.Broken() || v.Answers == 0 || v.Lost != lost {
			t.Errorf("subscriber%d: %q", i+1, v.Found)
		}
	}
	return lost
}

// TestDeclared kills a service with a full disk while nobody listens: that is lost, and
// declared to the record.
func TestDeclared(t *testing.T) {
	if d, err := drill.NewDisk(hold(), t.TempDir(), 1); err != nil {
		testenv.Missing(t, err.Error())
	} else if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, drill.WorldOptions{Hold: hold()})
	if err := w.KillFull(); err != nil {
		t.Fatal(err)
	}
	if lost := verdict(t, w); lost == 0 {
		t.Error("nothing was lost: this test shows nothing")
	}
}

// rounds does a test so often as the flag says, each time in a world of its own in which
// nothing may be lost.
func rounds(t *testing.T, test func(t *testing.T, w *drill.World, chance *rand.Rand)) {
	chance := rand.New(rand.NewPCG(*seed, 1))
	end := time.Now().Add(*within)
	for n := range *points {
		if n > 0 && time.Now().After(end) {
			t.Errorf("%d of %d rounds: -within %v has ended it", n, *points, *within)
			break
		}
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			w := newWorld(t, drill.WorldOptions{})
			test(t, w, chance)
			if lost := verdict(t, w); lost > 0 {
				t.Errorf("%d declared lost", lost)
			}
		})
	}
}

// inject is a start of a process with strace between, which does what is said to calls. The
// process is our own child all the same, and strace ends with it.
func inject(t *testing.T, what string) []string {
	return []string{testenv.Need(t, "strace"), "--daemonize", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "inject=" + what}
}

// TestCrashPoints kills the processes as they enter system calls: those by which they say,
// store, sync and rename.
func TestCrashPoints(t *testing.T) {
	hits, tries := map[string]int{}, 0
	rounds(t, func(t *testing.T, w *drill.World, chance *rand.Rand) {
		for _, r := range []struct {
			who    *drill.Proc
			points []point
		}{
			{w.Services[0], []point{{"write", 200}, {"pwrite64,pwritev", 40}, {"fdatasync", 6}, {"fsync", 1}, {"openat", 12}, {"renameat", 1}}},
			{w.Gateway, []point{{"write", 200}, {"pwrite64,pwritev", 40}, {"fdatasync", 6}, {"fsync", 1}}},
			{w.Subscribers[0].Proc, []point{{"write", 300}, {"pwrite64,pwritev", 12}, {"fdatasync", 6}, {"fsync", 2}, {"openat", 12}, {"renameat", 1}}},
		} {
			for _, p := range r.points {
				hit := 0
				for most := p.most; hit == 0 && most > 0; most /= 4 { // on a busy machine no thread may get so far
					tries++
					hit = crash(t, w, r.who, fmt.Sprintf("%s:signal=KILL:when=%d", p.call, 1+chance.IntN(most)))
				}
				hits[r.who.Name+" at "+p.call] += hit
			}
		}
	})
	told(t, hits)
	t.Logf("%d starts", tries)
}

// crash starts a process that dies at a system call, and again, and tells whether it did: by
// SIGKILL, for one that ends in any other way has not met the call.
func crash(t *testing.T, w *drill.World, p *drill.Proc, what string) (hits int) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p.Wrap = inject(t, what)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if how := p.Wait(10 * time.Second); how != nil {
		if st, ok := how.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGKILL {
			t.Fatalf("%s at %s: %v, not killed; it said:\n%s", p.Name, what, how, p.Said())
		}
		hits = 1
	}
	p.Kill()
	p.Wrap = nil
	if err := p.Up(); err != nil {
		t.Fatalf("%s after %s: %v", p.Name, what, err)
	}
	if err := w.Settle(); err != nil {
		t.Fatalf("%s after %s: %v", p.Name, what, err)
	}
	return hits
}

// told says how often something befell, of each kind at least once.
func told(t *testing.T, hits map[string]int) {
	t.Helper()
	for _, row := range slices.Sorted(maps.Keys(hits)) {
		t.Logf("%s: %d times", row, hits[row])
		if hits[row] == 0 {
			t.Errorf("%s: never: this row shows nothing", row)
		}
	}
}

// TestDiskErrors has the system calls of the disk fail, or take long, for a while: what is
// answered meanwhile is logged all the same, and nobody falls. Each call that a row names has
// to be met at each process. A write of nothing is the one short write that strace can fake
// without a lie: any other count says of bytes that they are in the file, and they are not.
func TestDiskErrors(t *testing.T) {
	hits := map[string]int{}
	rounds(t, func(t *testing.T, w *drill.World, _ *rand.Rand) {
		service, gateway, sub := w.Services[0], w.Gateway, w.Subscribers[0].Proc
		all := []*drill.Proc{service, gateway, sub}
		log := filepath.Join(w.Subscribers[0].Data, "logs", "subscriber.log")
		for _, r := range []struct {
			what  string
			who   []*drill.Proc
			lasts time.Duration
		}{
			{"pwrite64,pwritev:error=EIO:when=3..9", all, time.Second},
			{"pwrite64,pwritev:error=ENOSPC:when=2+3", all, time.Second},
			{"pwrite64,pwritev:retval=0:when=2+3", all, time.Second},
			{"pwrite64,pwritev:error=EIO:when=1+2 ftruncate:error=EIO", all, time.Second},
			{"pwrite64,pwritev:error=EIO:when=1+3 openat:error=EMFILE:when=2+3", all, time.Second},
			{"pwrite64,pwritev:error=EIO:when=2+3 fsync:error=EIO:when=1+2", all, time.Second},
			{"pwrite64,pwritev:error=EIO:when=2+4 renameat:error=EIO", all, time.Second},
			{"pwrite64,pwritev:error=EIO fdatasync:error=EIO fsync:error=EIO", all, time.Second}, // where a segment is begun, nothing is cut back
			{"fdatasync:error=EIO:when=2", all, time.Second},
			{"fdatasync:error=EIO:when=1+2 fsync:error=EIO:when=2+2", all, time.Second},
			{"fdatasync:delay_enter=400000", all, time.Second},
			{"fdatasync,fsync:delay_exit=1000000", all, 5 * time.Second},
			{"pwrite64,pwritev:delay_enter=30000:when=2+3", all, time.Second},
			{"write:error=EIO:when=1+2 path=" + log, []*drill.Proc{sub}, time.Second},
			{"write:retval=0:when=1+2 path=" + log, []*drill.Proc{sub}, time.Second},
		} {
			for _, p := range r.who {
				for call, n := range broken(t, w, p, r.what, r.lasts) {
					what, _, _ := strings.Cut(r.what, " path=")
					hits[fmt.Sprintf("%s: %s: %s", what, p.Name, call)] += n
				}
			}
		}
	})
	told(t, hits)
}

// broken attaches strace to a process for a while, and for longer where something that it is
// to do has not befallen the process yet, and tells how often each did. Calls with a comma
// between are one thing that is done now by one of them, now by the other; with path= it is
// those on one file.
func broken(t *testing.T, w *drill.World, p *drill.Proc, what string, lasts time.Duration) (hits map[string]int) {
	t.Helper()
	said := filepath.Join(t.TempDir(), "strace")
	args := []string{"-f", "-qq", "-o", said, "-p", fmt.Sprint(p.Pid())}
	var calls []string // no others: a second of all of them takes seconds to be read
	for _, one := range strings.Fields(what) {
		if path, ok := strings.CutPrefix(one, "path="); ok {
			args = append(args, "--trace-path="+path)
			continue
		}
		args = append(args, "-e", "inject="+one)
		call, _, _ := strings.Cut(one, ":")
		calls = append(calls, call)
	}
	args = append(args, "-e", "trace="+strings.Join(calls, ","))
	cmd := exec.Command(testenv.Need(t, "strace"), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	before, begun := w.Answers.Count(), time.Now()
	w.Burst(4, lasts)
	for end := time.Now().Add(testenv.Patience); time.Now().Before(end); w.Burst(4, 300*time.Millisecond) {
		if hits = befell(t, said, what); !slices.Contains(slices.Collect(maps.Values(hits)), 0) {
			break
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it lets go
	_ = cmd.Wait()
	// Eight clients ask. If each answer waited for an fsync of a second, they had at most so many.
	n, most := w.Answers.Count()-before, 2*8*int(time.Since(begun)/time.Second)
	if t.Logf("%s: %s: %d answers", what, p.Name, n); n < max(20, most) {
		t.Errorf("%s, %s: %d answers meanwhile", p.Name, what, n)
	}
	if err := p.Ready(30 * time.Second); err != nil {
		t.Fatalf("%s, %s: %v", p.Name, what, err)
	}
	if err := w.Settle(); err != nil {
		t.Fatalf("%s, %s: %v", p.Name, what, err)
	}
	return befell(t, said, what)
}

// met is a line of strace's of a call that something befell.
var met = regexp.MustCompile(`(?m)^\d+ +(?:<\.\.\. )?(\w+)\b.*\((?:INJECTED|DELAYED)\)$`)

// befell counts in what strace said how often each part of what befell.
func befell(t *testing.T, said, what string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(said)
	if err != nil && !os.IsNotExist(err) { // it has not begun
		t.Fatal(err)
	}
	hits := map[string]int{}
	for _, one := range strings.Fields(what) {
		calls, _, ok := strings.Cut(one, ":")
		if !ok { // a path
			continue
		}
		hits[calls] = 0
		for _, m := range met.FindAllSubmatch(text, -1) {
			if slices.Contains(strings.Split(calls, ","), string(m[1])) {
				hits[calls]++
			}
		}
	}
	return hits
}
