package house_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// excused is what a test may skip itself for even where everything is required: what the
// machine is, or has been asked to leave out.
var excused = []string{
	"no Docker Engine",
	"docker-compose 1.29 not found", // only where its name is that of v2
	"only Linux tells",
	"the container tests: they take a while", "starts a dozen processes", // -short
}

// A test that skips itself tells it, so that nothing is left out in silence: by
// testenv.Missing, which fails where everything is required, or, if it is excused, by
// testenv.Skip.
func TestSkipsAreSaid(t *testing.T) {
	skip := regexp.MustCompile(`\b(testenv|[tb])\.Skip(f|Now)?\(`)
	excuse := regexp.MustCompile(`\btestenv\.Skip\(\w+, (?:fmt\.Sprintf\()?"([^"]*)`)
	seen := map[string]bool{}
	sources(t, func(name string, text []byte) {
		// Missing itself, this test, and an entry of the journal that skips records.
		if name == "internal/testenv/testenv.go" || name == "internal/house/skips_test.go" || strings.HasPrefix(name, "internal/journal/") {
			return
		}
		for n, line := range strings.Split(string(text), "\n") {
			if !skip.MatchString(line) {
				continue
			}
			i := -1
			if why := excuse.FindStringSubmatch(line); why != nil {
				i = slices.IndexFunc(excused, func(e string) bool { return strings.HasPrefix(why[1], e) })
			}
			if i < 0 {
				t.Errorf("%s:%d: %s\nuse testenv.Missing", name, n+1, strings.TrimSpace(line))
				continue
			}
			seen[excused[i]] = true
		}
	})
	for _, e := range excused {
		if !seen[e] {
			t.Errorf("no test skips itself for %q any more", e)
		}
	}
}
