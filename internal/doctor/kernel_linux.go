package doctor

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Synchronised asks the kernel whether somebody keeps its clock. Source: adjtimex(2).
func Synchronised() Finding {
	var t unix.Timex // no modes: nothing is set
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Finding{Check: "ntp", Status: Note, Found: fmt.Sprintf("not known here: adjtimex: %v", err)}
	}
	ok := state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
	return synchronised(ok, time.Duration(t.Maxerror)*time.Microsecond)
}

// Gateways lists the default gateways, as the kernel's tables have them.
func Gateways() Finding {
	four, err4 := read("/proc/net/route", routes4)
	six, _ := read("/proc/net/ipv6_route", routes6) // without IPv6 there is none
	if err4 != nil {
		return Finding{Check: "network", Status: Note, Found: fmt.Sprintf("not known here: %v", err4)}
	}
	return gateways(four, six)
}

// stub is the address of systemd-resolved, and upstream the file of the servers it asks.
var stub = netip.AddrFrom4([4]byte{127, 0, 0, 53})

const upstream = "/run/systemd/resolve/resolv.conf"

// Servers lists the DNS servers.
func Servers() Finding {
	all, err := read("/etc/resolv.conf", nameservers)
	if err != nil {
		return Finding{Check: "dns", Status: Note, Found: fmt.Sprintf("not known here: %v", err)}
	}
	var behind []netip.Addr
	if slices.Contains(all, stub) {
		behind, _ = read(upstream, nameservers) // it may be elsewhere
	}
	return servers(all, behind)
}

func read[T any](path string, parse func(io.Reader) T) (out T, err error) {
	f, err := os.Open(path)
	if err != nil {
		return out, err
	}
	defer f.Close()
	return parse(f), nil
}
