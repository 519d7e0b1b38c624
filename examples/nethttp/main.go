// Command nethttp is a handler of net/http as it is, behind publisher's middleware.
//
//	go run -tags nomsgpack ./examples/nethttp &
//	curl http://127.0.0.1:8080/hello/world
package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/earshot-mq/earshot/services"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", r.PathValue("name"))
	})
	os.Exit(services.Main(services.FromHandler("hello", mux)))
}
