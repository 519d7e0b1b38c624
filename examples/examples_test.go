// Package examples_test sees that the examples stay what they show: programs of fewer
// than twenty lines that run, answer and are recorded.
package examples_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long an example may take to start and to stop.
const patience = 20 * time.Second

func TestExamples(t *testing.T) {
	for _, name := range []string{"service", "nethttp"} {
		t.Run(name, func(t *testing.T) {
			if n := lines(t, filepath.Join(name, "main.go")); n >= 20 {
				t.Errorf("%d lines, want fewer than 20", n)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			data := t.TempDir()
			at, stop := start(ctx, t, build(ctx, t, name), data)
			if got := get(ctx, t, "http://"+at+"/hello/world"); got != "hello, world" {
				t.Errorf("GET /hello/world = %q", got)
			}
			stop()
			if n := count(t, data, "hello, world"); n != 1 {
				t.Errorf("the journal has the answer %d times, want once", n)
			}
		})
	}
}

// lines counts the lines of a program, but for blank ones and comments.
func lines(t *testing.T, path string) (n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			n++
		}
	}
	return n
}

func build(ctx context.Context, t *testing.T, name string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), name)
	out, err := exec.CommandContext(ctx, "go", "build", "-tags", "nomsgpack", "-o", program, "./"+name).CombinedOutput()
	if err != nil {
		t.Fatalf("go build ./%s: %v\n%s", name, err, out)
	}
	return program
}

// start runs a program with no port that anything else could have. stop sends SIGTERM
// and wants exit code 0.
func start(ctx context.Context, t *testing.T, program, data string) (at string, stop func()) {
	t.Helper()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), "EARSHOT_DATA="+data, "EARSHOT_LOG_FORMAT=json",
		"EARSHOT_HTTP_LISTEN=127.0.0.1:0", "EARSHOT_ADMIN_LISTEN=127.0.0.1:0",
		"EARSHOT_FEED_TEXT=none", "EARSHOT_FEED_RECORD=none", "EARSHOT_FEED_REPLAY=none")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log := bufio.NewScanner(stderr)
	for at == "" && log.Scan() {
		var line struct{ Listen string }
		_ = json.Unmarshal(log.Bytes(), &line) // lines of another kind say nothing
		at = line.Listen
		t.Log(log.Text())
	}
	if at == "" {
		t.Fatalf("it did not say where it listens: %v", cmd.Wait())
	}
	return at, func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(stderr) // ends with the program
		if err := cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, rest)
		}
	}
}

func get(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// count counts how often text stands in the files below dir.
func count(t *testing.T, dir, text string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		n += strings.Count(string(b), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReadmeShowsTheService sees that the README's service is the one that is tested.
func TestReadmeShowsTheService(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("service/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "package main")
	if !strings.Contains(string(readme), "```go\npackage main"+code+"```") {
		t.Error("README.md shows another service than examples/service/main.go")
	}
}
