package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/earshot-mq/earshot/bench/talk"
	"github.com/earshot-mq/earshot/internal/process"
)

// roleFlag makes this program a child: its one argument is the task as JSON.
const roleFlag = "-role"

// task is what a child is to do.
type task struct {
	Role     string
	Records  int    // to publish, or to wait for
	Batch    int    // records of one call of Publish
	Callers  int    // goroutines that publish, or connections
	Dir      string // of the journal or the store
	Feed     string // to follow; the store follows several, with commas between
	Streams  int    // to publish to in turn
	Size     int    // bytes of a record's line, about; 0 is the usual ones
	Late     bool   // the store: connect when told to go
	Patient  bool   // wait for a slow disk, however long
	Addr     string // of an HTTP server
	Log      string // log file to read
	Pace     int    // records a second
	Recorded bool   // HTTP server: through the recorder
	Profile  string // file for a CPU profile
}

// roles is what a child can be.
func roles() map[string]func(context.Context, *talk.Control, task) error {
	return map[string]func(context.Context, *talk.Control, task) error{
		"publish":   publishRole,
		"count":     countRole,
		"store":     storeRole,
		"reopen":    reopenRole,
		"restore":   restoreRole,
		"serve":     serveRole,
		"load":      loadRole,
		"log":       logRole,
		"ask-paced": askPublishRole,
	}
}

func runRole(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	process.Tune() // as the program does
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return fmt.Errorf("role %q: %w", text, err)
	}
	role := roles()[t.Role]
	if role == nil {
		return fmt.Errorf("role %q: there is no such role", t.Role)
	}
	if err := role(ctx, talk.New(in, out, t.Profile), t); err != nil {
		return fmt.Errorf("%s: %w", t.Role, err)
	}
	return nil
}

// logger is for what a child has to say that is no figure.
func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}
