package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Options tunes Run. Program and Dir are required.
type Options struct {
	Program []string      // the earshot that is broken
	Hold    []string      // see WorldOptions
	Dir     string        // an empty folder; what is left in it at the end is of worlds that broke
	For     time.Duration // how long faults go on; default 30 s
	Seed    uint64        // of the sequence of faults
	Most    int           // faults at most; default no bound
	Only    []string      // names of faults; default all
	Keep    bool          // the folders of good worlds too
	Out     io.Writer     // a line for each fault; default none
}

// Totals is what a run did and found.
type Totals struct {
	Faults  map[string]int           // by name
	Healed  map[string]time.Duration // by name: the longest time until both logs had everything
	Skipped map[string]string        // by name, and why
	Worlds  int
	Took    time.Duration

	Requests, Answers, Cut int
	// Of all subscribers together, at the ends of their worlds.
	Records, Lines, Retried, Missing, Doubled, Strange int
	Lost                                               uint64
}

// Bounds of one world: then it is judged and another one is made, so that neither memory
// nor disk depends on how long a run is.
const (
	worldAnswers = 15_000
	worldFaults  = 60
)

// Run breaks worlds until the time is over, or ctx is done. Its error wraps ErrLoss if the
// promise was broken, and Totals say how far.
func Run(ctx context.Context, o Options) (t Totals, err error) {
	if o.For == 0 {
		o.For = 30 * time.Second
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	table := Faults()
	if len(o.Only) > 0 {
		table = slices.DeleteFunc(table, func(f Fault) bool { return !slices.Contains(o.Only, f.Name) })
	}
	if len(table) == 0 {
		return t, fmt.Errorf("drill: no fault is named %s", strings.Join(o.Only, ", "))
	}
	t = Totals{Faults: map[string]int{}, Healed: map[string]time.Duration{}, Skipped: map[string]string{}}
	r := &runner{Options: o, Totals: &t, deck: newDeck(o.Seed, table), began: time.Now()}
	r.end = r.began.Add(o.For)
	for err == nil && r.more(ctx) {
		err = r.world(ctx)
	}
	t.Took = time.Since(r.began)
	return t, err
}

// runner is a run under way.
type runner struct {
	Options
	*Totals
	deck  *deck
	began time.Time
	end   time.Time
	done  int // faults
}

func (r *runner) more(ctx context.Context) bool {
	return ctx.Err() == nil && time.Now().Before(r.end) && (r.Most == 0 || r.done < r.Most)
}

// world makes one world, breaks it and has it judged.
func (r *runner) world(ctx context.Context) (err error) {
	r.Worlds++
	dir := filepath.Join(r.Dir, fmt.Sprintf("world%d", r.Worlds))
	w, err := NewWorld(WorldOptions{Program: r.Program, Hold: r.Hold, Dir: dir})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil || r.Keep {
			err = errors.Join(err, w.Keep())
		}
		err = errors.Join(err, w.Close())
		if err == nil && !r.Keep {
			err = os.RemoveAll(dir)
		}
	}()
	if ctx.Err() == nil {
		err = r.fault(w) // also where the time was over before all was up
	}
	for n := 1; err == nil && n < worldFaults && w.Answers.Count() < worldAnswers && r.more(ctx); n++ {
		err = r.fault(w)
	}
	if err == nil {
		err = w.Stop()
	} else {
		w.quiet()
		for _, p := range w.All() {
			p.Continue()
		}
		if !errors.Is(err, ErrLoss) {
			_ = w.Settle() // as far as it goes: the first error is what counts
		}
		_ = w.end() // what there is is judged
	}
	return errors.Join(err, r.judge(w))
}

