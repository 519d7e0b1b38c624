package subscriber

import (
	"log/slog"
	"testing"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/subscriber/store"
)

// TestHubEndsARunWhenItHasAll: a run that has ended at its publisher goes on at the hub
// until the store has all of it, or whoever follows the hub would write the rest as lost.
func TestHubEndsARunWhenItHasAll(t *testing.T) {
	st, err := store.Open(t.TempDir(), store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	h := &hub{store: st}
	has := func(e []journal.Entry, ended bool, roster uint64) {
		t.Helper()
		_, err := st.Append(e...)
		st.End(testRun, 9)
		o, ok := h.Offer(testRun)
		all, r := h.Offers()
		if err != nil || !ok || len(all) != 1 {
			t.Fatalf("%v, %v, %d offers", err, ok, len(all))
		}
		if o.Ended != ended || all[0].Ended != ended || r != roster {
			t.Errorf("with %d of 9 records: ended %v and %v, roster %d; want %v, %d", o.Last, o.Ended, all[0].Ended, r, ended, roster)
		}
	}
	has(entry(1, 5), false, 1)
	has(entry(6, 9), true, 2)
}
