package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeps runs the script deps on machines that have one package manager each, with
// programs of the test's own in their place: what it asks them for, as whom, and what it
// says where there is none.
func TestDeps(t *testing.T) {
	for name, c := range map[string]struct {
		manager string
		user    string
		sudo    bool
		want    string // what is run, a line each
		fails   string
	}{
		"apt as root":       {"apt-get", "0", false, "apt-get update -qq\napt-get install -y -qq --no-install-recommends libzmq3-dev gcc libc6-dev pkg-config", ""},
		"apt through sudo":  {"apt-get", "1000", true, "sudo apt-get update -qq\napt-get update -qq\nsudo apt-get install -y -qq --no-install-recommends libzmq3-dev gcc libc6-dev pkg-config\napt-get install -y -qq --no-install-recommends libzmq3-dev gcc libc6-dev pkg-config", ""},
		"dnf":               {"dnf", "0", false, "dnf install -y -q zeromq-devel gcc glibc-devel pkgconf-pkg-config", ""},
		"apk":               {"apk", "0", false, "apk add --quiet zeromq-dev gcc musl-dev pkgconf", ""},
		"brew without sudo": {"brew", "501", true, "brew install zeromq pkg-config", ""},
		"no manager":        {"", "0", false, "", "please install libzmq's development package"},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			program := func(name, script string) {
				if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"sed", "sort", "head", "cat", "chmod"} {
				path, err := exec.LookPath(name)
				if err == nil {
					err = os.Symlink(path, filepath.Join(bin, name))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			log := filepath.Join(bin, "log")
			program("go", "echo go1.26.8\n")
			program("id", "echo "+c.user+"\n")
			if c.sudo {
				program("sudo", fmt.Sprintf("echo sudo \"$@\" >> %s\nexec \"$@\"\n", log))
			}
			if c.manager != "" { // what it installs is a compiler that does nothing
				program(c.manager, fmt.Sprintf("echo %s \"$@\" >> %s\nfor p in cc pkg-config; do echo '#!/bin/sh' > %s/$p; chmod +x %s/$p; done\n", c.manager, log, bin, bin))
			}
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "deps")
			cmd.Env = []string{"PATH=" + bin}
			out, err := cmd.CombinedOutput()
			ran, _ := os.ReadFile(log) // there is none when nothing was run
			if got := strings.TrimSpace(string(ran)); got != c.want {
				t.Errorf("ran\n%s\nwant\n%s\nand said %s", got, c.want, out)
			}
			if (err != nil) != (c.fails != "") || !strings.Contains(string(out), c.fails) {
				t.Errorf("said %s, %v; want %q", out, err, c.fails)
			}
		})
	}
}
