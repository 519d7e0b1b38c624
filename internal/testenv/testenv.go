// Package testenv says what a test needs from the machine that runs it, so that a test
// without its server or interpreter is skipped by name and never passes in silence.
//
// Where EARSHOT_TEST_REQUIRE is "all", as in continuous integration, nothing may be
// missing: what would be skipped fails. What was skipped is told by `make test` at its end,
// since go test itself tells only with -v.
package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// RequireEnv is the variable that turns skips into failures; its only value is "all".
const RequireEnv = "EARSHOT_TEST_REQUIRE"

// Need returns the path of program, looked up as the shell would. Without it the test
// is skipped with "SKIPPED: program not found", or fails under EARSHOT_TEST_REQUIRE=all.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, program+" not found")
	}
	return path
}

// Python returns a Python 3 interpreter that can import all modules. The system's own
// is tried first: only it sees what apt has installed, while the first in PATH may be a
// version manager's.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	code := "pass"
	if len(modules) > 0 {
		code = "import " + strings.Join(modules, ", ")
	}
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if exec.CommandContext(t.Context(), path, "-c", code).Run() == nil {
			return path
		}
	}
	if len(modules) == 0 {
		Missing(t, "python3 not found")
	}
	Missing(t, fmt.Sprintf("python3 with %s not found", strings.Join(modules, ", ")))
	return ""
}

// Missing skips t because of what, or fails it under EARSHOT_TEST_REQUIRE=all. It is
// for needs that are not a program: a server that can't be reached, a kernel feature.
func Missing(t testing.TB, what string) {
	t.Helper()
	switch v := os.Getenv(RequireEnv); v {
	case "all":
		t.Fatalf("%s, and %s=all allows no skip", what, RequireEnv)
	case "":
		Skip(t, what)
	default:
		t.Fatalf("%s=%q: want \"all\" or nothing", RequireEnv, v)
	}
}

// Sources has go test know that a test depends on all sources below a folder. What a test
// builds by itself it knows nothing of: after a change the result of before would be shown,
// as cached. It looks at the folders that a test opens.
func Sources(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "data") {
			return fs.SkipDir
		}
		return err
	})
}

// SkippedEnv is the variable that names a file to which skips are appended, a line each.
const SkippedEnv = "EARSHOT_TEST_SKIPPED"

// Skip skips t because of what, also where nothing may be missing: for what is no need of
// the machine, as -short, or is excused, as a Docker Engine.
func Skip(t testing.TB, what string) {
	t.Helper()
	if path := os.Getenv(SkippedEnv); path != "" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err == nil {
			_, err = fmt.Fprintf(f, "SKIPPED: %s: %s\n", t.Name(), strings.ReplaceAll(what, "\n", " "))
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatalf("a skip can't be told: %v", err)
		}
	}
	t.Skipf("SKIPPED: %s", what)
}
