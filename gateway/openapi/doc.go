// Package openapi makes one OpenAPI document of those of many services, and a page of it
// for people.
//
//	sources := []openapi.Source{{Name: "prices", Get: ask}, …}
//	found, generation := collector.Collect(sources)
//	… // a Service is what was found, and the routes that lead there
//	merged, err := openapi.Merge(services, pages)
//
// A Collector asks the services for their documents, Merge makes one of them, and
// Merged.Page is its page.
//
// # What is in it
//
// Only what a client can reach: an operation is in the document under each path by which
// a route leads to it, as the client has to ask for it. A part of a path that the route
// fixes is no parameter any more. Pages that are composed are in it too: the types of
// their members are those of the services that have them. Components are there as far as
// operations need them, under the service's name and a dot, which no service's name has;
// so nothing that one service declares changes what another one says. Numbers stay as they were
// written.
//
// OpenAPI 3.1 is understood, and 3.0, of which 3.1 is made. A reference to elsewhere becomes
// a schema that takes anything, with words that say so: nothing is ever fetched but the documents.
//
// # Delivery
//
// A document is asked for at most every Fresh, while somebody wants it, and waited for no
// longer than Patience. What a service has said last stays until it says something else that
// can be used; the member x-earshot-services tells of each service whether it is
// there, old, left out (and why), or has none.
//
// # Concurrency
//
// A Collector may be used from many goroutines; Collect returns after each that it has
// started. A Document and a Merged never change.
//
// # Errors
//
// Each error of Parse wraps ErrMalformed and is in words for everybody: no addresses.
package openapi
