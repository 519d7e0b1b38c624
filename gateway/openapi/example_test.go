package openapi_test

import (
	"fmt"
	"strings"

	"github.com/earshot-mq/earshot/gateway/openapi"
)

// A service's document, as a client of the gateway sees it.
func ExampleMerge() {
	document, err := openapi.Parse([]byte(`{"openapi":"3.1.0","info":{"title":"Prices","version":"1.2"},
		"paths":{"/{id}":{"get":{"operationId":"read","responses":{"200":{"description":"The price"}}}}}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	merged, err := openapi.Merge([]openapi.Service{{
		Found:  openapi.Found{Name: "prices", Document: document, State: openapi.Present},
		Routes: []openapi.Route{{Path: "/prices/*", Strip: 1, Leads: func(string, string) bool { return true }}},
	}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, part := range []string{`"/prices/{id}"`, `"operationId":"prices.read"`} {
		fmt.Println(part, strings.Contains(string(merged.JSON), part))
	}
	// Output:
	// "/prices/{id}" true
	// "operationId":"prices.read" true
}
