// Package services is the front door for a service written in Go: a name and routes of
// gin, and the service has all that a service of this house has: its answers recorded
// and published, /livez, /readyz, metrics, request ids, an OpenAPI 3.1 document of what
// its routes declare, a graceful stop and its configuration.
//
//	os.Exit(services.Main(services.New("hello", func(r *services.Router) {
//		r.GET("/hello/:name", func(c *gin.Context) {
//			c.String(http.StatusOK, "hello, %s", c.Param("name"))
//		})
//	})))
//
// Main is a program, NewServer and Run a part of one, Handler only what answers; an
// http.Handler that is there already becomes a service by FromHandler.
//
// # Delivery
//
// An answer's end leaves when its record is in the journal; the service's own paths
// (/livez, /readyz, /openapi.json) are never recorded.
//
// # Concurrency
//
// A Service is immutable. A Handler may be called from many goroutines.
//
// # Errors
//
// Whatever a client is refused or a route fails with is a problem document (RFC 9457),
// also for an unknown path (404) or method (405, with Allow). The text of an unexpected
// error goes to the log and never to the client.
package services
