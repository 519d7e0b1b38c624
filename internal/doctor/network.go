package doctor

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// route is a default route.
type route struct {
	via    netip.Addr // the gateway; not valid where the device itself is the way
	device string
	metric uint64
}

func (r route) String() string {
	if !r.via.IsValid() {
		return r.device
	}
	return r.via.String() + " (" + r.device + ")"
}

// Flags of a route. Source: linux/route.h, linux/ipv6_route.h.
const (
	routeUp     = 0x1
	routeReject = 0x200
)

// routes4 reads the default routes of /proc/net/route, whose addresses are in the byte
// order of the machine.
func routes4(r io.Reader) (all []route) {
	for f := range fields(r, 8) { // device destination gateway flags refs use metric mask
		dest, err1 := strconv.ParseUint(f[1], 16, 32)
		via, err2 := strconv.ParseUint(f[2], 16, 32)
		flags, err3 := strconv.ParseUint(f[3], 16, 32)
		metric, err4 := strconv.ParseUint(f[6], 10, 64)
		mask, err5 := strconv.ParseUint(f[7], 16, 32)
		if cmp.Or(err1, err2, err3, err4, err5) != nil || dest != 0 || mask != 0 || flags&routeUp == 0 || flags&routeReject != 0 {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(via))
		all = append(all, defaultBy(netip.AddrFrom4(b), f[0], metric))
	}
	return inOrder(all)
}

// routes6 reads the default routes of /proc/net/ipv6_route.
func routes6(r io.Reader) (all []route) {
	for f := range fields(r, 10) { // destination length source length gateway metric refs use flags device
		via, err1 := hex.DecodeString(f[4])
		metric, err2 := strconv.ParseUint(f[5], 16, 64)
		flags, err3 := strconv.ParseUint(f[8], 16, 64)
		addr, ok := netip.AddrFromSlice(via)
		if cmp.Or(err1, err2, err3) != nil || !ok || !addr.Is6() || f[1] != "00" || strings.Trim(f[0], "0") != "" ||
			flags&routeUp == 0 || flags&routeReject != 0 {
			continue
		}
		all = append(all, defaultBy(addr, f[9], metric))
	}
	return inOrder(all)
}

func defaultBy(via netip.Addr, device string, metric uint64) route {
	if via.IsUnspecified() {
		via = netip.Addr{}
	}
	return route{via, device, metric}
}

func inOrder(all []route) []route {
	slices.SortStableFunc(all, func(a, b route) int { return cmp.Compare(a.metric, b.metric) })
	return all
}

// fields gives the fields of the lines that have so many.
func fields(r io.Reader, least int) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for scan := bufio.NewScanner(r); scan.Scan(); {
			if f := strings.Fields(scan.Text()); len(f) >= least && !yield(f) {
				return
			}
		}
	}
}

// nameservers reads the servers of a resolv.conf.
func nameservers(r io.Reader) (all []netip.Addr) {
	for f := range fields(r, 2) {
		if addr, err := netip.ParseAddr(f[1]); err == nil && f[0] == "nameserver" {
			all = append(all, addr)
		}
	}
	return all
}

// gateways makes the finding of the default routes of both families.
func gateways(four, six []route) Finding {
	f := Finding{Check: "network", Status: OK, Facts: map[string]any{"ipv4": texts(four), "ipv6": texts(six)}}
	f.Found = "default gateways: IPv4 " + listed(four) + ", IPv6 " + listed(six)
	switch {
	case len(four)+len(six) == 0:
		f.Status = Note
		f.Found += "; only this machine and its own networks are reached"
	case len(six) == 0:
		f.Found += " (IPv6 only within its own networks)"
	case len(four) == 0:
		f.Found += " (IPv4 only within its own networks)"
	}
	return f
}

// servers makes the finding of the DNS servers; behind are those that a resolver on this
// machine asks.
func servers(all, behind []netip.Addr) Finding {
	f := Finding{Check: "dns", Status: OK, Facts: map[string]any{"servers": texts(all), "behind": texts(behind)}}
	if len(all) == 0 {
		f.Status = Note
		f.Found = "/etc/resolv.conf names no server: names are those of /etc/hosts"
		f.Fix = "none is needed where upstreams and publishers are addresses"
		return f
	}
	f.Found = "servers: " + listed(all)
	if len(behind) > 0 {
		f.Found += ", which asks " + listed(behind)
	}
	return f
}

func texts[T interface{ String() string }](all []T) []string {
	out := make([]string, len(all))
	for i := range all {
		out[i] = all[i].String()
	}
	return out
}

func listed[T interface{ String() string }](all []T) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(texts(all), ", ")
}
