package compose

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// picks makes fields of a view on a part named p.
func picks(t testing.TB, pick ...Pick) []field {
	t.Helper()
	c, err := New(Config{
		Parts: []PartConfig{{Name: "p", Upstream: "u", Path: "/"}},
		Views: map[string][]Pick{"v": {{Take: "p", Pick: pick}}},
	}, []string{"u"})
	if err != nil {
		t.Fatal(err)
	}
	return c.views["v"].fields[0].pick
}

func TestPick(t *testing.T) {
	as := func(take, name string, pick ...Pick) Pick { return Pick{take, name, pick} }
	name := func(take string) Pick { return Pick{Take: take} }
	for what, c := range map[string]struct {
		value string
		pick  []Pick
		want  string
	}{
		"all":                    {` {"b": 1.10} `, nil, ` {"b": 1.10} `},
		"order is that of picks": {`{"b":2,"a":1,"secret":3}`, []Pick{name("a"), name("b")}, `{"a":1,"b":2}`},
		"numbers as they came":   {`{"n":12345678901234567890,"p":1.10,"e":1E400}`, []Pick{name("e"), name("p"), name("n")}, `{"e":1E400,"p":1.10,"n":12345678901234567890}`},
		"spaces and escapes too": {`{"a": [ 1 ,"\u0041\/" ] }`, []Pick{name("a")}, `{"a":[ 1 ,"\u0041\/" ]}`},
		"renamed":                {`{"a":1}`, []Pick{as("a", `q"<`)}, `{"q\"<":1}`},
		"from below":             {`{"a":{"b":[0,{"c":7}]}}`, []Pick{as("a.b.1.c", "c")}, `{"c":7}`},
		"absent":                 {`{"a":{"b":1}}`, []Pick{name("x"), as("a.x", "w"), as("a.b.0", "y"), as("a.b.c", "z"), name("a")}, `{"a":{"b":1}}`},
		"null is a value":        {`{"a":null}`, []Pick{name("a")}, `{"a":null}`},
		"of each in a list":      {`[{"a":1,"b":2},{"b":3},[{"a":4}]]`, []Pick{name("a")}, `[{"a":1},{},[{"a":4}]]`},
		"empty list":             {`[ ]`, []Pick{name("a")}, `[]`},
		"no members to pick of":  {`["secret",5,null,true]`, []Pick{name("a")}, `[null,null,null,null]`},
		"name with escapes":      {`{"\u0061":1,"a\"":2}`, []Pick{name("a")}, `{"a":1}`},
		"twice":                  {`{"a":{"x":1,"y":2}}`, []Pick{as("a", "b", name("x")), as("a", "c", name("y"))}, `{"b":{"x":1},"c":{"y":2}}`},
		"beyond the list":        {`{"a":[1]}`, []Pick{as("a.1", "x"), as("a.-1", "y"), as("a.00", "z")}, `{"z":1}`},
	} {
		t.Run(what, func(t *testing.T) {
			if err := check([]byte(c.value)); err != nil {
				t.Fatal(err)
			}
			var fields []field
			if c.pick != nil {
				fields = picks(t, c.pick...)
			}
			if got := string(appendPicked(nil, []byte(c.value), fields)); got != c.want {
				t.Errorf("appendPicked(%s) = %s, want %s", c.value, got, c.want)
			}
		})
	}
}

// pickWith does what appendPicked does, with encoding/json.
func pickWith(value json.RawMessage, fields []field) json.RawMessage {
	if fields == nil {
		return value
	}
	var object map[string]json.RawMessage
	var list []json.RawMessage
	switch value[0] {
	case '{':
		_ = json.Unmarshal(value, &object)
		var parts []string
		for _, f := range fields {
			v, ok := json.RawMessage(value), true
			for _, step := range f.path {
				if v, ok = stepWith(v, step); !ok {
					break
				}
			}
			if ok {
				parts = append(parts, string(f.name)+string(pickWith(v, f.pick)))
			}
		}
		return json.RawMessage("{" + strings.Join(parts, ",") + "}")
	case '[':
		_ = json.Unmarshal(value, &list)
		var parts []string
		for _, v := range list {
			parts = append(parts, string(pickWith(v, fields)))
		}
		return json.RawMessage("[" + strings.Join(parts, ",") + "]")
	}
	return json.RawMessage("null")
}

func stepWith(value json.RawMessage, step string) (v json.RawMessage, ok bool) {
	var object map[string]json.RawMessage
	var list []json.RawMessage
	switch value[0] {
	case '{':
		_ = json.Unmarshal(value, &object)
		v, ok = object[step]
	case '[':
		_ = json.Unmarshal(value, &list)
		if n, err := strconv.ParseUint(step, 10, 31); err == nil && n < uint64(len(list)) {
			return list[n], true
		}
	}
	return v, ok
}

// FuzzPick judges the splicer by encoding/json.
func FuzzPick(f *testing.F) {
	for _, s := range []string{`{"a":{"b":[1.10,{"c":"\u0061"}]},"b":[{"a":1},{"b":{"c":2}}]}`, `[{"a":null},1,"a",[{"b":{}}]]`, ` {"\u0062" : [ ] } `} {
		f.Add([]byte(s))
	}
	fields := picks(f, Pick{Take: "b", Pick: []Pick{{Take: "a"}, {Take: "b.c"}}}, Pick{Take: "a.b.1.c", As: "x"}, Pick{Take: "a"}, Pick{Take: "a.b", As: "z", Pick: []Pick{{Take: "c"}}})
	f.Fuzz(func(t *testing.T, b []byte) {
		if check(b) != nil {
			return
		}
		b = bytes.TrimSpace(b)
		got, want := appendPicked(nil, b, fields), pickWith(b, fields)
		if !bytes.Equal(got, want) {
			t.Fatalf("of %s\n got %s\nwant %s", b, got, want)
		}
		if check(got) != nil {
			t.Fatalf("%s is no value: %v", got, check(got))
		}
	})
}
