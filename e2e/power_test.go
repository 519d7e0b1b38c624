package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// TestPowerCut takes the power from a real ext4 under load, and starts again from what its
// disk has at that moment, as another boot of the machine: what the kernel has not written is
// not there. With sync always no answer may be missing.
func TestPowerCut(t *testing.T) {
	unshare := testenv.Need(t, "unshare")
	// The disk's file is on a file system of its own, which can be held still for the copy.
	host := testenv.NewDisk(t, "ext4", 512)
	image := filepath.Join(host.Path, "image")
	disk := testenv.NewImage(t, image, 256)
	i := newInstance(t, []string{"up"}, "--subscriber-format", "json", "--journal-sync", "always", "--journal-max-bytes", "16MiB")
	i.on(filepath.Join(disk.Path, "data"))
	boot := filepath.Join(t.TempDir(), "boot_id")
	i.exec = []string{unshare, "--mount", "sh", "-c", `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, boot}
	var kept []drill.Answer
	all := &answers{}
	cuts := 6
	if testing.Short() {
		cuts = 2
	}
	for cut := range cuts + 1 {
		if err := os.WriteFile(boot, fmt.Appendf(nil, "boot-%d\n", cut), 0o600); err != nil {
			t.Fatal(err)
		}
		i.start()
		stop := make(chan struct{})
		a := load(i.http, 8, stop)
		a.more(t, 200+rand.IntN(1500))
		if cut == cuts { // the last one is left whole
			close(stop)
			a.wait()
			kept, all = append(kept, a.Whole()...), a
			logs := filepath.Join(i.data, "logs")
			testenv.Wait(t, "the last line", 20*time.Second, func() bool { return logIDs(t, logs)[kept[len(kept)-1].Record] > 0 })
			break
		}
		kept = append(kept, a.Whole()...)
		next := filepath.Join(t.TempDir(), "image")
		host.Still(func() {
			if out, err := exec.Command("cp", "--sparse=always", image, next).CombinedOutput(); err != nil {
				t.Errorf("cp: %v: %s", err, out)
			}
		})
		close(stop)
		_ = i.signal(syscall.SIGKILL)
		a.wait()
		if err := os.Remove(image); err != nil { // its room goes back when nobody has it mounted
			t.Fatal(err)
		}
		host = testenv.NewDisk(t, "ext4", 512)
		image = filepath.Join(host.Path, "image")
		if out, err := exec.Command("cp", "--sparse=always", next, image).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v: %s", err, out)
		}
		i.on(filepath.Join(testenv.MountImage(t, image).Path, "data"))
	}
	i.stop()
	v, err := drill.Judge(kept, &all.Answers, filepath.Join(i.data, "store"), filepath.Join(i.data, "logs"), drill.Expect{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(v)
	if v.Broken() || v.Lost > 0 || v.Answers < 200*(cuts+1) {
		t.Errorf("%q", v.Found)
	}
}
