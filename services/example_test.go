package services_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/earshot-mq/earshot/services"
)

// A route as gin has it, and a typed one, whose inputs are checked and documented.
func ExampleNew() {
	type input struct {
		A int `query:"a" required:"true"`
		B int `query:"b" default:"1"`
	}
	type output struct {
		Body struct {
			Sum int `json:"sum"`
		}
	}
	s := services.New("sums", func(r *services.Router) {
		r.GET("/hello/:name", func(c *gin.Context) {
			c.String(http.StatusOK, "hello, %s", c.Param("name"))
		})
		huma.Get(r, "/sum/", func(_ context.Context, in *input) (*output, error) {
			var out output
			out.Body.Sum = in.A + in.B
			return &out, nil
		})
	})
	h, err := s.Handler(services.HandlerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, target := range []string{"/hello/world", "/sum?a=41", "/sum?a=many"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 hello, world
	// 200 {"sum":42}
	//
	// 422 {"detail":"validation failed","errors":[{"message":"invalid integer","location":"query.a"}],"status":422,"title":"Unprocessable Entity","type":"about:blank"}
}
