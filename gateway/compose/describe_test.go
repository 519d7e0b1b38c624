package compose

import (
	"encoding/json"
	"testing"
)

// TestDescribe: what a view takes from the client, where, and what it has.
func TestDescribe(t *testing.T) {
	c, err := New(Config{
		Parts: []PartConfig{
			{Name: "unused", Upstream: "u", Path: "/unused"},
			{Name: "product", Upstream: "u", Path: "/p/{id}.json/x", Required: true},
			{Name: "price", Upstream: "v", Path: "/prices/{id}?a=b&currency={query.currency|'EUR'}&q=x{query.q}&of={part.product.of}&z={query.z|query.y|'1'}", Required: true},
			{Name: "history", Upstream: "v", Path: "/orders?customer={query.customer}", When: "query.customer"},
		},
		Views: map[string][]Pick{
			"web": {{Take: "history", As: "a \"b\""}, {Take: "price.list.0", As: "first", Pick: []Pick{{Take: "amount.value"}, {Take: "currency", As: "c"}}}},
			"all": {{Take: "unused"}},
		},
	}, []string{"u", "v"})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.View("web")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(v.Describe())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"View":"web","Parts":[` +
		`{"Name":"product","Upstream":"u","Segments":["p","{}","x"],"Required":true},` +
		`{"Name":"price","Upstream":"v","Segments":["prices","{}"],"Required":true},` +
		`{"Name":"history","Upstream":"v","Segments":["orders"],"Required":false}],` +
		`"Inputs":[` +
		`{"Name":"id","Query":false,"Required":true,"Default":"","Uses":[{"Part":1,"Segment":1,"Query":""}]},` +
		`{"Name":"currency","Query":true,"Required":false,"Default":"EUR","Uses":[{"Part":1,"Segment":0,"Query":"currency"}]},` +
		`{"Name":"q","Query":true,"Required":true,"Default":"","Uses":null},` +
		`{"Name":"z","Query":true,"Required":false,"Default":"","Uses":[{"Part":1,"Segment":0,"Query":"z"}]},` +
		`{"Name":"y","Query":true,"Required":false,"Default":"","Uses":[{"Part":1,"Segment":0,"Query":"z"}]},` +
		`{"Name":"customer","Query":true,"Required":false,"Default":"","Uses":[{"Part":2,"Segment":0,"Query":"customer"}]}],` +
		`"Members":[{"Name":"a \"b\"","Part":2,"Path":[],"Pick":null},` +
		`{"Name":"first","Part":1,"Path":["list","0"],"Pick":[{"Name":"value","Part":0,"Path":["amount","value"],"Pick":null},{"Name":"c","Part":0,"Path":["currency"],"Pick":null}]}]}`
	if string(got) != want {
		t.Errorf("Describe =\n%s\nwant\n%s", got, want)
	}
}
