package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docker-compose.yml runs the services that this binary has (but wordcount, which is an
// example), the subscriber follows each of them, and the gateway's file knows each.
func TestComposeNamesTheServices(t *testing.T) {
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	shop, err := os.ReadFile("../../deploy/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(maps.Keys(builtin))
	want = slices.DeleteFunc(want, func(name string) bool { return name == "wordcount" })
	found := func(text []byte, pattern string) (names []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		return names
	}
	if got := found(text, `command: \[service, ([a-z]+)\]`); !slices.Equal(got, want) {
		t.Errorf("docker-compose.yml runs %s, this binary has %s", strings.Join(got, " "), strings.Join(want, " "))
	}
	followed := found(text, `tcp://([a-z]+):4445`)
	if got := slices.DeleteFunc(followed, func(name string) bool { return name == "gateway" }); !slices.Equal(got, want) {
		t.Errorf("the subscriber follows %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
	}
	if got := found(shop, `"http://([a-z]+):8080"`); !slices.Equal(got, want) {
		t.Errorf("deploy/shop.yaml has the upstreams %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
	}
}
