// Package wordcount is the service that counts a text:
//
//	GET /wordcount/?text=to+be+or+not+to+be
//	{"words":6,"characters":18,"bytes":18}
//
// It is the pattern of a typed service: the struct of the inputs is their documentation
// and their check.
package wordcount

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/services"
)

// Name is the service's name.
const Name = "wordcount"

// New returns the service.
func New() *services.Service {
	return services.New(Name, func(r *services.Router) { huma.Get(r, "/wordcount/", count) })
}

type input struct {
	Text string `query:"text" required:"true" maxLength:"16384" example:"to be or not to be" doc:"The text to count."`
}

type output struct {
	Body struct {
		Words      int `json:"words" doc:"Runs of characters that are no white space."`
		Characters int `json:"characters" doc:"Code points."`
		Bytes      int `json:"bytes" doc:"Bytes in UTF-8."`
	}
}

func count(_ context.Context, in *input) (*output, error) {
	var out output
	out.Body.Words = len(strings.Fields(in.Text))
	out.Body.Characters = utf8.RuneCountInString(in.Text)
	out.Body.Bytes = len(in.Text)
	return &out, nil
}
