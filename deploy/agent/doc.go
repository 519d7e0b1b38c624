// Package agent tells others which containers run, so that they need not hold the Docker
// socket, which is as good as root on the machine.
//
// It is the only package that opens the socket in a process that serves requests, and it
// asks GET questions only: which containers there are, one container, the stream of
// events, a ping. It does so without the Engine's client (package deploy has that),
// whose methods could do everything.
//
// # Delivery
//
// What it tells is package containers'. A change is told when the Engine says so,
// within milliseconds. A container is stopping from the moment that it is sent the
// signal that ends it, before it has ended. When the stream of events ends, the Agent
// connects again, with pauses that grow, asks again for all containers, and for the
// events in between, as far as the Engine remembers them; the last list stays
// meanwhile. Every five minutes it asks for all again, whatever was said.
//
// # Concurrency
//
// One Run at a time. The handler may be used from many goroutines.
//
// # Errors
//
// Ready fails while the Engine does not answer.
package agent
