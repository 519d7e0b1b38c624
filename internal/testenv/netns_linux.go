package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Netns is a network namespace of its own: interfaces, routes, rules and ports that nobody
// else sees. A nil *Netns is the machine's own network.
//
// It has no name. This process has it open, and the processes that were started in it are in
// it; with the last of them it is gone, and its links with it, whatever ends the test.
type Netns struct {
	t      testing.TB
	ns     *os.File
	client *http.Client
}

// NewNetns makes a namespace, with its loopback up. Where unshare(2) is refused it is Missing.
func NewNetns(t testing.TB) *Netns {
	t.Helper()
	Need(t, "ip")
	var ns *os.File
	err := apart(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			ns, err = os.Open(ownNet)
		}
		return err
	})
	if err != nil {
		Missing(t, fmt.Sprintf("no network namespace can be made: %v", err))
	}
	t.Cleanup(func() { _ = ns.Close() })
	n := &Netns{t: t, ns: ns}
	transport := &http.Transport{MaxIdleConnsPerHost: 8, DialContext: n.dial}
	n.client = &http.Client{Transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	n.Run("ip", "link", "set", "lo", "up")
	return n
}

// Do runs f in the namespace: the sockets that it opens and the processes that it starts are
// of there. It must not start goroutines that do.
func (n *Netns) Do(f func()) {
	if err := n.do(f); err != nil {
		panic(err)
	}
}

func (n *Netns) do(f func()) error {
	if n == nil {
		f()
		return nil
	}
	return apart(func() error {
		if err := unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("testenv: enter a namespace: %w", err)
		}
		f()
		return nil
	})
}

const ownNet = "/proc/thread-self/ns/net"

// apart runs f, which may change the namespace, on a thread of its own, and has the thread
// back where it was. It must not end instead: the processes that it has started would.
func apart(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open(ownNet)
	if err != nil {
		return err
	}
	defer own.Close()
	defer func() {
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Errorf("testenv: leave a namespace: %w", err))
		}
	}()
	return f()
}

// Run runs a program in the namespace to its end, which has to be a good one, and returns
// what it printed.
func (n *Netns) Run(program string, args ...string) string {
	n.t.Helper()
	out, err := n.run(program, args...)
	if err != nil {
		n.t.Fatalf("%s %s: %v: %s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (n *Netns) run(program string, args ...string) (out []byte, err error) {
	n.Do(func() { out, err = exec.Command(program, args...).CombinedOutput() })
	return bytes.TrimSpace(out), err
}

// Link joins two namespaces by a pair of veth interfaces of this name, with these addresses:
// "10.1.1.1/24". A further Link of the same name takes the place of the one before.
func (n *Netns) Link(to *Netns, name, addr, peer string) {
	n.t.Helper()
	_, _ = n.run("ip", "link", "del", name)
	n.Run("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), to.ns.Fd()))
	n.Run("ip", "addr", "add", addr, "dev", name)
	to.Run("ip", "addr", "add", peer, "dev", name)
	n.Run("ip", "link", "set", name, "up")
	to.Run("ip", "link", "set", name, "up")
}

// Rule is one of iptables in a namespace.
type Rule struct {
	n    *Netns
	rule []string // the chain first
	name string   // its comment, by which it is found
}

var rules atomic.Int64

// Rule has iptables append a rule in the namespace: the chain first. What the kernel has no
// module for is Missing.
func (n *Netns) Rule(rule ...string) *Rule {
	n.t.Helper()
	Need(n.t, "iptables")
	r := &Rule{n: n, name: fmt.Sprintf("earshot-%d", rules.Add(1))}
	r.rule = append(slices.Clone(rule), "--match", "comment", "--comment", r.name)
	if out, err := n.run("iptables", append([]string{"--wait", "--append"}, r.rule...)...); err != nil {
		Missing(n.t, fmt.Sprintf("iptables %s: %v: %s", strings.Join(rule, " "), err, out))
	}
	return r
}

// Packets is how many packets it was for until now.
func (r *Rule) Packets() (n int) {
	r.n.t.Helper()
	for line := range strings.Lines(r.n.Run("iptables", "--wait", "--list", r.rule[0], "--numeric", "--verbose", "--exact")) {
		if strings.Contains(line, "/* "+r.name+" */") {
			if _, err := fmt.Sscan(line, &n); err != nil {
				r.n.t.Fatalf("iptables: %q: %v", line, err)
			}
			return n
		}
	}
	r.n.t.Fatalf("iptables: no rule %s", r.name)
	return 0
}

// Remove takes it away.
func (r *Rule) Remove() {
	r.n.t.Helper()
	r.n.Run("iptables", append([]string{"--wait", "--delete"}, r.rule...)...)
}

// Client speaks HTTP from within the namespace.
func (n *Netns) Client() *http.Client {
	if n == nil {
		return http.DefaultClient
	}
	return n.client
}

// dial dials an address; names are not looked up.
func (n *Netns) dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	entered := n.do(func() { c, err = new(net.Dialer).DialContext(ctx, network, addr) })
	return c, errors.Join(entered, err)
}