// fault does the next fault and waits until nothing of it is left.
func (r *runner) fault(w *World) error {
	f, d := r.deck.next()
	if lack := f.Lacks(w); lack != "" {
		if r.Skipped[f.Name] == "" {
			r.Skipped[f.Name] = lack
			fmt.Fprintf(r.Out, "%8s  %-21s SKIPPED: %s\n", r.clock(), f.Name, lack)
		}
		return nil
	}
	r.done++
	r.Faults[f.Name]++
	if err := f.Do(w, d); err != nil {
		return fmt.Errorf("fault %d, %s: %w", r.done, f.Name, err)
	}
	at := time.Now()
	if err := w.Settle(); err != nil {
		return fmt.Errorf("fault %d, %s: %w", r.done, f.Name, err)
	}
	took := time.Since(at)
	r.Healed[f.Name] = max(r.Healed[f.Name], took)
	fmt.Fprintf(r.Out, "%8s  %-21s %s; all answers logged %.2f s after it\n", r.clock(), f.Name, f.What, took.Seconds())
	return nil
}

func (r *runner) clock() string { return fmt.Sprintf("%.1fs", time.Since(r.began).Seconds()) }

// judge adds what the oracle says of a world.
func (r *runner) judge(w *World) error {
	r.Requests += int(w.requests.Load())
	r.Answers += w.Answers.Count()
	r.Cut += w.Answers.Cut()
	verdicts, err := w.Judge()
	if err != nil {
		return err
	}
	var errs error
	for i, v := range verdicts {
		r.Records += v.Records
		r.Lines += v.Lines
		r.Retried += v.Retried
		r.Missing += v.Missing
		r.Doubled += v.Doubled
		r.Strange += v.Strange
		r.Lost += v.Lost
		if v.Broken() || v.Lost > 0 {
			errs = errors.Join(errs, fmt.Errorf("%w: subscriber%d: %s\n  %s", ErrLoss, i+1, v, strings.Join(v.Found, "\n  ")))
		}
	}
	return errs
}

// deck deals faults: each once before any comes again, in an order that the seed decides.
type deck struct {
	rand  *rand.Rand
	table []Fault
	cards []int
}

func newDeck(seed uint64, table []Fault) *deck {
	return &deck{rand: rand.New(rand.NewPCG(seed, 0)), table: table}
}

func (d *deck) next() (*Fault, Dice) {
	if len(d.cards) == 0 {
		d.cards = d.rand.Perm(len(d.table))
	}
	f := &d.table[d.cards[0]]
	d.cards = d.cards[1:]
	return f, Dice{Who: d.rand.Uint32(), Order: d.rand.Uint32(), Wait: d.rand.Float64(), Hold: d.rand.Float64()}
}

// Done is how many faults were done.
func (t *Totals) Done() (n int) {
	for _, times := range t.Faults {
		n += times
	}
	return n
}

// String is the totals in a line.
func (t *Totals) String() string {
	return fmt.Sprintf("%.0f s, %d faults, %d answers, %d records in %d stores, missing %d, doubled %d, strange %d, declared %d",
		t.Took.Seconds(), t.Done(), t.Answers, t.Records, subscribers, t.Missing, t.Doubled, t.Strange, t.Lost)
}

// Print writes the totals as a table.
func (t *Totals) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FAULT\tTIMES\tALL LOGGED WITHIN")
	for _, f := range Faults() {
		switch n := t.Faults[f.Name]; {
		case n > 0:
			fmt.Fprintf(w, "%s\t%d\t%.2f s\n", f.Name, n, t.Healed[f.Name].Seconds())
		case t.Skipped[f.Name] != "":
			fmt.Fprintf(w, "%s\t0\tSKIPPED: %s\n", f.Name, t.Skipped[f.Name])
		}
	}
	fmt.Fprintf(w, "all\t%d\t\n", t.Done())
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "requests %d, whole answers %d, cut %d\ntwo subscribers: records in store %d, lines in log %d, retried below the client %d\nmissing %d, doubled %d, strange %d, declared lost %d\n",
		t.Requests, t.Answers, t.Cut, t.Records, t.Lines, t.Retried, t.Missing, t.Doubled, t.Strange, t.Lost)
	return err
}
