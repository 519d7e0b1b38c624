package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/earshot-mq/earshot/gateway"
	"github.com/earshot-mq/earshot/gateway/strict"
)

// A gateway in front of one service. Its table may as well come from a file, by
// ReadTable.
func ExampleNew() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s was asked for %s", r.Header.Get("X-Forwarded-Prefix"), r.URL.Path)
	}))
	defer service.Close()

	table, err := gateway.NewTable(gateway.Config{
		Upstreams: map[string]gateway.UpstreamConfig{"shop": {URL: service.URL}},
		Routes:    []gateway.RouteConfig{{Path: "/shop/*", StripPrefix: "/shop", Upstream: "shop"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	gw, err := gateway.New(gateway.Options{Table: table})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer gw.Close()

	front := httptest.NewServer(gw)
	defer front.Close()
	answer, err := http.Get(front.URL + "/shop/products/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	fmt.Println(string(body), err)
	// Output: /shop was asked for /products/7 <nil>
}

// A service in the gateway's own process: it is asked without a connection.
func ExampleUpstreamConfig() {
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "asked from %s for %s", r.RemoteAddr, r.Header.Get("X-Forwarded-For"))
	})
	table, err := gateway.NewTable(gateway.Config{
		Upstreams: map[string]gateway.UpstreamConfig{"shop": {Handler: service}},
		Routes:    []gateway.RouteConfig{{Path: "/*", Upstream: "shop"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	gw, err := gateway.New(gateway.Options{Table: table})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer gw.Close()

	w := httptest.NewRecorder()
	gw.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/products/7", nil))
	fmt.Println(w.Body)
	// Output: asked from 127.0.0.1:0 for 192.0.2.1
}

// Why a request goes where it goes.
func ExampleTable_Explain() {
	table, err := gateway.ReadTable("testdata/gateway.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range table.Explain("GET", "shop.example", "/legacy/report") {
		fmt.Printf("%-22s %s\n", v.Route.Pattern(), v.Reason)
	}
	// Output:
	// /downcase/*            segment 1 is "legacy", not "downcase"
	// /legacy/*              matches, but routes[4] is more specific
	// /legacy/report         matches, but routes[4] is more specific
	// shop.example/products/{id} segment 1 is "legacy", not "products"
	// *.example/*            matches, and is the most specific
}

// A file with a mistake: the line, and what was meant.
func ExampleReadTable() {
	_, err := gateway.ReadTable("testdata/errors/duplicates.yaml")
	fmt.Println(err)
	// Output:
	// duplicates.yaml:6: routes[1]: "/x/{name}" takes the same requests as routes[0], "/x/{id}"
	// duplicates.yaml:11: routes[3]: "POST,PUT /y" takes the same requests as routes[2], "GET,POST /y"
	// duplicates.yaml:17: routes[5]: "shop.example/z/*" takes the same requests as routes[4], "shop.example/z/*"
}

// A server that refuses what two programs could read in two ways.
func Example_server() {
	gw, err := gateway.New(gateway.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = http.Serve(strict.NewListener(l, strict.Options{}), gw) }()
	defer func() { _ = l.Close() }()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX")
	answer := make([]byte, len("HTTP/1.1 400 Bad Request"))
	_, err = io.ReadFull(c, answer)
	fmt.Println(string(answer), err)
	// Output: HTTP/1.1 400 Bad Request <nil>
}
