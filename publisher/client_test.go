package publisher

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClient(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	xff := func(v ...string) http.Header { return http.Header{"X-Forwarded-For": v} }
	fwd := func(v ...string) http.Header { return http.Header{"Forwarded": v} }
	for name, c := range map[string]struct {
		remote string
		header http.Header
		want   string
	}{
		"peer":                 {"192.0.2.7:1234", nil, "192.0.2.7"},
		"peer of IPv6":         {"[2001:db8::1%eth0]:1234", nil, "2001:db8::1"},
		"mapped":               {"[::ffff:192.0.2.7]:1234", nil, "192.0.2.7"},
		"no port":              {"192.0.2.7", nil, "192.0.2.7"},
		"unix socket":          {"@", xff("192.0.2.7"), ""},
		"stranger forwards":    {"192.0.2.7:1", xff("198.51.100.1"), "192.0.2.7"},
		"friend forwards":      {"10.0.0.1:1", xff("198.51.100.1"), "198.51.100.1"},
		"mapped friend":        {"[::ffff:10.0.0.1]:1", xff("198.51.100.1"), "198.51.100.1"},
		"friend alone":         {"10.0.0.1:1", nil, "10.0.0.1"},
		"walk":                 {"10.0.0.1:1", xff("6.6.6.6, 198.51.100.1, 10.0.0.3 ,10.0.0.2"), "198.51.100.1"},
		"walk over lines":      {"10.0.0.1:1", xff("6.6.6.6, 198.51.100.1", "10.0.0.3", "10.0.0.2"), "198.51.100.1"},
		"all trusted":          {"10.0.0.1:1", xff("10.0.0.9, 10.0.0.2"), "10.0.0.9"},
		"garbage stops":        {"10.0.0.1:1", xff("198.51.100.1, unknown, 10.0.0.2"), "10.0.0.2"},
		"empty element stops":  {"10.0.0.1:1", xff("198.51.100.1, "), "10.0.0.1"},
		"port":                 {"10.0.0.1:1", xff("198.51.100.1:99"), "198.51.100.1"},
		"IPv6":                 {"10.0.0.1:1", xff("2001:db8::1"), "2001:db8::1"},
		"IPv6 in brackets":     {"[fd00::1]:1", xff("[2001:db8::1]"), "2001:db8::1"},
		"IPv6 and port":        {"10.0.0.1:1", xff("[2001:db8::1]:99"), "2001:db8::1"},
		"forwarded":            {"10.0.0.1:1", fwd(`for=198.51.100.1;proto=http;by=10.0.0.1`), "198.51.100.1"},
		"forwarded, walk":      {"10.0.0.1:1", fwd(`for=6.6.6.6, For="[2001:db8::1]:4711"; by=x, for=10.0.0.2`), "2001:db8::1"},
		"forwarded, lines":     {"10.0.0.1:1", fwd(`for=198.51.100.1`, `for="10.0.0.2"`), "198.51.100.1"},
		"forwarded, comma":     {"10.0.0.1:1", fwd(`for=198.51.100.1;x="a,for=6.6.6.6"`), "198.51.100.1"},
		"forwarded, hidden":    {"10.0.0.1:1", fwd(`for=198.51.100.1, for=_secret`), "10.0.0.1"},
		"forwarded without":    {"10.0.0.1:1", fwd(`proto=http`), "10.0.0.1"},
		"a client's Forwarded": {"10.0.0.1:1", http.Header{"Forwarded": {"for=6.6.6.6"}, "X-Forwarded-For": {"198.51.100.1"}}, "198.51.100.1"},
	} {
		cs, err := newClients(trusted, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := cs.of(&http.Request{RemoteAddr: c.remote, Header: c.header}); got != c.want {
			t.Errorf("%s: client = %q, want %q", name, got, c.want)
		}
	}
}

func TestClientForm(t *testing.T) {
	key := []byte("0123456789abcdef")
	for form, want := range map[ClientForm][2]string{
		ClientFull:   {"192.0.2.7", "2001:db8:1:2::7"},
		ClientPrefix: {"192.0.2.0/24", "2001:db8:1::/48"},
		ClientHMAC:   {"b0e5baeb668bdfd4", ""},
		ClientNone:   {"", ""},
	} {
		cs, err := newClients(nil, form, key)
		if err != nil {
			t.Fatal(err)
		}
		for i, remote := range []string{"192.0.2.7:1", "[2001:db8:1:2::7]:1"} {
			got, trusted := cs.of(&http.Request{RemoteAddr: remote})
			if form == ClientHMAC && i == 1 {
				if len(got) != 16 || got == want[0] {
					t.Errorf("hmac: %q", got)
				}
				continue
			}
			if got != want[i] || trusted {
				t.Errorf("%s: client of %s = %q, %v; want %q", form, remote, got, trusted, want[i])
			}
		}
	}
}

func FuzzForwarded(f *testing.F) {
	for _, s := range []string{`for=1.2.3.4`, `for="[::1]:80", for=10.0.0.1`, `,,"`, `1.2.3.4, 10.0.0.1`} {
		f.Add(s)
	}
	cs, err := newClients([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, ClientFull, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range []string{"Forwarded", "X-Forwarded-For"} {
			got, _ := cs.of(&http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{k: {s}}})
			if _, err := netip.ParseAddr(got); err != nil {
				t.Errorf("client from %s %q = %q: %v", k, s, got, err)
			}
		}
	})
}
