package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// sample is what one run of a row gave, by column. A value that is not there is printed
// as a dash.
type sample map[string]float64

// column is one figure of every row.
type column struct {
	key   string
	title string
	of    string // key that this is the ratio of: this row's to the reference's, in one round
	minus string // key that this is the difference of
	sum   bool   // over all rounds, instead of the median
	prec  int
}

// table is rows that are measured in the same rounds and compared with the first of
// them, or with the row that a row names.
type table struct {
	name    string
	group   string // of several tables; they run only when asked for
	title   string
	note    string
	columns []column
	rows    []row
	samples map[string][]sample // by row, one a round
	skipped []string            // why rows are not there
}

// choose keeps the rows that are wanted and those that they are compared with, and
// tells whether any is. It marks the names that it knows.
func (t *table) choose(wanted map[string]bool) bool {
	whole := false
	for _, name := range []string{t.name, t.group} {
		if _, ok := wanted[name]; ok && name != "" {
			wanted[name], whole = true, true
		}
	}
	keep := map[string]bool{}
	for _, r := range t.rows {
		if _, ok := wanted[r.name()]; ok {
			wanted[r.name()] = true
			keep[r.name()], keep[t.reference(r)] = true, true
		}
	}
	t.rows = slices.DeleteFunc(t.rows, func(r row) bool { return !whole && !keep[r.name()] })
	return len(t.rows) > 0
}

// compared is a row that may not be compared with the first of its table.
type compared interface {
	reference(first string) string
}

func (t *table) reference(r row) string {
	if c, ok := r.(compared); ok {
		return c.reference(t.rows[0].name())
	}
	return t.rows[0].name()
}

func (t *table) add(r row, s sample) {
	if t.samples == nil {
		t.samples = map[string][]sample{}
	}
	t.samples[r.name()] = append(t.samples[r.name()], s)
}

// values is a column of a row, round by round.
func (t *table) values(r row, c column) (all []float64) {
	base := t.samples[t.reference(r)]
	for i, s := range t.samples[r.name()] {
		v, ok := s[c.key]
		if from := c.of + c.minus; from != "" {
			v, ok = s[from]
			b, known := base[i][from]
			ok = ok && known
			if c.of != "" {
				v /= b
			} else {
				v -= b
			}
		}
		if ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
			all = append(all, v)
		}
	}
	return all
}

func (t *table) cell(r row, c column) string {
	all := t.values(r, c)
	switch {
	case len(all) == 0 || c.of+c.minus != "" && t.reference(r) == r.name():
		return "-"
	case c.sum:
		total := 0.0
		for _, v := range all {
			total += v
		}
		return number(total, c.prec)
	case len(all) == 1:
		return number(all[0], c.prec)
	}
	return fmt.Sprintf("%s (%s-%s)", number(median(all), c.prec), number(slices.Min(all), c.prec), number(slices.Max(all), c.prec))
}

// String is the table as text, as wide as its widest cells.
func (t *table) String() string {
	cells := [][]string{{""}}
	for _, c := range t.columns {
		cells[0] = append(cells[0], c.title)
	}
	for _, r := range t.rows {
		line := []string{r.title()}
		for _, c := range t.columns {
			line = append(line, t.cell(r, c))
		}
		cells = append(cells, line)
	}
	width := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			width[i] = max(width[i], len(c))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", t.title)
	for _, line := range cells {
		for i, c := range line {
			if i == 0 {
				fmt.Fprintf(&b, "  %-*s", width[i], c)
			} else {
				fmt.Fprintf(&b, "  %*s", width[i], c)
			}
		}
		b.WriteByte('\n')
	}
	for _, why := range t.skipped {
		fmt.Fprintf(&b, "  %s\n", why)
	}
	if t.note != "" {
		fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(t.note, "\n", "\n  "))
	}
	return b.String()
}

// number writes v with prec digits behind the point, and commas between thousands.
func number(v float64, prec int) string {
	text := fmt.Sprintf("%.*f", prec, v)
	whole, rest, _ := strings.Cut(text, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return sign + whole
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile is the value below which a share q of all values lies; of an even number of
// values the median is the mean of the middle two. It sorts.
func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	n := len(values)
	switch {
	case n == 0:
		return math.NaN()
	case q == 0.5 && n%2 == 0:
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[min(int(q*float64(n)), n-1)]
}
