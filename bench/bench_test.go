package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// TestMain is also the children's main: the rows start their own executable again.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == roleFlag {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestRows runs each row once with a few records: what is measured must be whole.
func TestRows(t *testing.T) {
	if testing.Short() {
		testenv.Skip(t, "starts a dozen processes")
	}
	t.Setenv("GORACE", "atexit_sleep_ms=0") // a second for each child otherwise
	testenv.Need(t, "cc")
	testenv.Need(t, "pkg-config")
	tables, err := chosen("throughput,answers,c-paced,publish-paced")
	if err != nil {
		t.Fatal(err)
	}
	o := options{rounds: 1, records: 3000, answers: 300, pace: 500, paced: 400 * time.Millisecond}
	b, err := newBench(t.Context(), o, t.TempDir(), tables)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, table := range tables {
		if err := b.measure(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		for _, r := range table.rows {
			rows++
			for _, s := range table.samples[r.name()] {
				if s["lost"] != 0 || s["rate"] <= 0 {
					t.Errorf("%s: %v records lost, %v a second", r.name(), s["lost"], s["rate"])
				}
			}
		}
		t.Log("\n" + table.String())
	}
	if rows != 17 {
		t.Errorf("%d rows were run, want 17", rows)
	}
}

func TestTable(t *testing.T) {
	ref, other := fakeRow("ref"), fakeRow("row")
	tab := &table{
		title: "title",
		columns: []column{
			{key: "v", title: "v", prec: 1},
			{key: "x", of: "v", title: "x", prec: 2},
			{key: "d", minus: "v", title: "d"},
			{key: "lost", title: "lost", sum: true},
		},
		rows: []row{ref, other},
	}
	for i, v := range []float64{1, 10, 100} {
		tab.add(ref, sample{"v": v})
		tab.add(other, sample{"v": v * float64(i+2), "lost": 1})
	}
	want := "title\n" +
		"                      v                 x           d  lost\n" +
		"  ref  10.0 (1.0-100.0)                 -           -     -\n" +
		"  row  30.0 (2.0-400.0)  3.00 (2.00-4.00)  20 (1-300)     3\n"
	if got := tab.String(); got != want {
		t.Errorf("String() =\n%s\nwant\n%s", got, want)
	}
}

// fakeRow is a row by its name only.
type fakeRow string

func (r fakeRow) name() string                                { return string(r) }
func (r fakeRow) title() string                               { return string(r) }
func (r fakeRow) run(context.Context, *bench) (sample, error) { return nil, errors.ErrUnsupported }

func TestChosen(t *testing.T) {
	for only, want := range map[string]string{
		"chain":              "c chain",
		"recorded-64":        "bare-64 recorded-64",
		"latency, callers":   "c callers c-paced publish-paced up-paced",
		"c":                  "c",
		"latency,up-paced":   "c-paced publish-paced up-paced",
		"answers":            "bare-1 recorded-1 followed-1 bare-64 recorded-64 followed-64",
		"followed-1,chain,c": "c chain bare-1 followed-1",
	} {
		got, err := chosen(only)
		if err != nil {
			t.Errorf("chosen(%q): %v", only, err)
			continue
		}
		var rows []string
		for _, table := range got {
			for _, r := range table.rows {
				rows = append(rows, r.name())
			}
		}
		if strings.Join(rows, " ") != want {
			t.Errorf("chosen(%q) = %q, want %q", only, strings.Join(rows, " "), want)
		}
	}
	if _, err := chosen("chain,chian"); err == nil || !strings.Contains(err.Error(), "chian") {
		t.Errorf("chosen of a name that is not there: %v", err)
	}
}

// TestPeersAreAskedFor: the tables that take long run only when they are named.
func TestPeersAreAskedFor(t *testing.T) {
	count := func(only string) (rows, grouped int) {
		tables, err := chosen(only)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			rows += len(table.rows)
			if table.group == peersGroup {
				grouped += len(table.rows)
			}
		}
		return rows, grouped
	}
	if rows, grouped := count(""); rows != 18 || grouped != 0 {
		t.Errorf("without -only %d rows, %d of them of peers, want 18 and 0", rows, grouped)
	}
	if rows, grouped := count(peersGroup); rows != grouped || rows < 30 {
		t.Errorf("-only peers: %d rows, %d of them of peers", rows, grouped)
	}
	if rows, grouped := count("redis, open-store"); rows != 4 || grouped != 4 {
		t.Errorf("two rows and their references: %d rows, %d of them of peers, want 4", rows, grouped)
	}
}

