// Package merchants is the service that knows who sells, and how it gets to the client:
//
//	GET /merchants/{id}?country=DE&weight=170
//
// The ways of delivery are those to a country for a parcel of a weight, the cheapest
// first; of equal price the faster one. The list is empty where the merchant does not
// deliver.
package merchants

import (
	"cmp"
	"context"
	_ "embed" // the data
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop"
)

// Name is the service's name.
const Name = "merchants"

//go:embed merchants.json
var file []byte

// merchant is one as the data has it.
type merchant struct {
	Profile
	Zones []struct {
		Countries []shop.Country `json:"countries"`
		Options   []struct {
			ID      shop.ID `json:"id"`
			Carrier string  `json:"carrier"`
			Name    string  `json:"name"`
			Days    [2]int  `json:"days"`
			Free    string  `json:"free"` // from which amount on
			Bands   []struct {
				Upto  int    `json:"upto"` // grams
				Price string `json:"price"`
			} `json:"bands"` // the lightest first
		} `json:"options"`
	} `json:"zones"`
}

// Profile is who a merchant is.
type Profile struct {
	ID        shop.ID       `json:"id" example:"nordlicht"`
	Name      string        `json:"name" example:"Nordlicht Elektronik"`
	Company   string        `json:"company" example:"Nordlicht Elektronik GmbH" doc:"The name in law."`
	City      string        `json:"city" example:"Hamburg"`
	Country   shop.Country  `json:"country"`
	Currency  shop.Currency `json:"currency"`
	Since     int           `json:"since" example:"2009" doc:"Year of foundation."`
	Returns   int           `json:"returns" example:"30" doc:"Days within which a purchase can be sent back."`
	Languages []string      `json:"languages" example:"de,en" doc:"Languages of the customer service."`
}

// Delivery is a way for a parcel to get to the client.
type Delivery struct {
	ID      shop.ID     `json:"id" example:"parcel"`
	Carrier string      `json:"carrier" example:"DHL"`
	Name    string      `json:"name" example:"Parcel"`
	Price   shop.Money  `json:"price"`
	Free    *shop.Money `json:"free,omitempty" doc:"From this amount on the delivery is free."`
	Days    struct {
		Min int `json:"min" example:"1"`
		Max int `json:"max" example:"2"`
	} `json:"days" doc:"Working days until it is there."`
}

// New returns the service.
func New() *services.Service { return services.New(Name, routes) }

func routes(r *services.Router) {
	m := merchantsByID(shop.Index(shop.Parse[[]merchant](file), func(m merchant) shop.ID { return m.ID }))
	huma.Register(r, shop.Get("merchant", "/merchants/{id}", "A merchant, and how it delivers", http.StatusNotFound), m.merchant)
}

type merchantsByID map[shop.ID]merchant

type input struct {
	ID      shop.ID      `path:"id" example:"nordlicht" doc:"The merchant."`
	Country shop.Country `query:"country" example:"FR" doc:"Where to; default the merchant's own country."`
	Weight  int          `query:"weight" default:"1000" minimum:"1" maximum:"100000" example:"170" doc:"Weight of the parcel in grams."`
}

type output struct {
	Body struct {
		Profile
		To       shop.Country `json:"to" example:"FR" doc:"The country that the ways of delivery are for."`
		Delivery []Delivery   `json:"delivery" doc:"The cheapest first; empty if the merchant does not deliver there."`
	}
}

func (ms merchantsByID) merchant(_ context.Context, in *input) (out *output, err error) {
	m, ok := ms[in.ID]
	if !ok {
		return nil, shop.NotFound("merchant", in.ID, ms)
	}
	out = &output{}
	out.Body.Profile = m.Profile
	out.Body.To = cmp.Or(in.Country, m.Country)
	out.Body.Delivery, err = m.delivery(out.Body.To, in.Weight)
	return out, err
}

func (m *merchant) delivery(to shop.Country, grams int) (ways []Delivery, err error) {
	ways = []Delivery{}
	for _, zone := range m.Zones {
		if !slices.Contains(zone.Countries, to) {
			continue
		}
		for _, o := range zone.Options {
			for _, band := range o.Bands {
				if grams > band.Upto {
					continue
				}
				d := Delivery{ID: o.ID, Carrier: o.Carrier, Name: o.Name}
				d.Days.Min, d.Days.Max = o.Days[0], o.Days[1]
				if d.Price, err = shop.ParseMoney(band.Price, m.Currency); err != nil {
					return nil, err
				}
				if o.Free != "" {
					free, err := shop.ParseMoney(o.Free, m.Currency)
					if err != nil {
						return nil, err
					}
					d.Free = &free
				}
				ways = append(ways, d)
				break
			}
		}
	}
	slices.SortStableFunc(ways, func(a, b Delivery) int {
		return cmp.Or(cmp.Compare(a.Price.Minor, b.Price.Minor), cmp.Compare(a.Days.Max, b.Days.Max), cmp.Compare(a.ID, b.ID))
	})
	return ways, nil
}
