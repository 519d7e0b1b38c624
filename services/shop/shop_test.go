package shop_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/services/shop"
)

// What the files of the services have, as far as it has to agree.
type (
	product struct {
		ID, Name, Brand, Category, Merchant, GTIN, Description string
		Weight                                                 int
		Released                                               shop.Date
		Attributes                                             map[string]string
	}
	merchant struct {
		ID, Name, Country string
		Currency          shop.Currency
		Since, Returns    int
		Zones             []zone
	}
	zone struct {
		Countries []string
		Options   []struct {
			ID, Free string
			Days     [2]int
			Bands    []struct {
				Upto  int
				Price string
			}
		}
	}
	price struct {
		Product  string
		Currency shop.Currency
		Amounts  map[shop.Currency]string
	}
	rates struct {
		Base  shop.Currency
		Rates map[shop.Currency]shop.Rat
	}
	offer struct {
		ID, Kind, Percent  string
		Title, Text        string
		Products           []string
		Off                *shop.Money
		Buy, Pay, Quantity int
		From, Until        string
	}
	customer struct {
		ID, Country string
		Currency    shop.Currency
		Since       string
	}
	order struct {
		ID, Customer, Status string
		Currency             shop.Currency
		Placed               time.Time
		Lines                []line
	}
	line struct {
		Product, Unit string
		Quantity      int
	}
	review struct {
		ID, Product, Customer, Author, Title, Text string
		Rating                                     int
		At                                         time.Time
		Verified                                   bool
	}
)

// data is what all services have together.
type data struct {
	products  map[string]product
	merchants map[string]merchant
	prices    map[string]price
	rates     rates
	customers map[string]customer
	orders    []order
}

func read[T any](t *testing.T, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// index sees that no two items have one id.
func index[T any](t *testing.T, all []T, id func(T) string) map[string]T {
	t.Helper()
	m := shop.Index(all, id)
	if len(m) != len(all) {
		t.Errorf("%d of %d have an id of their own: %T", len(m), len(all), all)
	}
	for id := range m {
		if id == "" || len(id) > 40 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%q is no id", id)
		}
	}
	return m
}

func load(t *testing.T) *data {
	return &data{
		products:  index(t, read[[]product](t, "products/products.json"), func(p product) string { return p.ID }),
		merchants: index(t, read[[]merchant](t, "merchants/merchants.json"), func(m merchant) string { return m.ID }),
		prices:    index(t, read[[]price](t, "prices/prices.json"), func(p price) string { return p.Product }),
		rates:     read[rates](t, "prices/rates.json"),
		customers: index(t, read[[]customer](t, "orders/customers.json"), func(c customer) string { return c.ID }),
		orders:    read[[]order](t, "orders/orders.json"),
	}
}

func money(t *testing.T, amount string, c shop.Currency) shop.Money {
	t.Helper()
	m, err := shop.ParseMoney(amount, c)
	if err != nil {
		t.Fatal(err)
	}
	if m.Amount() != amount {
		t.Errorf("%s %s is written as %s", amount, c, m.Amount())
	}
	return m
}

// same sees that exactly the products are named, each once.
func (d *data) same(t *testing.T, where string, ids []string) {
	t.Helper()
	slices.Sort(ids)
	if want := slices.Sorted(maps.Keys(d.products)); !slices.Equal(ids, want) {
		t.Errorf("%s has the products %v, want %v", where, ids, want)
	}
}

