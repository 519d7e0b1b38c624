package record

import "testing"

func TestPlain(t *testing.T) {
	for name, c := range map[string]struct{ data, want string }{
		"one":          {string(AppendPlain(nil, "", []byte("a\nb"))), "a\nb"},
		"two":          {string(AppendPlain(nil, "", []byte("weather.10001"), []byte(`"7" \`))), `weather.10001 "7" \`},
		"empty":        {string(AppendPlain(nil, "", []byte{})), ""},
		"an endpoint":  {string(AppendPlain(nil, "tcp://127.0.0.1:4444", []byte("a"))), "a"},
		"no frame":     {string(AppendPlain(nil, "")), ""},
		"white space":  {`{ "x" : [ "y" ] , "frames" : [ "a" , "b" ] , "z" : 1 }`, "a b"},
		"escaped name": {`{"fram\u0065s":["a"]}`, "a"},
		"no strings":   {`{"frames":[1,{"a":[]},"b"]}`, `1 {"a":[]} b`},
		"other member": {`{"x":1}`, "none"},
		"not a list":   {`{"frames":"a"}`, "none"},
		"nothing":      {`{}`, "none"},
		"not a member": {`["frames"]`, "none"},
		"no data":      {``, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			line := testHead[:len(testHead)-len(`earshot.http.v1"`)] + TypePlain + `"`
			if c.data != "" {
				line += `,"data":` + c.data
			}
			l, err := Scan([]byte(line + "}"))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := l.AppendMessage([]byte("x"))
			if want := "x" + c.want; ok && string(got) != want || !ok && (c.want != "none" || string(got) != "x") {
				t.Errorf("AppendMessage of %s = %q, %t, want %q", c.data, got, ok, want)
			}
		})
	}
	l, err := Scan([]byte(testHead + `,"data":{"frames":["a"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := l.AppendMessage(nil); ok {
		t.Errorf("AppendMessage of an exchange = %q", got)
	}
}

// FuzzPlain walks through any data that Scan let pass.
func FuzzPlain(f *testing.F) {
	f.Add([]byte(`{"frames":["a",1,{"b":[]}], "x":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		line := append([]byte(`{`+testAttrs+`,"type":"`+TypePlain+`","data":`), data...)
		l, err := Scan(append(line, '}'))
		if err != nil {
			return
		}
		if out, ok := l.AppendMessage(nil); !ok && len(out) > 0 || len(out) > len(line) {
			t.Errorf("AppendMessage of %s = %q, %t", data, out, ok)
		}
	})
}
