package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/publisher/record"
)

// noticeEvery is how often a process is asked whether it is well.
const noticeEvery = 2 * time.Second

// counted is what changes in a trouble that stays the same.
var counted = regexp.MustCompile(`\(for [^)]*\)|for [0-9hms.]+|[0-9.]+`)

// notices writes what is not well, when it begins or becomes something else, and when all is
// well again.
func notices(ctx context.Context, c *admin.Client, w io.Writer) {
	last := ""
	for {
		words := troubles(ctx, c)
		if ctx.Err() != nil {
			return
		}
		if now := counted.ReplaceAllString(words, ""); now != last {
			last = now
			fmt.Fprintf(w, "earshot: %s\n", cmp.Or(words, "all is well again"))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(noticeEvery):
		}
	}
}

// troubles is what /readyz says is not well, on one line.
func troubles(ctx context.Context, c *admin.Client) string {
	resp, err := c.Do(ctx, http.MethodGet, "/readyz")
	if errors.Is(err, admin.ErrUnhealthy) {
		_, words, _ := strings.Cut(err.Error(), admin.ErrUnhealthy.Error()+": ")
		return words
	}
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var h admin.Health
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		return "it can't be asked how it is: " + err.Error()
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
		if state := h.Checks[name].State; !strings.HasPrefix(state, "ok") {
			all = append(all, record.Escaped(name+": "+state))
		}
	}
	return strings.Join(all, "; ")
}
