package e2e_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `{"specversion":"1.0","id":"q7k3v9x2m1t8w/19a8f3c2e4b00d17/1001","source":"/downcase","type":"earshot.http.v1",` +
	`"time":"2026-11-22T10:35:12.123456789Z","data":{"method":"GET","path":"/x","query":"token=abc&pin=1234","status":200,"us":412,"bytes":0}}` + "\n"

// TestCommandLine asks each command for its exit code, and that data is on standard
// output and everything else, in one line, on standard error.
func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	for name, c := range map[string]struct {
		args   []string
		env    string
		stdin  string
		code   int
		stdout string
		stderr string
	}{
		"no command":        {code: 0, stdout: "Commands for people:"},
		"version":           {args: []string{"version"}, code: 0, stdout: "libzmq 4."},
		"completion":        {args: []string{"completion", "bash"}, code: 0, stdout: "earshot"},
		"unknown command":   {args: []string{"upp"}, code: 2, stderr: `did you mean "up"?`},
		"unknown flag":      {args: []string{"up", "--jurnal-sync", "always"}, code: 2, stderr: "did you mean --journal-sync?"},
		"unknown variable":  {args: []string{"up"}, env: "EARSHOT_JOURNAL_SINC=always", code: 2, stderr: "did you mean EARSHOT_JOURNAL_SYNC?"},
		"injected variable": {args: []string{"version"}, env: "EARSHOT_SERVICE_HOST=10.0.0.1", code: 0, stdout: "earshot"},
		"bad value":         {args: []string{"up", "--journal-sync", "allways"}, code: 2, stderr: `did you mean "always"?`},
		"unknown service":   {args: []string{"service", "downcas"}, code: 2, stderr: `did you mean "downcase"?`},
		"no service":        {args: []string{"service"}, code: 2, stderr: "downcase, inventory"},
		"policy":            {args: []string{"up", "--data", dir, "--journal-policy", "refuse"}, code: 1, stderr: "journal.required"},
		"data is a file":    {args: []string{"up", "--data", file}, code: 1, stderr: "choose another with --data"},
		"open admin":        {args: []string{"up", "--data", dir, "--admin-listen", "0.0.0.0:0"}, code: 2, stderr: "admin.token"},
		"nobody there":      {args: []string{"healthcheck", "--admin-listen", "127.0.0.1:" + port}, code: 3, stderr: "nothing answers at 127.0.0.1:" + port},
		"tail of nobody":    {args: []string{"tail", "--admin-listen", "127.0.0.1:" + port}, code: 1, stderr: "nothing answers"},
		"check nothing":     {args: []string{"check"}, code: 2, stderr: "which file?"},
		"check nobody":      {args: []string{"check", "nobody.yaml"}, code: 2, stderr: "nobody.yaml"},
		"explain":           {args: []string{"explain", "--up", "/downcase/"}, code: 0, stdout: "> routes[2]  /downcase/*"},
		"explain no routes": {args: []string{"explain", "/"}, code: 2, stderr: "--config"},
		"doctor of nobody":  {args: []string{"doctor", "gatway"}, code: 2, stderr: `did you mean "gateway"?`},
		"unknown fault":     {args: []string{"drill", "--faults", "net-reset,kill-servise"}, code: 2, stderr: `did you mean "kill-service"?`},
		"drill of nothing":  {args: []string{"drill", "--for", "10ms"}, code: 2, stderr: "from 1s"},
		"adopt nothing":     {args: []string{"adopt"}, code: 2, stderr: "which journal?"},
		"adopt nobody":      {args: []string{"adopt", "nobody"}, code: 1, stderr: "nobody: no such file"},
		"adopt a folder":    {args: []string{"adopt", dir}, code: 1, stderr: "no journal, it has"},
		"adopt by no feed":  {args: []string{"adopt", "--feed-record", "none", dir}, code: 2, stderr: "need both"},
		"redact":            {args: []string{"redact", "--redact-query", "pin"}, stdin: sample, code: 0, stdout: "token=REDACTED&pin=REDACTED"},
		"redact explained":  {args: []string{"redact", "--explain"}, stdin: sample, code: 0, stdout: "abc -> REDACTED"},
		"redact nonsense":   {args: []string{"redact"}, stdin: "{}\n", code: 1, stderr: "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary, c.args...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), c.env)
			cmd.Stdin = strings.NewReader(c.stdin)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			code := 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				code = exit.ExitCode()
			}
			if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("%v: exit code %d, want %d\nstdout: %s\nstderr: %s", c.args, code, c.code, &stdout, &stderr)
			}
			if c.stderr != "" && (stdout.Len() > 0 || strings.Count(stderr.String(), "\n") != 1) {
				t.Errorf("%v: want one line on standard error and nothing else\nstdout: %s\nstderr: %s", c.args, &stdout, &stderr)
			}
		})
	}
}
