// Package recommendations is the service that knows what is bought together:
//
//	GET /recommendations?product=iphone-16-128&limit=5&exclude=charger-30w
//
// # The measure
//
// Of two products a and b the score is the cosine of their purchases, also named after
// Ochiai: together(a, b) / √(bought(a) · bought(b)), where each counts the orders. It is 1
// if they are always bought together, and what everybody buys anyway is not ahead by
// that. What was together in a single order only is left out as chance.
//
// The order is the score's, then that of how often together, then that of the ids. It is
// computed with integers, so that it is the same on every machine.
package recommendations

import (
	"cmp"
	"context"
	_ "embed" // the data
	"math"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop"
)

// Name is the service's name.
const Name = "recommendations"

// support is in how many orders two products have to be together.
const support = 2

//go:embed baskets.json
var file []byte

// Recommendation is a product that goes with another.
type Recommendation struct {
	Product  shop.ID `json:"product" example:"glass-iphone-16"`
	Score    float64 `json:"score" minimum:"0" maximum:"1" example:"0.577" doc:"Cosine of the purchases, rounded to thousandths."`
	Together int     `json:"together" minimum:"2" example:"25" doc:"In how many orders both were."`
}

// New returns the service.
func New() *services.Service { return services.New(Name, routes) }

func routes(r *services.Router) {
	t := train(shop.Parse[[][]shop.ID](file))
	huma.Register(r, shop.Get("recommendations", "/recommendations", "What is bought together with a product", http.StatusUnprocessableEntity), t.recommend)
}

// table has for each product what goes with it, the best first.
type table map[shop.ID][]Recommendation

// train makes the table of baskets, each of which has the different products of an order.
func train(baskets [][]shop.ID) table {
	bought := map[shop.ID]int{}
	together := map[[2]shop.ID]int{}
	for _, basket := range baskets {
		for _, a := range basket {
			bought[a]++
			for _, b := range basket {
				if a != b {
					together[[2]shop.ID{a, b}]++
				}
			}
		}
	}
	t := make(table, len(bought))
	for pair, n := range together {
		if n >= support {
			score := float64(n) / math.Sqrt(float64(bought[pair[0]]*bought[pair[1]]))
			t[pair[0]] = append(t[pair[0]], Recommendation{pair[1], math.Round(score*1000) / 1000, n})
		}
	}
	for _, list := range t {
		slices.SortFunc(list, func(x, y Recommendation) int {
			return cmp.Or(
				// The cosines' squares without what they share, and without division.
				-cmp.Compare(x.Together*x.Together*bought[y.Product], y.Together*y.Together*bought[x.Product]),
				-cmp.Compare(x.Together, y.Together),
				cmp.Compare(x.Product, y.Product),
			)
		})
	}
	return t
}

type input struct {
	Product shop.ID   `query:"product" required:"true" example:"iphone-16-128" doc:"The product that is looked at."`
	Limit   int       `query:"limit" default:"5" minimum:"1" maximum:"50" example:"5" doc:"How many at the most."`
	Exclude []shop.ID `query:"exclude" maxItems:"100" example:"charger-30w" doc:"Products to leave out, such as those that the client has; with commas between."`
}

type output struct {
	Body struct {
		Product         shop.ID          `json:"product" example:"iphone-16-128"`
		Recommendations []Recommendation `json:"recommendations" doc:"The best first; empty if nothing is known."`
	}
}

func (t table) recommend(_ context.Context, in *input) (*output, error) {
	var out output
	out.Body.Product, out.Body.Recommendations = in.Product, []Recommendation{}
	for _, r := range t[in.Product] {
		if len(out.Body.Recommendations) < in.Limit && !slices.Contains(in.Exclude, r.Product) {
			out.Body.Recommendations = append(out.Body.Recommendations, r)
		}
	}
	return &out, nil
}
