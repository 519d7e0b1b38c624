package house_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A test that skips itself says SKIPPED, so that nothing is left out in silence: mostly by
// testenv.Missing, which also fails where everything is required. By itself only what is the
// machine's kind: no Docker Engine, no mount(2), another system than Linux; or -short.
func TestSkipsAreSaid(t *testing.T) {
	skip := regexp.MustCompile(`\b[tb]\.Skip(f|Now)?\(`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for n, line := range bytes.Split(text, []byte("\n")) {
			entry := bytes.Contains(line, []byte("b.Skip(")) && strings.Contains(path, "journal") // not the testing kind
			if skip.Match(line) && !bytes.Contains(line, []byte("SKIPPED")) && !entry && !strings.HasSuffix(path, "skips_test.go") {
				t.Errorf("%s:%d: %s", path, n+1, bytes.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
