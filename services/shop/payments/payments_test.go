package payments_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/services/shop"
	"github.com/earshot-mq/earshot/services/shop/payments"
	"github.com/earshot-mq/earshot/services/shop/shoptest"
)

type answer struct {
	Country string
	Amount  shop.Money
	Methods []payments.Payment
}

func TestPayments(t *testing.T) {
	s := shoptest.Start(t, payments.New(), "")
	for name, c := range map[string]struct{ query, want string }{
		"all kinds":               {"country=DE&amount=849", "card 849.00, invoice 849.00, sepa 849.00, three 849.00 in 3, wallet 849.00, delivery 852.90, twelve 882.11 in 12"},
		"the least that is taken": {"country=DE&amount=1.00", "card 1.00, sepa 1.00, wallet 1.00, delivery 4.90"},
		"a cent less":             {"country=DE&amount=0.99", "card 0.99, wallet 0.99"},
		"the most that is taken":  {"country=NL&amount=50000", "ideal 50000.00"},
		"a cent more":             {"country=NL&amount=50000.01", ""},
		"in yen":                  {"country=JP&amount=1290&currency=JPY", "card 1290, wallet 1290, konbini 1520"},
		"in fils":                 {"country=KW&amount=1.125&currency=KWD", "card 1.125, knet 1.125, wallet 1.125, delivery 1.875"},
		"in a foreign currency":   {"country=JP&amount=12.90&currency=EUR", "card 12.90, wallet 12.90"},
		"nowhere":                 {"country=ZZ&amount=12.90", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var a answer
			s.Get("/payments?"+c.query, &a)
			var ways []string
			for _, m := range a.Methods {
				way := string(m.ID) + " " + m.Total.Amount()
				if n := len(m.Instalments); n > 0 {
					way += fmt.Sprintf(" in %d", n)
				}
				ways = append(ways, way)
				if sum, err := a.Amount.Add(m.Fee); err != nil || sum != m.Total {
					t.Errorf("%s: %v and %v are %v, want %v", m.ID, a.Amount, m.Fee, sum, m.Total)
				}
			}
			if got := strings.Join(ways, ", "); got != c.want {
				t.Errorf("GET /payments?%s = %s, want %s", c.query, got, c.want)
			}
		})
	}
}

// TestInstalments sees of many amounts that the parts are together the total, and the
// fee the percentage to the nearest cent.
func TestInstalments(t *testing.T) {
	s := shoptest.Start(t, payments.New(), "")
	for cents := int64(20000); cents < 500000; cents += 12347 {
		amount := shop.Money{Minor: cents, Currency: "EUR"}
		var a answer
		s.Get("/payments?country=AT&amount="+amount.Amount(), &a)
		parts := 0
		for _, m := range a.Methods {
			if len(m.Instalments) == 0 {
				continue
			}
			parts++
			sum := shop.Money{Currency: "EUR"}
			for _, i := range m.Instalments {
				sum.Minor += i.Minor
			}
			if sum != m.Total || m.Instalments[0].Minor-m.Instalments[len(m.Instalments)-1].Minor > 1 {
				t.Errorf("%v by %s is %v: together %v, want %v", amount, m.ID, m.Instalments, sum, m.Total)
			}
			fee := big.NewRat(0, 1)
			if m.ID == "twelve" {
				fee = big.NewRat(cents*39, 1000)
			}
			off := fee.Sub(fee, big.NewRat(m.Fee.Minor, 1))
			if off.Abs(off).Cmp(big.NewRat(1, 2)) > 0 {
				t.Errorf("the fee of %v by %s is %v", amount, m.ID, m.Fee)
			}
		}
		if parts == 0 {
			t.Errorf("%v can't be paid in parts", amount)
		}
	}
}

func TestRefuse(t *testing.T) {
	s := shoptest.Start(t, payments.New(), "")
	s.RefuseAll(t, map[string]shoptest.Refusal{
		"no amount":           {"/payments?country=DE", 422, "query.amount"},
		"no country":          {"/payments?amount=1", 422, "query.country"},
		"not an amount":       {"/payments?country=DE&amount=1,5", 422, "query.amount"},
		"negative":            {"/payments?country=DE&amount=-1", 422, "query.amount"},
		"decimals of yen":     {"/payments?country=JP&amount=1.5&currency=JPY", 422, "1 decimals; JPY has 0"},
		"too many decimals":   {"/payments?country=DE&amount=1.005", 422, "3 decimals; EUR has 2"},
		"an unknown currency": {"/payments?country=DE&amount=1&currency=DEM", 422, "query.currency"},
		"too large":           {"/payments?country=DE&amount=1000000000000", 422, "query.amount"},
	})
}