func TestProducts(t *testing.T) {
	d := load(t)
	if len(d.products) < 50 || len(d.merchants) < 10 || len(d.customers) < 40 || len(d.orders) < 250 {
		t.Errorf("%d products, %d merchants, %d customers, %d orders", len(d.products), len(d.merchants), len(d.customers), len(d.orders))
	}
	sells := map[string]int{}
	for id, p := range d.products {
		sells[p.Merchant]++
		if _, ok := d.merchants[p.Merchant]; !ok {
			t.Errorf("%s is sold by %q, which is no merchant", id, p.Merchant)
		}
		if p.Name == "" || p.Brand == "" || p.Category == "" || len(p.Description) < 20 || p.Weight < 1 || len(p.Attributes) == 0 {
			t.Errorf("%s is not described: %+v", id, p)
		}
		sum := 0
		for i, c := range p.GTIN {
			sum += int(c-'0') * (1 + 2*(i%2))
		}
		if len(p.GTIN) != 13 || sum%10 != 0 {
			t.Errorf("%s has GTIN %s, whose check digit is wrong", id, p.GTIN)
		}
	}
	for id := range d.merchants {
		if sells[id] == 0 {
			t.Errorf("%s sells nothing", id)
		}
	}
	var stocked []string
	for _, s := range read[[]struct {
		Product    string
		Stock, Low int
		Restock    string
	}](t, "inventory/stock.json") {
		stocked = append(stocked, s.Product)
		if s.Stock < 0 || s.Low < 1 || s.Stock == 0 && s.Restock == "" {
			t.Errorf("stock of %s is %+v", s.Product, s)
		}
	}
	d.same(t, "stock", stocked)
	d.same(t, "reviews/products.json", read[[]string](t, "reviews/products.json"))
	names := read[map[string]string](t, "orders/names.json")
	d.same(t, "orders/names.json", slices.Collect(maps.Keys(names)))
	for id, name := range names {
		if name != d.products[id].Name {
			t.Errorf("orders call %s %q, products %q", id, name, d.products[id].Name)
		}
	}
}

func TestMerchants(t *testing.T) {
	d := load(t)
	for id, m := range d.merchants {
		if _, err := m.Currency.Exponent(); err != nil || m.Name == "" || m.Since < 1900 || m.Returns < 14 {
			t.Errorf("%s is %+v: %v", id, m, err)
		}
		heaviest := 0
		for _, p := range d.products {
			if p.Merchant == id {
				heaviest = max(heaviest, p.Weight)
			}
		}
		to := map[string]bool{}
		for _, z := range m.Zones {
			most := 0
			for _, o := range z.Options {
				upto, last := 0, int64(0)
				for _, b := range o.Bands {
					price := money(t, b.Price, m.Currency)
					if b.Upto <= upto || price.Minor <= last {
						t.Errorf("%s %s: the bands are not ascending: %+v", id, o.ID, o.Bands)
					}
					upto, last = b.Upto, price.Minor
				}
				if o.Free != "" && money(t, o.Free, m.Currency).Minor <= last/2 || o.Days[0] > o.Days[1] || upto == 0 {
					t.Errorf("%s: delivery %+v can't be", id, o)
				}
				most = max(most, upto)
			}
			if most < heaviest && slices.Contains(z.Countries, m.Country) {
				t.Errorf("%s sells %d g and delivers %d g at home", id, heaviest, most)
			}
			for _, c := range z.Countries {
				if to[c] || len(c) != 2 {
					t.Errorf("%s delivers to %q twice, or it is no country", id, c)
				}
				to[c] = true
			}
		}
		if !to[m.Country] {
			t.Errorf("%s does not deliver at home", id)
		}
	}
}

// list is the list price in a currency, converted in a way of its own.
func (d *data) list(t *testing.T, id string, c shop.Currency) float64 {
	t.Helper()
	p := d.prices[id]
	if amount, ok := p.Amounts[c]; ok {
		x, _ := new(big.Rat).SetString(amount)
		f, _ := x.Float64()
		return f
	}
	x, _ := new(big.Rat).SetString(p.Amounts[p.Currency])
	x.Mul(x, d.rates.Rates[c].Rat).Quo(x, d.rates.Rates[p.Currency].Rat)
	f, _ := x.Float64()
	return f
}

