package publisher

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// ClientForm is the form in which a record has the client's address.
type ClientForm string

// The forms of a client's address. The zero value is ClientFull.
const (
	ClientFull   ClientForm = "full"   // 192.0.2.7
	ClientPrefix ClientForm = "prefix" // 192.0.2.0/24; of IPv6 the first 48 bits
	ClientHMAC   ClientForm = "hmac"   // 16 hexadecimal digits of a keyed HMAC-SHA256
	ClientNone   ClientForm = "none"   // not at all
)

// minHMACKey is the least length of a key, in bytes: the addresses of IPv4 are so few
// that only the key keeps the digests from being reversed.
const minHMACKey = 16

// clients finds out who asked.
type clients struct {
	trusted []netip.Prefix
	form    ClientForm
	key     []byte
}

func newClients(trusted []netip.Prefix, form ClientForm, key []byte) (clients, error) {
	switch form {
	case "":
		form = ClientFull
	case ClientFull, ClientPrefix, ClientNone:
	case ClientHMAC:
		if len(key) < minHMACKey {
			return clients{}, fmt.Errorf("publisher: client %q: key has %d bytes, at least %d are needed", form, len(key), minHMACKey)
		}
	default:
		return clients{}, fmt.Errorf("publisher: client %q: not one of full, prefix, hmac, none", form)
	}
	for _, p := range trusted {
		if !p.IsValid() {
			return clients{}, fmt.Errorf("publisher: trusted: %q is not a prefix", p)
		}
	}
	return clients{trusted: trusted, form: form, key: key}, nil
}

// of is the client's address in its configured form, and whether the peer, who may be
// another, is trusted.
func (c *clients) of(r *http.Request) (text string, trusted bool) {
	if len(c.trusted) == 0 && c.form == ClientNone {
		return "", false
	}
	addr := peer(r.RemoteAddr)
	if trusted = c.trusts(addr); trusted {
		addr = c.forwarded(r.Header, addr)
	}
	return c.text(addr), trusted
}

// peer is the address in what net/http calls RemoteAddr; it is invalid for a Unix
// socket.
func peer(remote string) netip.Addr {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return plain(ap.Addr())
	}
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		return netip.Addr{}
	}
	return plain(addr)
}

// plain is the address without a zone and, if it is one of IPv4, as such: two texts
// for one address would be two clients.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func (c *clients) trusts(a netip.Addr) bool {
	for _, p := range c.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// forwarded walks the addresses that the proxies have noted from the right, as long as
// they are trusted: each is what the one after it saw. X-Forwarded-For counts if it is
// there, since a proxy that knows only that one passes a client's Forwarded through.
func (c *clients) forwarded(h http.Header, addr netip.Addr) netip.Addr {
	hops, parse := h["X-Forwarded-For"], parseHop
	if len(hops) == 0 {
		hops, parse = h["Forwarded"], parseForwarded
	}
	for line := len(hops) - 1; line >= 0; line-- {
		rest, more := hops[line], true
		for more {
			var hop string
			rest, hop, more = lastElement(rest)
			next, ok := parse(hop)
			if !ok {
				return addr
			}
			if addr = next; !c.trusts(addr) {
				return addr
			}
		}
	}
	return addr
}

// lastElement cuts the last element off a list of a header field; a comma between
// quotes divides nothing.
func lastElement(s string) (rest, last string, more bool) {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch s[i] {
		case '"':
			quoted = !quoted
		case ',':
			if !quoted {
				return s[:i], strings.TrimSpace(s[i+1:]), true
			}
		}
	}
	return "", strings.TrimSpace(s), false
}

// parseForwarded reads the parameter "for" of an element of Forwarded (RFC 7239).
func parseForwarded(element string) (netip.Addr, bool) {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, ok := strings.Cut(pair, "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), "for") {
			return parseHop(strings.Trim(strings.TrimSpace(value), `"`))
		}
	}
	return netip.Addr{}, false
}

// parseHop reads an address with or without a port. "unknown" and an obfuscated name
// are no addresses: what lies before them can't be trusted.
func parseHop(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return plain(ap.Addr()), true
	}
	if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
		s = s[1 : n-1]
	}
	addr, err := netip.ParseAddr(s)
	return plain(addr), err == nil
}

func (c *clients) text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	switch c.form {
	case ClientNone:
		return ""
	case ClientPrefix:
		bits := 48
		if a.Is4() {
			bits = 24
		}
		p, err := a.Prefix(bits)
		if err != nil {
			return ""
		}
		return p.String()
	case ClientHMAC:
		m := hmac.New(sha256.New, c.key)
		m.Write(a.AsSlice())
		return hex.EncodeToString(m.Sum(nil)[:8])
	}
	return a.String()
}
