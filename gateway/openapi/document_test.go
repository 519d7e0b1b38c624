package openapi

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/gateway/openapi/openapitest"
)

// TestMalformed: what can't be used is refused in words for everybody.
func TestMalformed(t *testing.T) {
	of := func(more string) string { return `{"openapi":"3.1.0",` + more + `}` }
	path := func(op string) string { return of(`"paths":{"/x":{"get":` + op + `}}`) }
	for name, c := range map[string]struct{ document, want string }{
		"no JSON":             {`<html>`, "it is not valid JSON"},
		"cut":                 {`{"openapi":"3.1.0"`, "it is not valid JSON"},
		"more":                {`{} {}`, "something follows it"},
		"no UTF-8":            {"{\"a\":\"\xff\"}", "it is not UTF-8"},
		"twice":               {of(`"info":{"a":1,"a":2}`), `"a" twice`},
		"deep":                {strings.Repeat("[", 200) + strings.Repeat("]", 200), "nested deeper"},
		"nothing":             {`null`, "it is no OpenAPI document"},
		"a list":              {`[]`, "it is no OpenAPI document"},
		"Swagger":             {`{"swagger":"2.0"}`, "it is Swagger 2.0; want OpenAPI 3.0 or 3.1"},
		"too new":             {`{"openapi":"4.0.0"}`, "it is OpenAPI 4.0.0"},
		"paths":               {of(`"paths":[]`), "its paths are not an object"},
		"a path":              {of(`"paths":{"/x":7}`), "/x: the path item is not an object"},
		"an operation":        {path(`7`), "the operation is not an object"},
		"parameters":          {path(`{"parameters":{}}`), "parameters is not a list"},
		"a parameter":         {path(`{"parameters":[{"name":"a"}]}`), "a parameter has no name, or is nowhere"},
		"a lost parameter":    {path(`{"parameters":[{"$ref":"#/components/parameters/P"}]}`), "leads nowhere"},
		"another kind":        {path(`{"requestBody":{"$ref":"#/components/schemas/S"}}`), "is to no request body among the components"},
		"elsewhere":           {path(`{"requestBody":{"$ref":"https://example.com/b.json"}}`), "is to no request body"},
		"components":          {of(`"components":7`), "its components are not objects"},
		"a section":           {of(`"components":{"schemas":[]}`), "its components are not objects"},
		"a lost schema":       {of(`"components":{"schemas":{"A":{"items":{"$ref":"#/components/schemas/B"}}}}`), "components/schemas/A: the reference \"#/components/schemas/B\" leads nowhere"},
		"its own root":        {of(`"components":{"schemas":{"A":{"items":{"$ref":"#"}}}}`), "is to no schema among the components"},
		"an id":               {of(`"components":{"schemas":{"A":{"$id":"https://example.com/"}}}`), "has $id"},
		"a lost scheme":       {path(`{"security":[{"key":[]}]}`), `the security scheme "key" is not declared`},
		"a lost scheme above": {of(`"security":[{"key":[]}]`), `the security scheme "key" is not declared`},
		"a server":            {of(`"servers":[{"url":"http://[::1"}]`), "its server's URL can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.document))
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// FuzzMerge: whatever a service says is refused with ErrMalformed, or makes a document
// that is valid, and a page.
func FuzzMerge(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.json")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range seeds {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(document("/x", "/{a}/{b}")))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%v is not ErrMalformed", err)
			}
			return
		}
		s := Found{Name: "s", Document: d, State: Present}
		other := s
		other.Name = "other"
		m, err := Merge([]Service{{s, []Route{to("/a/*", 1), to("/{id}/b", 0), to("/*", 0)}}, {other, []Route{to("/*", 0)}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Where a reference is one and where it is data, Parse knows.
		if _, err := Parse(m.JSON); err != nil {
			t.Errorf("%s\nis not valid: %v", m.JSON, err)
		}
		data := func(wrong string) bool { return strings.HasSuffix(wrong, " leads nowhere") }
		if wrong := slices.DeleteFunc(openapitest.Check(m.JSON), data); len(wrong) > 0 {
			t.Errorf("%s\nis not valid: %s", m.JSON, strings.Join(wrong, "\n"))
		}
		if _, err := m.Page("http://localhost", "/openapi.json"); err != nil {
			t.Error(err)
		}
	})
}
