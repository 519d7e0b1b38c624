package shop

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Money is an amount in the smallest unit of its currency: cents, yen, fils. It is
// never a floating-point number. As JSON it is {"amount":"12.90","currency":"EUR"}, with
// exactly the decimals of the currency.
//
// # Rounding
//
// What does not come out even is rounded once, to the nearest unit and halves away from
// zero, as Council Regulation (EC) No 1103/97, article 5, has it for the euro.
type Money struct {
	Minor    int64
	Currency Currency
}

// ErrMoney says that an amount can't be: not a number, too many decimals, too large, or
// of another currency than what it meets.
var ErrMoney = errors.New("not an amount")

// ParseMoney reads an amount such as "12.90", exactly. It may have fewer decimals than
// the currency, not more: "0.5" yen are an error. Errors wrap ErrMoney.
func ParseMoney(amount string, c Currency) (Money, error) {
	exponent, err := c.Exponent()
	if err != nil {
		return Money{}, fmt.Errorf("%w: %w", ErrMoney, err)
	}
	whole, decimals, point := strings.Cut(amount, ".")
	digits, negative := strings.CutPrefix(whole, "-")
	switch {
	case !number(digits) || point && !number(decimals), len(digits) > 1 && digits[0] == '0':
		return Money{}, fmt.Errorf("shop: %w: %.40q; want one such as 12.90", ErrMoney, amount)
	case len(decimals) > exponent:
		return Money{}, fmt.Errorf("shop: %w: %.40q has %d decimals; %s has %d", ErrMoney, amount, len(decimals), c, exponent)
	}
	n, _ := new(big.Int).SetString(digits+decimals+strings.Repeat("0", exponent-len(decimals)), 10) // digits alone
	if negative {
		n.Neg(n)
	}
	return money(n, c)
}

func number(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// money is n units of c, unless that is more than a Money holds.
func money(n *big.Int, c Currency) (Money, error) {
	if !n.IsInt64() {
		return Money{}, fmt.Errorf("shop: %w: %d-bit amount in %s; the limit is 63 bits", ErrMoney, n.BitLen(), c)
	}
	return Money{n.Int64(), c}, nil
}

// Amount is the amount alone, "12.90", with exactly the decimals of the currency.
func (m Money) Amount() string {
	exponent := exponents[m.Currency]
	digits, sign := new(big.Int).Abs(big.NewInt(m.Minor)).String(), ""
	if m.Minor < 0 {
		sign = "-"
	}
	if exponent == 0 {
		return sign + digits
	}
	digits = strings.Repeat("0", max(0, exponent+1-len(digits))) + digits
	point := len(digits) - exponent
	return sign + digits[:point] + "." + digits[point:]
}

// String is for people: "12.90 EUR".
func (m Money) String() string { return m.Amount() + " " + string(m.Currency) }

// Add returns m and n together. Both have to be of one currency.
func (m Money) Add(n Money) (Money, error) {
	if m.Currency != n.Currency {
		return Money{}, fmt.Errorf("shop: %w: %s and %s together", ErrMoney, m, n)
	}
	return money(new(big.Int).Add(big.NewInt(m.Minor), big.NewInt(n.Minor)), m.Currency)
}

// Sub returns m without n. Both have to be of one currency.
func (m Money) Sub(n Money) (Money, error) {
	if m.Currency != n.Currency {
		return Money{}, fmt.Errorf("shop: %w: %s without %s", ErrMoney, m, n)
	}
	return money(new(big.Int).Sub(big.NewInt(m.Minor), big.NewInt(n.Minor)), m.Currency)
}

// Times returns m n times. It is exact.
func (m Money) Times(n int) (Money, error) {
	return money(new(big.Int).Mul(big.NewInt(m.Minor), big.NewInt(int64(n))), m.Currency)
}

// Scale returns the part r of m, rounded.
func (m Money) Scale(r *big.Rat) (Money, error) { return m.Convert(m.Currency, r) }

// Convert returns m in the currency to, of which one unit of m's is worth rate. The
// product is exact, then it is rounded once.
func (m Money) Convert(to Currency, rate *big.Rat) (Money, error) {
	from, err := m.Currency.Exponent()
	if err != nil {
		return Money{}, err
	}
	exponent, err := to.Exponent()
	if err != nil {
		return Money{}, err
	}
	exact := new(big.Rat).SetFrac(power(exponent), power(from))
	exact.Mul(exact, rate).Mul(exact, new(big.Rat).SetInt64(m.Minor))
	return money(round(exact), to)
}

func power(exponent int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(exponent)), nil)
}

// round returns the nearest integer, of two equally near the one farther from zero.
func round(x *big.Rat) *big.Int {
	twice := new(big.Int).Lsh(new(big.Int).Abs(x.Num()), 1)
	n := twice.Add(twice, x.Denom()).Quo(twice, new(big.Int).Lsh(x.Denom(), 1))
	if x.Sign() < 0 {
		n.Neg(n)
	}
	return n
}

// Split returns m in n parts that are together exactly m and differ by one unit at the
// most, the larger ones first. n is at least 1.
func (m Money) Split(n int) []Money {
	parts := make([]Money, n)
	each, rest := m.Minor/int64(n), m.Minor%int64(n)
	for i := range parts {
		parts[i] = Money{each, m.Currency}
		switch {
		case int64(i) < rest:
			parts[i].Minor++
		case int64(i) < -rest:
			parts[i].Minor--
		}
	}
	return parts
}

// wire is Money as JSON.
type wire struct {
	Amount   string   `json:"amount" pattern:"^-?(0|[1-9][0-9]*)(\\.[0-9]+)?$" maxLength:"24" example:"12.90" doc:"The amount, exact, with the decimals of its currency."`
	Currency Currency `json:"currency"`
}

// MarshalJSON implements json.Marshaler.
func (m Money) MarshalJSON() ([]byte, error) {
	if _, err := m.Currency.Exponent(); err != nil {
		return nil, err
	}
	return json.Marshal(wire{m.Amount(), m.Currency})
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Money) UnmarshalJSON(b []byte) error {
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	parsed, err := ParseMoney(w.Amount, w.Currency)
	if err == nil {
		*m = parsed
	}
	return err
}

// Schema implements huma.SchemaProvider.
func (Money) Schema(r huma.Registry) *huma.Schema {
	const name = "Money"
	if r.Map()[name] == nil {
		r.Map()[name] = r.Schema(reflect.TypeFor[wire](), false, name)
	}
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}