// absentRow is one whose server is not there.
type absentRow struct{ fakeRow }

func (absentRow) run(context.Context, *bench) (sample, error) {
	return nil, &missing{"redis-server", "install the package redis-server"}
}

// thereRow gives a value.
type thereRow struct{ fakeRow }

func (thereRow) run(context.Context, *bench) (sample, error) { return sample{"v": 1}, nil }

func TestSkippedRowIsSaid(t *testing.T) {
	tab := &table{title: "title", columns: []column{{key: "v", title: "v"}}, rows: []row{thereRow{"ref"}, absentRow{"redis"}, thereRow{"last"}}}
	b := &bench{o: options{rounds: 2}, dir: t.TempDir()}
	if err := b.measure(t.Context(), tab); err != nil {
		t.Fatal(err)
	}
	want := "title\n              v\n  ref   1 (1-1)\n  last  1 (1-1)\n" +
		"  redis SKIPPED: redis-server: install the package redis-server\n"
	if got := tab.String(); got != want {
		t.Errorf("String() =\n%s\nwant\n%s", got, want)
	}
}

func TestCheckFile(t *testing.T) {
	b := &bench{o: options{records: 5}, dir: t.TempDir()}
	path := filepath.Join(b.dir, "out")
	if _, err := writeLines(path, 3); err != nil { // two of five are missing
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	if err := os.WriteFile(path, slices.Concat(text, first, []byte("\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if lost, twice, err := b.checkFile(path); lost != 2 || twice != 1 || err != nil {
		t.Errorf("%v lost, %v twice, %v; want 2 and 1", lost, twice, err)
	}
	if err := os.WriteFile(path, first[:len(first)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.checkFile(path); err == nil {
		t.Error("a torn line was taken")
	}
}

func TestLineSize(t *testing.T) {
	for _, size := range []int{0, 2 << 10, 16 << 10} {
		want := max(size, usualSize)
		if got := lineSize(size); got < want-2 || got > want+2 {
			t.Errorf("lineSize(%d) = %d, want about %d", size, got, want)
		}
	}
	if got := lineSize(100); got >= usualSize/2 {
		t.Errorf("lineSize(100) = %d, want less than half of the usual %d", got, usualSize)
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for name, c := range map[string]struct {
		values []float64
		q      float64
		want   float64
	}{
		"one":               {[]float64{7}, 0.5, 7},
		"odd":               {[]float64{9, 1, 5}, 0.5, 5},
		"even":              {[]float64{4, 1, 2, 3}, 0.5, 2.5},
		"99 of 100":         {hundred, 0.99, 100},
		"largest, one only": {[]float64{3}, 0.99, 3},
	} {
		if got := quantile(slices.Clone(c.values), c.q); got != c.want {
			t.Errorf("%s: quantile(%v) = %v, want %v", name, c.q, got, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for want, c := range map[string]struct {
		v    float64
		prec int
	}{
		"0":            {0, 0},
		"999":          {999, 0},
		"1,000":        {1000, 0},
		"-12,345.7":    {-12345.67, 1},
		"1,234,567.00": {1234567, 2},
		"-0.50":        {-0.5, 2},
	} {
		if got := number(c.v, c.prec); got != want {
			t.Errorf("number(%v, %d) = %q, want %q", c.v, c.prec, got, want)
		}
	}
}

func TestLineNumber(t *testing.T) {
	for line, want := range map[string]int{
		"2026-11-22T10:35:12.123456Z downcase 200 GET /downcase/ 0.000412s lower case of 17 is 17": 17,
		"lower case of 0 is 0":         0,
		"lower case of HELLO is hello": -1,
		"lower case of -4 is -4":       -1,
		"":                             -1,
	} {
		n, ok := lineNumber([]byte(line))
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("lineNumber(%q) = %d, %v, want %d", line, n, ok, want)
		}
	}
}

func TestFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"no rounds":    {"-rounds", "0"},
		"no such row":  {"-only", "nothing"},
		"argument":     {"chain"},
		"no such flag": {"-round", "1"},
	} {
		var out bytes.Buffer
		if err := runFlags(t.Context(), args, &out); err == nil || out.Len() > 0 {
			t.Errorf("%s: error %v, output %q", name, err, out.String())
		}
	}
}
