// Package prices is the service that knows what a product costs:
//
//	GET /prices/{id}?currency=USD&quantity=2&offer=case-10,glass-3-for-2
//
// # The rules
//
// A product has a list price in its merchant's currency, and may have others. A currency
// in which it has none is converted into, at the rate of the day that the answer names:
// exactly, and then rounded once, to the nearest smallest unit, halves away from zero
// (see shop.Money). A unit price is thus one that can be paid, and a total is so many
// times that.
//
// Of the offers that are given the one with the least total is applied, and no other; of
// equal ones the first by its id. One that does not hold now, for this product or for
// this quantity changes nothing, nor does one that is not known here. A percentage, and
// an amount that is off in another currency, are rounded as above, for one piece; no
// price is below zero. A bundle, buy 3 pay 2, leaves the unit price as it is.
package prices

import (
	"cmp"
	"context"
	_ "embed" // the data
	"math/big"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop"
)

// Name is the service's name.
const Name = "prices"

var (
	//go:embed prices.json
	pricesFile []byte
	//go:embed deals.json
	dealsFile []byte
	//go:embed rates.json
	ratesFile []byte
)

// price is what a product costs, as the data has it.
type price struct {
	Product  shop.ID                  `json:"product"`
	Currency shop.Currency            `json:"currency"` // the merchant's, in which there is always an amount
	Amounts  map[shop.Currency]string `json:"amounts"`
}

// rates are what one unit of the base currency is worth.
type rates struct {
	Base  shop.Currency              `json:"base"`
	Date  shop.Date                  `json:"date"`
	Rates map[shop.Currency]shop.Rat `json:"rates"`
}

// convert returns m in another currency, by way of the base's, rounded once.
func (r *rates) convert(m shop.Money, to shop.Currency) (shop.Money, error) {
	if m.Currency == to {
		return m, nil
	}
	return m.Convert(to, new(big.Rat).Quo(r.Rates[to].Rat, r.Rates[m.Currency].Rat))
}

// New returns the service.
func New() *services.Service {
	return services.New(Name, func(r *services.Router) { routes(r, time.Now) })
}

func routes(r *services.Router, now func() time.Time) {
	b := &book{
		prices: shop.Index(shop.Parse[[]price](pricesFile), func(p price) shop.ID { return p.Product }),
		deals:  shop.Index(shop.Parse[[]deal](dealsFile), func(d deal) shop.ID { return d.ID }),
		rates:  shop.Parse[rates](ratesFile),
		now:    now,
	}
	huma.Register(r, shop.Get("price", "/prices/{id}", "What a product costs", http.StatusNotFound), b.price)
}

type book struct {
	prices map[shop.ID]price
	deals  map[shop.ID]deal
	rates  rates
	now    func() time.Time
}

type input struct {
	ID       shop.ID       `path:"id" example:"iphone-16-128" doc:"The product."`
	Currency shop.Currency `query:"currency" default:"EUR" example:"USD" doc:"The currency of the answer."`
	Quantity int           `query:"quantity" default:"1" minimum:"1" maximum:"99" example:"2" doc:"How many pieces."`
	Offer    []shop.ID     `query:"offer" maxItems:"20" example:"trade-in-50" doc:"Offers that may be applied, with commas between: apply of /offers."`
}

// Price is what a product costs.
type Price struct {
	Product   shop.ID    `json:"product" example:"iphone-16-128"`
	Quantity  int        `json:"quantity" example:"2"`
	List      shop.Money `json:"list" doc:"One piece, without an offer."`
	Unit      shop.Money `json:"unit" doc:"One piece, with the offer."`
	Total     shop.Money `json:"total" doc:"All pieces, with the offer."`
	Saved     shop.Money `json:"saved" doc:"What all pieces would cost without the offer, less the total."`
	Offer     shop.ID    `json:"offer,omitempty" example:"trade-in-50" doc:"The offer that was applied; missing if none was."`
	Converted *Converted `json:"converted,omitempty" doc:"Missing if the list price is in this currency."`
}

// Converted is what a list price was made of.
type Converted struct {
	From shop.Money `json:"from" doc:"The list price in the merchant's currency."`
	Date shop.Date  `json:"date" doc:"The day of the rate."`
}

type output struct{ Body Price }

func (b *book) price(_ context.Context, in *input) (*output, error) {
	p, ok := b.prices[in.ID]
	if !ok {
		return nil, shop.NotFound("product", in.ID, b.prices)
	}
	list, converted, err := b.list(p, in.Currency)
	if err != nil {
		return nil, err
	}
	full, err := list.Times(in.Quantity)
	if err != nil {
		return nil, err
	}
	out := &output{Price{Product: in.ID, Quantity: in.Quantity, List: list, Unit: list, Total: full, Converted: converted}}
	now := b.now()
	slices.Sort(in.Offer)
	for _, id := range in.Offer {
		d, ok := b.deals[id]
		if !ok || !d.holds(now, in.ID, in.Quantity) {
			continue
		}
		unit, total, err := d.apply(list, in.Quantity, &b.rates)
		if err != nil {
			return nil, err
		}
		if total.Minor < out.Body.Total.Minor {
			out.Body.Unit, out.Body.Total, out.Body.Offer = unit, total, id
		}
	}
	out.Body.Saved, err = full.Sub(out.Body.Total)
	return out, err
}

// list is the price of one piece in a currency, and what it was converted from, if it was.
func (b *book) list(p price, c shop.Currency) (shop.Money, *Converted, error) {
	if amount, ok := p.Amounts[c]; ok {
		list, err := shop.ParseMoney(amount, c)
		return list, nil, err
	}
	from, err := shop.ParseMoney(p.Amounts[p.Currency], p.Currency)
	if err != nil {
		return shop.Money{}, nil, err
	}
	list, err := b.rates.convert(from, c)
	return list, &Converted{from, b.rates.Date}, err
}

// deal is what an offer does to a price, as the data has it.
type deal struct {
	ID       shop.ID     `json:"id"`
	Kind     string      `json:"kind"` // percent, amount or bundle
	Products []shop.ID   `json:"products"`
	Percent  shop.Rat    `json:"percent"`  // off each piece, in hundredths
	Off      *shop.Money `json:"off"`      // off each piece
	Buy      int         `json:"buy"`      // so many pieces
	Pay      int         `json:"pay"`      // for the price of so many
	Quantity int         `json:"quantity"` // it holds from so many on
	shop.Period
}

func (d *deal) holds(at time.Time, product shop.ID, quantity int) bool {
	return slices.Contains(d.Products, product) && quantity >= max(d.Quantity, d.Buy) && d.Holds(at)
}

// apply returns the price of one piece and of all.
func (d *deal) apply(list shop.Money, quantity int, r *rates) (unit, total shop.Money, err error) {
	unit = list
	switch d.Kind {
	case "percent":
		left := new(big.Rat).Sub(big.NewRat(100, 1), d.Percent.Rat)
		unit, err = list.Scale(left.Mul(left, big.NewRat(1, 100)))
	case "amount":
		off, err1 := r.convert(*d.Off, list.Currency)
		less, err2 := list.Sub(off)
		unit, err = shop.Money{Minor: max(0, less.Minor), Currency: list.Currency}, cmp.Or(err1, err2)
	case "bundle":
		quantity -= quantity / d.Buy * (d.Buy - d.Pay)
	}
	if err != nil {
		return unit, total, err
	}
	total, err = unit.Times(quantity)
	return unit, total, err
}
