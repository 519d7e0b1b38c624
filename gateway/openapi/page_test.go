package openapi

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"strings"
	"testing"
)

func pageOf(t *testing.T, documentOf, at string) string {
	t.Helper()
	m, _ := merge(t, Service{found(t, "s", documentOf), []Route{to("/*", 0)}}, Service{Found{Name: "gone", State: LeftOut, Reason: "<no>"}, nil})
	b, err := m.Page(at, "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPageIsClosed: what a service says is text; nothing is loaded, nothing runs, and the
// style is the one that the policy lets through.
func TestPageIsClosed(t *testing.T) {
	const evil = `</style><script src=//evil.example></script>`
	doc := `{"openapi":"3.1.0","info":{"title":"EVIL","description":"EVIL","version":"EVIL"},"paths":{"/EVIL{EVIL}":{"get":{"operationId":"EVIL","summary":"EVIL","description":"EVIL",
		"parameters":[{"name":"EVIL","in":"query","required":true,"description":"EVIL","schema":{"type":"EVIL","format":"EVIL","default":"EVIL","enum":["EVIL"]}}],
		"requestBody":{"description":"EVIL","content":{"EVIL":{"schema":{"$ref":"#/components/schemas/EVIL"}}}},
		"responses":{"EVIL":{"description":"EVIL"}}}}},"components":{"schemas":{"EVIL":{"description":"EVIL","properties":{"EVIL":{"pattern":"EVIL"}}}}}}`
	doc = strings.ReplaceAll(doc, "/EVIL{EVIL}", "/<script>{x}")
	doc = strings.ReplaceAll(strings.ReplaceAll(doc, "schemas/EVIL", "schemas/"+strings.ReplaceAll(evil, "/", "~1")), "EVIL", evil)
	html := pageOf(t, doc, `http://a"b`)
	for _, not := range []string{"<script", " src=", "http-equiv", "@import", "url(", `a"b`, " style=", "<link", "<img", "<form"} {
		if i := strings.Index(strings.ReplaceAll(html, "script src=", ""), not); i >= 0 {
			t.Errorf("the page has %q", not)
		}
	}
	_, style, _ := strings.Cut(html, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	if !strings.Contains(Policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || !strings.HasPrefix(Policy, "default-src 'none';") {
		t.Errorf("the policy %s is not for the style of the page", Policy)
	}
}

// TestPage: what people look for is there.
func TestPage(t *testing.T) {
	b, err := os.ReadFile("testdata/old.json")
	if err != nil {
		t.Fatal(err)
	}
	html := pageOf(t, string(b), "https://gw.example:8443")
	for _, want := range []string{
		`<html lang="en">`, `<h1>`, `<main id="main"`, `<nav aria-label="Operations">`, `href="/openapi.json"`, `<a class="skip" href="#main">`,
		`<h2 id="service-s">s</h2>`, `<a href="#post-v1-pets-id-json">`, `<h3 id="post-v1-pets-id-json">`, `<strong>gone</strong>: left out (&lt;no&gt;)`,
		`curl -X POST -H &#34;X-Key: $KEY&#34; -H &#39;Content-Type: application/json&#39; -d &#39;{&#34;kind&#34;:&#34;hay&#34;,`,
		`&#39;https://gw.example:8443/v1/pets/ID.json&#39;`, `<a href="#schema-s-food">s.Food</a>`, `<h3 id="schema-s-food">s.Food</h3>`,
		`more than 0`, `one of hay, null`, `Needs s.key.`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("there is no %s", want)
		}
	}
	if t.Failed() {
		t.Log(html)
	}
	ids := map[string]bool{}
	for _, part := range strings.Split(html, ` id="`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		if ids[id] {
			t.Errorf("the id %q is there twice", id)
		}
		ids[id] = true
	}
	for _, part := range strings.Split(html, `href="#`)[1:] {
		if id, _, _ := strings.Cut(part, `"`); !ids[id] {
			t.Errorf("a link leads to %q, which is not there", id)
		}
	}
}

// TestCurl: a command that can be copied, whatever the values are.
func TestCurl(t *testing.T) {
	for name, c := range map[string]struct{ method, path, op, want string }{
		"plain":       {"get", "/x", `{}`, `curl 'http://gateway.invalid/x'`},
		"a path":      {"get", "/x/{id}", `{"parameters":[{"name":"id","in":"path","example":"a/b'c"}]}`, `curl 'http://gateway.invalid/x/a%2Fb%27c'`},
		"a query":     {"get", "/x", `{"parameters":[{"name":"q r","in":"query","required":true,"schema":{"examples":["it's"]}},{"name":"o","in":"query"}]}`, `curl 'http://gateway.invalid/x?q+r=it%27s'`},
		"a header":    {"delete", "/x", `{"parameters":[{"name":"X-A","in":"header","required":true,"schema":{"type":"integer","minimum":3}}]}`, `curl -X DELETE -H 'X-A: 3' 'http://gateway.invalid/x'`},
		"a body":      {"put", "/x", `{"requestBody":{"content":{"application/json":{"schema":{"properties":{"n":{"const":1e999},"t":{"default":"'\n$(x)"}}}}}}}`, `curl -X PUT -H 'Content-Type: application/json' -d '{"n":1e999,"t":"'\''\n$(x)"}' 'http://gateway.invalid/x'`},
		"a file":      {"post", "/x", `{"requestBody":{"content":{"image/png":{}}}}`, `curl -X POST -H 'Content-Type: image/png' --data-binary @FILE 'http://gateway.invalid/x'`},
		"head":        {"head", "/x", `{}`, `curl -I 'http://gateway.invalid/x'`},
		"a host":      {"get", "/x", `{"servers":[{"url":"//{name}.example/"}]}`, `curl 'http://www.example/x'`},
		"a quote":     {"get", "/x'; rm", `{}`, `curl 'http://gateway.invalid/x'\''; rm'`},
		"an end":      {"get", "/x", `{"parameters":[{"name":"q","in":"query","required":true,"example":"\u001b[2J"}]}`, `curl 'http://gateway.invalid/x?q=%1B%5B2J'`},
		"made itself": {"post", "/x", `{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/S"}}}}}`, ""},
	} {
		root, err := decode([]byte(`{"op":` + c.op + `,"components":{"schemas":{"S":{"allOf":[{"$ref":"#/components/schemas/S"},{"$ref":"#/components/schemas/S"}],"items":{"$ref":"#/components/schemas/S"}}}}}`))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := curl(root.(object), c.method, c.path, objectAt(root, "op")); got != c.want && c.want != "" {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
