package shop

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestParseMoney(t *testing.T) {
	for name, c := range map[string]struct {
		amount   string
		currency Currency
		minor    int64
		want     string // the amount again; "" is an error
	}{
		"cents":                  {"12.90", "EUR", 1290, "12.90"},
		"fewer decimals":         {"12.9", "EUR", 1290, "12.90"},
		"no decimals":            {"12", "EUR", 1200, "12.00"},
		"less than one":          {"0.05", "EUR", 5, "0.05"},
		"nothing":                {"0", "KWD", 0, "0.000"},
		"no cents in yen":        {"1290", "JPY", 1290, "1290"},
		"fils":                   {"0.005", "KWD", 5, "0.005"},
		"negative":               {"-0.05", "EUR", -5, "-0.05"},
		"the most":               {"92233720368547758.07", "EUR", math.MaxInt64, "92233720368547758.07"},
		"the least":              {"-92233720368547758.08", "EUR", math.MinInt64, "-92233720368547758.08"},
		"too much":               {"92233720368547758.08", "EUR", 0, ""},
		"much too much":          {strings.Repeat("9", 1000), "EUR", 0, ""},
		"decimals of yen":        {"1290.0", "JPY", 0, ""},
		"three decimals of cent": {"12.905", "EUR", 0, ""},
		"no digits":              {"", "EUR", 0, ""},
		"a point alone":          {".", "EUR", 0, ""},
		"no whole":               {".5", "EUR", 0, ""},
		"no decimals behind":     {"5.", "EUR", 0, ""},
		"two points":             {"1.2.3", "EUR", 0, ""},
		"a comma":                {"1,20", "EUR", 0, ""},
		"leading zero":           {"01.20", "EUR", 0, ""},
		"an exponent":            {"1e3", "EUR", 0, ""},
		"a plus":                 {"+1", "EUR", 0, ""},
		"two signs":              {"--1", "EUR", 0, ""},
		"a sign within":          {"1.-2", "EUR", 0, ""},
		"a space":                {" 1", "EUR", 0, ""},
		"another digit":          {"١", "EUR", 0, ""},
		"an unknown currency":    {"1", "ZZZ", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseMoney(c.amount, c.currency)
			if c.want == "" {
				if !errors.Is(err, ErrMoney) {
					t.Errorf("ParseMoney(%q, %s) = %v, %v, want ErrMoney", c.amount, c.currency, m, err)
				}
				return
			}
			if err != nil || m.Minor != c.minor || m.Amount() != c.want {
				t.Errorf("ParseMoney(%q, %s) = %v (%d), %v, want %s (%d)", c.amount, c.currency, m, m.Minor, err, c.want, c.minor)
			}
		})
	}
}

func TestConvert(t *testing.T) {
	for name, c := range map[string]struct {
		m    Money
		to   Currency
		rate string
		want string
	}{
		"half up":                 {Money{1, "EUR"}, "EUR", "1/2", "0.01 EUR"},
		"half of a debt, down":    {Money{-1, "EUR"}, "EUR", "1/2", "-0.01 EUR"},
		"less than a half":        {Money{1, "EUR"}, "EUR", "0.49", "0.00 EUR"},
		"fewer decimals":          {Money{84900, "EUR"}, "JPY", "177.42", "150630 JPY"}, // 150629.58
		"more decimals":           {Money{84900, "EUR"}, "KWD", "0.35485", "301.268 KWD"},
		"a third":                 {Money{100, "EUR"}, "EUR", "1/3", "0.33 EUR"},
		"two thirds":              {Money{100, "EUR"}, "EUR", "2/3", "0.67 EUR"},
		"where floats go wrong":   {Money{115, "EUR"}, "EUR", "1.3", "1.50 EUR"}, // 1.495, in floats 1.4949999999999999
		"yen of yen":              {Money{7, "JPY"}, "JPY", "0.5", "4 JPY"},
		"nothing":                 {Money{0, "EUR"}, "USD", "1.1583", "0.00 USD"},
		"the most stays the most": {Money{math.MaxInt64, "EUR"}, "EUR", "1", "92233720368547758.07 EUR"},
	} {
		t.Run(name, func(t *testing.T) {
			rate, _ := new(big.Rat).SetString(c.rate)
			if got, err := c.m.Convert(c.to, rate); err != nil || got.String() != c.want {
				t.Errorf("%v.Convert(%s, %s) = %v, %v, want %s", c.m, c.to, c.rate, got, err, c.want)
			}
		})
	}
	if got, err := (Money{math.MaxInt64, "EUR"}).Convert("KWD", big.NewRat(1, 1)); !errors.Is(err, ErrMoney) {
		t.Errorf("a product beyond the range = %v, %v, want ErrMoney", got, err)
	}
	for _, c := range []struct {
		from, to Currency
	}{{"ZZZ", "EUR"}, {"EUR", "ZZZ"}} {
		if _, err := (Money{1, c.from}).Convert(c.to, big.NewRat(1, 1)); err == nil {
			t.Errorf("%s to %s is no error", c.from, c.to)
		}
	}
}

// any returns an amount of any size and currency.
func anyMoney(r *rand.Rand) Money {
	all := Currencies()
	return Money{int64(r.Uint64()) >> r.IntN(64), all[r.IntN(len(all))]}
}

// anyRat returns a number from about 2^-64 to about 2^64.
func anyRat(r *rand.Rand) *big.Rat {
	return big.NewRat(1+r.Int64()>>r.IntN(63), 1+r.Int64()>>r.IntN(63))
}

