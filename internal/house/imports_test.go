// Package house_test enforces the order of the house (DESIGN.md 10): imports go
// downward only, and one library has one owner.
package house_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/earshot-mq/earshot/"

// below says which of our packages a package may import, by path prefixes. A package
// may always import what is inside its own folder.
var below = map[string][]string{
	"publisher/record": {},
	"internal":         {"internal", "publisher/record"},
	"publisher":        {"internal", "publisher/record"},
	"services":         {"internal", "publisher"},
	"gateway":          {"internal", "publisher"},
	"subscriber":       {"internal", "publisher/record"},
	"deploy":           {"internal"},
	"examples":         {"services", "publisher", "subscriber", "gateway"},
	"cmd":              {""},
	"e2e":              {""},
	"bench":            {""},
}

// owners says which packages may import a library, by path prefixes.
var owners = map[string][]string{
	"github.com/pebbe/zmq4":               {"internal/zmq"},
	"github.com/docker/":                  {"deploy"},
	"go.yaml.in/yaml":                     {"internal/config"},
	"github.com/sirupsen/logrus":          {"internal/process"},
	"github.com/prometheus/client_golang": {"internal/admin"},
	"github.com/spf13/cobra":              {"cmd/earshot"},
	"github.com/spf13/pflag":              {"internal/config", "cmd/earshot"},
	"github.com/danielgtaylor/huma":       {"services", "examples"},
	"github.com/gin-gonic/gin":            {"services", "gateway", "internal/admin", "examples"},
	"github.com/cloudevents/":             {"publisher/record"},
	"golang.org/x/sys":                    {"internal", "publisher", "subscriber"},
	"golang.org/x/text":                   {"services"},
	"golang.org/x/net":                    {"gateway"},
	"go.opentelemetry.io/":                {},
}

// sources calls look with each file of Go, by its path in the repository.
func sources(t *testing.T, look func(path string, text []byte)) {
	t.Helper()
	const root = "../.."
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		seen++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		look(filepath.ToSlash(rel), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("only %d files were read", seen)
	}
}

// imports are what a file imports.
func imports(t *testing.T, name string, text []byte) (all []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, imported)
	}
	return all
}

func TestImportsGoDownward(t *testing.T) {
	sources(t, func(name string, text []byte) {
		for _, imported := range imports(t, name, text) {
			check(t, path.Dir(name), path.Base(name), imported)
		}
	})
}

func check(t *testing.T, pkg, file, imported string) {
	t.Helper()
	isTest := strings.HasSuffix(file, "_test.go")
	if ours, ok := strings.CutPrefix(imported, module); ok {
		if isTest && strings.HasPrefix(ours, "internal/testenv") {
			return
		}
		room := roomOf(pkg)
		if room == "" {
			t.Errorf("%s/%s: the folder %s has no place in the order of imports", pkg, file, pkg)
		} else if !within(ours, room) && !withinAny(ours, below[room]) {
			t.Errorf("%s/%s imports %s, which is not below %s", pkg, file, ours, room)
		}
		return
	}
	for library, own := range owners {
		if strings.HasPrefix(imported, library) && !withinAny(pkg, own) && !isTest {
			t.Errorf("%s/%s imports %s, which belongs to %v", pkg, file, imported, own)
		}
	}
}

// roomOf is the longest key of below that pkg lies in.
func roomOf(pkg string) (room string) {
	for r := range below {
		if within(pkg, r) && len(r) > len(room) {
			room = r
		}
	}
	return room
}

func within(path, prefix string) bool {
	return prefix == "" || path == prefix || strings.HasPrefix(path, prefix+"/")
}

func withinAny(path string, prefixes []string) bool {
	for _, p := range prefixes {
		if within(path, p) {
			return true
		}
	}
	return false
}
