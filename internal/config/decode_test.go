package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/config"
)

type route struct {
	Host     string         `yaml:"host"`
	Upstream string         `yaml:"upstream"`
	Timeout  time.Duration  `yaml:"timeout"`
	Body     config.Size    `yaml:"body"`
	Weight   uint8          `yaml:"weight"`
	Share    float64        `yaml:"share"`
	Expose   bool           `yaml:"expose"`
	Limit    *int           `yaml:"limit"`
	Path     *regexp.Regexp `yaml:"path"`
}

func (r *route) Validate() error {
	var errs []error
	if r.Timeout > time.Minute {
		errs = append(errs, config.At("timeout", errors.New("longer than a minute")))
	}
	if r.Weight == 13 {
		errs = append(errs, config.At("weight", errors.New("is unlucky")))
	}
	if r.Host == "nowhere" {
		errs = append(errs, errors.New("leads nowhere"))
	}
	return errors.Join(errs...)
}

type upstream struct {
	Addresses []netip.AddrPort `yaml:"addresses"`
	Inside    []netip.Prefix   `yaml:"inside"`
}

type common struct {
	Name string `yaml:"name"`
}

type file struct {
	Common    common              `yaml:",inline"`
	Routes    []route             `yaml:"routes"`
	Upstreams map[string]upstream `yaml:"upstreams"`
	Codes     map[int]string      `yaml:"codes"`
	Ports     []uint16            `yaml:"ports"`
	Note      string              // without a tag: no part of the file
}

func (f *file) Validate() error {
	var known []string
	for name := range f.Upstreams {
		known = append(known, name)
	}
	var errs []error
	for i, r := range f.Routes {
		if _, ok := f.Upstreams[r.Upstream]; !ok && r.Upstream != "" {
			errs = append(errs, config.At(fmt.Sprintf("routes[%d].upstream", i), config.Unknown("upstream", r.Upstream, known)))
		}
	}
	return errors.Join(errs...)
}