// TestMoneyProperties holds what is computed against what has to be so of any amounts.
func TestMoneyProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(20261123, 1))
	converted := 0
	for range 20000 {
		m, rate := anyMoney(r), anyRat(r)
		if again, err := ParseMoney(m.Amount(), m.Currency); err != nil || again != m {
			t.Fatalf("ParseMoney(%q) = %v, %v, want the same again", m.Amount(), again, err)
		}
		b, err := json.Marshal(m)
		var again Money
		if err := errors.Join(err, json.Unmarshal(b, &again)); err != nil || again != m {
			t.Fatalf("%s is %v, %v, want %v", b, again, err, m)
		}
		checkSplit(t, m, 1+r.IntN(36))
		to := anyMoney(r).Currency
		got, err := m.Convert(to, rate)
		if err != nil {
			continue // out of range
		}
		converted++
		checkNearest(t, m, rate, got)
		if m.Minor > math.MinInt64 {
			if neg, err := (Money{-m.Minor, m.Currency}).Convert(to, rate); err == nil && neg.Minor != -got.Minor {
				t.Fatalf("-%v at %v is %v, want -%v", m, rate, neg, got)
			}
		}
		if more, err := (Money{m.Minor/2 + m.Minor/3, m.Currency}).Convert(to, rate); err == nil && (m.Minor > 0 && more.Minor > got.Minor) {
			t.Fatalf("%v is %v, but less of it is %v", m, got, more)
		}
	}
	if converted < 5000 {
		t.Errorf("only %d of the conversions were within the range", converted)
	}
}

// checkNearest sees that got is m times rate to the nearest unit, of two the farther one.
func checkNearest(t *testing.T, m Money, rate *big.Rat, got Money) {
	t.Helper()
	exact := new(big.Rat).Mul(m.rat(t), rate)
	unit := new(big.Rat).SetFrac(big.NewInt(1), power(exponents[got.Currency]))
	off := new(big.Rat).Sub(got.rat(t), exact)
	away := off.Sign() == exact.Sign()
	half := new(big.Rat).Mul(unit, big.NewRat(1, 2))
	switch off.Abs(off).Cmp(half) {
	case 1:
		t.Fatalf("%v at %v is %v, which is farther than half a unit from %v", m, rate, got, exact)
	case 0:
		if !away {
			t.Fatalf("%v at %v is %v, and the half was not rounded away from zero", m, rate, got)
		}
	}
}

// rat reads the amount as text, another way than the one that is tested.
func (m Money) rat(t *testing.T) *big.Rat {
	r, ok := new(big.Rat).SetString(m.Amount())
	if !ok {
		t.Fatalf("%q is no number", m.Amount())
	}
	return r
}

// checkSplit sees that n parts are together m, differ by one unit, the larger first.
func checkSplit(t *testing.T, m Money, n int) {
	t.Helper()
	parts := m.Split(n)
	sum := new(big.Int)
	for i, p := range parts {
		sum.Add(sum, big.NewInt(p.Minor))
		first, step := parts[0].Minor-p.Minor, int64(1)
		if m.Minor < 0 {
			step = -1
		}
		if first != 0 && first != step || i > 0 && (parts[i-1].Minor-p.Minor)*step < 0 || p.Currency != m.Currency {
			t.Fatalf("%v in %d parts is %v", m, n, parts)
		}
	}
	if len(parts) != n || sum.Cmp(big.NewInt(m.Minor)) != 0 {
		t.Fatalf("%v in %d parts is %v, together %v", m, n, parts, sum)
	}
}

func TestArithmetic(t *testing.T) {
	m := Money{1290, "EUR"}
	if got, err := m.Add(Money{10, "EUR"}); err != nil || got.String() != "13.00 EUR" {
		t.Errorf("Add = %v, %v", got, err)
	}
	if got, err := m.Sub(Money{1300, "EUR"}); err != nil || got.String() != "-0.10 EUR" {
		t.Errorf("Sub = %v, %v", got, err)
	}
	if got, err := m.Times(3); err != nil || got.String() != "38.70 EUR" {
		t.Errorf("Times = %v, %v", got, err)
	}
	for name, f := range map[string]func() (Money, error){
		"another currency more": func() (Money, error) { return m.Add(Money{1, "USD"}) },
		"another currency less": func() (Money, error) { return m.Sub(Money{1, "USD"}) },
		"too much":              func() (Money, error) { return m.Add(Money{math.MaxInt64, "EUR"}) },
		"too little":            func() (Money, error) { return Money{-2, "EUR"}.Sub(Money{math.MaxInt64, "EUR"}) },
		"too often":             func() (Money, error) { return Money{math.MaxInt64, "EUR"}.Times(2) },
	} {
		if got, err := f(); !errors.Is(err, ErrMoney) {
			t.Errorf("%s: %v, %v, want ErrMoney", name, got, err)
		}
	}
	if b, err := json.Marshal(Money{1, "ZZZ"}); err == nil {
		t.Errorf("an unknown currency is %s, want an error", b)
	}
}

// FuzzParseMoney sees that whatever is read is read exactly, and all else is ErrMoney.
func FuzzParseMoney(f *testing.F) {
	for _, s := range []string{"12.90", "0", "-1.5", "1e9", "92233720368547758.07", ".5", "00", "1_000"} {
		f.Add(s, "EUR")
		f.Add(s, "KWD")
	}
	f.Fuzz(func(t *testing.T, amount, currency string) {
		m, err := ParseMoney(amount, Currency(currency))
		if err != nil {
			if !errors.Is(err, ErrMoney) {
				t.Errorf("ParseMoney(%q, %q): %v, want ErrMoney", amount, currency, err)
			}
			return
		}
		want, ok := new(big.Rat).SetString(amount)
		if !ok || m.rat(t).Cmp(want) != 0 {
			t.Errorf("ParseMoney(%q, %q) = %v, want %v", amount, currency, m, want)
		}
	})
}
