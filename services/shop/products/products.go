// Package products is the service that knows what a product is:
//
//	GET /products/{id}
//	GET /products?category=&merchant=&after=&limit=
package products

import (
	"context"
	_ "embed" // the data
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop"
)

// Name is the service's name.
const Name = "products"

//go:embed products.json
var file []byte

// Product is what the shop tells of a product. Its price, stock and reviews are other
// services' to tell.
type Product struct {
	ID          shop.ID           `json:"id" example:"iphone-16-128"`
	Name        string            `json:"name" example:"iPhone 16, 128 GB, black"`
	Brand       string            `json:"brand" example:"Apple"`
	Category    shop.ID           `json:"category" example:"phones"`
	Merchant    shop.ID           `json:"merchant" example:"nordlicht" doc:"Who sells it; see /merchants/{id}."`
	GTIN        string            `json:"gtin" pattern:"^[0-9]{13}$" example:"2000004180005" doc:"GTIN-13, with its check digit."`
	Weight      int               `json:"weight" minimum:"1" example:"170" doc:"Weight in grams, for the delivery."`
	Released    shop.Date         `json:"released"`
	Description string            `json:"description" example:"Phone with a 6.1 inch OLED display."`
	Attributes  map[string]string `json:"attributes" doc:"What is particular to its kind."`
}

// New returns the service.
func New() *services.Service { return services.New(Name, routes) }

func routes(r *services.Router) {
	all := shop.Parse[[]Product](file)
	c := &catalogue{all: all, byID: shop.Index(all, id)}
	huma.Register(r, shop.Get("product", "/products/{id}", "A product's details", http.StatusNotFound), c.product)
	huma.Register(r, shop.Get("products", "/products", "The products, by category or merchant", http.StatusUnprocessableEntity), c.list)
}

type catalogue struct {
	all  []Product
	byID map[shop.ID]Product
}

func id(p Product) shop.ID { return p.ID }

type one struct {
	ID shop.ID `path:"id" example:"iphone-16-128" doc:"The product."`
}

type oneOutput struct{ Body Product }

func (c *catalogue) product(_ context.Context, in *one) (*oneOutput, error) {
	p, ok := c.byID[in.ID]
	if !ok {
		return nil, shop.NotFound("product", in.ID, c.byID)
	}
	return &oneOutput{p}, nil
}

type many struct {
	Category shop.ID `query:"category" example:"phones" doc:"Only this category; default all."`
	Merchant shop.ID `query:"merchant" example:"nordlicht" doc:"Only this merchant; default all."`
	After    shop.ID `query:"after" example:"aurora-mini" doc:"Where to go on: next of the page before."`
	Limit    int     `query:"limit" default:"20" minimum:"1" maximum:"100" example:"20" doc:"How many at the most."`
}

type manyOutput struct {
	Body struct {
		Products []Product `json:"products"`
		Next     shop.ID   `json:"next,omitempty" example:"aurora-mini" doc:"Give it as after for the next page; missing on the last."`
	}
}

func (c *catalogue) list(_ context.Context, in *many) (out *manyOutput, err error) {
	found := func(yield func(Product) bool) {
		for _, p := range c.all {
			asked := (in.Category == "" || p.Category == in.Category) && (in.Merchant == "" || p.Merchant == in.Merchant)
			if asked && !yield(p) {
				return
			}
		}
	}
	out = &manyOutput{}
	out.Body.Products, out.Body.Next, err = shop.Page(found, id, in.After, in.Limit)
	return out, err
}
