// Package payments is the service that knows how an amount can be paid in a country:
//
//	GET /payments?country=DE&amount=129.90&currency=EUR
//
// A way of payment has a fee, fixed or a part of the amount, and may be in instalments;
// these differ by the smallest unit at the most and are together exactly the total. The
// cheapest is first; of equal total they stand in the order of their names.
package payments

import (
	"cmp"
	"context"
	_ "embed" // the data
	"math/big"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop"
)

// Name is the service's name.
const Name = "payments"

//go:embed methods.json
var file []byte

// method is a way of payment as the data has it.
type method struct {
	ID          shop.ID                 `json:"id"`
	Name        string                  `json:"name"`
	Kind        string                  `json:"kind"`
	Countries   []shop.Country          `json:"countries"`
	Percent     shop.Rat                `json:"percent"` // fee in hundredths of the amount
	Instalments int                     `json:"instalments"`
	Limits      map[shop.Currency]limit `json:"limits"`
}

type limit struct {
	Min string `json:"min"`
	Max string `json:"max"`
	Fee string `json:"fee"` // fixed; default none
}

// Payment is a way to pay an amount.
type Payment struct {
	ID          shop.ID      `json:"id" example:"three"`
	Name        string       `json:"name" example:"Three instalments, no interest"`
	Kind        string       `json:"kind" enum:"card,wallet,debit,transfer,invoice,credit,cash" example:"credit"`
	Fee         shop.Money   `json:"fee" doc:"What it costs beside the amount."`
	Total       shop.Money   `json:"total" doc:"The amount and the fee."`
	Instalments []shop.Money `json:"instalments,omitempty" doc:"The monthly payments; together exactly the total."`
}

// New returns the service.
func New() *services.Service { return services.New(Name, routes) }

func routes(r *services.Router) {
	m := methods(shop.Parse[[]method](file))
	huma.Register(r, shop.Get("payments", "/payments", "How an amount can be paid in a country", http.StatusUnprocessableEntity), m.payments)
}

type methods []method

type input struct {
	Country  shop.Country  `query:"country" required:"true" example:"DE" doc:"Where the client pays."`
	Amount   string        `query:"amount" required:"true" maxLength:"16" pattern:"^(0|[1-9][0-9]{0,11})(\\.[0-9]{1,3})?$" patternDescription:"an amount such as 12.90" example:"129.90" doc:"What is to be paid."`
	Currency shop.Currency `query:"currency" default:"EUR" example:"EUR" doc:"The currency of the amount."`
}

type output struct {
	Body struct {
		Country shop.Country `json:"country"`
		Amount  shop.Money   `json:"amount"`
		Methods []Payment    `json:"methods" doc:"The cheapest first; empty if there is none."`
	}
}

func (ms methods) payments(_ context.Context, in *input) (*output, error) {
	amount, err := shop.ParseMoney(in.Amount, in.Currency)
	if err != nil {
		return nil, shop.Invalid("query.amount", err.Error())
	}
	var out output
	out.Body.Country, out.Body.Amount, out.Body.Methods = in.Country, amount, []Payment{}
	for _, m := range ms {
		p, ok, err := m.payment(in.Country, amount)
		if err != nil {
			return nil, err
		}
		if ok {
			out.Body.Methods = append(out.Body.Methods, p)
		}
	}
	slices.SortFunc(out.Body.Methods, func(a, b Payment) int {
		return cmp.Or(cmp.Compare(a.Total.Minor, b.Total.Minor), cmp.Compare(a.ID, b.ID))
	})
	return &out, nil
}

// payment is how m pays an amount; not ok if it can't.
func (m *method) payment(country shop.Country, amount shop.Money) (p Payment, ok bool, err error) {
	l, ok := m.Limits[amount.Currency]
	if !ok || !slices.Contains(m.Countries, country) {
		return p, false, nil
	}
	least, err1 := shop.ParseMoney(l.Min, amount.Currency)
	most, err2 := shop.ParseMoney(l.Max, amount.Currency)
	fixed, err3 := shop.ParseMoney(cmp.Or(l.Fee, "0"), amount.Currency)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return p, false, err
	}
	if amount.Minor < least.Minor || amount.Minor > most.Minor {
		return p, false, nil
	}
	p = Payment{ID: m.ID, Name: m.Name, Kind: m.Kind}
	part, err := amount.Scale(new(big.Rat).Mul(m.Percent.Rat, big.NewRat(1, 100)))
	if err != nil {
		return p, false, err
	}
	if p.Fee, err = part.Add(fixed); err != nil {
		return p, false, err
	}
	if p.Total, err = amount.Add(p.Fee); err != nil {
		return p, false, err
	}
	if m.Instalments > 0 {
		p.Instalments = p.Total.Split(m.Instalments)
	}
	return p, true, nil
}
