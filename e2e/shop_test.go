package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// shopServices are all that deploy/shop.yaml asks.
var shopServices = []string{"products", "merchants", "offers", "prices", "payments", "inventory", "reviews", "recommendations", "orders"}

// startShop runs the shop behind the gateway of deploy/shop.yaml. elsewhere are services
// that don't run, and the address where they are looked for.
func startShop(t *testing.T, elsewhere map[string]string) *instance {
	t.Helper()
	text, err := os.ReadFile("../deploy/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	here := slices.Clone(shopServices)
	for name, addr := range elsewhere {
		was := "http://" + name + ":8080"
		if !bytes.Contains(text, []byte(was)) {
			t.Fatalf("deploy/shop.yaml has no %s", was)
		}
		text = bytes.Replace(text, []byte(was), []byte("http://"+addr), 1)
		here = slices.DeleteFunc(here, func(s string) bool { return s == name })
	}
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	i := newInstance(t, []string{"up"}, "--config", file, "--services", strings.Join(here, ","), "--subscriber-format", "json")
	i.start()
	return i
}

// ask gets a page, or what stands in its place.
func (i *instance) ask(path string) (*http.Response, string) {
	i.t.Helper()
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(i.http + path)
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return resp, string(body)
}

// membersOf are the names of an object in their order, and their values as they stand.
func membersOf(t *testing.T, body string) (names []string, values map[string]string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	if _, err := d.Token(); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	values = map[string]string{}
	for d.More() {
		name, err := d.Token()
		var v json.RawMessage
		if err == nil {
			err = d.Decode(&v)
		}
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		names = append(names, name.(string))
		values[name.(string)] = string(v)
	}
	return names, values
}

// asked counts the lines of the log that a request has, by service.
func (i *instance) asked(t *testing.T, request string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(i.data, "logs", "subscriber.log"))
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for line := range bytes.Lines(text) {
		var r struct {
			Source string
			Data   struct{ Request string }
		}
		if json.Unmarshal(line, &r) == nil && r.Data.Request == request {
			n[strings.TrimPrefix(r.Source, "/")]++
		}
	}
	return n
}

// TestShopPages asks for the product page in its three views: each has what it is to
// have, in order; the values are the services' own, byte for byte; and the log has a line
// for the page and one for each part, all of one request.
func TestShopPages(t *testing.T) {
	i := startShop(t, nil)
	web := []string{
		"product", "price", "offers", "merchant", "delivery", "payment", "stock", "reviews", "history", "bought_together", "recommended",
	}
	mobile := []string{
		"id", "name", "price", "list_price", "stock", "rating", "merchant", "delivery", "offers", "payment", "history", "recommended",
	}
	api := []string{
		"id", "gtin", "name", "brand", "category", "description", "attributes", "price", "list_price", "offers", "merchant", "payment",
		"availability", "rating", "related",
	}
	without := func(all []string, name string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == name })
	}
	lines := func(of map[string]int) map[string]int {
		all := map[string]int{"gateway": 1}
		for _, name := range shopServices {
			all[name] = 1
		}
		for name, n := range of {
			if all[name] = n; n == 0 {
				delete(all, name)
			}
		}
		return all
	}
	for target, c := range map[string]struct {
		members []string
		lines   map[string]int
	}{
		"/web/v1/products/iphone-16-128?customer=c1001&country=DE": {web, lines(map[string]int{"recommendations": 2})},
		"/web/v1/products/iphone-16-128":                           {without(web, "history"), lines(map[string]int{"recommendations": 2, "orders": 0})},
		"/mobile/v1/products/iphone-16-128?customer=c1001":         {mobile, lines(nil)},
		"/api/v1/products/iphone-16-128?customer=c1001":            {api, lines(map[string]int{"orders": 0})},
	} {
		resp, body := i.ask(target)
		names, page := membersOf(t, body)
		if resp.StatusCode != 200 || !slices.Equal(names, c.members) {
			t.Errorf("%s: %s with %q, want %q", target, resp.Status, names, c.members)
		}
		for name, v := range page {
			if v == "null" || v == "[]" && name != "recommended" {
				t.Errorf("%s: %s is %s", target, name, v)
			}
		}
		request := resp.Header.Get("X-Request-Id")
		testenv.Wait(t, "a line of the page and of each part", 10*time.Second, func() bool { return i.asked(t, request)["gateway"] == 1 })
		if got := i.asked(t, request); fmt.Sprint(got) != fmt.Sprint(c.lines) {
			t.Errorf("%s: lines of %v, want %v", target, got, c.lines)
		}
	}

	_, body := i.ask("/web/v1/products/iphone-16-128?currency=JPY")
	_, page := membersOf(t, body)
	_, product := i.ask("/products/iphone-16-128")
	_, price := i.ask("/prices/iphone-16-128?currency=JPY&offer=trade-in-50")
	_, prices := membersOf(t, price)
	_, shown := membersOf(t, page["price"])
	if page["product"] != strings.TrimSpace(product) || shown["list"] != prices["list"] || prices["list"] == "" {
		t.Errorf("the page has\n%s\nthe services say\n%s%s", body, product, price)
	}
	for target, want := range map[string]int{
		"/web/v1/products/no-such-thing":                404,
		"/api/v1/products/iphone-16-128?currency=shell": 422,
		"/web/v1/products/..%2forders":                  400,
	} {
		if resp, body := i.ask(target); resp.StatusCode != want || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %s, want %d", target, resp.Status, body, want)
		}
	}
	i.stop()
}

