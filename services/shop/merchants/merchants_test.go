package merchants_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/services/shop/merchants"
	"github.com/earshot-mq/earshot/services/shop/shoptest"
)

type answer struct {
	merchants.Profile
	To       string
	Delivery []merchants.Delivery
}

func TestMerchant(t *testing.T) {
	s := shoptest.Start(t, merchants.New(), "")
	for name, c := range map[string]struct{ target, to, want string }{
		"at home":                   {"/merchants/nordlicht", "DE", "pickup 3.50 EUR 1-2 free from 49.00, parcel 3.90 EUR 1-2 free from 49.00, express 12.90 EUR 1-1"},
		"the band's end is within":  {"/merchants/nordlicht?weight=2000", "DE", "pickup 3.50 EUR 1-2 free from 49.00, parcel 3.90 EUR 1-2 free from 49.00, express 12.90 EUR 1-1"},
		"a gram more":               {"/merchants/nordlicht?weight=2001", "DE", "pickup 3.50 EUR 1-2 free from 49.00, parcel 5.90 EUR 1-2 free from 49.00, express 16.90 EUR 1-1"},
		"too heavy for some":        {"/merchants/nordlicht?weight=10001", "DE", "parcel 11.90 EUR 1-2 free from 49.00"},
		"too heavy for all":         {"/merchants/nordlicht?weight=31501", "DE", ""},
		"abroad":                    {"/merchants/nordlicht?country=FR&weight=170", "FR", "parcel 8.90 EUR 3-5 free from 150.00"},
		"not there":                 {"/merchants/nordlicht?country=US", "US", ""},
		"in yen":                    {"/merchants/kissa?weight=500", "JP", "letter 185 JPY 2-4, parcel 800 JPY 1-2 free from 10000"},
		"in fils":                   {"/merchants/gulf-digital?country=KW", "KW", "courier 1.500 KWD 0-1 free from 20.000"},
		"a country of no such code": {"/merchants/gulf-digital?country=ZZ", "ZZ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var a answer
			s.Get(c.target, &a)
			var ways []string
			for _, d := range a.Delivery {
				way := fmt.Sprintf("%s %v %d-%d", d.ID, d.Price, d.Days.Min, d.Days.Max)
				if d.Free != nil {
					way += " free from " + d.Free.Amount()
				}
				ways = append(ways, way)
			}
			if got := strings.Join(ways, ", "); got != c.want || a.To != c.to || a.Delivery == nil {
				t.Errorf("GET %s = %s to %s, want %s to %s", c.target, got, a.To, c.want, c.to)
			}
			if a.Name == "" || a.Company == "" || a.City == "" || a.Since == 0 || len(a.Languages) == 0 {
				t.Errorf("GET %s tells no more of the merchant than %+v", c.target, a.Profile)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	s := shoptest.Start(t, merchants.New(), "")
	s.RefuseAll(t, map[string]shoptest.Refusal{
		"unknown":        {"/merchants/nordlich", 404, `did you mean \"nordlicht\"?`},
		"no country":     {"/merchants/nordlicht?country=de", 422, "query.country"},
		"no weight":      {"/merchants/nordlicht?weight=0", 422, "query.weight"},
		"a weight in kg": {"/merchants/nordlicht?weight=0.17", 422, "query.weight"},
	})
}
