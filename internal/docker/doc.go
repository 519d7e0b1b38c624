// Package docker follows the containers that a Docker agent tells of (deploy/agent), and
// reads their labels: for the gateway, which finds services in them, and for the
// subscriber, which finds publishers.
//
// # Labels
//
//	earshot.enable=true             the container is one of a service; without it it is none
//	earshot.service=downcase        the name of the service; whoever has the same is a replica
//	earshot.port=8080               that it listens on
//	earshot.route=/downcase/*       the path of a route to it
//	earshot.host, .methods, .strip-prefix, .timeout, .body         of that route
//	earshot.route.NAME=/x           the path of a further route
//	earshot.route.NAME.host, .methods, .strip-prefix, .timeout, .body     of that one
//	earshot.health=/readyz          the path of the question whether a replica is ready
//	earshot.balance=p2c             which replica is asked, or round-robin
//	earshot.records=service         who records its answers, or gateway
//	earshot.feed=4445               the port of its record feed, or none
//
// A label that begins with earshot. and is none of these is an error.
//
// # Delivery
//
// A Follower tells of each list that the agent answers, the same one too, at least every
// half minute. While the agent does not answer nobody is told: what is known stays.
//
// # Concurrency
//
// One Run at a time; what it tells, it tells from its goroutine. All else may be used
// from many.
//
// # Errors
//
// What is wrong with a container's labels is one error, which joins all that is wrong. It
// costs that container and no other.
package docker
