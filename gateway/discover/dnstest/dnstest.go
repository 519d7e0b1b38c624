// Package dnstest is a name server for tests: real answers over UDP on loopback.
package dnstest

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Server answers for the names that it was told of, and for all others that there is no
// such name. Its methods may be called from many goroutines.
type Server struct {
	conn net.PacketConn

	mu    sync.Mutex // guards what follows
	names map[string][]netip.Addr
	fail  map[dnsmessage.Type]bool
	asked int
}

// New starts a server. It ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{conn: c, names: map[string][]netip.Addr{}, fail: map[dnsmessage.Type]bool{}}
	var done sync.WaitGroup
	done.Go(s.serve)
	t.Cleanup(func() {
		_ = c.Close()
		done.Wait()
	})
	return s
}

// Resolver asks this server and no other.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

// Set makes addrs the addresses of a name, from its next answer on; none means that
// there is no such name.
func (s *Server) Set(name string, addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name)
	for _, a := range addrs {
		s.names[name] = append(s.names[name], netip.MustParseAddr(a))
	}
}

// Fail lets the server answer with SERVFAIL for A and AAAA, or no more.
func (s *Server) Fail(a, aaaa bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[dnsmessage.TypeA], s.fail[dnsmessage.TypeAAAA] = a, aaaa
}

// Asked is how many questions there were.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *Server) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		s.answer(&m)
		if out, err := m.Pack(); err == nil {
			_, _ = s.conn.WriteTo(out, from) // a lost datagram is a lost datagram
		}
	}
}

// answer turns a question into its answer.
func (s *Server) answer(m *dnsmessage.Message) {
	q := m.Questions[0]
	m.Response, m.Authoritative, m.RecursionAvailable, m.Additionals = true, true, true, nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.fail[q.Type] {
		m.RCode = dnsmessage.RCodeServerFailure
		return
	}
	addrs, known := s.names[strings.TrimSuffix(q.Name.String(), ".")]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
		return
	}
	for _, a := range addrs {
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
}
