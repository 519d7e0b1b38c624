package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/internal/metric"
)

// Size is a number of bytes. It is written as digits alone, or with a unit: KB, MB, GB
// and TB are powers of 1000; KiB, MiB, GiB and TiB are powers of 1024. From 0 on.
type Size int64

// units has the longer names of one ending before the shorter ones.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// ParseSize reads a Size.
func ParseSize(s string) (Size, error) {
	digits, unit := s, int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("want a size such as 65536, 64KiB or 10GB, got %s", quote(s))
	}
	if int64(n) > math.MaxInt64/unit {
		return 0, fmt.Errorf("size %s is too large", quote(s))
	}
	return Size(int64(n) * unit), nil
}

// String returns the size with the unit that needs the fewest digits and no fraction.
func (s Size) String() string {
	n, name := int64(s), ""
	for _, u := range units[:len(units)-1] {
		if q := int64(s) / u.bytes; q != 0 && q*u.bytes == int64(s) && max(q, -q) < max(n, -n) {
			n, name = q, u.name
		}
	}
	return strconv.FormatInt(n, 10) + name
}

// Approx is the size for people: two or three digits, and a unit.
func (s Size) Approx() string { return metric.Bytes(int64(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(b []byte) error {
	v, err := ParseSize(string(b))
	if err == nil {
		*s = v
	}
	return err
}

// ParseDuration reads a duration as time.ParseDuration does, and days before the rest:
// 7d, 1d12h. A number without a unit is an error, 0 too.
func ParseDuration(s string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, fmt.Errorf("want a duration with its unit, got the bare number %s; for seconds write %ss", quote(s), s)
	}
	wrong := fmt.Errorf("want a duration such as 5s, 100ms or 7d, got %s", quote(s))
	var days time.Duration
	rest := s
	if whole, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(whole, 10, 16)
		if err != nil {
			return 0, wrong
		}
		days, rest = time.Duration(n)*24*time.Hour, after
		if rest == "" {
			return days, nil
		}
		if rest[0] == '-' || rest[0] == '+' {
			return 0, wrong
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d > math.MaxInt64-days {
		return 0, wrong
	}
	return days + d, nil
}

// FormatDuration writes a duration as ParseDuration reads it, without zero parts.
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if rest, ok := strings.CutSuffix(s, "m0s"); ok {
		s = rest + "m"
	}
	if rest, ok := strings.CutSuffix(s, "h0m"); ok {
		s = rest + "h"
	}
	return s
}

// ParsePrefix reads a network (10.0.0.0/8, fd00::/8), or one address as the network
// that holds it alone. An IPv4 address written as IPv6 is the IPv4 address.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("want an address or a network such as 10.0.0.0/8, got %s", quote(s))
	}
	if m := p.Masked(); m != p {
		return netip.Prefix{}, fmt.Errorf("network %s has bits beyond its length; did you mean %q?", quote(s), m)
	}
	return p, nil
}
