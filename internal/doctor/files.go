package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// The files that a process may have open: fewFiles are used up by a few hundred clients,
// some by a few thousand.
const (
	fewFiles  = 1024
	someFiles = 8192
)

// Files looks at RLIMIT_NOFILE. Go has raised the soft limit to the hard one already, as
// it does in every process of Earshot.
func Files() Finding {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return Finding{Check: "files", Status: Note, Found: fmt.Sprintf("RLIMIT_NOFILE is not known: %v", err)}
	}
	return files(uint64(r.Cur))
}

func files(limit uint64) Finding {
	f := Finding{Check: "files", Status: OK, Facts: map[string]any{"limit": limit}}
	f.Found = fmt.Sprintf("a process may open %d files", limit)
	if limit >= someFiles {
		return f
	}
	f.Status = Note
	f.Found += fmt.Sprintf(": the gateway needs two for a client, so some %d at a time", limit/2)
	if limit < fewFiles {
		f.Status = Fails
	}
	f.Fix = "ulimit -n 65536; LimitNOFILE= in a systemd unit, ulimits: nofile in Compose"
	return f
}
