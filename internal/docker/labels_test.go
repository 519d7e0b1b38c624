package docker

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/containers"
)

// of makes labels of lines; without earshot.enable in them it is true.
func of(lines string) map[string]string {
	m := map[string]string{}
	for line := range strings.SplitSeq(lines, "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name != "" {
			m["earshot."+name] = value
		}
	}
	return m
}

const least = "enable=true\nservice=downcase\nport=8080\nroute=/downcase/*\n"

func TestParse(t *testing.T) {
	size := config.Size(4096)
	all := Labels{Service: "shop", Port: 80, Health: "/readyz", Balance: "round-robin", Records: "gateway", Routes: []Route{
		{
			Label: "earshot.route", Path: "/a", Host: "a.example", Methods: []string{"GET", "POST"}, StripPrefix: "/a",
			Timeout: 10 * time.Second, Body: &size,
		},
		{Label: "earshot.route.host", Path: "/host"},
		{Label: "earshot.route.x", Path: "/x/*", Host: "*.example", StripPrefix: "/x"},
	}}
	for name, c := range map[string]struct {
		labels  string
		want    Labels
		enabled bool
	}{
		"none":        {"", Labels{}, false},
		"not enabled": {"service=downcase\nport=80\nanything=x", Labels{}, false},
		"disabled":    {"enable=false\nanything=x", Labels{}, false},
		"least": {
			least,
			Labels{Service: "downcase", Port: 8080, Feed: 4445, Routes: []Route{{Label: "earshot.route", Path: "/downcase/*"}}},
			true,
		},
		"all": {
			"enable=true\nservice=shop\nport=80\nhealth=/readyz\nbalance=round-robin\nrecords=gateway\n" +
				"route=/a\nhost=a.example\nmethods=GET, POST\nstrip-prefix=/a\ntimeout=10s\nbody=4KiB\n" +
				"route.x=/x/*\nroute.x.host=*.example\nroute.x.strip-prefix=/x\nroute.host=/host", all, true,
		},
		"no route without a name": {
			"enable=true\nservice=s\nport=1\nroute.a=/a",
			Labels{Service: "s", Port: 1, Feed: 4445, Routes: []Route{{Label: "earshot.route.a", Path: "/a"}}},
			true,
		},
		"a feed elsewhere": {
			"enable=true\nservice=s\nport=1\nroute.a=/a\nfeed=4500",
			Labels{Service: "s", Port: 1, Feed: 4500, Routes: []Route{{Label: "earshot.route.a", Path: "/a"}}},
			true,
		},
		"no feed": {
			"enable=true\nservice=s\nport=1\nroute.a=/a\nfeed=none",
			Labels{Service: "s", Port: 1, Routes: []Route{{Label: "earshot.route.a", Path: "/a"}}},
			true,
		},
		"foreign, with a feed": {
			"enable=true\nservice=s\nport=1\nroute.a=/a\nrecords=gateway\nfeed=4445",
			Labels{Service: "s", Port: 1, Records: "gateway", Feed: 4445, Routes: []Route{{Label: "earshot.route.a", Path: "/a"}}},
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			labels := of(c.labels)
			labels["com.example"] = "x" // of somebody else
			before := maps.Clone(labels)
			got, enabled, err := Parse(labels)
			if err != nil || enabled != c.enabled || !reflect.DeepEqual(got, c.want) {
				t.Errorf("Parse = %+v, %v, %v; want %+v, %v", got, enabled, err, c.want, c.enabled)
			}
			if !maps.Equal(labels, before) {
				t.Errorf("Parse has changed the labels to %v", labels)
			}
		})
	}
}

// TestParseErrors has all that can be wrong, with what is said of it.
func TestParseErrors(t *testing.T) {
	for labels, want := range map[string]string{
		"enabled=true\nservice=x":                            `unknown label "earshot.enabled"; did you mean "earshot.enable"?`,
		"enable=yes":                                         `earshot.enable: want true or false, got "yes"`,
		"enable=":                                            `earshot.enable: want true or false, got ""`,
		"enable=true\nport=80\nroute=/x":                     `has no earshot.service; such as earshot.service=downcase`,
		"enable=true\nservice=x\nroute=/x":                   `has no earshot.port; such as earshot.port=8080`,
		"enable=true\nservice=x\nport=80":                    `has no earshot.route; such as earshot.route=/downcase/*`,
		"enable=true\nservice=x\nroute=/x\nport=http":        `earshot.port: want a number from 1 to 65535, got "http"`,
		"enable=true\nservice=x\nroute=/x\nport=0":           `earshot.port: want a number from 1 to 65535, got "0"`,
		"enable=true\nservice=x\nroute=/x\nport=65536":       `earshot.port: want a number from 1 to 65535, got "65536"`,
		"enable=true\nservice=x\nroute=\nport=1":             `earshot.route: has no value`,
		"enable=true\nsevrice=x\nroute=/x\nport=1":           "has no earshot.service; such as earshot.service=downcase\nunknown label \"earshot.sevrice\"; did you mean \"earshot.service\"?",
		least + "feed=tcp":                                   `earshot.feed: want a number from 1 to 65535, or none, got "tcp"`,
		least + "feed=0":                                     `earshot.feed: want a number from 1 to 65535, or none, got "0"`,
		least + "feeds=none":                                 `unknown label "earshot.feeds"; did you mean "earshot.feed"?`,
		least + "rout=/y":                                    `unknown label "earshot.rout"; did you mean "earshot.route"?`,
		least + "hots=a.example":                             `unknown label "earshot.hots"; did you mean "earshot.host"?`,
		least + "strip_prefix=/x":                            `unknown label "earshot.strip_prefix"; did you mean "earshot.strip-prefix"?`,
		least + "route.x=/x\nroute.x.hots=a":                 `unknown label "earshot.route.x.hots"; did you mean "earshot.route.x.host"?`,
		least + "route.x=/x\nroute.x.zz=a":                   `unknown label "earshot.route.x.zz"; known: earshot.route.x.host, earshot.route.x.methods, earshot.route.x.strip-prefix, earshot.route.x.timeout, earshot.route.x.body`,
		least + "route.x.host=a":                             `earshot.route.x.host: there is no earshot.route.x, which has the path`,
		"enable=true\nservice=s\nport=1\nroute.a=/a\nhost=x": `earshot.host: there is no earshot.route, which has the path`,
		least + "timeout=10":                                 `earshot.timeout: want a duration with its unit, got the bare number "10"; for seconds write 10s`,
		least + "body=x":                                     `earshot.body: want a size such as 65536, 64KiB or 10GB, got "x"`,
		"enable=true\nservice=\nport=\nroute=/x\nhost=\nhealth=\nbalance=\nrecords=": "earshot.service: has no value\nearshot.port: has no value\nearshot.health: has no value\nearshot.balance: has no value\nearshot.records: has no value\nearshot.host: has no value",
	} {
		_, enabled, err := Parse(of(labels))
		if err == nil || err.Error() != want {
			t.Errorf("Parse(%q) = %v, %v; want\n%s", labels, enabled, err, want)
		}
	}
}

