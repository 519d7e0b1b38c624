package config

import "strings"

// Nearest returns the known name that somebody who wrote name has most likely meant, or
// "" if none is near: at most one slip (a letter too many, too few, wrong, or two
// exchanged) in each three letters. Case, and - or _, make no difference. Of two that
// are equally near the first is returned.
func Nearest(name string, known []string) string {
	a := fold(name)
	limit := max(1, len(a)/3)
	best, nearest := limit+1, ""
	for _, k := range known {
		b := fold(k)
		if len(a)-len(b) > limit || len(b)-len(a) > limit {
			continue
		}
		if d := distance(a, b); d < best && d < max(len(a), len(b)) {
			best, nearest = d, k
		}
	}
	return nearest
}

func fold(s string) []rune {
	return []rune(strings.ReplaceAll(strings.ToLower(s), "_", "-"))
}

// distance is the Damerau-Levenshtein distance in which no part is edited twice
// (optimal string alignment), with three rows instead of a table.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
