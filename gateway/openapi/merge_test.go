package openapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/gateway/openapi/openapitest"
)

// found is a service with a document of these paths and more.
func found(t *testing.T, name, document string) Found {
	t.Helper()
	d, err := Parse([]byte(document))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return Found{Name: name, Document: d, State: Present}
}

func always(string, string) bool { return true }

func to(path string, strip int) Route { return Route{Path: path, Strip: strip, Leads: always} }

// merge merges, and judges what comes of it.
func merge(t *testing.T, services ...Service) (m *Merged, root object) {
	t.Helper()
	m, err := Merge(services, nil)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := openapitest.Check(m.JSON); len(wrong) > 0 {
		t.Errorf("it is not valid:\n%s\n%s", strings.Join(wrong, "\n"), m.JSON)
	}
	v, err := decode(m.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return m, v.(object)
}

const get = `{"get":{"operationId":"x","responses":{"200":{"description":"ok"}}}}`

func document(paths ...string) string {
	var items []string
	for _, p := range paths {
		items = append(items, fmt.Sprintf("%q:%s", p, get))
	}
	return `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{` + strings.Join(items, ",") + `}}`
}

// TestPaths: the paths are those that a client asks for.
func TestPaths(t *testing.T) {
	for name, c := range map[string]struct {
		inner string
		route Route
		want  string // "": the route does not lead there
	}{
		"as it is":                    {"/a/b", to("/a/*", 0), "/a/b"},
		"with a slash":                {"/a/", to("/a/*", 0), "/a/"},
		"the rest may be nothing":     {"/a", to("/a/*", 0), "/a"},
		"elsewhere":                   {"/b/c", to("/a/*", 0), ""},
		"exact":                       {"/a/b", to("/a/b", 0), "/a/b"},
		"longer than exact":           {"/a/b/c", to("/a/b", 0), ""},
		"shorter than exact":          {"/a", to("/a/b", 0), ""},
		"a parameter":                 {"/a/{id}", to("/a/*", 0), "/a/{id}"},
		"a parameter of both":         {"/a/{id}", to("/a/{x}", 0), "/a/{id}"},
		"the route's parameter":       {"/a/b", to("/{x}/b", 0), "/a/b"},
		"a fixed parameter":           {"/a/{id}/c", to("/a/b/*", 0), "/a/b/c"},
		"no empty parameter":          {"/a/", to("/a/{x}", 0), ""},
		"a slash is no parameter":     {"/a/{id}", to("/a/", 0), ""},
		"stripped":                    {"/x/{id}", to("/shop/*", 1), "/shop/x/{id}"},
		"the root, stripped":          {"/", to("/shop/*", 1), "/shop/"},
		"the root by an exact route":  {"/", to("/shop", 1), "/shop"},
		"two stripped":                {"/y", to("/a/b/*", 2), "/a/b/y"},
		"a stripped parameter":        {"/y/{id}", to("/{tenant}/*", 1), "/{tenant}/y/{id}"},
		"a stripped parameter's name": {"/y/{id}", to("/{id}/*", 1), "/{id_}/y/{id}"},
		"mixed":                       {"/a/{id}.json", to("/a/{x}", 0), "/a/{id}.json"},
		"mixed and fixed":             {"/a/{id}.json", to("/a/b.json", 0), ""},
		"escaped":                     {"/a/caf%C3%A9", to("/a/café", 0), "/a/caf%C3%A9"},
		"dots":                        {"/a/../b", to("/*", 0), ""},
		"an escaped slash":            {"/a/b%2Fc", to("/*", 0), ""},
		"empty segments":              {"/a//b", to("/*", 0), ""},
		"a name twice":                {"/{a}/{a}", to("/*", 0), ""},
		"no name":                     {"/a{}", to("/*", 0), ""},
		"half a brace":                {"/a}/{b", to("/*", 0), ""},
		"a query":                     {"/a?b=c", to("/*", 0), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, root := merge(t, Service{found(t, "s", document(c.inner)), []Route{c.route}})
			got := names(objectAt(root, "paths"))
			if want := strings.Fields(c.want); !slices.Equal(got, want) {
				t.Errorf("%s by %s is %q, want %q", c.inner, c.route.Path, got, want)
			}
		})
	}
}

