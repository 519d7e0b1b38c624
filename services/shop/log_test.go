package shop

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// counted is a Log of numbers, with what it has made of them.
type counted struct {
	*Log[int]
	all []int
}

func open(t testing.TB, dir string) *counted {
	t.Helper()
	c := &counted{}
	var err error
	if c.Log, err = OpenLog(dir, "numbers.jsonl", func(n int) { c.all = append(c.all, n) }); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *counted) add(n int) error {
	return c.Update(func() (*int, error) { return &n, nil })
}

func (c *counted) list(t testing.TB) (all []int) {
	t.Helper()
	if err := c.View(func() { all = slices.Clone(c.all) }); err != nil {
		t.Error(err)
	}
	return all
}

func TestLog(t *testing.T) {
	errNo := errors.New("no")
	for name, dir := range map[string]string{"in a folder": filepath.Join(t.TempDir(), "a", "b"), "in memory": ""} {
		t.Run(name, func(t *testing.T) {
			c := open(t, dir)
			for n := range 3 {
				if err := c.add(n); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Update(func() (*int, error) { return nil, errNo }); !errors.Is(err, errNo) {
				t.Errorf("Update that is refused = %v, want its error", err)
			}
			if err := c.Update(func() (*int, error) { return nil, nil }); err != nil {
				t.Errorf("Update of nothing = %v", err)
			}
			if got, want := c.list(t), []int{0, 1, 2}; !slices.Equal(got, want) {
				t.Errorf("it has %v, want %v", got, want)
			}
			want := []int{0, 1, 2}
			if dir == "" {
				want = nil
			}
			if got := open(t, dir).list(t); !slices.Equal(got, want) {
				t.Errorf("opened anew it has %v, want %v", got, want)
			}
		})
	}
}

// TestLogDamage sees what a crash can leave, and what it can't.
func TestLogDamage(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []int
		err  string
	}{
		"empty":                  {"", nil, ""},
		"whole":                  {"1\n2\n", []int{1, 2}, ""},
		"torn":                   {"1\n2\n34", []int{1, 2}, ""},
		"torn in the first":      {"3", nil, ""},
		"torn, of zeros":         {"1\n\x00\x00\x00\x00", []int{1}, ""},
		"damaged in the middle":  {"1\nx\n3\n", nil, "the line at byte 2 can't be read"},
		"another type":           {"1\n{}\n", nil, "the line at byte 2 can't be read"},
		"an empty line":          {"1\n\n3\n", nil, "the line at byte 2 can't be read"},
		"a torn one made a line": {"1\n2\x00\x00\n", nil, "the line at byte 2 can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "numbers.jsonl")
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			var got []int
			l, err := OpenLog(dir, "numbers.jsonl", func(n int) { got = append(got, n) })
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), path) {
					t.Errorf("OpenLog = %v, want %q", err, c.err)
				}
				if b, err := os.ReadFile(path); err != nil || string(b) != c.file {
					t.Errorf("it left %q of %q, %v", b, c.file, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			whole := c.file[:strings.LastIndexByte(c.file, '\n')+1]
			if b, err := os.ReadFile(path); err != nil || string(b) != whole {
				t.Errorf("the file has %q, %v, want %q", b, err, whole)
			}
			n := 5
			if err := l.Update(func() (*int, error) { return &n, nil }); err != nil {
				t.Fatal(err)
			}
			want := append(c.want, 5)
			if !slices.Equal(got, want) || !slices.Equal(open(t, dir).list(t), want) {
				t.Errorf("it has %v, want %v, now and opened anew", got, want)
			}
		})
	}
}

// TestLogTornWhileRunning sees that an entry follows the last whole one although another
// process died in the middle of its own.
func TestLogTornWhileRunning(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	if err := c.add(1); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(c.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("234567"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if got := c.list(t); !slices.Equal(got, []int{1}) {
		t.Errorf("with a torn line it has %v, want [1]", got)
	}
	if err := c.add(8); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(c.path); err != nil || string(b) != "1\n8\n" {
		t.Errorf("the file has %q, %v, want 1 and 8", b, err)
	}
}

func TestLogBound(t *testing.T) {
	c := open(t, t.TempDir())
	c.limit = 10
	n := 0
	var err error
	for ; err == nil; n++ {
		err = c.add(7)
	}
	if !errors.Is(err, ErrFull) || n != 6 || len(c.list(t)) != 5 {
		t.Errorf("entry %d = %v with %v, want the sixth to be ErrFull", n, err, c.list(t))
	}
}

// TestLogReplaced sees that a file which is not the one that was read is no basis for
// an answer.
func TestLogReplaced(t *testing.T) {
	c := open(t, t.TempDir())
	if err := errors.Join(c.add(1), os.Truncate(c.path, 0)); err != nil {
		t.Fatal(err)
	}
	if err := c.View(func() {}); err == nil || !strings.Contains(err.Error(), "was it replaced?") {
		t.Errorf("View of a shorter file = %v", err)
	}
	if err := c.add(2); err == nil {
		t.Error("Update of a shorter file is no error")
	}
	if err := os.Remove(c.path); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.View(func() {})); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("View of no file = %v", err)
	}
}

