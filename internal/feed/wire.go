package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Version of the replay protocol.
const Version = 1

// ErrWire says that a message is none of the protocol's.
var ErrWire = errors.New("not of the protocol")

// HeadTopic is the topic of HEAD; no service's name begins with it.
const HeadTopic = "!/"

// MaxTopic is the longest topic: libzmq 4.3.4 encodes a subscription of 246 bytes and
// more wrongly.
const MaxTopic = 200

// MaxFeedMessage is how many bytes of batches one message of the record feed gathers.
const MaxFeedMessage = 64 << 10

// The verbs. A client says the first six.
const (
	verbHello   = "HELLO"
	verbFetch   = "FETCH"
	verbCredit  = "CREDIT"
	verbStop    = "STOP"
	verbCommit  = "COMMIT"
	verbWelcome = "WELCOME"
	verbData    = "DATA"
	verbEnd     = "END"
	verbTrim    = "TRIM"
	verbHead    = "HEAD"
	verbRefuse  = "REFUSE" // the reason is for people; HELLO again later
	verbJoin    = "JOIN"   // the Follower's own: the feed, not on the wire
	verbLeave   = "LEAVE"
)

// States of a publisher, in HEAD.
const (
	StateLive     = "live"
	StateDegraded = "degraded" // the journal can't be written; records are held in memory
	StateEnded    = "ended"    // stopping in good order
)

// Offer is what a publisher has of one run.
type Offer struct {
	Stream  string `json:"stream"`
	EpochS  string `json:"epoch"`
	Service string `json:"service"`
	Oldest  uint64 `json:"oldest"` // lowest number held
	Last    uint64 `json:"last"`   // highest number; in HEAD: as handed to the feed's socket
	Given   uint64 `json:"given,omitempty"`
	Ended   bool   `json:"ended,omitempty"`

	Run record.Run `json:"-"`
}

// OfferOf is what a log has of a run in which it stands at c.
func OfferOf(log *journal.Log, c *journal.Cursor) Offer {
	return Offer{
		Stream: c.Stream, EpochS: c.Epoch.String(), Run: c.Run(), Service: c.Service,
		Oldest: log.Oldest(c.Run()), Last: c.Next - 1, Given: c.Given, Ended: c.Ended,
	}
}

// Head is one HEAD.
type Head struct {
	V        int     `json:"v"`
	Instance string  `json:"instance"`
	Roster   uint64  `json:"roster"` // changes when WELCOME would list other runs
	Replay   int     `json:"replay"` // port of the replay socket; 0 is none
	State    string  `json:"state"`
	Runs     []Offer `json:"runs"`

	Troubles []string `json:"troubles,omitempty"` // what is not well with the publisher, in plain words
}

type hello struct {
	V     int    `json:"v"`
	Store string `json:"store"`
	Name  string `json:"name,omitempty"`
}

type welcome struct {
	V        int     `json:"v"`
	Instance string  `json:"instance"`
	Roster   uint64  `json:"roster"`
	Runs     []Offer `json:"runs"`
}

// about is every message about one run.
type about struct {
	V      int    `json:"v"`
	Stream string `json:"stream"`
	Epoch  string `json:"epoch"`
	From   uint64 `json:"from,omitempty"`
	To     uint64 `json:"to,omitempty"`
	Credit int64  `json:"credit,omitempty"` // bytes
	Last   uint64 `json:"last,omitempty"`
	Given  uint64 `json:"given,omitempty"`
	Reason string `json:"reason,omitempty"`
}

type commit struct {
	V       int                `json:"v"`
	Cursors []journal.StoreRun `json:"cursors"`
}

type refuse struct {
	V      int    `json:"v"`
	Reason string `json:"reason"`
}

func of(run record.Run) about {
	return about{V: Version, Stream: run.Stream, Epoch: run.Epoch.String()}
}

func (a *about) run() (record.Run, error) { return runOf(a.Stream, a.Epoch) }

func runOf(stream, epoch string) (record.Run, error) {
	e, err := record.ParseEpoch(epoch)
	run := record.Run{Stream: stream, Epoch: e}
	if err != nil || !run.Valid() {
		return run, fmt.Errorf("feed: run %q/%q: %w", stream, epoch, ErrWire)
	}
	return run, nil
}

// encode is json.Marshal for the types above, which can't fail.
func encode(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}

// decode reads a message's JSON and checks its version.
func decode(b []byte, into any) error {
	var v struct{ V *int }
	if err := json.Unmarshal(b, &v); err != nil || v.V == nil {
		return fmt.Errorf("feed: message %.200q: %w", b, ErrWire)
	}
	if *v.V != Version {
		return fmt.Errorf("feed: version %d, this is %d: %w", *v.V, Version, journal.ErrVersion)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("feed: message %.200q: %w", b, errors.Join(err, ErrWire))
	}
	return nil
}

// ParseHead reads the second frame of HEAD's topic.
func ParseHead(b []byte) (*Head, error) {
	var line struct{ Head json.RawMessage }
	if err := json.Unmarshal(b, &line); err != nil || line.Head == nil {
		return nil, fmt.Errorf("feed: head %.200q: %w", b, ErrWire)
	}
	h := &Head{}
	if err := decode(line.Head, h); err != nil {
		return nil, err
	}
	h.Troubles = h.Troubles[:min(len(h.Troubles), mostTroubles)]
	for i, words := range h.Troubles {
		h.Troubles[i] = strings.ToValidUTF8(words[:min(len(words), longestTrouble)], "")
	}
	return h, parseOffers(h.Runs)
}

// What a peer tells of itself is for people, and no more of it is kept.
const (
	mostTroubles   = 8
	longestTrouble = 400 // bytes
)

func parseOffers(offers []Offer) (err error) {
	for i := range offers {
		o := &offers[i]
		if o.Run, err = runOf(o.Stream, o.EpochS); err != nil {
			return err
		}
		if o.Oldest == 0 || o.Last+1 < o.Oldest { // also of the highest number there is
			return fmt.Errorf("feed: run %s offers %d to %d: %w", o.Run, o.Oldest, o.Last, ErrWire)
		}
	}
	return nil
}

func (h *Head) line() []byte {
	return append(encode(struct {
		Head *Head `json:"head"`
	}{h}), '\n')
}

// Topic is the topic of a service's batches. The closing slash makes a prefix match a
// name match.
func Topic(service string) string { return service + "/" }
