package record

import (
	"errors"
	"math"
	"testing"
)

func TestParseID(t *testing.T) {
	for _, want := range []ID{
		{Run{"q7k3v9x2m1t8w", 0x19a8f3c2e4b00d17}, 1001},
		{Run{"0000000000000", 0}, 1},
		{Run{"zzzzzzzzzzzzz", math.MaxUint64}, math.MaxUint64},
	} {
		if got, err := ParseID(want.String()); err != nil || got != want {
			t.Errorf("ParseID(%s) = %v, %v", want, got, err)
		}
	}
	for _, in := range []string{
		"", "/", "//", "q7k3v9x2m1t8w", "q7k3v9x2m1t8w/19a8f3c2e4b00d17", "q7k3v9x2m1t8w/19a8f3c2e4b00d17/",
		"q7k3v9x2m1t8w/19a8f3c2e4b00d17/0", "q7k3v9x2m1t8w/19a8f3c2e4b00d17/01", "q7k3v9x2m1t8w/19a8f3c2e4b00d17/+1", "q7k3v9x2m1t8w/19a8f3c2e4b00d17/1/",
		"q7k3v9x2m1t8w/19a8f3c2e4b00d17/18446744073709551616", "q7k3v9x2m1t8w/19a8f3c2e4b00d17/99999999999999999999", "q7k3v9x2m1t8w/19A8f3c2e4b00d17/1",
		"q7k3v9x2m1t8W/19a8f3c2e4b00d17/1", "q7k3v9x2m1t8u/19a8f3c2e4b00d17/1", "q7k3v9x2m1t8/19a8f3c2e4b00d17/1", "q7k3v9x2m1t8ww/19a8f3c2e4b00d1/1",
	} {
		if got, err := ParseID(in); !errors.Is(err, ErrMalformed) {
			t.Errorf("ParseID(%q) = %v, %v, want ErrMalformed", in, got, err)
		}
	}
}

func TestRunValid(t *testing.T) {
	for stream, want := range map[string]bool{"q7k3v9x2m1t8w": true, "": false, "q7k3v9x2m1t8": false, "q7k3v9x2m1t8wx": false, "q7k3v9x2m1t8i": false, "q7k3v9x2m1t8/": false} {
		if got := (Run{Stream: stream}).Valid(); got != want {
			t.Errorf("Valid of stream %q = %t, want %t", stream, got, want)
		}
	}
}
