// Package orders is the service that knows what a customer has bought:
//
//	GET /orders?customer=c1001&product=iphone-16-128&after=&limit=
//
// It knows neither addresses nor how an order was paid, and tells no names of customers.
// That the client is this customer is for the gateway to see.
package orders

import (
	"cmp"
	"context"
	_ "embed" // the data
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop"
)

// Name is the service's name.
const Name = "orders"

var (
	//go:embed customers.json
	customersFile []byte
	//go:embed orders.json
	ordersFile []byte
	//go:embed names.json
	namesFile []byte // of the products, which an invoice has too
)

// Customer is who buys, as far as other services have to know it.
type Customer struct {
	ID       shop.ID       `json:"id" example:"c1001"`
	Country  shop.Country  `json:"country" doc:"Where deliveries go; for /merchants/{id} and /payments."`
	Currency shop.Currency `json:"currency" doc:"For /prices/{id} and /payments."`
	Since    shop.Date     `json:"since"`
}

// order is one as the data has it.
type order struct {
	ID       shop.ID       `json:"id"`
	Customer shop.ID       `json:"customer"`
	Placed   time.Time     `json:"placed"`
	Status   string        `json:"status"`
	Currency shop.Currency `json:"currency"`
	Lines    []struct {
		Product  shop.ID `json:"product"`
		Quantity int     `json:"quantity"`
		Unit     string  `json:"unit"`
	} `json:"lines"`
}

// Order is a purchase, at the prices of its day.
type Order struct {
	ID     shop.ID    `json:"id" example:"o20261118-01"`
	Placed time.Time  `json:"placed" example:"2026-11-18T09:12:44Z"`
	Status string     `json:"status" enum:"placed,shipped,delivered,returned,cancelled" example:"delivered"`
	Lines  []Line     `json:"lines"`
	Total  shop.Money `json:"total"`
}

// Line is one product of an Order.
type Line struct {
	Product  shop.ID    `json:"product" example:"iphone-16-128"`
	Name     string     `json:"name" example:"iPhone 16, 128 GB, black"`
	Quantity int        `json:"quantity" minimum:"1" example:"1"`
	Unit     shop.Money `json:"unit" doc:"The price of one piece."`
	Total    shop.Money `json:"total"`
}

func (o *Order) id() shop.ID { return o.ID }

func (o *Order) has(product shop.ID) bool {
	return slices.ContainsFunc(o.Lines, func(l Line) bool { return l.Product == product })
}

// New returns the service.
func New() *services.Service { return services.New(Name, routes) }

func routes(r *services.Router) {
	h := shop.Must(load())
	huma.Register(r, shop.Get("orders", "/orders", "What a customer has bought", http.StatusNotFound), h.orders)
}

// history has the customers, and each one's orders, the newest first.
type history struct {
	customers map[shop.ID]Customer
	of        map[shop.ID][]*Order
}

func load() (*history, error) {
	names := shop.Parse[map[shop.ID]string](namesFile)
	h := &history{
		customers: shop.Index(shop.Parse[[]Customer](customersFile), func(c Customer) shop.ID { return c.ID }),
		of:        map[shop.ID][]*Order{},
	}
	for _, o := range shop.Parse[[]order](ordersFile) {
		total := shop.Money{Currency: o.Currency}
		placed := &Order{ID: o.ID, Placed: o.Placed, Status: o.Status}
		for _, l := range o.Lines {
			unit, err := shop.ParseMoney(l.Unit, o.Currency)
			if err != nil {
				return nil, fmt.Errorf("orders: %s: %w", o.ID, err)
			}
			sum, err1 := unit.Times(l.Quantity)
			all, err2 := total.Add(sum)
			if err := cmp.Or(err1, err2); err != nil {
				return nil, fmt.Errorf("orders: %s: %w", o.ID, err)
			}
			total = all
			placed.Lines = append(placed.Lines, Line{l.Product, names[l.Product], l.Quantity, unit, sum})
		}
		placed.Total = total
		h.of[o.Customer] = append(h.of[o.Customer], placed)
	}
	for _, all := range h.of {
		slices.SortFunc(all, func(a, b *Order) int { return cmp.Or(b.Placed.Compare(a.Placed), cmp.Compare(a.ID, b.ID)) })
	}
	return h, nil
}

type input struct {
	Customer shop.ID `query:"customer" required:"true" example:"c1001" doc:"Whose orders."`
	Product  shop.ID `query:"product" example:"iphone-16-128" doc:"Only orders with this product; default all."`
	After    shop.ID `query:"after" example:"o20261118-01" doc:"Where to go on: next of the page before."`
	Limit    int     `query:"limit" default:"10" minimum:"1" maximum:"50" example:"10" doc:"How many at the most."`
}

type output struct {
	Body struct {
		Customer Customer `json:"customer"`
		Count    int      `json:"count" example:"1" doc:"How many orders there are in all, with this product if one was asked for."`
		Orders   []*Order `json:"orders" nullable:"false" doc:"The newest first; empty if there is none."`
		Next     shop.ID  `json:"next,omitempty" example:"o20261118-01" doc:"Give it as after for the next page; missing on the last."`
		Bought   string   `json:"bought" example:"charger-30w,iphone-16-128" doc:"All products that the customer has bought, in any order that was not cancelled, with commas between: the latest 100, as /recommendations takes them in its parameter exclude."`
	}
}

func (h *history) orders(_ context.Context, in *input) (out *output, err error) {
	customer, ok := h.customers[in.Customer]
	if !ok {
		return nil, huma.Error404NotFound("there is no such customer")
	}
	found := h.of[in.Customer]
	out = &output{}
	out.Body.Customer, out.Body.Bought = customer, bought(found)
	if in.Product != "" {
		found = slices.DeleteFunc(slices.Clone(found), func(o *Order) bool { return !o.has(in.Product) })
	}
	out.Body.Count = len(found)
	out.Body.Orders, out.Body.Next, err = shop.Page(slices.Values(found), (*Order).id, in.After, in.Limit)
	return out, err
}

// bought lists the different products of orders, which begin with the newest.
func bought(orders []*Order) string {
	const most = 100
	var products []string
	for _, o := range orders {
		for _, l := range o.Lines {
			if o.Status != "cancelled" && len(products) < most && !slices.Contains(products, string(l.Product)) {
				products = append(products, string(l.Product))
			}
		}
	}
	slices.Sort(products)
	return strings.Join(products, ",")
}
