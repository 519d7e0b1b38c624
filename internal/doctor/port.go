package doctor

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/earshot-mq/earshot/internal/process"
)

// Port looks at the address of a setting, "127.0.0.1:5000" or "tcp://127.0.0.1:4444".
// running is the address where an Earshot answers, or empty; its ports are taken with
// good reason.
func Port(setting, flag, addr, running string) Finding {
	f := Finding{Check: setting, Status: OK, Facts: map[string]any{"address": addr}}
	if addr == "" {
		f.Found = "none is wanted"
		return f
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(addr, "tcp://"))
	if err != nil {
		f.Status, f.Found, f.Fix = Fails, err.Error(), "give another address with "+flag
		return f
	}
	if host == "*" {
		host = ""
	}
	if port == "0" || port == "*" {
		f.Found = addr + " takes any port that is free"
		return f
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	switch {
	case err == nil:
		err = l.Close()
		f.Found, f.Facts["free"] = addr+" is free", true
	case errors.Is(err, syscall.EADDRINUSE):
		n, _ := net.LookupPort("tcp", port) // it was just bound
		f.taken(addr, process.PortOwner(n), flag, running)
		return f
	case errors.Is(err, syscall.EACCES):
		f.Status, f.Fix = Fails, fmt.Sprintf("choose a port above 1023 with %s, or give the program cap_net_bind_service", flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.Status, f.Fix = Fails, "choose an address of this machine with "+flag
	default: // a name, or an interface that only libzmq knows
		f.Status = Note
	}
	if err != nil {
		f.Found = fmt.Sprintf("%s can't be bound: %v", addr, err)
	}
	return f
}

// taken judges who has a port.
func (f *Finding) taken(addr, owner, flag, running string) {
	f.Facts["free"], f.Facts["owner"] = false, owner
	by := "by a process of another user or container"
	if owner != "" {
		by = "by " + owner
	}
	f.Found = fmt.Sprintf("%s is taken %s", addr, by)
	foreign := owner != "" && !strings.HasPrefix(owner, "docker-proxy ")
	switch {
	case strings.HasPrefix(owner, "earshot "):
		f.Found += ": Earshot is running, which is fine"
	case running != "" && running == addr:
		f.Found += ": an Earshot answers there, which is fine"
	case running != "" && !foreign:
		f.Status = Note
		f.Found += fmt.Sprintf(", probably the Earshot that answers at %s", running)
	default:
		f.Status, f.Fix = Fails, "stop that, or choose another with "+flag
	}
}