func TestPrices(t *testing.T) {
	d := load(t)
	d.same(t, "prices", slices.Collect(maps.Keys(d.prices)))
	if got := slices.Sorted(maps.Keys(d.rates.Rates)); !slices.Equal(got, shop.Currencies()) || d.rates.Rates[d.rates.Base].Cmp(big.NewRat(1, 1)) != 0 {
		t.Errorf("there are rates of %v, want %v, and 1 of %s", got, shop.Currencies(), d.rates.Base)
	}
	several := 0
	for id, p := range d.prices {
		if want := d.merchants[d.products[id].Merchant].Currency; p.Currency != want || p.Amounts[want] == "" {
			t.Errorf("%s has prices %v in %s, its merchant's currency is %s", id, p.Amounts, p.Currency, want)
		}
		for c, amount := range p.Amounts {
			if money(t, amount, c).Minor <= 0 {
				t.Errorf("%s costs %s %s", id, amount, c)
			}
			home := price{Currency: p.Currency, Amounts: map[shop.Currency]string{p.Currency: p.Amounts[p.Currency]}}
			alone := data{prices: map[string]price{id: home}, rates: d.rates}
			if ratio := d.list(t, id, c) / alone.list(t, id, c); ratio < 0.8 || ratio > 1.25 {
				t.Errorf("%s costs %s %s, which is %.2f of what it costs in %s", id, amount, c, ratio, p.Currency)
			}
		}
		several += len(p.Amounts) - 1
	}
	if several < 20 {
		t.Errorf("only %d prices beside those in the merchants' currencies", several)
	}
}

func TestOffers(t *testing.T) {
	d := load(t)
	offers, deals := read[[]offer](t, "offers/offers.json"), read[[]offer](t, "prices/deals.json")
	index(t, offers, func(o offer) string { return o.ID })
	if !slices.IsSortedFunc(offers, func(a, b offer) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("the offers are not in the order of their ids")
	}
	for i, o := range offers {
		if o.Title == "" || o.Text == "" {
			t.Errorf("%s has no words", o.ID)
		}
		o.Title, o.Text = "", ""
		if len(deals) != len(offers) || !reflect.DeepEqual(o, deals[i]) {
			t.Fatalf("offer %+v is not what prices computes with", o)
		}
		for _, p := range o.Products {
			if _, ok := d.products[p]; !ok {
				t.Errorf("%s is of %q, which is no product", o.ID, p)
			}
			if o.Kind == "amount" && o.Off.Minor <= 0 || o.Kind == "amount" && d.list(t, p, o.Off.Currency) <= float64(o.Off.Minor)/100 && o.Off.Currency == "EUR" {
				t.Errorf("%s takes %v off %s", o.ID, o.Off, p)
			}
		}
		percent, ok := new(big.Rat).SetString(o.Percent)
		valid := map[string]bool{
			"percent": ok && percent.Sign() > 0 && percent.Cmp(big.NewRat(100, 1)) < 0 && o.Quantity >= 1,
			"amount":  o.Off != nil && o.Quantity >= 1,
			"bundle":  0 < o.Pay && o.Pay < o.Buy,
		}
		if !valid[o.Kind] || len(o.Products) == 0 || o.Until != "" && o.Until < o.From {
			t.Errorf("%+v can't be", o)
		}
	}
}

func TestPayments(t *testing.T) {
	d := load(t)
	type limit struct{ Min, Max, Fee string }
	methods := read[[]struct {
		ID, Name, Kind string
		Countries      []string
		Percent        shop.Rat
		Limits         map[shop.Currency]limit
	}](t, "payments/methods.json")
	var payable []string
	for _, m := range methods {
		if m.Name == "" || m.Percent.Sign() < 0 || len(m.Limits) == 0 {
			t.Errorf("%+v can't be", m)
		}
		for c, l := range m.Limits {
			if least, most := money(t, l.Min, c), money(t, l.Max, c); least.Minor < 1 || least.Minor >= most.Minor {
				t.Errorf("%s takes from %v to %v", m.ID, least, most)
			}
			if l.Fee != "" && money(t, l.Fee, c).Minor < 1 {
				t.Errorf("%s has a fee of %s %s", m.ID, l.Fee, c)
			}
			for _, country := range m.Countries {
				payable = append(payable, country+" "+string(c))
			}
		}
	}
	for id, c := range d.customers {
		if !slices.Contains(payable, c.Country+" "+string(c.Currency)) {
			t.Errorf("%s can't pay in %s in %s", id, c.Currency, c.Country)
		}
	}
}

