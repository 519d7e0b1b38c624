package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// version1 is a copy of the journal that the first version has written.
func version1(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestVersion1Last: what the first version has counted in "last" while its disk was full is
// known, of a run that is in files and of one that is in none, now and after the next opening
// has made the file its own.
func TestVersion1Last(t *testing.T) {
	dir := version1(t)
	none := record.Run{Stream: "0000000000002", Epoch: 0x1a20a5a78b437e9c}
	var before []record.Run
	for _, how := range []string{"opened", "opened again"} {
		r := start(t, dir, WriterOptions{SyncEvery: time.Millisecond})
		for run, want := range map[record.Run]Cursor{
			runA: {Service: "downcase", Next: 15, Given: 17, Ended: true},
			runB: {Next: 15, Given: 14, Ended: true},
			none: {Service: "gateway", Next: 1, Given: 5, Ended: true},
		} {
			if c := mustCursor(t, r.log, run); c.Next != want.Next || c.Given != want.Given || !c.Ended || c.Service != want.Service {
				t.Errorf("%s: %s stands at %+v, want %+v", how, run, c, want)
			}
		}
		if e := r.log.Epoch(); e <= none.Epoch {
			t.Errorf("%s: the epoch %s is not above %s", how, e, none.Epoch)
		}
		s := r.Stream("downcase")
		for range 3 {
			if _, err := s.Append(tail); err != nil {
				t.Fatal(err)
			}
		}
		before = append(before, s.Run())
		for _, run := range before {
			if got := numbers(t, r.log, run, 1); !slices.Equal(got, upTo(1, 3)) {
				t.Errorf("%s: of %s there are %v", how, run, got)
			}
		}
		if got := numbers(t, r.log, runA, 1); !slices.Equal(got, upTo(1, 14)) {
			t.Errorf("%s: of A there are %v", how, got)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if err := r.log.Close(); err != nil {
			t.Fatal(err)
		}
		if all, slots, err := readLast(filepath.Join(dir, "last")); err != nil || len(all)+slots != 0 {
			t.Errorf("%s: the file last still says %v (%v)", how, all, err)
		}
	}
}

// TestVersion1Cursors: what stores have committed with the first version is known, and goes
// on.
func TestVersion1Cursors(t *testing.T) {
	path := filepath.Join(version1(t), "cursors")
	at := time.Date(2026, 11, 24, 10, 35, 12, 123456789, time.UTC)
	a, b := StoreRun{runA.Stream, runA.Epoch.String(), 9}, StoreRun{runB.Stream, runB.Epoch.String(), 15}
	want := []Store{
		{ID: "9ew40y3shq312", Name: "9ew40y3shq312", Seen: at, Runs: []StoreRun{{a.Stream, a.Epoch, 15}}},
		{ID: "3q1a4nk9cpaj8", Name: "main", Seen: at, Runs: []StoreRun{b, a}},
	}
	for _, next := range []uint64{9, 11, 15} {
		c := OpenCommits(path, time.Now())
		if next > 9 {
			want[1].Runs[1].Next = next
		}
		got := c.List()
		for i := range got {
			got[i].Heard, got[i].since = time.Time{}, time.Time{}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", got, want)
		}
		for run, least := range map[record.Run]uint64{runA: next, runB: 0} { // one store has none of B
			if n, ok := c.Committed(run); !ok || n != least {
				t.Errorf("everybody has %s below %d, %v; want %d", run, n, ok, least)
			}
		}
		if err := c.Commit("3q1a4nk9cpaj8", "main", runA, map[uint64]uint64{9: 11, 11: 99, 15: 15}[next], 15, at); err != nil {
			t.Fatal(err)
		}
		if err := c.Save(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
}
