package shop_test

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/services/shop/all"
	"github.com/earshot-mq/earshot/services/shop/shoptest"
)

// document is as much of OpenAPI 3.1 as is checked here.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type operation struct {
	OperationID, Summary string
	Parameters           []struct {
		Name, In, Description string
		Required              bool
		Schema                schema
	}
	RequestBody struct {
		Content map[string]struct{ Schema schema }
	}
	Responses map[string]struct {
		Description string
		Content     map[string]struct{ Schema schema }
	}
}

type schema struct {
	Type       any
	Ref        string `json:"$ref"`
	Items      *schema
	Properties map[string]schema
	Enum       []any
	Format     string
	Pattern    string
	MaxLength  *int
	MaxItems   *int
	Minimum    *float64
	Maximum    *float64
	Examples   []any
}

// limited says whether an input can't be of any size.
func (s schema) limited() bool {
	switch s.Type {
	case "string":
		return s.Enum != nil || s.MaxLength != nil || s.Format == "date"
	case "integer":
		return s.Minimum != nil && s.Maximum != nil
	case "array":
		return s.MaxItems != nil && s.Items.limited()
	}
	return false
}

// list is s as it is in a list or with null.
func (s schema) list() schema {
	if types, ok := s.Type.([]any); ok {
		s.Type = types[0]
	}
	return s
}

// TestDocuments sees that each service is described: each input with a limit, an example
// and words, each output with an example, each error as a problem document.
func TestDocuments(t *testing.T) {
	for name, service := range all.Services() {
		t.Run(name, func(t *testing.T) {
			a := shoptest.Start(t, service(), "").Ask(http.MethodGet, "/openapi.json", "")
			var d document
			if err := json.Unmarshal([]byte(a.Body), &d); err != nil {
				t.Fatal(err)
			}
			if d.OpenAPI != "3.1.0" || len(d.Paths) == 0 {
				t.Errorf("it is OpenAPI %q with %d paths", d.OpenAPI, len(d.Paths))
			}
			for path, item := range d.Paths {
				if path != "/"+name && !strings.HasPrefix(path, "/"+name+"/") {
					t.Errorf("path %s is not below /%s, where the gateway leads to", path, name)
				}
				for method, op := range item {
					d.check(t, method+" "+path, op)
				}
			}
		})
	}
}

func (d *document) check(t *testing.T, where string, op operation) {
	t.Helper()
	if op.Summary == "" || op.OperationID == "" {
		t.Errorf("%s has no summary or id", where)
	}
	for _, p := range op.Parameters {
		s := p.Schema.list()
		if !s.limited() || len(s.Examples) == 0 || p.Description == "" {
			t.Errorf("%s: parameter %s lacks a limit, an example or words: %+v", where, p.Name, s)
		}
	}
	for _, content := range op.RequestBody.Content {
		for name, p := range d.resolve(t, content.Schema).Properties {
			if !p.limited() || len(p.Examples) == 0 {
				t.Errorf("%s: %s of the body lacks a limit or an example: %+v", where, name, p)
			}
		}
	}
	failures := 0
	for status, r := range op.Responses {
		for kind, content := range r.Content {
			if status[0] >= '4' {
				failures++
				if kind != "application/problem+json" {
					t.Errorf("%s: %s is %s", where, status, kind)
				}
				continue
			}
			d.examples(t, where+" "+status, content.Schema)
		}
	}
	if failures < 2 {
		t.Errorf("%s tells %d errors", where, failures)
	}
}

func (d *document) resolve(t *testing.T, s schema) schema {
	t.Helper()
	if s.Ref == "" {
		return s.list()
	}
	found, ok := d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	if !ok {
		t.Errorf("%s leads nowhere", s.Ref)
	}
	return found.list()
}

// examples sees that all that is not made of others has an example. What says itself what
// it is like needs none.
func (d *document) examples(t *testing.T, where string, s schema) {
	t.Helper()
	s = d.resolve(t, s)
	switch {
	case len(s.Properties) > 0:
		for name, p := range s.Properties {
			d.examples(t, where+" "+name, p)
		}
	case len(s.Examples) > 0 || s.Type == "boolean":
	case s.Type == "array":
		d.examples(t, where, *s.Items)
	case s.Type == "object":
	default:
		t.Errorf("%s has no example: %+v", where, s)
	}
}

// TestApart sees that no service has another in it; package all is for programs.
func TestApart(t *testing.T) {
	const shop = "github.com/earshot-mq/earshot/services/shop/"
	seen := 0
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || !strings.Contains(path, "/") || strings.HasPrefix(path, "all/") {
			return err
		}
		seen++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			other, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), shop)
			if ok && other != "shoptest" && other != filepath.Dir(path) {
				t.Errorf("%s imports %s", path, other)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 2*len(all.Services()) {
		t.Errorf("only %d files were read", seen)
	}
}