func TestOrders(t *testing.T) {
	d := load(t)
	index(t, d.orders, func(o order) string { return o.ID })
	bought := map[string]bool{}
	var baskets []string
	for i, o := range d.orders {
		c, ok := d.customers[o.Customer]
		if !ok || o.Currency != c.Currency || o.Placed.Format(time.DateOnly) < c.Since {
			t.Errorf("%s is of customer %+v in %s", o.ID, c, o.Currency)
		}
		bought[o.Customer] = true
		if i > 0 && o.Placed.Before(d.orders[i-1].Placed) || !strings.HasPrefix(o.ID, "o"+o.Placed.Format("20060102")+"-") {
			t.Errorf("%s was placed at %v", o.ID, o.Placed)
		}
		if !slices.Contains([]string{"placed", "shipped", "delivered", "returned", "cancelled"}, o.Status) || len(o.Lines) == 0 {
			t.Errorf("%s has %d lines and is %q", o.ID, len(o.Lines), o.Status)
		}
		var basket []string
		for _, l := range o.Lines {
			p, ok := d.products[l.Product]
			if !ok || slices.Contains(basket, l.Product) || l.Quantity < 1 || !o.Placed.After(day(t, p.Released)) {
				t.Errorf("%s has %d of %s, released %v", o.ID, l.Quantity, l.Product, p.Released)
				continue
			}
			basket = append(basket, l.Product)
			unit, _ := new(big.Rat).SetString(money(t, l.Unit, o.Currency).Amount())
			paid, _ := unit.Float64()
			if ratio := paid / d.list(t, l.Product, o.Currency); ratio < 0.9 || ratio > 1.1 {
				t.Errorf("%s: %s for %s %s, which is %.2f of its price", o.ID, l.Product, l.Unit, o.Currency, ratio)
			}
			served := func(z zone) bool { return slices.Contains(z.Countries, c.Country) }
			if !slices.ContainsFunc(d.merchants[p.Merchant].Zones, served) {
				t.Errorf("%s: %s does not deliver to %s", o.ID, p.Merchant, c.Country)
			}
		}
		if o.Status != "cancelled" {
			slices.Sort(basket)
			baskets = append(baskets, fmt.Sprint(basket))
		}
	}
	if len(bought) != len(d.customers) {
		t.Errorf("%d of %d customers have bought", len(bought), len(d.customers))
	}
	var known []string
	for _, b := range read[[][]string](t, "recommendations/baskets.json") {
		known = append(known, fmt.Sprint(b))
	}
	slices.Sort(baskets)
	slices.Sort(known)
	if !slices.Equal(baskets, known) {
		t.Error("the baskets of recommendations are not those of the orders")
	}
}

func day(t *testing.T, d shop.Date) time.Time {
	t.Helper()
	text, err := d.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestReviews(t *testing.T) {
	d := load(t)
	all := read[[]review](t, "reviews/reviews.json")
	index(t, all, func(r review) string { return r.ID })
	seen := map[string]bool{}
	for i, r := range all {
		if want := fmt.Sprintf("r%d", 1001+i); r.ID != want {
			t.Errorf("review %d is %s, want %s", i, r.ID, want)
		}
		if r.Rating < 1 || r.Rating > 5 || r.Author == "" || r.Title == "" || len(r.Text) < 20 || seen[r.Customer+r.Product] {
			t.Errorf("%+v can't be", r)
		}
		seen[r.Customer+r.Product] = true
		if i > 0 && r.At.Before(all[i-1].At) {
			t.Errorf("%s is older than the one before", r.ID)
		}
		has := slices.ContainsFunc(d.orders, func(o order) bool {
			return o.Customer == r.Customer && o.Status != "cancelled" && o.Placed.Before(r.At) &&
				slices.ContainsFunc(o.Lines, func(l line) bool { return l.Product == r.Product })
		})
		if r.Verified != has {
			t.Errorf("%s of %s by %s is verified: %v, and bought before: %v", r.ID, r.Product, r.Customer, r.Verified, has)
		}
	}
	if len(all) < 80 {
		t.Errorf("only %d reviews", len(all))
	}
}
