package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheck(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	many := func(last string) string {
		var b strings.Builder
		for i := range 40 {
			b.WriteString(`"` + strconv.Itoa(i) + `":0,`)
		}
		return "{" + b.String() + last + ":0}"
	}
	for name, c := range map[string]struct{ in, want string }{
		"object":                     {` {"a" : [1, {"b":null}] , "c":"{"} `, ""},
		"number beyond every float":  {`1e400`, ""},
		"one text":                   {`"a\"}"`, ""},
		"names in two objects":       {`[{"a":1},{"a":{"a":2}}]`, ""},
		"as deep as it may be":       {deep(MaxDepth), ""},
		"deeper":                     {deep(MaxDepth + 1), "it is nested deeper than 64"},
		"very deep":                  {deep(100_000), "it is not valid JSON"}, // encoding/json's own limit
		"nothing":                    {``, "it is not valid JSON"},
		"two values":                 {`{} {}`, "it is not valid JSON"},
		"cut":                        {`{"a":[1,2`, "it is not valid JSON"},
		"NaN":                        {`{"a":NaN}`, "it is not valid JSON"},
		"byte order mark":            {"\ufeff{}", "it is not valid JSON"},
		"Latin 1":                    {"\"\xe9\"", "it is not UTF-8"},
		"same name twice":            {`{"a":1,"b":2,"a":3}`, "it has an object with the same name twice"},
		"same name below":            {`[0,{"x":{"a":1,"a":1}}]`, "it has an object with the same name twice"},
		"same name, escaped":         {`{"a":1,"\u0061":3}`, "it has an object with the same name twice"},
		"many names":                 {many(`"x"`), ""},
		"many names, an early twice": {many(`"3"`), "it has an object with the same name twice"},
		"many names, a late twice":   {many(`"\u0033\u0039"`), "it has an object with the same name twice"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := check([]byte(c.in)); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("check(%.60s) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

// judge says the same as check, as encoding/json sees it.
func judge(b []byte) bool {
	if !utf8.Valid(b) || !json.Valid(b) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var objects []map[string]bool // nil for a list
	key := false                  // a name is next
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return true
		}
		inObject := len(objects) > 0 && objects[len(objects)-1] != nil
		switch d := tok.(type) {
		case json.Delim:
			switch d {
			case '{':
				objects, key = append(objects, map[string]bool{}), true
			case '[':
				objects, key = append(objects, nil), false
			default:
				objects = objects[:len(objects)-1]
				key = len(objects) > 0 && objects[len(objects)-1] != nil
			}
			if len(objects) > MaxDepth {
				return false
			}
		default:
			if s, ok := tok.(string); ok && key {
				if objects[len(objects)-1][s] {
					return false
				}
				objects[len(objects)-1][s] = true
				key = false
				continue
			}
			key = inObject
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":[1.10,{"b":"\u0061\\"}],"c":{}}`, `[[],{},""," ",-0e1,true]`, `{"a":1,"\u0061":2}`, ` 1 `, `{"\ud800":1,"�":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := check(b) == nil, judge(b); got != want {
			t.Fatalf("check(%q) takes it: %v, want %v", b, got, want)
		}
	})
}
