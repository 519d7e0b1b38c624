package process_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/earshot-mq/earshot/internal/process"
)

func TestListenNamesTheOwner(t *testing.T) {
	for name, addr := range map[string]string{"IPv4": "127.0.0.1:0", "IPv6": "[::1]:0"} {
		t.Run(name, func(t *testing.T) {
			l, err := process.Listen(addr, "--http-listen")
			if err != nil {
				if name == "IPv6" {
					t.Skip("SKIPPED: no IPv6")
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

func TestListenSaysWhichSetting(t *testing.T) {
	_, err := process.Listen("192.0.2.1:80", "--admin-listen") // no address of this machine
	if err == nil || !strings.Contains(err.Error(), "--admin-listen") || !strings.Contains(err.Error(), "192.0.2.1:80") {
		t.Errorf("Listen = %v, want it to name address and setting", err)
	}
}
