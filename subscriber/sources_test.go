package subscriber

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/docker"
	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/zmq"
)

// names is what a name server knows.
type names struct {
	mu    sync.Mutex
	addrs map[string][]string
	err   error
}

func (n *names) lookup(_ context.Context, host string) (all []netip.Addr, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return nil, n.err
	}
	for _, a := range n.addrs[host] {
		all = append(all, netip.MustParseAddr(a))
	}
	if len(all) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return all, nil
}

// TestSourcesFollowAName goes through what a name stands for while a service is scaled,
// its name server fails, and a publisher that left the name goes on speaking.
func TestSourcesFollowAName(t *testing.T) {
	c, err := zmq.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dns := &names{addrs: map[string][]string{}}
	var mu sync.Mutex
	gone := 0
	s, err := newSources(&Options{Connect: []string{"tcp://downcase:4445", "tcp://[::1]:1"}, Logger: slog.New(slog.DiscardHandler)},
		func(endpoint string) (*feed.Follower, error) {
			return feed.NewFollower(c, feed.FollowerOptions{Endpoint: endpoint, Sink: func(feed.Event) bool { return true }})
		},
		func(*feed.Follower) { mu.Lock(); gone++; mu.Unlock() })
	if err != nil {
		t.Fatal(err)
	}
	s.lookup = dns.lookup
	ctx, cancel := context.WithCancel(context.Background())
	for _, step := range []struct {
		name  string
		addrs []string
		err   error
		heard []string
		want  []string
	}{
		{"the name is not known yet", nil, nil, nil, nil},
		{"one", []string{"127.0.0.2"}, nil, nil, []string{"127.0.0.2"}},
		{"scaled to three", []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}, nil, nil, []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}},
		{"the name server fails", nil, errors.New("i/o timeout"), nil, []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}},
		{"one leaves and still speaks", []string{"127.0.0.2", "127.0.0.4"}, nil, []string{"127.0.0.3"}, []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}},
		{"it is silent", []string{"127.0.0.2", "127.0.0.4"}, nil, nil, []string{"127.0.0.2", "127.0.0.4"}},
		{"both families", []string{"127.0.0.2", "fd00::2", "127.0.0.4", "fd00::4"}, nil, nil, []string{"127.0.0.2", "127.0.0.4"}},
		{"more of the other", []string{"fd00::2", "fd00::4", "127.0.0.2"}, nil, nil, []string{"fd00::2", "fd00::4"}},
		{"all are gone", nil, nil, nil, nil},
	} {
		dns.mu.Lock()
		dns.addrs["downcase"], dns.err = step.addrs, step.err
		dns.mu.Unlock()
		s.mu.Lock()
		for at, f := range s.following {
			host, _, _ := net.SplitHostPort(at[len("tcp://"):])
			f.f.Stats.Heard.Store(0)
			if slices.Contains(step.heard, host) {
				f.f.Stats.Heard.Store(time.Now().UnixNano())
			}
		}
		s.mu.Unlock()
		s.update(ctx)
		var got []string
		for _, f := range s.all() {
			host, _, _ := net.SplitHostPort(f.Endpoint()[len("tcp://"):])
			got = append(got, host)
		}
		slices.Sort(got)
		want := append(slices.Clone(step.want), "::1")
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%s: followed %v, want %v", step.name, got, want)
		}
	}
	cancel()
	s.run.Wait()
	mu.Lock()
	defer mu.Unlock()
	if gone != 6 { // every follower says its last word once
		t.Errorf("%d last words, want 6", gone)
	}
}

// TestSourcesFollowContainers goes through what labels name while a service is scaled and
// a container that has gone goes on speaking. A container that a name stands for too is
// followed once.
func TestSourcesFollowContainers(t *testing.T) {
	c, err := zmq.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dns := &names{addrs: map[string][]string{"downcase": {"127.0.0.2"}}}
	s, err := newSources(&Options{Connect: []string{"tcp://downcase:4445"}, Logger: slog.New(slog.DiscardHandler)},
		func(endpoint string) (*feed.Follower, error) {
			return feed.NewFollower(c, feed.FollowerOptions{Endpoint: endpoint, Sink: func(feed.Event) bool { return true }})
		}, func(*feed.Follower) {})
	if err != nil {
		t.Fatal(err)
	}
	s.lookup = dns.lookup
	ctx, cancel := context.WithCancel(context.Background())
	defer s.run.Wait()
	defer cancel()
	for _, step := range []struct {
		name  string
		found string // address/port of containers
		heard string
		want  string // endpoints
	}{
		{"nobody has said anything", "", "", "127.0.0.2:4445"},
		{"one, of another port", "127.0.0.3/4500", "", "127.0.0.2:4445 127.0.0.3:4500"},
		{"scaled", "127.0.0.3/4500 127.0.0.4/4445", "", "127.0.0.2:4445 127.0.0.3:4500 127.0.0.4:4445"},
		{"the name's, foreign, restarting, by IPv6", "127.0.0.2/4445 127.0.0.5/0 /4445 ::1/4445", "", "127.0.0.2:4445 [::1]:4445"},
		{"scaled again", "127.0.0.3/4500 127.0.0.4/4445", "", "127.0.0.2:4445 127.0.0.3:4500 127.0.0.4:4445"},
		{"gone, one still speaks", "", "127.0.0.4:4445", "127.0.0.2:4445 127.0.0.4:4445"},
		{"it is silent", "", "", "127.0.0.2:4445"},
	} {
		var all []docker.Member
		for text := range strings.FieldsSeq(step.found) {
			addr, port, _ := strings.Cut(text, "/")
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				t.Fatal(err)
			}
			m := docker.Member{Labels: docker.Labels{Feed: uint16(n)}}
			m.Addr, _ = netip.ParseAddr(addr)
			all = append(all, m)
		}
		for _, f := range s.all() {
			f.Stats.Heard.Store(0)
			if f.Endpoint() == "tcp://"+step.heard {
				f.Stats.Heard.Store(time.Now().UnixNano())
			}
		}
		s.find(all)
		s.update(ctx)
		var got []string
		for _, f := range s.all() {
			got = append(got, strings.TrimPrefix(f.Endpoint(), "tcp://"))
		}
		slices.Sort(got)
		if strings.Join(got, " ") != step.want {
			t.Errorf("%s: followed %v, want %s", step.name, got, step.want)
		}
	}
}
