package compose

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

// valuesOf finds a choice by what would stand in braces.
func valuesOf(values map[string]string) func(*choice) (string, bool) {
	return func(c *choice) (string, bool) {
		name := c.name
		if c.source != fromRoute {
			name = strings.Join(append([]string{string(c.source), c.name}, c.path...), ".")
		}
		v, ok := values["{"+name+"}"]
		return v, ok
	}
}

func TestTemplate(t *testing.T) {
	values := map[string]string{
		"{id}": "7", "{odd}": "a/b c?d#e%2f;é", "{dots}": "..", "{dot}": ".", "{up}": "../../admin", "{slash}": "/", "{semi}": "..;x",
		"{line}": "a\nb", "{long}": strings.Repeat("x", maxValue+1), "{query.q}": "a&b=c d+é", "{part.product.merchant.id}": "12345678901234567890",
		"{back}": `a\..`, "{empty}": "",
	}
	for in, c := range map[string]struct{ path, query, err string }{
		"/":                             {path: "/"},
		"/products/{id}":                {path: "/products/7"},
		"/products/{id}/":               {path: "/products/7/"},
		"/p/{id}.json?a=1&q={query.q}":  {path: "/p/7.json", query: "a=1&q=a%26b%3Dc+d%2B%C3%A9"},
		"/p/{odd}/x":                    {path: "/p/a%2Fb%20c%3Fd%23e%252f%3B%C3%A9/x"},
		"/m/{part.product.merchant.id}": {path: "/m/12345678901234567890"},
		"/é/{id}?x=%20":                 {path: "/%C3%A9/7", query: "x=%20"},
		"/p?a={id}{id}?{id}":            {path: "/p", query: "a=77?7"},
		"/p?":                           {path: "/p"},
		"/p/{none|id}":                  {path: "/p/7"},
		"/p/{empty|query.none|'a b'}":   {path: "/p/a%20b"},
		"/p/{id|'x'}?q={empty|'&'}":     {path: "/p/7", query: "q=%26"},
		"/p?q={empty|none|''}&r=1":      {path: "/p", query: "q=&r=1"},
		"/p/{empty|none}":               {err: "{empty|none} has no value"},
		"/p/{dots|id}":                  {err: "{dots|id} has a dot segment"},
		"/p/{none|'..'}":                {err: "{none|'..'} has a dot segment"},
		"/p/{dots}":                     {err: "{dots} has a dot segment"},
		"/p/{dot}":                      {err: "{dot} has a dot segment"},
		"/p/{dot}{dot}/x":               {err: "{dot} has a dot segment"},
		"/p/.{dot}":                     {err: "{dot} has a dot segment"},
		"/p/{slash}..":                  {err: "{slash} has a dot segment"},
		"/p/{slash}{dots}{slash}":       {err: "{dots} has a dot segment"},
		"/p/{semi}":                     {err: "{semi} has a dot segment"},
		"/p/{up}":                       {err: "{up} has a dot segment"},
		"/p/{back}":                     {err: "{back} has a dot segment"},
		"/p/{line}":                     {err: "{line} has a control character"},
		"/p/{long}":                     {err: "{long} is longer than 2048 bytes"},
		"/p/{empty}/x":                  {err: "{empty} has no value"},
		"/p?x={query.none}":             {err: "{query.none} has no value"},
	} {
		t.Run(in, func(t *testing.T) {
			tpl, err := parseTemplate(in)
			if err != nil {
				t.Fatal(err)
			}
			path, query, err := tpl.expand(valuesOf(values))
			var bad *badValue
			if c.err != "" {
				if !errors.As(err, &bad) || !strings.HasSuffix(err.Error(), c.err[strings.IndexByte(c.err, '}')+1:]) {
					t.Fatalf("expand = %s %v, want %s", path, err, c.err)
				}
				return
			}
			if path != c.path || query != c.query || err != nil {
				t.Errorf("expand = %s ? %s, %v, want %s ? %s", path, query, err, c.path, c.query)
			}
		})
	}
}

