// Package discover finds the addresses behind a name and follows them as they change:
// replicas that are started, stopped or moved.
//
// # Delivery
//
// A change is seen within the time between two lookups, or at once after Again. What is
// known stays known while lookups fail; an address is forgotten only when an answer
// leaves it out. The addresses of IPv4 and IPv6 are asked for apart, so that a server
// that fails for one of them does not hide the other.
//
// # Concurrency
//
// A Name may be used from many goroutines. It asks one lookup at a time; who comes
// during one waits for it.
//
// # Errors
//
// A name without an address is a *net.DNSError whose IsNotFound is true. Other errors
// are the resolver's.
package discover
