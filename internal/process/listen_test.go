package process_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/internal/testenv"
)

func TestListenNamesTheOwner(t *testing.T) {
	for name, addr := range map[string]string{"IPv4": "127.0.0.1:0", "IPv6": "[::1]:0"} {
		t.Run(name, func(t *testing.T) {
			l, err := process.Listen(addr, "--http-listen")
			if err != nil {
				if name == "IPv6" {
					testenv.Missing(t, "IPv6: "+err.Error())
				}
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			_, err = process.Listen(l.Addr().String(), "--http-listen")
			if !errors.Is(err, syscall.EADDRINUSE) {
				t.Fatalf("Listen on a busy port = %v", err)
			}
			_, port, _ := net.SplitHostPort(l.Addr().String())
			for _, part := range []string{"port " + port + " is taken", "--http-listen"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v does not say %q", err, part)
				}
			}
			if runtime.GOOS != "linux" {
				return
			}
			if want := fmt.Sprintf("(pid %d)", os.Getpid()); !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
			if !process.Taken("tcp://" + l.Addr().String()) {
				t.Error("Taken says no")
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if process.Taken(l.Addr().String()) {
				t.Error("Taken says yes of a port that is free")
			}
		})
	}
}

func TestPortOwnerOfAFreePort(t *testing.T) {
	if got := process.PortOwner(0); got != "" {
		t.Errorf("PortOwner(0) = %q", got)
	}
}

func TestLockOwner(t *testing.T) {
	if runtime.GOOS != "linux" {
		testenv.Skip(t, "only Linux tells who has a lock")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := process.LockOwner(f.Name()); got != "" {
		t.Errorf("LockOwner of a file without a lock = %q", got)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if got, want := process.LockOwner(f.Name()), fmt.Sprintf("(pid %d)", os.Getpid()); !strings.HasSuffix(got, want) {
		t.Errorf("LockOwner = %q, want it to end in %s", got, want)
	}
	if got := process.LockOwner(f.Name() + "x"); got != "" {
		t.Errorf("LockOwner of no file = %q", got)
	}
}

func TestListenSaysWhichSetting(t *testing.T) {
	_, err := process.Listen("192.0.2.1:80", "--admin-listen") // no address of this machine
	if err == nil || !strings.Contains(err.Error(), "--admin-listen") || !strings.Contains(err.Error(), "192.0.2.1:80") {
		t.Errorf("Listen = %v, want it to name address and setting", err)
	}
}
