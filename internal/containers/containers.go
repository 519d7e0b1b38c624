// Package containers is what a Docker agent tells of containers: the words that it and
// those who ask it share.
//
// # Delivery
//
// GET /v1/containers answers with a List. With ?after=VERSION the answer waits, at most
// Wait, until the list has another version than that. A version says nothing but whether
// two lists are the same; it is not a number that grows.
//
// It never has anything of a container's environment, mounts or command, and of its
// labels only those that begin with Prefix.
package containers

import "time"

// Path is where an agent answers, and Prefix how all labels begin that it tells.
const (
	Path   = "/v1/containers"
	Prefix = "earshot."
)

// Wait is the longest time that an answer waits for a change.
const Wait = 30 * time.Second

// The states of a container. One that does not run, and one that is only made, is not in
// a list.
const (
	Running    = "running"
	Paused     = "paused"
	Restarting = "restarting" // it has ended, and will be started again
	Stopping   = "stopping"   // it was told to end, and has not yet
)

// The answers of a container's health check.
const (
	None      = "none" // it has no check
	Starting  = "starting"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// List is all containers that have a label with Prefix, in the order of their names.
type List struct {
	Version    string      `json:"version"`
	Containers []Container `json:"containers"`
}

// Container is one of them.
type Container struct {
	ID        string            `json:"id"` // the first 12 digits
	Name      string            `json:"name"`
	Created   time.Time         `json:"created"`
	State     string            `json:"state"`
	Health    string            `json:"health"`
	Labels    map[string]string `json:"labels"`
	Addresses map[string]string `json:"addresses"` // IPv4, or IPv6 where there is none, by network
}
