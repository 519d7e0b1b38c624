// Package publisher records what a process answers and publishes it over ZeroMQ.
//
// A Publisher owns a journal and three sockets. A Stream is one service's records; a
// Recorder is the middleware that makes them of an http.Handler's answers.
//
//	pub, err := publisher.New(nil, publisher.Options{Dir: "data/journals/downcase", Record: "tcp://127.0.0.1:4445"})
//	stream, err := pub.Stream("downcase")
//	rec, err := publisher.NewRecorder(stream, publisher.RecorderOptions{})
//	go pub.Run(ctx)
//	http.Serve(l, rec.Wrap(handler))
//
// # Delivery
//
// When Publish returns, the record is in the journal: it survives the death of the
// process, and every subscriber whose cursor is kept gets it. When the journal can't be
// written the record is held in memory, at most Options.Memory of them, counted, and
// the state is degraded. What a power cut takes is Options.Sync's to say.
//
// # Concurrency
//
// Everything may be called from many goroutines. Run has to be running for Publish to
// return.
//
// # Errors
//
// ErrClosed: Run has ended. ErrFull: the journal is past its bound and its policy
// refuses; it can only come before a handler runs.
package publisher
