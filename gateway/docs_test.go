package gateway_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/earshot-mq/earshot/gateway"
)

// The example in docs/gateway.md is a file that the gateway takes.
func TestExampleOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("docs/gateway.md has no example")
	}
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, bytes.ReplaceAll(m[1], []byte("./public"), []byte(t.TempDir())), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.ReadTable(path); err != nil {
		t.Error(err)
	}
}