// TestShopWithoutRecommendations: a recommendation service that is dead or slow costs the
// page its recommendations, and of its time no more than it may have.
func TestShopWithoutRecommendations(t *testing.T) {
	slow, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes the connection, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	for reason, c := range map[string]struct {
		addr        string
		least, most time.Duration
	}{
		"unreachable": {"127.0.0.1:" + freePort(t), 0, 2 * time.Second},
		"timeout":     {slow.Addr().String(), 300 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(reason, func(t *testing.T) {
			i := startShop(t, map[string]string{"recommendations": c.addr})
			for view, parts := range map[string][]string{"web": {"together", "recommended"}, "mobile": {"recommended"}, "api": {"together"}} {
				start := time.Now()
				resp, body := i.ask("/" + view + "/v1/products/iphone-16-128")
				took := time.Since(start)
				_, page := membersOf(t, body)
				var want []string
				for _, part := range parts {
					want = append(want, fmt.Sprintf(`{"part":%q,"reason":%q}`, part, reason))
				}
				if resp.StatusCode != 200 || page["missing"] != "["+strings.Join(want, ",")+"]" || page["price"] == "" || page["payment"] == "" {
					t.Errorf("%s: %s %s", view, resp.Status, body)
				}
				if took < c.least || took > c.most {
					t.Errorf("%s left after %v, want %v to %v", view, took, c.least, c.most)
				}
			}
			i.stop()
		})
	}
}

// TestShopWithoutProducts: there is no page of nothing.
func TestShopWithoutProducts(t *testing.T) {
	i := startShop(t, map[string]string{"products": "127.0.0.1:" + freePort(t)})
	if resp, body := i.ask("/web/v1/products/iphone-16-128"); resp.StatusCode != 502 || !strings.Contains(body, `"part":"product","reason":"unreachable"`) {
		t.Errorf("%s %s", resp.Status, body)
	}
	i.stop()
}

// TestShopDocument: the document and its page are answers of the gateway, with a line each;
// that the services are asked for theirs is in no log.
func TestShopDocument(t *testing.T) {
	i := startShop(t, nil)
	for path, want := range map[string]string{
		"/openapi.json": `"operationId":"product-page.web"`,
		"/docs":         `curl &#39;` + i.http + `/web/v1/products/iphone-16-128&#39;`,
	} {
		resp, body := i.ask(path)
		if resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %s without %s:\n%.500s", path, resp.Status, want, body)
		}
		request := resp.Header.Get("X-Request-Id")
		testenv.Wait(t, "a line of "+path, 10*time.Second, func() bool { return i.asked(t, request)["gateway"] == 1 })
	}
	text, err := os.ReadFile(filepath.Join(i.data, "logs", "subscriber.log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n != 2 {
		t.Errorf("the log has %d lines, want 2:\n%s", n, text)
	}
}
