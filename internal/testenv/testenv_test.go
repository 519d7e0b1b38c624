package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// spy is a testing.TB that keeps how a test was ended instead of ending it.
type spy struct {
	testing.TB
	skipped, failed string
}

func (s *spy) Helper() {}

func (s *spy) Skipf(format string, args ...any) {
	s.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (s *spy) Fatalf(format string, args ...any) {
	s.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// end runs f in a goroutine of its own, as the testing package runs a test, so that
// Goexit ends only it.
func end(t *testing.T, f func(testing.TB)) *spy {
	t.Helper()
	s := &spy{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(s)
	}()
	<-done
	return s
}

func TestMissing(t *testing.T) {
	const program = "earshot-no-such-program"
	for name, c := range map[string]struct {
		require string
		need    func(testing.TB)
		skipped string
		failed  string // a part of the message
	}{
		"a program is skipped by name": {
			need:    func(tb testing.TB) { Need(tb, program) },
			skipped: "SKIPPED: earshot-no-such-program not found",
		},
		"a program is required": {
			require: "all",
			need:    func(tb testing.TB) { Need(tb, program) },
			failed:  "earshot-no-such-program not found, and EARSHOT_TEST_REQUIRE=all",
		},
		"a module is skipped by name": {
			need:    func(tb testing.TB) { Python(tb, "earshot_no_such_module") },
			skipped: "SKIPPED: python3 with earshot_no_such_module not found",
		},
		"a module is required": {
			require: "all",
			need:    func(tb testing.TB) { Python(tb, "earshot_no_such_module") },
			failed:  "earshot_no_such_module not found",
		},
		"an unknown requirement is an error": {
			require: "some",
			need:    func(tb testing.TB) { Need(tb, program) },
			failed:  `EARSHOT_TEST_REQUIRE="some"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(RequireEnv, c.require)
			told := filepath.Join(t.TempDir(), "skipped")
			t.Setenv(SkippedEnv, told)
			s := end(t, c.need)
			text, _ := os.ReadFile(told)
			want := ""
			if c.skipped != "" {
				want = strings.Replace(c.skipped, "SKIPPED:", "SKIPPED: "+t.Name()+":", 1) + "\n"
			}
			if string(text) != want {
				t.Errorf("told is %q, want %q", text, want)
			}
			if s.skipped != c.skipped {
				t.Errorf("skipped with %q, want %q", s.skipped, c.skipped)
			}
			if (s.failed == "") != (c.failed == "") || !strings.Contains(s.failed, c.failed) {
				t.Errorf("failed with %q, want %q", s.failed, c.failed)
			}
		})
	}
}

func TestNeedFindsAProgram(t *testing.T) {
	dir := t.TempDir()
	want := filepath.Join(dir, "earshot-here")
	if err := os.WriteFile(want, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if got := Need(t, "earshot-here"); got != want {
		t.Errorf("Need(earshot-here) = %q, want %q", got, want)
	}
}