// TestLogShared counts to a bound with many goroutines on three openings of one file, as
// three processes have it, and on one in memory: each number is given once.
func TestLogShared(t *testing.T) {
	dir := t.TempDir()
	countTogether(t, open(t, dir), open(t, dir), open(t, dir))
	countTogether(t, open(t, ""))
	if all := open(t, dir).list(t); len(all) != mostNumbers {
		t.Errorf("opened anew it has %v", all)
	}
}

const mostNumbers = 60

func countTogether(t *testing.T, logs ...*counted) {
	const most, each = mostNumbers, 8
	errEnough := errors.New("enough")
	var wg sync.WaitGroup
	for _, c := range logs {
		for range each {
			wg.Go(func() {
				for {
					err := c.Update(func() (*int, error) {
						n := len(c.all)
						if n == most {
							return nil, errEnough
						}
						time.Sleep(100 * time.Microsecond) // for somebody to come in between, if anybody could
						return &n, nil
					})
					if errors.Is(err, errEnough) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					if all := c.list(t); !slices.IsSorted(all) {
						t.Errorf("it has %v", all)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, c := range logs {
		all := c.list(t)
		if len(all) != most || all[0] != 0 || all[most-1] != most-1 || !slices.IsSorted(all) {
			t.Errorf("it has %v, want 0 to %d, each once", all, most-1)
		}
	}
}

// TestLogKilled kills a process that adds numbers, and finds all that it said it had.
func TestLogKilled(t *testing.T) {
	const dirVar = "EARSHOT_TEST_LOG_DIR"
	if dir := os.Getenv(dirVar); dir != "" {
		c := open(t, dir)
		for n := 0; ; n++ {
			if err := c.add(n); err != nil {
				t.Fatal(err)
			}
			fmt.Println("has", n)
		}
	}
	dir := t.TempDir()
	for _, until := range []int{10, 33} {
		if err := os.RemoveAll(filepath.Join(dir, "numbers.jsonl")); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLogKilled$")
		cmd.Env = append(os.Environ(), dirVar+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := -1
		for scan := bufio.NewScanner(out); scan.Scan(); {
			number, ok := strings.CutPrefix(scan.Text(), "has ")
			if !ok {
				continue
			}
			if said, err = strconv.Atoi(number); err != nil {
				t.Fatal(err)
			}
			if said == until {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || said < until {
			t.Fatalf("the process said %d and ended with %v, want it killed after %d", said, err, until)
		}
		all := open(t, dir).list(t)
		for i, n := range all {
			if i != n {
				t.Fatalf("it has %v", all)
			}
		}
		if len(all) <= said {
			t.Errorf("it has %d numbers, and had said %d", len(all), said+1)
		}
	}
}

// FuzzLog sees that any file is refused by name and place, or opened with what its whole
// lines say, and goes on from there.
func FuzzLog(f *testing.F) {
	for _, s := range []string{"", "1\n2\n", "1\n2", "\n", "1\n{}\n", "1 \n\x00", "null\n", "1e3\n", "9999999999999999999\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "numbers.jsonl")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		c := &counted{}
		l, err := OpenLog(dir, "numbers.jsonl", func(n int) { c.all = append(c.all, n) })
		if err != nil {
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "the line at byte ") {
				t.Errorf("%q: %v", file, err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != string(file) {
				t.Errorf("%q became %q, %v, although it is refused", file, b, err)
			}
			return
		}
		c.Log = l
		if lines := strings.Count(string(file), "\n"); len(c.all) != lines {
			t.Errorf("%q is %v, want %d numbers", file, c.all, lines)
		}
		if err := c.add(7); err != nil {
			t.Error(err)
		}
		if again := open(t, dir).list(t); !slices.Equal(again, c.all) {
			t.Errorf("opened anew it has %v, want %v", again, c.all)
		}
	})
}
