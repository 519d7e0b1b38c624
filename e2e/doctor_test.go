package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/doctor"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// examined runs earshot doctor and gives its report and its exit code.
func examined(t *testing.T, cmd *exec.Cmd) (r doctor.Report, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, &stdout, &stderr)
	}
	if r.V != 1 || len(r.Checks) == 0 || (r.Status == doctor.Fails) != (code == 1) || (code == 1) != (stderr.Len() > 0) {
		t.Errorf("exit code %d of %s with %d checks: %s", code, r.Status, len(r.Checks), &stderr)
	}
	return r, code
}

// checked is the finding of one check.
func checked(t *testing.T, r doctor.Report, check string) doctor.Finding {
	t.Helper()
	for _, f := range r.Checks {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("no check %s in %+v", check, r)
	return doctor.Finding{}
}

// TestDoctor has one thing wrong at a time, and asks that this fails and nothing else.
func TestDoctor(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	up := newInstance(t, []string{"up"})
	up.start()
	for range 50 {
		if _, err := get(up.http + "/downcase/?param=HELLO"); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Wait(t, "a record in the store", 20*time.Second, func() bool {
		return len(storeHeld(t, filepath.Join(up.data, "store")).Records) > 0
	})
	bad := filepath.Join(home, "bad.yaml")
	if err := os.WriteFile(bad, []byte("upstreams: {a: {url: 'http://a'}}\nroutes: [{path: /x, upstream: b}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// on ports that are free, with a folder that is not there
	base := newInstance(t, []string{"doctor"}).args
	with := func(more ...string) *exec.Cmd {
		return command(append(append(base[:len(base):len(base)], "--json"), more...)...)
	}
	for name, c := range map[string]struct {
		cmd   *exec.Cmd
		fails string
		says  map[string]string // by check: in found or fix
	}{
		"nothing": {with(), "", map[string]string{
			"data": "will be made", "journals": "no traffic yet", "store": "none yet", "libzmq": "4.", "http.listen": "is free", "clock": "no record",
		}},
		"a busy port": {with("--feed-record", "tcp://"+busy.Addr().String()), "feed.record", map[string]string{
			"feed.record": "e2e.test (pid ",
		}},
		"a port twice":             {with("--feed-replay", "tcp://127.0.0.1:4000", "--http-listen", "127.0.0.1:4000"), "feed.replay", map[string]string{"feed.replay": "wanted by http.listen too"}},
		"no folder":                {with("--data", filepath.Join(file, "data")), "data", map[string]string{"data": "not a directory"}},
		"few files":                {limited(with()), "files", map[string]string{"files": "may open 64 files"}},
		"a file with errors":       {with("--config", bad), "config", map[string]string{"config": "earshot check --up " + bad}},
		"a gateway without routes": {with("gateway"), "config", map[string]string{"config": "--config"}},
		"no Docker Engine":         {withEnv(with(), "DOCKER_HOST=unix://"+file), "", map[string]string{"docker": "only containers need one"}},
		"Earshot runs": {
			command(append(append([]string{"doctor"}, up.args[1:len(up.args)-1]...), "--json")...), "",
			map[string]string{"feed.record": "taken by earshot (pid", "admin.listen": "Earshot is running", "journals": "/s in the last", "store": "/s in the last", "data": "can be written", "clock": "after the newest record"},
		},
		"somebody's folder": {asNobody(t, with("--data", home)), "data", map[string]string{"data": "permission denied"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, code := examined(t, c.cmd)
			for _, f := range r.Checks {
				if (f.Status == doctor.Fails) != (f.Check == c.fails) || f.Status == doctor.Fails && f.Fix == "" {
					t.Errorf("%+v", f)
				}
			}
			if (code == 1) != (c.fails != "") {
				t.Errorf("exit code %d", code)
			}
			for check, word := range c.says {
				if f := checked(t, r, check); !strings.Contains(f.Found+f.Fix, word) {
					t.Errorf("%+v lacks %q", f, word)
				}
			}
		})
	}
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 2 {
		t.Errorf("the folder was changed: %v %v", entries, err)
	}
}

func withEnv(cmd *exec.Cmd, more ...string) *exec.Cmd {
	cmd.Env = append(os.Environ(), more...)
	return cmd
}

// limited runs a command with few files.
func limited(cmd *exec.Cmd) *exec.Cmd {
	return exec.Command("/bin/sh", append([]string{"-c", `ulimit -n 64; exec "$0" "$@"`}, cmd.Args...)...)
}

// asNobody runs a command as a user who may look at the test's folders and write none.
func asNobody(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	if os.Geteuid() != 0 {
		dir := cmd.Args[len(cmd.Args)-1]
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
		return cmd
	}
	for _, dir := range []string{filepath.Dir(binary), filepath.Dir(t.TempDir())} {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd
}

// TestDoctorOnPaper: what is no terminal gets no colours, whatever is found.
func TestDoctorOnPaper(t *testing.T) {
	out, _ := command(append(newInstance(t, []string{"doctor"}).args, "--data", filepath.Join(binary, "data"))...).Output()
	if lines := strings.Count(string(out), "\n"); lines < 15 || bytes.Contains(out, []byte("\x1b")) || !bytes.Contains(out, []byte("fails  data ")) {
		t.Errorf("%d lines:\n%s", lines, out)
	}
}