func TestTemplateErrors(t *testing.T) {
	for in, want := range map[string]string{
		"products":                 `does not begin with "/"`,
		"{id}":                     `does not begin with "/"`,
		"/a b":                     `has ' '`,
		"/a#b":                     `has '#'`,
		`/a\b`:                     `has '\\'`,
		"/a%20b":                   `has '%'; a path is written as it is read, without escapes`,
		"//a":                      "has an empty segment",
		"/a//b":                    "has an empty segment",
		"/a/../b":                  "has a dot segment",
		"/.":                       "has a dot segment",
		"/{id":                     `has "{" without "}"`,
		"/id}":                     `has '}'`,
		"/{}":                      "has {}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/{a{b}}":                  "has {a{b}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/{query.}":                "has {query.}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/{part.product}":          "has {part.product}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/{part.product..id}":      "has {part.product..id}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/{parts.product.id}":      `has {parts.product.id}: unknown source "parts"; did you mean "part"?`,
		"/{header.authorization}":  `has {header.authorization}: unknown source "header"; known: part, query`,
		"/{'x'}":                   "has {'x'}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/{id|'x'|query.q}":        "has {id|'x'|query.q}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/{id|}":                   "has {id|}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/{id|'x}":                 "has {id|'x}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/{id|'it's'}":             "has {id|'it's'}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/{id|''}":                 "has {id|''}; an empty default is for the query",
		"/a?b=é":                   "has a letter in its query that must be escaped, as in %C3%A9",
		"/a?b={part.x}":            "has {part.x}; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end",
		"/a/{id}/..;x/{part.p.id}": "has a dot segment",
	} {
		if _, err := parseTemplate(in); err == nil || err.Error() != want {
			t.Errorf("parseTemplate(%s) = %v, want %s", in, err, want)
		}
	}
}

// FuzzTemplate: whatever the values are, the path has the segments that were written, and
// each value is found again where it was put.
func FuzzTemplate(f *testing.F) {
	f.Add("/a/{x}/b{y}?q={x}&r={y}", "1", "2")
	f.Add("/{x}{y}/{x}", ".", ".")
	f.Add("/{x}/..{y}", "%2e%2e", "\\..")
	f.Add("/{x|y}/{z|'a'}?{y|''}", "", "/")
	f.Add("/{x}", "../é\x00", "")
	f.Fuzz(func(t *testing.T, in, x, y string) {
		tpl, err := parseTemplate(in)
		if err != nil {
			return
		}
		values := map[string]string{"{x}": x, "{y}": y}
		lookup := valuesOf(values)
		path, query, err := tpl.expand(lookup)
		if err != nil {
			var bad *badValue
			if !errors.As(err, &bad) || bad.ref == nil {
				t.Fatalf("expand = %v", err)
			}
			return
		}
		target := path
		if query != "" {
			target += "?" + query
		}
		u, err := url.ParseRequestURI(target)
		if err != nil || u.RawQuery != query || u.EscapedPath() != path {
			t.Fatalf("%q is read as %q ? %q, %v", target, u.EscapedPath(), u.RawQuery, err)
		}
		segments := strings.Split(path, "/")[1:]
		if len(segments) != len(tpl.segments) {
			t.Fatalf("%q has %d segments, want %d", path, len(segments), len(tpl.segments))
		}
		for i, raw := range segments {
			plain, err := url.PathUnescape(raw)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			for _, p := range tpl.segments[i] {
				s, _ := p.value(lookup)
				want += s
			}
			if plain != want {
				t.Fatalf("segment %d of %q is %q, want %q", i, path, plain, want)
			}
			for _, part := range strings.FieldsFunc(plain, func(r rune) bool { return r == '/' || r == '\\' }) {
				if part == "." || part == ".." {
					t.Fatalf("%q has a dot segment", path)
				}
			}
		}
		for _, p := range tpl.query {
			if s, _ := p.value(lookup); p.ref != nil && !strings.Contains(query, url.QueryEscape(s)) {
				t.Fatalf("%q lacks %q", query, s)
			}
		}
	})
}
