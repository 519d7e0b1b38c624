package config_test

import (
	"math"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/config"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]config.Size{
		"0": 0, "1": 1, "17B": 17, "64KiB": 64 << 10, "4MiB": 4 << 20, "10GB": 10e9, "1TiB": 1 << 40, "2KB": 2000,
		"9223372036854775807": math.MaxInt64,
	} {
		if got, err := config.ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "B", "-1", "+1", "1.5GiB", "64 KiB", "64kib", "1k", "1_000", "9223372036854775808", "8388608TiB", "0x10"} {
		if got, err := config.ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}

func TestSizeString(t *testing.T) {
	for in, want := range map[config.Size]string{
		0: "0", 1: "1", 1000: "1KB", 1024: "1KiB", 1536: "1536", 64 << 10: "64KiB", 10e9: "10GB", 1 << 40: "1TiB", 1 << 30: "1GiB", -1: "-1",
	} {
		if got := in.String(); got != want {
			t.Errorf("Size(%d).String() = %q, want %q", int64(in), got, want)
		}
		if again, err := config.ParseSize(want); in >= 0 && (err != nil || again != in) {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", want, again, err, in)
		}
	}
}

func TestSizeApprox(t *testing.T) {
	for in, want := range map[config.Size]string{
		0: "0 bytes", 999: "999 bytes", 1000: "1.0 KiB", 1536: "1.5 KiB", 20 << 10: "20 KiB", 1023 << 20: "1.0 GiB", math.MaxInt64: "8.0 EiB",
	} {
		if got := in.Approx(); got != want {
			t.Errorf("Size(%d).Approx() = %q, want %q", int64(in), got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{
		"5s": 5 * time.Second, "100ms": 100 * time.Millisecond, "0s": 0, "1h30m": 90 * time.Minute, "7d": 7 * day, "1d12h": 36 * time.Hour,
		"-1s": -time.Second, "1µs": time.Microsecond,
	} {
		if got, err := config.ParseDuration(in); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "5", "1.5", "5 s", "d", "1d-1h", "1d+1h", "1.5d", "-1d", "1h1d", "999999d", "106751d23h48m", "1e3"} {
		if got, err := config.ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 90 * time.Second: "1m30s", time.Hour: "1h", 90 * time.Minute: "1h30m", 24 * time.Hour: "1d", 36 * time.Hour: "36h",
		10 * time.Minute: "10m", 100 * time.Millisecond: "100ms",
	} {
		if got := config.FormatDuration(in); got != want {
			t.Errorf("FormatDuration(%d) = %q, want %q", int64(in), got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"upstream", "upstreams", "host", "timeout", "max-bytes", "to", "a"}
	for in, want := range map[string]string{
		"upstreem":   "upstream",
		"upstreams":  "upstreams",
		"hots":       "host", // two letters exchanged are one slip
		"hos":        "host",
		"hst":        "host",
		"Host":       "host",
		"max_bytes":  "max-bytes",
		"maxbytes":   "max-bytes",
		"tiemout":    "timeout",
		"too":        "to",
		"b":          "", // as far from "a" as from anything
		"zz":         "",
		"":           "",
		"completely": "",
	} {
		if got := config.Nearest(in, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}
