package products_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop/products"
	"github.com/earshot-mq/earshot/services/shop/shoptest"
)

func Example() {
	h, err := products.New().Handler(services.HandlerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/products/socks-merino", nil))
	fmt.Println(strings.ReplaceAll(w.Body.String(), `,"`, ",\n\""))
	// Output:
	// {"id":"socks-merino",
	// "name":"Hiking socks, merino, two pairs",
	// "brand":"Alpenhof",
	// "category":"outdoor",
	// "merchant":"alpenhof",
	// "gtin":"2000004182946",
	// "weight":150,
	// "released":"2024-10-24",
	// "description":"Socks of merino with cushioned heels; two pairs.",
	// "attributes":{"material":"66 % merino",
	// "pairs":"2"}}
}

type page struct {
	Products []products.Product
	Next     string
}

func TestList(t *testing.T) {
	s := shoptest.Start(t, products.New(), "")
	var whole page
	s.Get("/products?limit=100", &whole)
	var got []products.Product
	for after, n := "", 0; ; n++ {
		var p page
		s.Get("/products?limit=7&after="+after, &p)
		got = append(got, p.Products...)
		if after = p.Next; after == "" {
			break
		}
		if len(p.Products) != 7 || n > 20 {
			t.Fatalf("page %d has %d products, and there is another", n, len(p.Products))
		}
	}
	same := func(a, b products.Product) bool { return a.ID == b.ID }
	if len(whole.Products) < 50 || whole.Next != "" || !slices.EqualFunc(got, whole.Products, same) {
		t.Errorf("page by page there are %d products, at once %d", len(got), len(whole.Products))
	}
	var audio page
	s.Get("/products?category=audio&merchant=harbour-audio&limit=100", &audio)
	for _, p := range audio.Products {
		if p.Category != "audio" || p.Merchant != "harbour-audio" {
			t.Errorf("%s is %s of %s", p.ID, p.Category, p.Merchant)
		}
	}
	if len(audio.Products) != 5 {
		t.Errorf("%d products of Harbour, want 5", len(audio.Products))
	}
	if a := s.Ask(http.MethodGet, "/products?category=nothing", ""); a.Body != `{"products":[]}`+"\n" {
		t.Errorf("a category that is not there = %d %s", a.Status, a.Body)
	}
}

func TestRefuse(t *testing.T) {
	s := shoptest.Start(t, products.New(), "")
	s.RefuseAll(t, map[string]shoptest.Refusal{
		"unknown, but near":    {"/products/iphon-16-128", 404, `did you mean \"iphone-16-128\"?`},
		"unknown":              {"/products/x", 404, `unknown product \"x\"`},
		"no id":                {"/products/Ä", 422, "path.id"},
		"too long an id":       {"/products/" + strings.Repeat("a", 41), 422, "path.id"},
		"no page":              {"/products?limit=0", 422, "query.limit"},
		"too large a page":     {"/products?limit=101", 422, "query.limit"},
		"after what is not":    {"/products?after=x", 422, "query.after"},
		"after what is hidden": {"/products?category=audio&after=iphone-16-128", 422, "query.after"},
		"a slip of a name":     {"/products?categroy=audio", 422, "query.categroy"},
	})
}
