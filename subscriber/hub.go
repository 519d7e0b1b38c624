package subscriber

import (
	"context"
	"fmt"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber/store"
)

// hub publishes again what the store has: the same batches under the same numbers, so
// that whoever follows it can't tell it from their publishers.
type hub struct {
	store  *store.Store
	server *feed.Server
}

// newHub binds the feeds that o names; without any it is nil.
func newHub(ctx *zmq.Context, st *store.Store, o *Options, full func() bool, troubles func() []string) (h *hub, err error) {
	if o.Text == "" && o.Record == "" && o.Replay == "" {
		return nil, nil
	}
	h = &hub{store: st}
	h.server, err = feed.NewServer(ctx, h, feed.ServerOptions{
		Text: o.Text, Record: o.Record, Replay: o.Replay,
		Instance: st.ID(), Peers: o.Peers, Degraded: full, Troubles: troubles, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("subscriber: %w", err)
	}
	return h, nil
}

// Offers implements feed.Source.
func (h *hub) Offers() (offers []feed.Offer, roster uint64) {
	for _, c := range h.store.Runs() {
		o := feed.OfferOf(h.store.Log, &c)
		complete(&o)
		offers = append(offers, o)
		if roster++; o.Ended {
			roster++
		}
	}
	return offers, roster
}

// Offer implements feed.Source.
func (h *hub) Offer(run record.Run) (feed.Offer, bool) {
	c, ok := h.store.Cursor(run)
	if !ok {
		return feed.Offer{}, false
	}
	o := feed.OfferOf(h.store.Log, &c)
	complete(&o)
	return o, true
}

// complete says that a run has ended only when the store has all of it: what is still to
// be fetched here is no gap there.
func complete(o *feed.Offer) { o.Ended = o.Ended && o.Last >= o.Given }

// Read implements feed.Source.
func (h *hub) Read(dst []byte, run record.Run, from uint64, limit int) ([]byte, uint64, error) {
	return h.store.Read(dst, run, from, limit)
}

// run serves until ctx is done. The store does not depend on it.
func (h *hub) run(ctx context.Context, o *Options) {
	if err := h.server.Run(ctx); err != nil {
		o.Logger.Error("feeds ended; storing goes on", "error", err)
	}
}
