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

// defined is a metric as the source has it.
type defined struct {
	help   string
	labels []string

	histogram bool
}

// source finds the metrics of the source, by folder and name: each stands there once, its name
// and its help side by side, as two literals.
func source(t *testing.T) map[string]map[string]defined {
	t.Helper()
	found := map[string]map[string]defined{}
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
		is := named(file)
		ast.Inspect(file, func(n ast.Node) bool {
			if name, m := definition(n, is); name != "" {
				folder, _ := filepath.Rel("../..", filepath.Dir(path))
				if m.help == "" {
					t.Errorf("%s: %s has no words", path, name)
				}
				if found[folder] == nil {
					found[folder] = map[string]defined{}
				}
				if _, twice := found[folder][name]; twice {
					t.Errorf("%s: %s is there twice", path, name)
				}
				found[folder][name] = m
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestReference makes docs/metrics.md of the source.
func TestReference(t *testing.T) {
	found := source(t)
	b := bytes.NewBufferString(head)
	for _, folder := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(b, "## %s\n\n| metric | labels | what it tells |\n|---|---|---|\n", folder)
		for _, name := range slices.Sorted(maps.Keys(found[folder])) {
			m := found[folder][name]
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, strings.Join(m.labels, ", "), m.help)
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

// named is what the names of a file stand for.
func named(file *ast.File) map[string]ast.Expr {
	is := map[string]ast.Expr{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i := range n.Lhs {
				if id, ok := n.Lhs[i].(*ast.Ident); ok && len(n.Lhs) == len(n.Rhs) {
					is[id.Name] = n.Rhs[i]
				}
			}
		case *ast.ValueSpec:
			for i := range n.Values {
				is[n.Names[i].Name] = n.Values[i]
			}
		}
		return true
	})
	return is
}

// definition finds a name and a help that are the first two arguments of a call, or the
// fields Name and Help of a literal, which may lack the help.
func definition(n ast.Node, is map[string]ast.Expr) (name string, m defined) {
	var all []ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		all = n.Args
		switch f := n.Fun.(type) {
		case *ast.Ident: // a function of the file, that makes it
			if made, ok := is[f.Name].(*ast.FuncLit); ok {
				ast.Inspect(made, func(n ast.Node) bool {
					if e, ok := n.(*ast.CompositeLit); ok && field(e, "Labels") != nil {
						m.labels = texts(field(e, "Labels"), is)
					}
					return true
				})
			}
		case *ast.SelectorExpr:
			if f.Sel.Name == "Counts" && len(all) == 3 {
				m.labels = []string{text(all[2])}
			}
			if f.Sel.Name == "NewHistogramVec" {
				lit, _ := all[0].(*ast.CompositeLit)
				m.labels, m.histogram = texts(all[1], is), true
				all = all[:0]
				for _, key := range []string{"Name", "Help"} {
					if e := field(lit, key); e != nil {
						all = append(all, e)
					}
				}
			}
		}
	case *ast.CompositeLit:
		if field(n, "Buckets") != nil {
			return "", m // of the call around it, which has the labels
		}
		for _, key := range []string{"Name", "Help"} {
			if e := field(n, key); e != nil {
				all = append(all, e)
			}
		}
		for _, key := range []string{"Labels", "ConstLabels"} {
			if e := field(n, key); e != nil {
				m.labels = texts(e, is)
			}
		}
	}
	if len(all) == 0 || !strings.HasPrefix(text(all[0]), "earshot_") {
		return "", m
	}
	if len(all) > 1 {
		m.help = text(all[1])
	}
	if _, call := n.(*ast.CallExpr); call && !m.histogram && (len(all) < 2 || !literal(all[1])) {
		return "", m // it is about a metric
	}
	return text(all[0]), m
}

// literal tells whether text can tell what e says.
func literal(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.BinaryExpr:
		return literal(e.X) && literal(e.Y)
	}
	return false
}

// TestDefinition: what is a metric, also where its words are forgotten, and what only names
// one.
func TestDefinition(t *testing.T) {
	for src, want := range map[string]string{
		`metric.Total("earshot_a_total", "Words.", &v)`:                                                      "earshot_a_total: Words.",
		`metric.Total("earshot_a_total", "", &v)`:                                                            "earshot_a_total: ",
		`metric.Metric{Name: "earshot_a", Help: "Two "+"words."}`:                                            "earshot_a: Two words.",
		`metric.Metric{Name: "earshot_a", Help: ""}`:                                                         "earshot_a: ",
		`metric.Metric{Name: "earshot_a", Now: true}`:                                                        "earshot_a: ",
		`prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "earshot_a", Buckets: b}, []string{"x"})`: "earshot_a: ",
		`s.register("earshot_a", info)`:                                                                      "",
		`t.Log("earshot_a")`:                                                                                 "",
		`metric.Total("else", "Words.")`:                                                                     "",
	} {
		e, err := parser.ParseExpr(src)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if name, m := definition(e, nil); name != "" {
			got = name + ": " + m.help
		}
		if got != want {
			t.Errorf("definition(%s) = %q, want %q", src, got, want)
		}
	}
}

// field is the value of a literal's field, or nil.
func field(lit *ast.CompositeLit, key string) ast.Expr {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if id, ok := kv.Key.(*ast.Ident); ok && id.Name == key {
				return kv.Value
			}
		}
	}
	return nil
}

// texts are the strings of a literal, or the keys of one that is a map.
func texts(e ast.Expr, is map[string]ast.Expr) (all []string) {
	if id, ok := e.(*ast.Ident); ok {
		e = is[id.Name]
	}
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			e = kv.Key
		}
		all = append(all, text(e))
	}
	return all
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
