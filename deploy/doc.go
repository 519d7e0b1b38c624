// Package deploy drives a Docker Engine: it builds images, runs containers, waits until
// they are healthy, reads what they say and finds them by their labels.
//
// It is the only door to the Engine, and a thin one: an Engine is a connection, a
// Container is what the Engine said of one at a moment. Nothing is kept between calls,
// so that several programs may work with the same containers.
//
// # Concurrency
//
// The methods of an Engine may be called from many goroutines. Each ends when its
// context does.
//
// # Errors
//
// ErrNoEngine: nothing answers where the Engine should be. ErrNotFound: no container or
// image has that name. ErrUnhealthy: a container ended, or its health check says no.
// ErrExit: a command ended with another code than 0. All others wrap the client's.
//
// # The library
//
// The client is the module github.com/docker/docker, which is frozen: 28.5.2 is its
// last version, its successor is github.com/moby/moby/client. Old Engines are why it is
// still here: it speaks to every Engine since API 1.24, where the successor begins with
// 1.40. As nobody but this package imports it, the move is one of this package alone.
package deploy
