package recommendations

import (
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"github.com/earshot-mq/earshot/services/shop"
	"github.com/earshot-mq/earshot/services/shop/shoptest"
)

type answer struct {
	Product         shop.ID
	Recommendations []Recommendation
}

func TestTrain(t *testing.T) {
	for name, c := range map[string]struct {
		baskets [][]shop.ID
		want    []Recommendation // for a
	}{
		"always together":        {[][]shop.ID{{"a", "b"}, {"a", "b"}}, []Recommendation{{"b", 1, 2}}},
		"once is chance":         {[][]shop.ID{{"a", "b"}, {"a"}}, nil},
		"alone":                  {[][]shop.ID{{"a"}, {"a"}, {"b"}}, nil},
		"what all buy is behind": {[][]shop.ID{{"a", "b", "c"}, {"a", "b", "c"}, {"a", "c"}, {"c"}, {"c"}, {"c"}, {"c"}}, []Recommendation{{"b", 0.816, 2}, {"c", 0.655, 3}}},
		// 2·2/(4·1·…): equal cosines are ordered by how often, these by their ids.
		"equal": {[][]shop.ID{{"a", "c", "b"}, {"a", "b", "c"}}, []Recommendation{{"b", 1, 2}, {"c", 1, 2}}},
		"equal, but more often": {
			[][]shop.ID{
				{"a", "b"},
				{"a", "b"},
				{"a", "c"},
				{"a", "c"},
				{"a", "c"},
				{"a", "c"},
				{"c"},
				{"c"},
				{"c"},
				{"c"},
				{"c"},
				{"c"},
				{"c"},
				{"c"},
				{"b"},
				{"b"},
				{"c"},
				{"c"},
				{"c"},
				{"c"},
			}, // b 2 of 4, c 4 of 16: the same cosine
			[]Recommendation{{"c", 0.408, 4}, {"b", 0.408, 2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := train(c.baskets)["a"]; !reflect.DeepEqual(got, c.want) {
				t.Errorf("train = %v, want %v", got, c.want)
			}
		})
	}
}

// TestOrder sees of any baskets that the order is the measure's, as it is computed here
// in another way, and does not depend on the order of the baskets.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(20261123, 3))
	for range 200 {
		baskets := make([][]shop.ID, 60)
		bought := map[shop.ID]float64{}
		for i := range baskets {
			for id := 'a'; id < 'k'; id++ {
				if r.IntN(4) == 0 {
					baskets[i] = append(baskets[i], shop.ID(id))
					bought[shop.ID(id)]++
				}
			}
		}
		first := train(baskets)
		r.Shuffle(len(baskets), func(i, j int) { baskets[i], baskets[j] = baskets[j], baskets[i] })
		if again := train(baskets); !reflect.DeepEqual(first, again) {
			t.Fatalf("in another order %v is %v", first, again)
		}
		for product, list := range first {
			last := math.Inf(1)
			for _, x := range list {
				cosine := float64(x.Together) / math.Sqrt(bought[product]*bought[x.Product])
				if cosine > last+1e-12 || math.Abs(cosine-x.Score) > 0.0005+1e-12 || x.Together < support {
					t.Fatalf("%s with %+v: the cosine is %v, that before %v", product, x, cosine, last)
				}
				last = cosine
			}
		}
	}
}

func TestRecommend(t *testing.T) {
	s := shoptest.Start(t, New(), "")
	var five, more, without answer
	s.Get("/recommendations?product=iphone-16-128", &five)
	s.Get("/recommendations?product=iphone-16-128&limit=50", &more)
	if len(five.Recommendations) != 5 || !slices.Equal(five.Recommendations, more.Recommendations[:5]) {
		t.Errorf("five are %v, of %v", five.Recommendations, more.Recommendations)
	}
	if first := five.Recommendations[0]; first.Product != "silicone-case-iphone-16" {
		t.Errorf("who bought a phone bought %+v; want a case", first)
	}
	first, second := five.Recommendations[0].Product, five.Recommendations[1].Product
	s.Get("/recommendations?product=iphone-16-128&exclude="+string(first)+","+string(second), &without)
	if !slices.Equal(without.Recommendations, more.Recommendations[2:7]) {
		t.Errorf("without the first two they are %v, want %v", without.Recommendations, more.Recommendations[2:7])
	}
	if a := s.Ask(http.MethodGet, "/recommendations?product=nothing&exclude=", ""); a.Body != `{"product":"nothing","recommendations":[]}`+"\n" {
		t.Errorf("for what nobody bought there are %d %s", a.Status, a.Body)
	}
	s.RefuseAll(t, map[string]shoptest.Refusal{
		"of nothing":       {"/recommendations", 422, "query.product"},
		"too many":         {"/recommendations?product=a&limit=51", 422, "query.limit"},
		"no id":            {"/recommendations?product=a&exclude=A", 422, "query.exclude"},
		"a slip of a name": {"/recommendations?product=a&excluded=b", 422, "query.excluded"},
	})
}
