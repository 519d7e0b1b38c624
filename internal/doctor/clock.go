package doctor

import (
	"fmt"
	"time"
)

// Clock compares the wall clock with the newest record, whose time is zero if there is
// none.
func Clock(now, newest time.Time) Finding {
	f := Finding{Check: "clock", Status: OK, Found: now.UTC().Format(time.RFC3339) + ", and there is no record to compare it with"}
	if newest.IsZero() {
		return f
	}
	behind := newest.Sub(now)
	f.Facts = map[string]any{"behind_seconds": int64(max(behind, 0) / time.Second)}
	f.Found = now.UTC().Format(time.RFC3339) + ", after the newest record"
	if behind > time.Second {
		f.Status = Fails
		f.Found = fmt.Sprintf("%s, %s before the newest record, of %s", now.UTC().Format(time.RFC3339), rough(behind), newest.UTC().Format(time.RFC3339))
		f.Fix = "set the clock: what is recorded now looks older than what was before it"
	}
	return f
}

// synchronised makes the finding of what the kernel says of its clock: its greatest error.
func synchronised(ok bool, most time.Duration) Finding {
	if !ok {
		return Finding{
			Check: "ntp", Status: Note, Found: "the clock is not synchronised: times of several machines can't be compared",
			Fix: "timedatectl set-ntp true, or install chrony; in a container it is the host's", Facts: map[string]any{"synchronised": false},
		}
	}
	return Finding{
		Check: "ntp", Status: OK, Found: fmt.Sprintf("the clock is synchronised, its error at most %d ms", most.Milliseconds()),
		Facts: map[string]any{"synchronised": true, "error_microseconds": most.Microseconds()},
	}
}
