package static

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// sibling is a coded form of a file, beside it.
type sibling struct {
	coding, ending string
}

// known are the codings, the one that is smallest as a rule first.
var known = []sibling{{"br", ".br"}, {"zstd", ".zst"}, {"gzip", ".gz"}}

// siblings are those that a client accepts (RFC 9110 12.5.3), the most wanted first. One
// that it wants less than the plain form is left out.
func siblings(fields []string) []sibling {
	if len(fields) == 0 {
		return nil
	}
	q := map[string]float64{}
	for _, field := range fields {
		for item := range strings.SplitSeq(field, ",") {
			coding, weight := parse(item)
			q[coding] = weight
		}
	}
	of := func(coding string) float64 {
		for _, name := range []string{coding, "*"} {
			if weight, ok := q[name]; ok {
				return weight
			}
		}
		return 0
	}
	plain := q["identity"]
	var wanted []sibling
	for _, s := range known {
		if w := of(s.coding); w > 0 && w >= plain {
			wanted = append(wanted, s)
		}
	}
	slices.SortStableFunc(wanted, func(a, b sibling) int { return cmp.Compare(of(b.coding), of(a.coding)) })
	return wanted
}

// parse reads one item of Accept-Encoding. A weight that is none counts as not wanted.
func parse(item string) (coding string, weight float64) {
	coding, parameter, weighted := strings.Cut(item, ";")
	coding = strings.ToLower(strings.TrimSpace(coding))
	if coding == "x-gzip" {
		coding = "gzip"
	}
	if !weighted {
		return coding, 1
	}
	value, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(parameter, " ", "")), "q=")
	w, err := strconv.ParseFloat(value, 64)
	if !ok || err != nil || !(w >= 0 && w <= 1) {
		return coding, 0
	}
	return coding, w
}
