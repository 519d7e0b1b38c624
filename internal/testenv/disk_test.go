package testenv_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/earshot-mq/earshot/internal/testenv"
)

func TestDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			d := testenv.NewDisk(t, kind, 16)
			path := filepath.Join(d.Path, "a", "b")
			if err := os.MkdirAll(path, 0o750); err != nil {
				t.Fatal(err)
			}
			write := func(n int) error { return os.WriteFile(filepath.Join(path, "file"), make([]byte, n), 0o600) }
			d.Fill(0)
			if err := write(1); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("a byte on a full disk: %v", err)
			}
			d.Give(1 << 20)
			if err := write(512 << 10); err != nil {
				t.Error(err)
			}
			if err := write(2 << 20); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("2 MiB where 1 MiB is free: %v", err)
			}
			d.Free()
			if err := write(2 << 20); err != nil {
				t.Error(err)
			}
			mounts, err := os.ReadFile("/proc/self/mounts")
			if err != nil || bytes.Contains(mounts, []byte("TestDisk")) {
				t.Errorf("still mounted (%v)", err)
			}
		})
	}
}
