package house_test

import (
	"io/fs"
	"os"
	"path/filepath"
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
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		// Missing itself, this test, and an entry of the journal that skips records.
		mine := strings.HasSuffix(path, "testenv/testenv.go") || strings.HasSuffix(path, "skips_test.go") || strings.Contains(path, "internal/journal/")
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || mine {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for n, line := range strings.Split(string(text), "\n") {
			if !skip.MatchString(line) {
				continue
			}
			_, why, said := strings.Cut(line, `"SKIPPED: `)
			i := slices.IndexFunc(excused, func(e string) bool { return strings.HasPrefix(why, e) })
			if !said || i < 0 {
				t.Errorf("%s:%d: %s\nuse testenv.Missing", path, n+1, strings.TrimSpace(line))
				continue
			}
			seen[excused[i]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range excused {
		if !seen[e] {
			t.Errorf("no test skips itself for %q any more", e)
		}
	}
}