func TestDecode(t *testing.T) {
	limit := 3
	for name, c := range map[string]struct {
		in   string
		want file
	}{
		"empty":    {"", file{}},
		"comments": {"# nothing\n", file{}},
		"scalars": {
			`routes: [{host: a, timeout: 1m, body: 64KiB, weight: 255, share: 0.5, expose: true, limit: 3}]`,
			file{Routes: []route{{Host: "a", Timeout: time.Minute, Body: 64 << 10, Weight: 255, Share: 0.5, Expose: true, Limit: &limit}}},
		},
		"bare size":      {"routes:\n- body: 100\n", file{Routes: []route{{Body: 100}}}},
		"inline":         {"name: x", file{Common: common{"x"}}},
		"text of digits": {`name: "123"`, file{Common: common{"123"}}},
		"numbers as keys": {
			"codes: {200: fine, 404: gone}",
			file{Codes: map[int]string{200: "fine", 404: "gone"}},
		},
		"addresses": {
			"upstreams: {web: {addresses: ['127.0.0.1:80', '[::1]:81'], inside: [10.0.0.0/8, 192.0.2.1, '::ffff:192.0.2.2', fd00::/8]}}",
			file{Upstreams: map[string]upstream{"web": {
				[]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:80"), netip.MustParseAddrPort("[::1]:81")},
				[]netip.Prefix{
					netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"),
					netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("fd00::/8"),
				},
			}}},
		},
		"alias": {
			"routes:\n- &a {host: a, weight: 2}\n- *a\n",
			file{Routes: []route{{Host: "a", Weight: 2}, {Host: "a", Weight: 2}}},
		},
		"empty list": {"ports: []", file{Ports: []uint16{}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got file
			if err := config.Decode("f.yaml", []byte(c.in), &got); err != nil {
				t.Fatalf("Decode: %v", err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("Decode = %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"unknown key": {
			"routes:\n- host: a\n  upstreem: b\n",
			`f.yaml:3: unknown key "upstreem" in routes[0]; did you mean "upstream"?`,
		},
		"unknown at the top": {"rutes: []", `f.yaml:1: unknown key "rutes"; did you mean "routes"?`},
		"far from all":       {"zzzzzzzz: 1", `f.yaml:1: unknown key "zzzzzzzz"; known: codes, name, ports, routes, upstreams`},
		"unknown, no value":  {"rutes:", `f.yaml:1: unknown key "rutes"; did you mean "routes"?`},
		"no tag, no key":     {"Note: x", `f.yaml:1: unknown key "Note"; known: codes, name, ports, routes, upstreams`},
		"duplicate": {
			"name: a\nports: []\nname: b",
			`f.yaml:3: duplicate key "name"; the first is on line 1`,
		},
		"duplicate in a map": {
			"upstreams:\n  web: {}\n  web: {}\n",
			`f.yaml:3: duplicate key "web" in upstreams; the first is on line 2`,
		},
		"number for text":   {"name: 5", `f.yaml:1: name: want text, got the number 5; put it into quotes to make it text`},
		"bool for text":     {"name: true", `f.yaml:1: name: want text, got true; put it into quotes to make it text`},
		"date for text":     {"name: 2026-11-22", `f.yaml:1: name: want text, got the date 2026-11-22; put it into quotes to make it text`},
		"text for number":   {"ports: [x]", `f.yaml:1: ports[0]: want a whole number from 0 to 65535, got the text "x"`},
		"out of range":      {"ports:\n- 80\n- 65536", `f.yaml:3: ports[1]: want a whole number from 0 to 65535, got the number 65536`},
		"octal":             {"ports: [010]", `f.yaml:1: ports[0]: want a whole number from 0 to 65535, got the number 010`},
		"fraction":          {"ports: [1.0]", `f.yaml:1: ports[0]: want a whole number from 0 to 65535, got the number 1.0`},
		"quoted number":     {"ports: ['80']", `f.yaml:1: ports[0]: want a whole number from 0 to 65535, got the text "80"`},
		"yes":               {"routes: [{expose: yes}]", `f.yaml:1: routes[0].expose: want true or false, got the text "yes"`},
		"single for list":   {"ports: 80", `f.yaml:1: ports: want a list, got the number 80`},
		"list for single":   {"name: [a]", `f.yaml:1: name: want text, got a list`},
		"list for keys":     {"upstreams: [a]", `f.yaml:1: upstreams: want keys with values, got a list`},
		"bare duration":     {"routes: [{timeout: 5}]", `f.yaml:1: routes[0].timeout: want a duration with its unit, got the bare number "5"; for seconds write 5s`},
		"bad duration":      {"routes: [{timeout: 5 s}]", `f.yaml:1: routes[0].timeout: want a duration such as 5s, 100ms or 7d, got "5 s"`},
		"bad size":          {"routes: [{body: 64kib}]", `f.yaml:1: routes[0].body: want a size such as 65536, 64KiB or 10GB, got "64kib"`},
		"negative size":     {"routes: [{body: -1}]", `f.yaml:1: routes[0].body: want a size such as 65536, 64KiB or 10GB, got "-1"`},
		"bad regexp":        {"routes: [{path: '('}]", "f.yaml:1: routes[0].path: error parsing regexp: missing closing ): `(`"},
		"keys for text":     {"routes: [{path: {a: b}}]", `f.yaml:1: routes[0].path: want text, got keys with values`},
		"bits beyond":       {"upstreams: {a: {inside: [10.0.0.1/8]}}", `f.yaml:1: upstreams.a.inside[0]: network "10.0.0.1/8" has bits beyond its length; did you mean "10.0.0.0/8"?`},
		"no network":        {"upstreams: {a: {inside: [x]}}", `f.yaml:1: upstreams.a.inside[0]: want an address or a network such as 10.0.0.0/8, got "x"`},
		"odd key":           {"upstreams: {a.b: 1}", `f.yaml:1: upstreams["a.b"]: want keys with values, got the number 1`},
		"no value":          {"name:\nports: []", `f.yaml:1: name: has no value; leave it out, or give one`},
		"null item":         {"ports: [~]", `f.yaml:1: ports[0]: has no value; leave it out, or give one`},
		"null document":     {"null", `f.yaml:1: has no value; leave it out, or give one`},
		"list document":     {"- a", `f.yaml:1: want keys with values, got a list`},
		"merge key":         {"x: &a {host: a}\nroutes: [{<<: *a}]", "f.yaml:1: unknown key \"x\"; known: codes, name, ports, routes, upstreams\nf.yaml:2: routes[0]: merge keys are not supported; write the values, or an alias for a whole one"},
		"tag":               {"name: !!str 5", `f.yaml:1: name: tag "!!str": tags are not supported`},
		"long key":          {"codes: {" + strings.Repeat("1", 300) + ": a}", `f.yaml:1: codes: key "` + strings.Repeat("1", 60) + `…" is longer than 256 bytes`},
		"list as key":       {"? [a]\n: b", `f.yaml:1: want a name as key, got a list`},
		"second document":   {"name: a\n---\nname: b", `f.yaml:2: a second document; want one`},
		"syntax":            {"name: a\nports: [", `f.yaml:2: not YAML: did not find expected node content`},
		"alias to nothing":  {"name: *a", `f.yaml: not YAML: unknown anchor 'a' referenced`},
		"alias of itself":   {"routes: &a [*a]", `f.yaml:1: routes[0]: want keys with values, got a list`},
		"validate":          {"routes:\n- host: a\n  timeout: 2m\n- host: nowhere\n  weight: 13", "f.yaml:3: routes[0].timeout: longer than a minute\nf.yaml:4: routes[1]: leads nowhere\nf.yaml:5: routes[1].weight: is unlucky"},
		"validate at a far": {"routes:\n- upstream: wep\nupstreams:\n  web: {}\n  api: {}", `f.yaml:2: routes[0].upstream: unknown upstream "wep"; did you mean "web"?`},
		"all of them":       {"nam: a\nports: [x, 1, y]\nname: 5", "f.yaml:1: unknown key \"nam\"; did you mean \"name\"?\nf.yaml:2: ports[0]: want a whole number from 0 to 65535, got the text \"x\"\nf.yaml:2: ports[2]: want a whole number from 0 to 65535, got the text \"y\"\nf.yaml:3: name: want text, got the number 5; put it into quotes to make it text"},
	} {
		t.Run(name, func(t *testing.T) {
			err := config.Decode("f.yaml", []byte(c.in), new(file))
			if err == nil || err.Error() != c.want {
				t.Fatalf("Decode(%q):\n got %v\nwant %s", c.in, err, c.want)
			}
			if !errors.Is(err, config.ErrInvalid) {
				t.Errorf("%v does not wrap ErrInvalid", err)
			}
		})
	}
}

func TestDecodeBounds(t *testing.T) {
	deep := "x: " + strings.Repeat("[", 200) + strings.Repeat("]", 200)
	type nest []nest
	many := strings.Repeat("- 0\n", 50)
	for name, c := range map[string]struct {
		in   string
		into any
		want string
	}{
		"long": {strings.Repeat("#", config.MaxBytes+1), new(file), "f.yaml: is longer than 1MiB"},
		"deep": {deep, new(map[string]nest), "nested deeper than 64"},
		"self": {"x: &x [*x]", new(map[string]nest), "nested deeper than 64"},
		"many": {many, new([]string), "f.yaml: and 30 more errors"},
		"any":  {"a: b", new(map[string]any), "f.yaml:1: a: want interface {}, got the text"},
	} {
		t.Run(name, func(t *testing.T) {
			err := config.Decode("f.yaml", []byte(c.in), c.into)
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, config.ErrInvalid) {
				t.Fatalf("Decode: got %.300v, want it to say %q and to wrap ErrInvalid", err, c.want)
			}
			if len(err.Error()) > 10_000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// TestAliasesUnfold has six levels of ten aliases: a million values in 200 bytes.
func TestAliasesUnfold(t *testing.T) {
	in := "&a [1,1,1,1,1,1,1,1,1,1]"
	for c := 'b'; c <= 'f'; c++ {
		in = fmt.Sprintf("&%c [%s%s]", c, in, strings.Repeat(fmt.Sprintf(",*%c", c-1), 9))
	}
	err := config.Decode("f.yaml", []byte(in), new([][][][][][]int))
	if err == nil || !strings.Contains(err.Error(), "unfold to more than") {
		t.Fatalf("Decode = %.200v, want it refused", err)
	}
}

func TestDecodeKeepsWhatIsNotMentioned(t *testing.T) {
	got := file{Common: common{"kept"}, Ports: []uint16{1, 2}}
	if err := config.Decode("f.yaml", []byte("ports: [3]"), &got); err != nil {
		t.Fatal(err)
	}
	if got.Common.Name != "kept" || !reflect.DeepEqual(got.Ports, []uint16{3}) {
		t.Errorf("Decode = %+v, want the name kept and the list replaced", got)
	}
}

func TestDecodeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "earshot.yaml")
	if err := config.DecodeFile(path, new(file)); !errors.Is(err, os.ErrNotExist) || errors.Is(err, config.ErrInvalid) {
		t.Errorf("DecodeFile of nothing = %v, want os.ErrNotExist alone", err)
	}
	if err := os.WriteFile(path, []byte("name: a\nnme: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := config.DecodeFile(path, new(file))
	if want := `earshot.yaml:2: unknown key "nme"; did you mean "name"?`; err == nil || err.Error() != want {
		t.Errorf("DecodeFile = %v, want %s", err, want)
	}
	var e *config.Error
	if !errors.As(err, &e) || e.Line != 2 || e.File != "earshot.yaml" {
		t.Errorf("errors.As(%v) = %+v, want line 2", err, e)
	}
}

func TestDecodeNeedsPointer(t *testing.T) {
	if err := config.Decode("f.yaml", nil, file{}); err == nil || errors.Is(err, config.ErrInvalid) {
		t.Errorf("Decode into a struct = %v, want an error that is not the file's", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"", "name: a", "routes: [{host: a, timeout: 5s, body: 1KiB}]", "&a [*a]", "a: &a {b: *a}", "? {a: b}\n: c",
		"upstreams: {web: {addresses: ['127.0.0.1:80'], inside: [10.0.0.0/8]}}", "--- \n...\n---", "!!binary x", "<<: {}", "codes: {1: a}",
		"\xff", "- \t- x", "name: |\n  x\n", "x: 0x_1", "routes:\n- <<: *a",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, into := range []any{new(file), new(map[string][]map[string]string), new([]config.Size)} {
			if err := config.Decode("f.yaml", b, into); err != nil && !errors.Is(err, config.ErrInvalid) {
				t.Errorf("Decode(%q) = %v, which does not wrap ErrInvalid", b, err)
			}
		}
	})
}

func ExampleDecode() {
	var page struct {
		Routes []struct {
			Path     string        `yaml:"path"`
			Upstream string        `yaml:"upstream"`
			Timeout  time.Duration `yaml:"timeout"`
		} `yaml:"routes"`
	}
	fmt.Println(config.Decode("earshot.yaml", []byte(`
routes:
  - path: /downcase/
    upstreem: downcase
    timeout: 5
`), &page))
	// Output:
	// earshot.yaml:4: unknown key "upstreem" in routes[0]; did you mean "upstream"?
	// earshot.yaml:5: routes[0].timeout: want a duration with its unit, got the bare number "5"; for seconds write 5s
}
