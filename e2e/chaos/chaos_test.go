// Package chaos_test does every fault to separate processes of the real program, and asks
// the oracle of PROTOCOL.md 9. The flags make the matrix longer.
package chaos_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/testenv"
)

var (
	faults = flag.Int("faults", len(drill.Faults()), "how many faults, each kind once before any comes again")
	within = flag.Duration("within", 10*time.Minute, "no further fault after so long, in each test, which fails where that ends it")
	seed   = flag.Uint64("seed", 1, "seed of the sequence of faults")
)

// binary is the program under test, built once, without the race detector: what is killed
// at a random moment should be as fast as what people run.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "earshot")
	if err == nil {
		binary = filepath.Join(dir, "earshot")
		var out []byte
		if out, err = exec.Command("go", "build", "-tags", "nomsgpack", "-o", binary, "../../cmd/earshot").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos: build:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// sources is called by each test: before the first go test notes nothing.
var sources = sync.OnceValue(func() error { return testenv.Sources("../..") })

// hold is the command that holds a disk.
func hold() []string { return []string{binary, "drill", "hold-disk"} }

// TestMatrix does each fault of the table at least once.
func TestMatrix(t *testing.T) {
	if err := sources(); err != nil {
		t.Fatal(err)
	}
	totals, err := drill.Run(t.Context(), drill.Options{
		Program: []string{binary}, Hold: hold(), Dir: t.TempDir(),
		For: *within, Seed: *seed, Most: *faults, Out: t.Output(),
	})
	if err := totals.Print(t.Output()); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Error(err)
	}
	if totals.Answers == 0 || totals.Records < 2*totals.Answers {
		t.Errorf("%d answers, %d records in two stores: this test shows nothing", totals.Answers, totals.Records)
	}
	if err == nil {
		dealt(t, totals)
	}
	var skipped []string
	for name, why := range totals.Skipped {
		skipped = append(skipped, name+": "+why)
	}
	if len(skipped) > 0 {
		testenv.Missing(t, strings.Join(skipped, "; "))
	}
}

// dealt asks that so many faults were done as the flag says, and each kind that can be here.
func dealt(t *testing.T, totals drill.Totals) {
	t.Helper()
	if done := totals.Done(); done < *faults {
		t.Errorf("%d of %d faults: -within %v has ended it", done, *faults, *within)
	}
	if *faults < len(drill.Names()) {
		return
	}
	var never []string
	for _, name := range drill.Names() {
		if totals.Faults[name] == 0 && totals.Skipped[name] == "" {
			never = append(never, name)
		}
	}
	if len(never) > 0 {
		t.Errorf("never done: %s", strings.Join(never, ", "))
	}
}
