package gateway

import (
	"fmt"
	"testing"

	"github.com/earshot-mq/earshot/internal/config"
)

// TestChanges: what is the same in other words or in another order is no change.
func TestChanges(t *testing.T) {
	const first = `
upstreams: {a: {url: "http://a:1", health: {path: /readyz}}, b: {url: "http://b:1"}}
compositions:
  page: {parts: [{name: x, upstream: a, path: /x}], views: {web: [x]}}
routes:
- {path: /a/*, upstream: a, body: 4KiB}
- {path: /b, methods: [GET, POST], host: Shop.example, upstream: b}
- {path: /page, compose: page}
`
	for name, c := range map[string]struct{ next, want string }{
		"nothing": {first, "[] [] []"},
		"in other words": {`
upstreams: {b: {url: "http://b:1"}, a: {url: "http://a:1", health: {path: /readyz}}}
compositions: {page: {parts: [{name: x, upstream: a, path: /x}], views: {web: [x]}}}
routes: [{path: /page, compose: page}, {path: /b, methods: [GET, POST], host: Shop.example, upstream: b}, {path: /a/*, upstream: a, body: 4096}]
`, "[] [] []"},
		"all": {`
client-idle: 2m
upstreams: {a: {url: "http://a:1", health: {path: /livez}}, c: {url: "http://c:1"}}
compositions: {page: {parts: [{name: x, upstream: a, path: /y}], views: {web: [x]}}}
routes:
- {path: /a/*, upstream: c, body: 4KiB}
- {path: /b, methods: [GET], host: shop.example, upstream: c}
- {path: /page, compose: page}
`, "[route GET shop.example/b upstream c] [route GET,POST shop.example/b upstream b] [route /a/* upstream a composition page client-idle]"},
		"empty": {"", "[] [route /a/* route /page route GET,POST shop.example/b upstream a upstream b composition page] []"},
	} {
		var before, after Config
		if err := config.Decode("before", []byte(first), &before); err != nil {
			t.Fatal(err)
		}
		if err := config.Decode(name, []byte(c.next), &after); err != nil {
			t.Fatal(err)
		}
		all := before.Changes(&after)
		if got := fmt.Sprint(all.Added, all.Removed, all.Changed); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
