// Package drill breaks an Earshot on purpose and tells whether the promise held. A World is
// a small one in a folder, as separate processes of the real program on loopback: services,
// a gateway in front, two subscribers, and a network between that can be cut. Clients ask
// without pause; one fault after the other is done to it; at the end the oracle of
// PROTOCOL.md 9 compares what the clients got with the stores and the log files.
//
// # Delivery
//
// A verdict is about answers that clients got whole. What a request that was cut has left in
// the log is no mistake, and counted.
//
// # Concurrency
//
// Answers is safe for concurrent use, as is a Net. A World is for one goroutine.
//
// # Errors
//
// ErrLoss: the oracle found something missing, doubled or strange. Every other error is of a
// process that did not do as it was told, or of the machine.
package drill
