package testenv

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what is a matter of milliseconds, on a machine that
// has much else to do.
const Patience = 20 * time.Second

// Wait waits until ok says yes, and fails t, naming what did not come, when it does not
// within a time.
func Wait(t testing.TB, what string, within time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s within %v", what, within)
		}
	}
}
