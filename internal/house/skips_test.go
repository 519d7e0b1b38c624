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
	"docker-compose 1.29 not found", "docker compose (v2) not found", // whichever is there is tested
	"only Linux tells",
	"the container tests: they take a while", "starts a dozen processes", // -short
}

// A test that skips itself says SKIPPED, so that nothing is left out in silence: by
// testenv.Missing, which fails where everything is required, unless it is excused.
func TestSkipsAreSaid(t *testing.T) {
	skip := regexp.MustCompile(`\b[tb]\.Skip(f|Now)?\(`)
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
			_, why, said := strings.Cut(line, `"SKIPPED: `)
			i := slices.IndexFunc(excused, func(e string) bool { return strings.HasPrefix(why, e) })
			if !said || i < 0 {
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
