package orders

import (
	"slices"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/services/shop"
	"github.com/earshot-mq/earshot/services/shop/shoptest"
)

type answer struct {
	Customer Customer
	Count    int
	Orders   []Order
	Next     string
	Bought   string
}

// TestOrders goes through the orders of all customers, page by page.
func TestOrders(t *testing.T) {
	s := shoptest.Start(t, New(), "")
	total := 0
	for _, c := range shop.Parse[[]Customer](customersFile) {
		var all []Order
		var a answer
		for after := ""; ; after = a.Next {
			a = answer{}
			s.Get("/orders?limit=3&customer="+string(c.ID)+"&after="+after, &a)
			all = append(all, a.Orders...)
			if a.Next == "" {
				break
			}
		}
		if a.Customer != c || len(all) != a.Count || len(all) == 0 {
			t.Errorf("%s has %d orders, count is %d, and is %+v", c.ID, len(all), a.Count, a.Customer)
		}
		total += len(all)
		bought := map[string]bool{}
		for i, o := range all {
			if i > 0 && o.Placed.After(all[i-1].Placed) {
				t.Errorf("%s: %s is newer than the one before", c.ID, o.ID)
			}
			sum := int64(0)
			for _, l := range o.Lines {
				sum += l.Unit.Minor * int64(l.Quantity)
				if l.Total.Minor != l.Unit.Minor*int64(l.Quantity) || l.Total.Currency != c.Currency || l.Name == "" {
					t.Errorf("%s: %+v can't be", o.ID, l)
				}
				bought[string(l.Product)] = bought[string(l.Product)] || o.Status != "cancelled"
			}
			if o.Total != (shop.Money{Minor: sum, Currency: c.Currency}) {
				t.Errorf("%s is %v, want %d", o.ID, o.Total, sum)
			}
		}
		for id, ok := range bought {
			if slices.Contains(strings.Split(a.Bought, ","), id) != ok {
				t.Errorf("%s has bought %s, %s: want %v", c.ID, a.Bought, id, ok)
			}
		}
	}
	if total != len(shop.Parse[[]order](ordersFile)) {
		t.Errorf("all customers have %d orders", total)
	}
}

func TestOfProduct(t *testing.T) {
	s := shoptest.Start(t, New(), "")
	o := shop.Parse[[]order](ordersFile)[0]
	var with, without answer
	s.Get("/orders?customer="+string(o.Customer)+"&product="+string(o.Lines[0].Product), &with)
	if with.Count < 1 || with.Orders[with.Count-1].ID != o.ID {
		t.Errorf("%s of %s is not in %+v", o.ID, o.Customer, with)
	}
	s.Get("/orders?product=nothing&customer="+string(o.Customer), &without)
	if without.Count != 0 || without.Orders == nil || without.Bought != with.Bought {
		t.Errorf("of no such product there is %+v", without)
	}
}

// TestBought sees that what /recommendations is to leave out is never more than it takes.
func TestBought(t *testing.T) {
	var many []*Order
	for range 60 {
		o := &Order{Status: "delivered"}
		for range 3 {
			o.Lines = append(o.Lines, Line{Product: shop.ID("p" + strings.Repeat("x", len(many)) + string(rune('a'+len(o.Lines))))})
		}
		many = append(many, o)
	}
	if got := strings.Split(bought(many), ","); len(got) != 100 || !slices.IsSorted(got) {
		t.Errorf("%d products, want the latest 100", len(got))
	}
}

func TestRefuse(t *testing.T) {
	s := shoptest.Start(t, New(), "")
	s.RefuseAll(t, map[string]shoptest.Refusal{
		"nobody":                {"/orders?", 422, "query.customer"},
		"an unknown customer":   {"/orders?customer=c9999", 404, "there is no such customer"},
		"no near one is told":   {"/orders?customer=c100", 404, `"detail":"there is no such customer"`},
		"no such order":         {"/orders?customer=c1001&after=x", 422, "query.after"},
		"an order of another's": {"/orders?customer=c1001&after=o20251025-01", 422, "query.after"},
	})
}