func TestAddress(t *testing.T) {
	for name, c := range map[string]struct {
		addresses map[string]string
		network   string
		want, err string
	}{
		"the only one":       {map[string]string{"a": "192.0.2.1"}, "", "192.0.2.1", ""},
		"named":              {map[string]string{"a": "192.0.2.1", "b": "192.0.2.2"}, "b", "192.0.2.2", ""},
		"of a project":       {map[string]string{"shop_back": "192.0.2.1", "shop_front": "192.0.2.2"}, "back", "192.0.2.1", ""},
		"exact before that":  {map[string]string{"shop_back": "192.0.2.1", "back": "192.0.2.2"}, "back", "192.0.2.2", ""},
		"IPv6":               {map[string]string{"a": "2001:db8::1"}, "a", "2001:db8::1", ""},
		"none":               {nil, "", "", "is in no network"},
		"not there":          {map[string]string{"a": "192.0.2.1", "b": "192.0.2.2"}, "c", "", `is not in the network "c"; it is in a, b`},
		"not a whole word":   {map[string]string{"setback": "192.0.2.1"}, "back", "", `is not in the network "back"; it is in setback`},
		"several":            {map[string]string{"a": "192.0.2.1", "b": "192.0.2.2"}, "", "", "is in several networks (a, b); discover.docker.network says which"},
		"of several project": {map[string]string{"a_back": "192.0.2.1", "b_back": "192.0.2.2"}, "back", "", "is in several networks (a_back, b_back); discover.docker.network says which"},
		"no address":         {map[string]string{"a": "x"}, "a", "", "has no address that can be read in the network a"},
	} {
		got, err := Address(containers.Container{Addresses: c.addresses}, c.network)
		switch {
		case c.err == "" && (err != nil || got.String() != c.want):
			t.Errorf("%s: %v, %v; want %s", name, got, err, c.want)
		case c.err != "" && (err == nil || err.Error() != c.err):
			t.Errorf("%s: %v, %v; want %s", name, got, err, c.err)
		}
	}
}

// FuzzParse: what is accepted has a service, a port and a route, and nothing is accepted
// of which a label was not understood.
func FuzzParse(f *testing.F) {
	f.Add(least)
	f.Add(least + "route.x=/x/*\nroute.x.host=*.example\nroute.x.strip-prefix=/x\nbody=4KiB")
	f.Add("enable=true\nroute..=/x\nroute.=/\n=x")
	f.Fuzz(func(t *testing.T, lines string) {
		labels := of(lines)
		l, enabled, err := Parse(labels)
		if err != nil || !enabled {
			return
		}
		if l.Service == "" || l.Port == 0 || len(l.Routes) == 0 {
			t.Errorf("Parse(%q) = %+v", lines, l)
		}
		labels["earshot.nobody-knows-this"] = "x"
		if _, _, err := Parse(labels); err == nil {
			t.Errorf("Parse(%q) with a label that nobody knows = nil", lines)
		}
	})
}

// TestAsk has answers that are no lists.
func TestAsk(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"not ready":  {503, "{}", "docker: the agent says 503 Service Unavailable"},
		"redirect":   {302, "", "docker: the agent says 302 Found"},
		"no JSON":    {200, "<html>", "docker: the agent's list: invalid character '<' looking for beginning of value"},
		"no version": {200, "{}", "docker: the agent's list: it has no version"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		if _, err := ask(t.Context(), client, s.URL, ""); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		s.Close()
	}
	// What a later agent says besides is no error.
	var l containers.List
	if err := json.Unmarshal([]byte(`{"version":"1","containers":[{"id":"a","later":1}],"more":{}}`), &l); err != nil || l.Containers[0].ID != "a" {
		t.Errorf("%+v, %v", l, err)
	}
}
