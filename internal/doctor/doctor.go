// Package doctor looks at a machine as Earshot needs it: its folder, its ports, its clock,
// its limits and its network. Each look gives a Finding, which says how it is and, where
// something is wrong, what mends it.
//
// Nothing is changed and nobody needs to be root. A port is judged by binding it for a
// moment; the data folder is read only.
//
// # Errors
//
// There are none: what can't be known is a note that says so.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Status is how a thing is.
type Status string

// The statuses, from the best to the worst.
const (
	OK    Status = "ok"
	Note  Status = "note"  // worth knowing; everything that is promised works
	Fails Status = "fails" // something that is promised won't work
)

// Finding is the result of one look. Check and the names of Facts are for programs and
// stay as they are; Found and Fix are for people.
type Finding struct {
	Check  string         `json:"check"`
	Status Status         `json:"status"`
	Found  string         `json:"found"`
	Fix    string         `json:"fix,omitempty"`
	Facts  map[string]any `json:"facts,omitempty"`
}

// Report is all that was found.
type Report struct {
	V       int       `json:"v"` // 1
	Status  Status    `json:"status"`
	Version string    `json:"version"`
	Role    string    `json:"role"`
	Checks  []Finding `json:"checks"`
}

// NewReport judges the whole by its worst part.
func NewReport(version, role string, checks []Finding) *Report {
	r := &Report{V: 1, Status: OK, Version: version, Role: role, Checks: checks}
	switch {
	case r.Count(Fails) > 0:
		r.Status = Fails
	case r.Count(Note) > 0:
		r.Status = Note
	}
	return r
}

// Count is how many findings have a status.
func (r *Report) Count(s Status) (n int) {
	for i := range r.Checks {
		if r.Checks[i].Status == s {
			n++
		}
	}
	return n
}

// JSON writes the report as one JSON document.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Text writes the report for people, a line for each finding.
func (r *Report) Text(w io.Writer, colour bool) error {
	var b strings.Builder
	width := 0
	for i := range r.Checks {
		width = max(width, len(r.Checks[i].Check))
	}
	for i := range r.Checks {
		f := &r.Checks[i]
		fmt.Fprintf(&b, "%s  %-*s  %s", painted(f.Status, colour), width, f.Check, record.Escaped(f.Found))
		if f.Fix != "" {
			fmt.Fprintf(&b, "; fix: %s", record.Escaped(f.Fix))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\n%d ok, %d to note, %d to fix\n", r.Count(OK), r.Count(Note), r.Count(Fails))
	_, err := io.WriteString(w, b.String())
	return err
}

// painted is a status in a column of its own. Its colour says nothing more.
func painted(s Status, colour bool) string {
	code := map[Status]string{OK: "32", Note: "33", Fails: "31"}[s]
	if !colour {
		return fmt.Sprintf("%-5s", s)
	}
	return fmt.Sprintf("\x1b[%sm%-5s\x1b[0m", code, s)
}

// rough is a duration for people, in one unit.
func rough(d time.Duration) string {
	const day = 24 * time.Hour
	for _, u := range []struct {
		least, unit time.Duration
		name        string
	}{{1000 * day, 365 * day, "years"}, {2 * day, day, "days"}, {2 * time.Hour, time.Hour, "hours"}, {2 * time.Minute, time.Minute, "minutes"}} {
		if d >= u.least {
			return fmt.Sprintf("%d %s", d/u.unit, u.name)
		}
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
