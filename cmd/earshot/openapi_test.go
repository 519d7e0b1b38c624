package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/gateway"
	"github.com/earshot-mq/earshot/gateway/openapi/openapitest"
	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/services"
)

var update = flag.Bool("update", false, "write testdata/openapi.json instead of comparing with it")

// TestShopDocument asks the gateway of deploy/shop.yaml, with all its services behind it, for
// the document of them.
func TestShopDocument(t *testing.T) {
	at := map[string]http.Handler{}
	for name, build := range builtin {
		h, err := build().Handler(services.HandlerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		at[name] = h
	}
	set, err := config.All()
	if err != nil {
		t.Fatal(err)
	}
	v, err := set.Load("up", nil, []string{"EARSHOT_CONFIG=../../deploy/shop.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := gatewayConfig(v, at)
	if err != nil {
		t.Fatal(err)
	}
	table, err := gateway.NewTable(c)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Options{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	ask := func(path string) []byte {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.Bytes()
	}
	document := ask(documentPath)
	if wrong := openapitest.Check(document); len(wrong) > 0 {
		t.Errorf("it is not valid:\n%s", strings.Join(wrong, "\n"))
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, document, "", " "); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.WriteFile(golden, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(indented.Bytes(), want) {
		t.Errorf("the document is another than %s; see what has changed with\n\tgo test ./cmd/earshot -run TestShopDocument -update && git diff %s", golden, golden)
	}
	page := string(ask(docsPath))
	for _, want := range []string{
		`>/web/v1/products/{id}</code>`, "curl &#39;http://example.com/downcase/?param=HELLO&#39;",
		"curl &#39;http://example.com/web/v1/products/iphone-16-128&#39;", `<a href="#schema-prices-price">`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

// TestDocumentOfUp: without routes of a file, what is behind the gateway is documented.
func TestDocumentOfUp(t *testing.T) {
	for text, want := range map[string]bool{"": true, "routes: [{path: /x, openapi: page}]\n": false} {
		out, _, err := call(t, "explain", "--up", "--config", write(t, text), documentPath)
		if strings.Contains(out, "openapi: the document of what is behind the gateway\n") != want {
			t.Errorf("with %q: %v\n%s", text, err, out)
		}
	}
}
