package openapi

import (
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/gateway/compose"
	"github.com/earshot-mq/earshot/gateway/openapi/openapitest"
)

// TestPages: a page has the types and the inputs of those that its parts ask, as far as
// their documents say.
func TestPages(t *testing.T) {
	doc := `{"openapi":"3.1.0","info":{},"paths":{
		"/p":{"get":{"responses":{"200":{"description":"","content":{"application/json":{"schema":{"type":"array"}}}}}}},
		"/p/{key}":{"post":{"responses":{}},"get":{"parameters":[{"name":"key","in":"path","description":"words","schema":{"type":"string","examples":["k1"]}},
			{"name":"cur","in":"query","schema":{"type":"string"}}],
			"responses":{"2XX":{"$ref":"#/components/responses/R"}}}}},
		"components":{"responses":{"R":{"description":"","content":{"application/hal+json":{"schema":{"$ref":"#/components/schemas/P"}}}}},
		"schemas":{"P":{"allOf":[{"$ref":"#/components/schemas/P"},{"properties":{"n":{"type":"number","maximum":1e400},"list":{"items":{"$ref":"#/components/schemas/E"}},
			"self":{"items":{"$ref":"#/components/schemas/P/allOf/1/properties/self"}}}}],"additionalProperties":{"type":"boolean"}},
		"E":{"type":"object","properties":{"a":{"type":"integer"},"secret":{"type":"string"}}}}}}`
	c, err := compose.New(compose.Config{
		Parts: []compose.PartConfig{
			{Name: "p", Upstream: "s", Path: "/p/{id}?cur={query.c|'EUR'}"},
			{Name: "q", Upstream: "other", Path: "/q/{id}"},
			{Name: "r", Upstream: "s", Path: "/nowhere"},
		},
		Views: map[string][]compose.Pick{"v": {
			{Take: "p.n"},
			{Take: "p.list", Pick: []compose.Pick{{Take: "a", As: "b"}}},
			{Take: "p.list.0.a", As: "first"},
			{Take: "p.any"},
			{Take: "p.self", Pick: []compose.Pick{{Take: "x"}}},
			{Take: "q.x", Pick: []compose.Pick{{Take: "y"}}},
			{Take: "r"},
		}},
	}, []string{"s", "other"})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.View("")
	if err != nil {
		t.Fatal(err)
	}
	page := Page{Route: Route{Host: "a.example", Path: "/page/{id}/{unused}/*"}, Composition: "s", Description: v.Describe()}
	m, err := Merge([]Service{{Found: found(t, "s", doc)}, {Found: Found{Name: "other", State: Without}}}, []Page{page})
	if err != nil {
		t.Fatal(err)
	}
	if wrong := openapitest.Check(m.JSON); len(wrong) > 0 {
		t.Errorf("it is not valid:\n%s\n%s", strings.Join(wrong, "\n"), m.JSON)
	}
	for _, want := range []string{
		`"paths":{"/page/{id}/{unused}/{rest}":{"get":`, `"operationId":"s.v"`, `"tags":["s (page)"]`, `"url":"//a.example/"`,
		`{"description":"words","in":"path","name":"id","required":true,"schema":{"examples":["k1"],"type":"string"}}`,
		`{"in":"query","name":"c","schema":{"default":"EUR","type":"string"}}`,
		`"n":{"maximum":1e400,"type":"number"}`, `"list":{"items":{"properties":{"b":{"type":"integer"}},"type":"object"},"type":"array"}`,
		`"first":{"type":"integer"}`, `"any":{"type":"boolean"}`, `"x":{"properties":{"y":{}}}`, `"r":{}`,
		`"x-earshot-order":["n","list","first","any","self","x","r"]`, `"$ref":"#/components/schemas/Problem"`,
	} {
		if !strings.Contains(string(m.JSON), want) {
			t.Errorf("there is no %s in\n%s", want, m.JSON)
		}
	}
	if strings.Contains(string(m.JSON), "secret") {
		t.Errorf("it has what the page does not let through: %s", m.JSON)
	}
}
