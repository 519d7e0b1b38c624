// Package gateway is the single entry: it finds the route of a request, asks the
// route's upstream and passes on the answer.
//
//	table, err := gateway.ReadTable("gateway.yaml")
//	gw, err := gateway.New(gateway.Options{Table: table})
//	go gw.Run(ctx) // follows names, asks health checks
//	http.Serve(strict.NewListener(l, strict.Options{}), recorder.Wrap(gw))
//
// # Routes
//
// A route has a path, and may have a host and methods. A path is made of segments: a
// literal, {name} for any one segment that is not empty, and at the end * for whatever
// follows. /x/* is also /x and /x/; apart from that /x and /x/ are two paths. A host is
// exact or *.example.com, which is everything below example.com.
//
// Of all routes that match a request the most specific one takes it. The hosts are
// compared first: an exact one before a longer wildcard before a shorter one before
// none. Then the paths, segment by segment from the left: the literal before {name}
// before the end before *. Then the methods: a route that names the method before one
// that names none; GET is also HEAD unless another route of that host and path names
// HEAD. The order in the file never counts, and two routes that would tie are an error.
//
// A route has an upstream, or a view of a composition: one page made of the answers of
// many upstreams, as package compose says. Or it has the OpenAPI document of all that is
// behind the gateway, or a page of that, as package openapi says. Such routes take GET and HEAD.
//
// # Discovery
//
// Upstreams and routes may stand in the labels of containers (internal/docker). A
// Discovery makes one Table of them and of the file's, at each change.
//
// # Files
//
// An upstream may be a folder (static). Its files answer GET and HEAD, as package static
// says.
//
// # Delivery
//
// An answer is passed on as it comes. One that its upstream cuts short is cut short for
// the client too; it never ends as if it were whole. A request is sent twice only as
// package upstream says, never a POST.
//
// Headers that belong to one connection are not passed on, nor what a client says about
// where it comes from (X-Forwarded-*, Forwarded, X-Real-Ip and their kin), unless the
// peer is trusted; field names with an underscore never, since many servers take them
// for those with a hyphen. A path that two servers could read in two ways is refused.
// The query is not looked at.
//
// # Records
//
// Put a publisher.Recorder around the Gateway. An answer that a service has recorded
// itself, which its mark tells, is passed on; of any other the Gateway tells the
// recorder route, upstream and reason. The body of a foreign answer or of a file is
// recorded only as far as the configuration says. A page that is composed is the
// Gateway's own answer; so is the OpenAPI document, which is recorded as files are.
//
// # Concurrency
//
// A Table never changes. Swap replaces it at once for the requests that begin after it;
// upstreams that are the same in both keep their connections and what is known of their
// replicas.
//
// # Errors
//
// A client gets a problem document (RFC 9457): 502 and 504 with the upstream's name, the
// stage and the reason in words, never with an address. What is wrong in a configuration
// is a config.Error with its line.
package gateway
