// Package offers is the service that knows what is cheaper, and from when until when:
//
//	GET /offers?product=iphone-16-128
//
// What an offer does to a price is for prices to compute: it is told by apply, which is
// its parameter offer.
package offers

import (
	"context"
	_ "embed" // the data
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop"
)

// Name is the service's name.
const Name = "offers"

//go:embed offers.json
var file []byte

// Offer makes products cheaper.
type Offer struct {
	ID       shop.ID     `json:"id" example:"trade-in-50"`
	Title    string      `json:"title" example:"50 euros for the old one"`
	Text     string      `json:"text" example:"Send in any phone that switches on."`
	Kind     string      `json:"kind" enum:"percent,amount,bundle" example:"amount"`
	Percent  string      `json:"percent,omitempty" example:"12.5" doc:"Of kind percent: how much off, in hundredths."`
	Off      *shop.Money `json:"off,omitempty" doc:"Of kind amount: how much off each piece."`
	Buy      int         `json:"buy,omitempty" example:"3" doc:"Of kind bundle: so many pieces …"`
	Pay      int         `json:"pay,omitempty" example:"2" doc:"… for the price of so many."`
	Quantity int         `json:"quantity,omitempty" example:"1" doc:"It holds from so many pieces on."`
	Products []shop.ID   `json:"products" example:"iphone-16-128,iphone-16-256"`
	shop.Period
}

// New returns the service.
func New() *services.Service {
	return services.New(Name, func(r *services.Router) { routes(r, time.Now) })
}

func routes(r *services.Router, now func() time.Time) {
	o := &offers{all: shop.Parse[[]Offer](file), now: now}
	huma.Register(r, shop.Get("offers", "/offers", "The offers that hold now", http.StatusUnprocessableEntity), o.offers)
}

type offers struct {
	all []Offer // by their ids
	now func() time.Time
}

type input struct {
	Product shop.ID `query:"product" example:"iphone-16-128" doc:"Only those for this product; default all."`
}

type output struct {
	Body struct {
		Offers []Offer `json:"offers" doc:"In the order of their ids; empty if there is none."`
		Apply  string  `json:"apply" example:"trade-in-50" doc:"Their ids with commas between, as /prices/{id} takes them in its parameter offer."`
	}
}

func (o *offers) offers(_ context.Context, in *input) (*output, error) {
	var out output
	out.Body.Offers = []Offer{}
	var ids []string
	now := o.now()
	for _, offer := range o.all {
		if offer.Holds(now) && (in.Product == "" || slices.Contains(offer.Products, in.Product)) {
			out.Body.Offers = append(out.Body.Offers, offer)
			ids = append(ids, string(offer.ID))
		}
	}
	out.Body.Apply = strings.Join(ids, ",")
	return &out, nil
}
