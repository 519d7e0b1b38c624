package prices

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/services/shop"
	"github.com/earshot-mq/earshot/services/shop/shoptest"
)

var november = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestPrice(t *testing.T) {
	s := shoptest.At(t, Name, routes, november)
	for name, c := range map[string]struct{ target, want string }{
		"as listed":                {"iphone-16-128", "849.00 EUR each, 849.00 in all, 0.00 saved"},
		"several":                  {"iphone-16-128?quantity=3", "849.00 EUR each, 2547.00 in all, 0.00 saved"},
		"into yen":                 {"iphone-16-128?currency=JPY", "150630 JPY each, 150630 in all, 0 saved, from 849.00 EUR"},
		"into fils":                {"iphone-16-128?currency=KWD", "301.268 KWD each, 301.268 in all, 0.000 saved, from 849.00 EUR"},
		"into fils, several":       {"iphone-16-128?currency=KWD&quantity=2", "301.268 KWD each, 602.536 in all, 0.000 saved, from 849.00 EUR"},
		"from yen":                 {"camera-strap?currency=GBP", "25.53 GBP each, 25.53 in all, 0.00 saved, from 5200 JPY"},
		"amount off":               {"iphone-16-128?offer=trade-in-50&quantity=2", "799.00 EUR each, 1598.00 in all, 100.00 saved by trade-in-50"},
		"amount off, converted":    {"iphone-16-128?offer=trade-in-50&currency=JPY", "141759 JPY each, 141759 in all, 8871 saved by trade-in-50, from 849.00 EUR"},
		"fils off":                 {"aurora-one?offer=dinar-five&currency=KWD", "124.900 KWD each, 124.900 in all, 5.000 saved by dinar-five"},
		"percent off":              {"glass-iphone-16?offer=case-10&currency=CNY", "40.50 CNY each, 40.50 in all, 4.50 saved by case-10"},
		"half a percent off":       {"linen-set?offer=black-week-home", "121.63 EUR each, 121.63 in all, 17.37 saved by black-week-home"}, // 121.625
		"a bundle":                 {"glass-iphone-16?offer=glass-3-for-2&currency=CNY&quantity=3", "45.00 CNY each, 90.00 in all, 45.00 saved by glass-3-for-2"},
		"two bundles and two more": {"glass-iphone-16?offer=glass-3-for-2&currency=CNY&quantity=8", "45.00 CNY each, 270.00 in all, 90.00 saved by glass-3-for-2"},
		"too few for a bundle":     {"glass-iphone-16?offer=glass-3-for-2&currency=CNY&quantity=2", "45.00 CNY each, 90.00 in all, 0.00 saved"},
		"the better of two":        {"glass-iphone-16?offer=glass-3-for-2,case-10&currency=CNY&quantity=3", "45.00 CNY each, 90.00 in all, 45.00 saved by glass-3-for-2"},
		"the other of two":         {"glass-iphone-16?offer=glass-3-for-2,case-10&currency=CNY&quantity=2", "40.50 CNY each, 81.00 in all, 9.00 saved by case-10"},
		"not enough for this":      {"cable-usb-c-2m?offer=cable-bulk&quantity=4", "14.90 EUR each, 59.60 in all, 0.00 saved"},
		"just enough":              {"cable-usb-c-2m?offer=cable-bulk&quantity=5", "12.67 EUR each, 63.35 in all, 11.15 saved by cable-bulk"}, // 12.665
		"of another product":       {"iphone-16-128?offer=case-10", "849.00 EUR each, 849.00 in all, 0.00 saved"},
		"over":                     {"tent-2p?offer=summer-2026&currency=SEK", "3495.00 SEK each, 3495.00 in all, 0.00 saved"},
		"not yet":                  {"camera-x?offer=spring-2027&currency=JPY", "138000 JPY each, 138000 in all, 0 saved"},
		"no such offer":            {"iphone-16-128?offer=nothing,trade-in-50", "799.00 EUR each, 799.00 in all, 50.00 saved by trade-in-50"},
		"none":                     {"iphone-16-128?offer=", "849.00 EUR each, 849.00 in all, 0.00 saved"},
	} {
		t.Run(name, func(t *testing.T) {
			var p Price
			s.Get("/prices/"+c.target, &p)
			got := fmt.Sprintf("%v each, %s in all, %s saved", p.Unit, p.Total.Amount(), p.Saved.Amount())
			if strings.HasPrefix(c.want, p.List.String()) != (p.Unit == p.List) {
				t.Errorf("the list price is %v", p.List)
			}
			if p.Offer != "" {
				got += " by " + string(p.Offer)
			}
			if p.Converted != nil {
				got += ", from " + p.Converted.From.String()
			}
			if got != c.want {
				t.Errorf("GET /prices/%s = %s, want %s", c.target, got, c.want)
			}
		})
	}
}

