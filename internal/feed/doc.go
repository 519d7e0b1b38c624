// Package feed carries batches from a publisher's journal to subscribers: the text
// feed and the record feed (PUB, a hint), replay (ROUTER, the truth), and the client of
// both, a Follower.
//
// # Delivery
//
// The feeds are at most once: a PUB socket drops for a peer whose queue is full, and
// tells nobody. Replay is open-ended and in order: from the number asked for, what is
// in the journal and then what comes, as long as there is credit, until STOP, END or
// TRIM. HEAD, each second on the record feed, tells what was sent, so that a lost tail
// shows; and it is the heartbeat.
//
// # Concurrency
//
// Each socket has one goroutine that owns it. Server.Hand never waits.
//
// # Wire
//
// PROTOCOL.md 5 and 6 are the specification. Every message of replay is a verb, a line
// of JSON with "v" first, and for DATA the batches. Unknown members are ignored, an
// unknown "v" is refused by name.
package feed
