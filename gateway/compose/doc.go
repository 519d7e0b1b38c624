// Package compose makes one page of JSON from the answers of many services.
//
// A composition has parts and views. A part is one request to one upstream; its path may
// use a parameter of the route, a parameter of the client's query, or a value from the
// answer of another part. A view says what a client gets: which values of which parts, in
// which order and under which names.
//
//	c, err := compose.New(config, []string{"product", "offers"})
//	view, err := c.View("web")
//	page, err := view.Compose(ctx, compose.Request{Do: ask, …})
//
// # Delivery
//
// All parts that a view needs are asked at once; one that uses another's answer is asked
// as soon as that is there. The page leaves when each part has answered or has used up
// its time. Without an optional part it leaves all the same and says in "missing" which
// part and why; without a required one there is no page. Nothing depends on which part
// was faster: the order of the members is the view's, and of several required parts that
// fail the one that is declared first decides the status.
//
// Values are copied as they came, byte for byte; no number is read as one. A part's
// answer must be JSON that all readers read in the same way: see the rules at Limits.
//
// # Concurrency
//
// A Composition and its views never change and may be used from many goroutines. Compose
// returns after every goroutine that it has started.
//
// # Errors
//
// New returns all that is wrong with a configuration, each with its place (config.At).
// Compose returns an *Error with the status for the client, or the error of its context
// when the client is gone.
package compose
