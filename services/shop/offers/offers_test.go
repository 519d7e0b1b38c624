package offers

import (
	"testing"
	"time"

	"github.com/earshot-mq/earshot/services/shop/shoptest"
)

type answer struct {
	Offers []Offer
	Apply  string
}

func TestOffers(t *testing.T) {
	for name, c := range map[string]struct{ at, product, want string }{
		"before the first day":    {"2026-11-19T23:59:59Z", "harbour-buds", ""},
		"the first day":           {"2026-11-20T00:00:00Z", "harbour-buds", "black-week-audio"},
		"elsewhere the day after": {"2026-11-30T23:00:00-05:00", "harbour-buds", ""},
		"the last day":            {"2026-11-30T23:59:59Z", "harbour-buds", "black-week-audio"},
		"after the last day":      {"2026-12-01T00:00:00Z", "harbour-buds", ""},
		"without a last day":      {"2036-12-01T00:00:00Z", "iphone-16-128", "trade-in-50"},
		"two, by their ids":       {"2026-11-23T12:00:00Z", "candle-fig", "black-week-home,candle-2-plus-1"},
		"all that hold": {
			"2026-07-15T12:00:00Z", "",
			"board-and-oil,cable-bulk,candle-2-plus-1,case-10,dinar-five,glass-3-for-2,kettle-1500,knife-care,socks-4-for-3,students,summer-2026,trade-in-50",
		},
		"of no such product": {"2026-11-23T12:00:00Z", "nothing", ""},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			s := shoptest.At(t, Name, routes, at)
			var a answer
			s.Get("/offers?product="+c.product, &a)
			if a.Apply != c.want || a.Offers == nil || (len(a.Offers) == 0) != (c.want == "") {
				t.Errorf("at %s there are %d offers for %q: %s, want %s", c.at, len(a.Offers), c.product, a.Apply, c.want)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	shoptest.Start(t, New(), "").RefuseAll(t, map[string]shoptest.Refusal{
		"no id":            {"/offers?product=A", 422, "query.product"},
		"a slip of a name": {"/offers?prodct=a", 422, "query.prodct"},
	})
}
