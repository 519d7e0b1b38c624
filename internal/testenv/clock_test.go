package testenv_test

import (
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// TestClock: setting it moves what a time says and not what lies between two of them; time
// that passes moves both.
func TestClock(t *testing.T) {
	testenv.ClockSteps(t, func(t *testing.T, by time.Duration) {
		var c testenv.Clock
		before := c.Now()
		c.Set(by)
		const passed = 3 * time.Hour
		c.Pass(passed)
		after := c.Now()
		said, took := after.Round(0).Sub(before.Round(0)), after.Sub(before)
		if (said-took-by).Abs() > time.Minute || took < passed || took > passed+time.Hour {
			t.Errorf("the clock says %s later after %s, want %s besides %s", said, took, by, passed)
		}
	})
}
