package shop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/internal/config"
)

// ID names a product, a merchant, an offer, an order: 1 to 40 of a-z, 0-9 and -.
type ID string

// Schema implements huma.SchemaProvider.
func (ID) Schema(huma.Registry) *huma.Schema {
	most := 40
	return &huma.Schema{Type: huma.TypeString, Pattern: "^[a-z0-9][a-z0-9-]*$", MaxLength: &most}
}

// Country is a code of ISO 3166-1, such as DE.
type Country string

// Schema implements huma.SchemaProvider.
func (Country) Schema(huma.Registry) *huma.Schema {
	two := 2
	return &huma.Schema{
		Type: huma.TypeString, Pattern: "^[A-Z]{2}$", MaxLength: &two,
		PatternDescription: "two capital letters", Description: "Country, a code of ISO 3166-1.", Examples: []any{"DE"},
	}
}

// Rat is an exact number, in JSON a string such as "12.5".
type Rat struct{ *big.Rat }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rat) UnmarshalText(b []byte) error {
	x, ok := new(big.Rat).SetString(string(b))
	if !ok {
		return fmt.Errorf("shop: %.40q is not a number; want one such as 12.5", b)
	}
	r.Rat = x
	return nil
}

// Date is a day, in JSON "2026-11-20".
type Date struct{ begin time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Date) UnmarshalText(b []byte) (err error) {
	d.begin, err = time.Parse(time.DateOnly, string(b))
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.begin.Format(time.DateOnly)), nil }

// Schema implements huma.SchemaProvider.
func (Date) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date", Examples: []any{"2026-11-20"}}
}

// Period is from the beginning of one day to the end of another, in UTC.
type Period struct {
	From  Date  `json:"from" doc:"The first day."`
	Until *Date `json:"until,omitempty" doc:"The last day; missing if there is none."`
}

// Holds says whether a time is within the period.
func (p Period) Holds(at time.Time) bool {
	return !at.Before(p.From.begin) && (p.Until == nil || at.Before(p.Until.begin.AddDate(0, 0, 1)))
}

// Parse reads a file of a service's data, which is embedded in the program. What is
// wrong with it is a panic, from which services.Service.Handler makes its error.
func Parse[T any](file []byte) (data T) {
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	return Must(data, d.Decode(&data))
}

// Must returns v, or panics. It is for the routes of a service alone, whose panics are
// errors of services.Service.Handler.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Index returns items by their key.
func Index[K comparable, T any](items []T, key func(T) K) map[K]T {
	index := make(map[K]T, len(items))
	for _, item := range items {
		index[key(item)] = item
	}
	return index
}

// Get is the description of a route that gives something, with the errors that it may
// answer beside 422 and 500. A query parameter that it does not know is refused.
func Get(id, path, summary string, errors ...int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: path, Summary: summary,
		Errors: errors, RejectUnknownQueryParameters: true,
	}
}

// NotFound is the problem (404) of an id that is not known; it names the nearest that is.
func NotFound[T any](what string, id ID, known map[ID]T) error {
	return huma.Error404NotFound(config.Unknown(what, string(id), texts(slices.Sorted(maps.Keys(known)))).Error())
}

// Invalid is the problem (422) of an input that is well-formed and yet can't be; the
// location is such as query.amount.
func Invalid(location, message string) error {
	return huma.Error422UnprocessableEntity("validation failed", &huma.ErrorDetail{Location: location, Message: message})
}

// Page returns at most limit items, those after the one whose id is after, and the id
// after which the next page begins, "" if there is none. An id that is not there is a
// problem (422).
func Page[T any](items iter.Seq[T], id func(T) ID, after ID, limit int) (page []T, next ID, err error) {
	page = []T{}
	begun := after == ""
	for item := range items {
		switch {
		case !begun:
			begun = id(item) == after
		case len(page) == limit:
			return page, id(page[limit-1]), nil
		default:
			page = append(page, item)
		}
	}
	if !begun {
		return nil, "", Invalid("query.after", "there is no such place in the list; take next of the page before")
	}
	return page, "", nil
}
