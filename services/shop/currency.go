package shop

import (
	"fmt"
	"maps"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/internal/config"
)

// Currency is a code of ISO 4217, one of those that the shop takes.
type Currency string

// exponents says how many decimals ISO 4217 gives a currency.
var exponents = map[Currency]int{
	"CHF": 2, "CNY": 2, "EUR": 2, "GBP": 2, "JPY": 0, "KWD": 3, "PLN": 2, "SEK": 2, "USD": 2,
}

// Currencies are the codes that the shop takes, sorted.
func Currencies() []Currency { return slices.Sorted(maps.Keys(exponents)) }

// Exponent is how many decimals the currency has; an error for one that the shop does
// not take.
func (c Currency) Exponent() (int, error) {
	e, ok := exponents[c]
	if !ok {
		return 0, fmt.Errorf("shop: %w", config.Unknown("currency", string(c), texts(Currencies())))
	}
	return e, nil
}

// Schema implements huma.SchemaProvider: an input is refused before its handler runs.
func (Currency) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Description: "Currency, a code of ISO 4217.", Examples: []any{"EUR"}}
	for _, c := range Currencies() {
		s.Enum = append(s.Enum, string(c))
	}
	return s
}

// texts returns names as plain strings.
func texts[S ~string](names []S) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}