// TestLeads: an operation is there only where the table leads to it, for its method and
// for any value of its parameters.
func TestLeads(t *testing.T) {
	doc := `{"openapi":"3.1.0","info":{},"paths":{"/a/{id}":{
		"get":{"responses":{"200":{"description":""}}},"post":{"responses":{"200":{"description":""}}}},"/b":` + get + `}}`
	var asked []string
	r := Route{Path: "/*", Leads: func(method, path string) bool {
		asked = append(asked, method+" "+path)
		return method == "GET" && path != "/b"
	}}
	_, root := merge(t, Service{found(t, "s", doc), []Route{r}})
	if got := names(objectAt(root, "paths", "/a/{id}")); !slices.Equal(got, []string{"get"}) || objectAt(root, "paths", "/b") != nil {
		t.Errorf("there is %v", root["paths"])
	}
	if want := []string{"GET /a/" + Any, "POST /a/" + Any, "GET /b"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// TestNames: what two services call the same stays apart, references and links follow,
// and what no operation needs is not there.
func TestNames(t *testing.T) {
	doc := `{"openapi":"3.1.0","info":{"title":"T","version":"1"},"security":[{"key":["a"]}],"servers":[{"url":"https://10.1.2.3/v1"}],
	"tags":[{"name":"old"}],
	"paths":{"/x":{"parameters":[{"$ref":"#/components/parameters/P"}],"post":{"operationId":"op","tags":["old"],"servers":[{"url":"http://inside"}],
		"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/A"},"example":{"$ref":"#/data"}}}},
		"responses":{"200":{"description":"ok","links":{"l":{"operationId":"op"}}},"400":{"$ref":"#/components/responses/Bad"}},
		"callbacks":{"c":{"{$request.body#/url}":{"post":{"operationId":"op","security":[{"other":[]}],"responses":{"200":{}}}}}}},
		"get":{"operationId":"read","security":[],"responses":{"200":{"description":"ok"}}}}},
	"components":{
		"schemas":{"A":{"type":"object","properties":{"$ref":{"type":"string"},"b":{"$ref":"#/components/schemas/B«x»"},"n":{"type":"number","maximum":12345678901234567890.10,"default":1e999}}},
			"B«x»":{"oneOf":[{"$ref":"#/components/schemas/A"},{"$ref":"https://example.com/x.json"}],"discriminator":{"propertyName":"kind"}},"Unused":{"$ref":"#/components/schemas/Secret"},"Secret":{"type":"string"}},
		"responses":{"Bad":{"description":"bad","content":{"text/plain":{"schema":{"$ref":"#/components/schemas/A/properties/b"}}}}},
		"parameters":{"P":{"name":"p","in":"query","schema":{"type":"integer"}}},
		"securitySchemes":{"key":{"type":"http","scheme":"bearer"},"other":{"type":"http","scheme":"basic"},"unused":{"type":"http","scheme":"basic"}}}}`
	m, root := merge(t,
		Service{found(t, "one", doc), []Route{to("/one/*", 1), to("/uno/*", 1)}}, Service{found(t, "two", doc), []Route{to("/two/*", 1)}})
	if got, want := names(objectAt(root, "paths")), []string{"/one/v1/x", "/one/x", "/two/v1/x", "/two/x", "/uno/v1/x", "/uno/x"}; !slices.Equal(got, want) {
		t.Errorf("paths %q, want %q", got, want)
	}
	for section, want := range map[string][]string{
		"schemas":         {"one.A", "one.B_x_", "two.A", "two.B_x_"},
		"responses":       {"one.Bad", "two.Bad"},
		"parameters":      {"one.P", "two.P"},
		"securitySchemes": {"one.key", "one.other", "two.key", "two.other"},
	} {
		if got := names(objectAt(root, "components", section)); !slices.Equal(got, want) {
			t.Errorf("%s %q, want %q", section, got, want)
		}
	}
	for _, want := range []string{
		`"maximum":12345678901234567890.10`, `"default":1e999`, `"example":{"$ref":"#/data"}`, `"$ref":"#/components/schemas/one.B_x_"`,
		`"operationId":"one.op"`, `"operationId":"one.op.2"`, `"operationId":"two.op"`, `"links":{"l":{"operationId":"two.op"}}`,
		`"security":[{"one.key":["a"]}]`, `"$ref":"#/components/schemas/two.A/properties/b"`, `Described elsewhere, at https://example.com/x.json`,
		`"discriminator":{"mapping":{"A":"#/components/schemas/one.A"},"propertyName":"kind"}`, `"properties":{"$ref":{"type":"string"}`,
		`"tags":["one"]`, `"servers":[{"url":"/"}]`,
	} {
		if !strings.Contains(string(m.JSON), want) {
			t.Errorf("there is no %s in\n%s", want, m.JSON)
		}
	}
	for _, not := range []string{"Secret", "10.1.2.3", "inside", `"old"`, "one.unused", `"operationId":"op"`} {
		if strings.Contains(string(m.JSON), not) {
			t.Errorf("there is %s in\n%s", not, m.JSON)
		}
	}
	if _, ok := objectAt(root, "paths", "/one/v1/x", "get")["security"]; ok {
		t.Error("an operation that needs nothing needs something")
	}
}

// TestOnePath: paths that differ in the names of their parameters are one.
func TestOnePath(t *testing.T) {
	op := func(method, path, name string) string {
		return fmt.Sprintf(`{"openapi":"3.1.0","info":{},"paths":{%q:{%q:{"parameters":[
			{"name":%q,"in":"path","schema":{"type":"integer"}},{"name":%[3]q,"in":"query"}],"responses":{}}}}}`, path, method, name)
	}
	m, root := merge(t, Service{found(t, "a", op("get", "/x/{id}", "id")), []Route{to("/x/*", 0)}},
		Service{found(t, "b", op("put", "/x/{key}", "key")), []Route{to("/x/*", 0)}},
		Service{found(t, "c", op("get", "/x/{other}", "other")), []Route{to("/x/*", 0)}})
	if got := names(objectAt(root, "paths")); !slices.Equal(got, []string{"/x/{id}"}) {
		t.Errorf("paths %q", got)
	}
	put := listAt(root, "paths", "/x/{id}", "put", "parameters")
	if len(put) != 2 || text(put[0], "name") != "id" || text(put[0], "schema", "type") != "integer" || text(put[1], "name") != "key" {
		t.Errorf("the parameters are %v", put)
	}
	if !strings.Contains(string(m.JSON), `"omitted":["GET /x/{id}: another one is at this path"]`) {
		t.Errorf("nothing says that c is not there: %s", m.JSON)
	}
}

// TestFixed: a parameter for which the route has a value is not taken for another one of
// its name.
func TestFixed(t *testing.T) {
	two := `{"openapi":"3.1.0","info":{},"paths":{"/x/{z}/{b}":{"put":{"parameters":[
		{"name":"z","in":"path","schema":{"type":"integer"}},{"name":"b","in":"path","schema":{"type":"boolean"}}],"responses":{}}}}}`
	_, root := merge(t, Service{found(t, "one", document("/x/{b}/c")), []Route{to("/x/*", 0)}},
		Service{found(t, "two", two), []Route{to("/x/{k}/c", 0)}})
	if all := listAt(root, "paths", "/x/{b}/c", "put", "parameters"); len(all) != 1 || text(all[0], "schema", "type") != "integer" {
		t.Errorf("the parameters are %v", all)
	}
}

// TestHosts: a route's host is the operation's server; of two at one path the one that is
// for all hosts is there.
func TestHosts(t *testing.T) {
	at := func(host string) Route { return Route{Host: host, Path: "/*", Leads: always} }
	m, root := merge(t, Service{found(t, "all", document("/x")), []Route{at("")}},
		Service{found(t, "exact", document("/x", "/y")), []Route{at("a.example")}},
		Service{found(t, "wild", document("/z")), []Route{at("*.example")}})
	server := func(path string) string {
		list := listAt(root, "paths", path, "get", "servers")
		if len(list) == 0 {
			return ""
		}
		return text(list[0], "url")
	}
	for path, want := range map[string]string{"/x": "", "/y": "//a.example/", "/z": "//{name}.example/"} {
		if got := server(path); got != want {
			t.Errorf("%s has the server %q, want %q", path, got, want)
		}
	}
	if tags := listAt(root, "paths", "/x", "get", "tags"); len(tags) != 1 || tags[0] != "all" {
		t.Errorf("/x is of %v", tags)
	}
	if !strings.Contains(string(m.JSON), `"omitted":["GET a.example/x: another one is at this path"]`) {
		t.Errorf("nothing says what is not there: %s", m.JSON)
	}
}

// TestOld: 3.0 becomes 3.1.
func TestOld(t *testing.T) {
	doc := `{"openapi":"3.0.3","info":{},"paths":{"/x":{"get":{"parameters":[{"name":"p","in":"query","schema":{"$ref":"#/components/schemas/S","description":"no"}}],
		"responses":{"200":{"description":"ok","content":{"application/json":{"schema":{"type":"object","example":{"nullable":true},"properties":{"nullable":
		{"type":"string","nullable":true,"enum":["a"]}}}}}}}}}},
		"components":{"schemas":{"S":{"type":"number","minimum":1.0,"exclusiveMinimum":true,"maximum":2,"exclusiveMaximum":false}}}}`
	m, _ := merge(t, Service{found(t, "s", doc), []Route{to("/*", 0)}})
	for _, want := range []string{
		`"s.S":{"exclusiveMinimum":1.0,"maximum":2,"type":"number"}`, `"schema":{"$ref":"#/components/schemas/s.S"}`,
		`"examples":[{"nullable":true}]`, `"nullable":{"enum":["a",null],"type":["string","null"]}`,
	} {
		if !strings.Contains(string(m.JSON), want) {
			t.Errorf("there is no %s in\n%s", want, m.JSON)
		}
	}
}

// TestStates: who is not there as it is, is named.
func TestStates(t *testing.T) {
	stale := found(t, "c", document("/x"))
	stale.State, stale.Reason = Stale, "it answers 503"
	m, root := merge(t, Service{Found{Name: "a", State: Without}, nil}, Service{Found{Name: "b", State: LeftOut, Reason: "no connection"}, nil},
		Service{stale, []Route{to("/*", 0)}})
	want := "Paths are as clients ask for them.\n\nNot as of now, but as they were last: c (it answers 503).\n\nLeft out: b (no connection).\n\nWithout a document: a."
	if got := text(root, "info", "description"); got != want {
		t.Errorf("it says %q", got)
	}
	if want := `[{"name":"a","state":"without"},{"name":"b","reason":"no connection","state":"left out"},{"name":"c","reason":"it answers 503","state":"stale"}]`; !strings.Contains(string(m.JSON), want) {
		t.Errorf("there is no %s in %s", want, m.JSON)
	}
	if objectAt(root, "paths", "/x") == nil {
		t.Error("what is known of c is not there")
	}
}
