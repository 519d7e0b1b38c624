// Command service is a new service, whole: a name, and routes as gin has them.
//
//	go run -tags nomsgpack ./examples/service &
//	curl http://127.0.0.1:8080/hello/world
package main

import (
	"net/http"
	"os"

	"github.com/gin-gonic/gin"

	"github.com/earshot-mq/earshot/services"
)

func main() {
	os.Exit(services.Main(services.New("hello", func(r *services.Router) {
		r.GET("/hello/:name", func(c *gin.Context) {
			c.String(http.StatusOK, "hello, %s", c.Param("name"))
		})
	})))
}
