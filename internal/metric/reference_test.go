package metric

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/metrics.md instead of comparing with it")

const head = `# Metrics

What ` + "`/metrics`" + ` of the admin door (5001) shows, in Prometheus' text format, beside Go's own. A name that
ends in ` + "`_total`" + ` only grows; all others tell what is now. This page is made from the source by ` + "`make docs`" + `.

`

// TestReference makes docs/metrics.md of the names and help texts that the source has:
// each stands there once, side by side, as two literals.
func TestReference(t *testing.T) {
	found := map[string]map[string]string{} // folder → name → help
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if name, help := definition(n); name != "" {
				folder, _ := filepath.Rel("../..", filepath.Dir(path))
				if found[folder] == nil {
					found[folder] = map[string]string{}
				}
				if found[folder][name] != "" {
					t.Errorf("%s: %s is there twice", path, name)
				}
				found[folder][name] = help
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.NewBufferString(head)
	for _, folder := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(b, "## %s\n\n| metric | what it tells |\n|---|---|\n", folder)
		for _, name := range slices.Sorted(maps.Keys(found[folder])) {
			fmt.Fprintf(b, "| `%s` | %s |\n", name, found[folder][name])
		}
		b.WriteByte('\n')
	}
	page := append(bytes.TrimSpace(b.Bytes()), '\n')
	path := filepath.Join("..", "..", "docs", "metrics.md")
	if *update {
		if err := os.WriteFile(path, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if committed, err := os.ReadFile(path); err != nil || !bytes.Equal(committed, page) {
		t.Errorf("%s is not what the source says; run: make docs (%v)", path, err)
	}
}

// definition finds a name and a help that are the first two arguments of a call, or the
// fields Name and Help of a literal.
func definition(n ast.Node) (name, help string) {
	var all []ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		all = n.Args
	case *ast.CompositeLit:
		for _, key := range []string{"Name", "Help"} {
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					if id, ok := kv.Key.(*ast.Ident); ok && id.Name == key {
						all = append(all, kv.Value)
					}
				}
			}
		}
	}
	if len(all) < 2 {
		return "", ""
	}
	if name, help = text(all[0]), text(all[1]); !strings.HasPrefix(name, "earshot_") || help == "" {
		return "", ""
	}
	return name, help
}

// text is the value of a literal, or of several that are joined.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value)
		return s
	case *ast.BinaryExpr:
		return text(e.X) + text(e.Y)
	}
	return ""
}