// TestRules asks for any product, currency, quantity and offers, and sees what always has
// to be so.
func TestRules(t *testing.T) {
	s := shoptest.At(t, Name, routes, november)
	r := rand.New(rand.NewPCG(20261123, 2))
	all, deals, fx := shop.Parse[[]price](pricesFile), shop.Parse[[]deal](dealsFile), shop.Parse[rates](ratesFile)
	saved := 0
	for range 1500 {
		p, c, quantity := all[r.IntN(len(all))], shop.Currencies()[r.IntN(len(shop.Currencies()))], 1+r.IntN(12)
		var ids []string
		for _, d := range deals {
			if r.IntN(2) == 0 {
				ids = append(ids, string(d.ID))
			}
		}
		target := fmt.Sprintf("/prices/%s?currency=%s&quantity=%d&offer=%s", p.Product, c, quantity, strings.Join(ids, ","))
		var got Price
		s.Get(target, &got)
		full := got.List.Minor * int64(quantity)
		if got.Total.Minor+got.Saved.Minor != full || got.Saved.Minor < 0 || got.Total.Minor < 0 || (got.Saved.Minor > 0) != (got.Offer != "") {
			t.Fatalf("GET %s = %+v: total and saved are not %d", target, got, full)
		}
		if got.Unit != got.List && got.Total.Minor != got.Unit.Minor*int64(quantity) {
			t.Fatalf("GET %s = %+v: the total is not so many times the unit", target, got)
		}
		if got.Converted != nil {
			exact := new(big.Rat).SetInt64(got.Converted.From.Minor)
			exact.Mul(exact, fx.Rates[c].Rat).Quo(exact, fx.Rates[p.Currency].Rat)
			exact.Mul(exact, scale(t, c)).Quo(exact, scale(t, p.Currency))
			if off := exact.Sub(exact, big.NewRat(got.List.Minor, 1)); off.Abs(off).Cmp(big.NewRat(1, 2)) > 0 {
				t.Fatalf("GET %s = %+v: off by %s", target, got, off.FloatString(3))
			}
		}
		for _, id := range ids { // no offer alone is better
			var alone Price
			if r.IntN(8) == 0 {
				s.Get(fmt.Sprintf("/prices/%s?currency=%s&quantity=%d&offer=%s", p.Product, c, quantity, id), &alone)
				if alone.Total.Minor < got.Total.Minor {
					t.Fatalf("GET %s = %v, but with %s alone %v", target, got.Total, id, alone.Total)
				}
			}
		}
		if got.Offer != "" {
			saved++
		}
	}
	if saved < 100 {
		t.Errorf("only %d prices were any cheaper", saved)
	}
}

func scale(t *testing.T, c shop.Currency) *big.Rat {
	one, err := shop.ParseMoney("1", c)
	if err != nil {
		t.Fatal(err)
	}
	return big.NewRat(one.Minor, 1)
}

// TestBest sees that of several offers the best is applied, wherever it stands, and of
// equal ones the first by its id.
func TestBest(t *testing.T) {
	percent := func(id shop.ID, hundredths int64) deal {
		return deal{ID: id, Kind: "percent", Products: []shop.ID{"x"}, Percent: shop.Rat{Rat: big.NewRat(hundredths, 1)}}
	}
	b := &book{
		prices: map[shop.ID]price{"x": {"x", "EUR", map[shop.Currency]string{"EUR": "10.00"}}},
		deals:  map[shop.ID]deal{"a": percent("a", 20), "b": percent("b", 10), "c": percent("c", 30), "d": percent("d", 30), "e": percent("e", 20)},
		now:    time.Now,
	}
	for offers, want := range map[string]shop.ID{"a,b": "a", "b,a": "a", "b,c,a": "c", "d,c": "c", "e,a,b": "a", "a,d,e": "d"} {
		in := &input{ID: "x", Currency: "EUR", Quantity: 1}
		for id := range strings.SplitSeq(offers, ",") {
			in.Offer = append(in.Offer, shop.ID(id))
		}
		if out, err := b.price(t.Context(), in); err != nil || out.Body.Offer != want {
			t.Errorf("of %s it is %+v, %v, want %s", offers, out, err, want)
		}
	}
}

// TestNeverBelowZero sees that more off than there is makes a gift, not a payment.
func TestNeverBelowZero(t *testing.T) {
	d := deal{Kind: "amount", Off: &shop.Money{Minor: 5000, Currency: "EUR"}}
	unit, total, err := d.apply(shop.Money{Minor: 100, Currency: "EUR"}, 3, nil)
	if err != nil || unit.String() != "0.00 EUR" || total.String() != "0.00 EUR" {
		t.Errorf("apply = %v, %v, %v, want nothing", unit, total, err)
	}
}

func TestRefuse(t *testing.T) {
	s := shoptest.At(t, Name, routes, november)
	s.RefuseAll(t, map[string]shoptest.Refusal{
		"unknown":             {"/prices/iphone-16-182", 404, `did you mean \"iphone-16-128\"?`},
		"an unknown currency": {"/prices/iphone-16-128?currency=DEM", 422, "query.currency"},
		"none of it":          {"/prices/iphone-16-128?quantity=0", 422, "query.quantity"},
		"too many":            {"/prices/iphone-16-128?quantity=100", 422, "query.quantity"},
		"no offer's id":       {"/prices/iphone-16-128?offer=A", 422, "query.offer"},
		"too many offers":     {"/prices/iphone-16-128?offer=" + strings.Repeat("a,", 20) + "a", 422, "query.offer"},
		"a slip of a name":    {"/prices/iphone-16-128?curency=USD", 422, "query.curency"},
	})
}
