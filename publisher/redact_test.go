package publisher

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

func redactor(t testing.TB, o RedactorOptions) *Redactor {
	t.Helper()
	rd, err := NewRedactor(o)
	if err != nil {
		t.Fatal(err)
	}
	return rd
}

const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

func TestRedactQuery(t *testing.T) {
	for query, want := range map[string]string{
		"param=HELLO":                           "param=HELLO",
		"":                                      "",
		"a=1&token=abc&b=2":                     "a=1&token=REDACTED&b=2",
		"TOKEN=abc":                             "TOKEN=REDACTED",
		"token=":                                "token=",
		"token":                                 "token",
		"&&token=a&":                            "&&token=REDACTED&",
		"token=a;code=b":                        "token=REDACTED;code=REDACTED",
		"acc%65ss_token=x":                      "acc%65ss_token=REDACTED",
		"user[password]=x&tokens[]=y":           "user[password]=REDACTED&tokens[]=y",
		"token[]=x":                             "token[]=REDACTED",
		"user%5Bpassword%5D=x":                  "user%5Bpassword%5D=REDACTED",
		"tokenizer=x&monkey=1&mytoken=2":        "tokenizer=x&monkey=1&mytoken=2",
		"token=a=b==":                           "token=REDACTED",
		"X-Amz-Signature=ab&x-goog-signature=c": "X-Amz-Signature=REDACTED&x-goog-signature=REDACTED",
		"awsaccesskeyid=AK":                     "awsaccesskeyid=REDACTED",
		"extra=1&mine=2":                        "extra=1&mine=REDACTED",
		"%zz=1&%zztoken=2":                      "%zz=1&%zztoken=2",
		"jwt=" + token:                          "jwt=REDACTED",
		"next=https%3A%2F%2Fme%3Apw%40example.org%2Fa&x=1": "next=https%3A%2F%2FREDACTED%40example.org%2Fa&x=1",
		"next=https://me:pw@example.org/a":                 "next=https://REDACTED@example.org/a",
		"next=https://example.org/a@b":                     "next=https://example.org/a@b",
		"h=Bearer%20abcdef123":                             "h=Bearer%20REDACTED",
		"h=Bearer+abcdef123":                               "h=Bearer+REDACTED",
	} {
		rd := redactor(t, RedactorOptions{QueryKeys: []string{"Mine"}})
		r := &record.Record{HTTP: record.HTTP{Query: query}}
		if rd.Redact(r); r.HTTP.Query != want {
			t.Errorf("Redact(query %q) = %q, want %q", query, r.HTTP.Query, want)
		}
	}
}

func TestRedactBody(t *testing.T) {
	for name, c := range map[string]struct {
		media, body, want string
		o                 RedactorOptions
	}{
		"plain":               {media: "text/plain", body: "lower case of HELLO is hello"},
		"prose about bearers": {media: "text/plain", body: "the bearer of this letter, a standard-bearer in 1861, token bearer authentication"},
		"bearer":              {media: "text/plain", body: "Authorization: Bearer abc123def\nnext", want: "Authorization: Bearer REDACTED\nnext"},
		"bearer alone":        {media: "text/plain", body: "use bearer abcdefghijklmnopqrst now", want: "use bearer REDACTED now"},
		"basic":               {media: "text/plain", body: `{"authorization": "Basic dXNlcjpwYXNz", "a": 1}`, want: `{"authorization": "Basic REDACTED", "a": 1}`},
		"no scheme":           {media: "text/plain", body: "Authorization=abcdef0123456789 x", want: "Authorization=REDACTED x"},
		"authorization prose": {media: "text/plain", body: "authorization: required by law; authorization"},
		"jwt":                 {media: "text/html", body: "<b>" + token + "</b>", want: "<b>REDACTED</b>"},
		"no jwt":              {media: "text/plain", body: "heyJude.and.others eyJ eyJa.b"},
		"url":                 {media: "text/plain", body: "see postgres://me:s3cret@db:5432/x and http://a/b@c", want: "see postgres://REDACTED@db:5432/x and http://a/b@c"},
		"url with @ in it":    {media: "text/plain", body: "http://me:p@ss@h/", want: "http://REDACTED@h/"},
		"url without":         {media: "text/plain", body: "http://@h/ //me@h http://h mail me@h"},
		"form":                {media: formType, body: "user=me&password=x&z=1", want: "user=me&password=REDACTED&z=1"},
		"form is no text":     {media: "text/plain", body: "user=me&password=x&z=1"},

		"json deep default": {
			media: "application/json", body: `{"a":[{"access_token":"x","b":1}],"Password":{"x":[1,"}"]},"n":2}`,
			want: `{"a":[{"access_token":"REDACTED","b":1}],"Password":"REDACTED","n":2}`,
		},
		"json path": {
			media: "application/problem+json", body: `{"user":{"name":"n","pin":1234 },"pin":5}`,
			want: `{"user":{"name":"n","pin":"REDACTED" },"pin":5}`, o: RedactorOptions{JSONPaths: []string{"$.user.pin"}},
		},
		"json array": {
			media: "application/json", body: `{"cards":[{"number":"1","x":[7,8,9]},{"number":"2"}],"number":"3"}`,
			want: `{"cards":[{"number":"REDACTED","x":[7,"REDACTED",9]},{"number":"REDACTED"}],"number":"3"}`,
			o:    RedactorOptions{JSONPaths: []string{"$.cards[*].number", "$.cards[0].x[1]"}},
		},
		"json top array": {
			media: "application/json", body: `[1,[2,3],{"a":4}]`, want: `["REDACTED",[2,"REDACTED"],{"a":4}]`,
			o: RedactorOptions{JSONPaths: []string{"$[0]", "$[1][1]"}},
		},
		"json wild": {
			media: "application/json", body: `{"a":{"b":1,"c":{"d":2}},"e":3}`, want: `{"a":{"b":"REDACTED","c":"REDACTED"},"e":3}`,
			o: RedactorOptions{JSONPaths: []string{"$.a.*"}},
		},
		"json deep then child": {
			media: "application/json", body: `{"x":{"user":{"pin":1,"y":{"user":{"pin":2}}}},"pin":3}`,
			want: `{"x":{"user":{"pin":"REDACTED","y":{"user":{"pin":"REDACTED"}}}},"pin":3}`, o: RedactorOptions{JSONPaths: []string{"$..user.pin"}},
		},
		"json bracket names": {
			media: "application/json", body: `{"a b":{"c.d":1}}`, want: `{"a b":{"c.d":"REDACTED"}}`,
			o: RedactorOptions{JSONPaths: []string{"$['a b'][\"c.d\"]"}},
		},
		"json escaped key":    {media: "application/json", body: `{"p\u0061ssword":"x"}`, want: `{"p\u0061ssword":"REDACTED"}`},
		"json cut in a value": {media: "application/json", body: `{"a":{"password":"abc\"de`, want: `{"a":{"password":"REDACTED"`},
		"json cut in a list":  {media: "application/json", body: `{"password":["abc",{"x":`, want: `{"password":"REDACTED"`},
		"json broken": {
			media: "application/json", body: `}{"user":{"pin":1}]} "pin" : 2, {"x":{"pin":[3]}}`,
			want: `}{"user":{"pin":"REDACTED"}]} "pin" : "REDACTED", {"x":{"pin":"REDACTED"}}`, o: RedactorOptions{JSONPaths: []string{"$.user.pin"}},
		},
		"json lines":        {media: "application/json", body: "{\"password\":1}\n{\"password\":2}\n", want: "{\"password\":\"REDACTED\"}\n{\"password\":\"REDACTED\"}\n"},
		"json key as value": {media: "application/json", body: `{"a":"password","b":["password","x"]}`},
		"json empty":        {media: "application/json", body: `{"password":[],"a":[],"b":{}}`, want: `{"password":"REDACTED","a":[],"b":{}}`},
		"json and shape":    {media: "application/json", body: `{"url":"http://a:b@c","password":"http://a:b@c"}`, want: `{"url":"http://REDACTED@c","password":"REDACTED"}`},

		"pattern":        {media: "text/plain", body: "card 4111-1111 ok", want: "card REDACTED ok", o: RedactorOptions{Patterns: []string{`\d{4}-\d{4}`}}},
		"pattern group":  {media: "text/plain", body: "pin: 1234, pin: 5", want: "pin: REDACTED, pin: REDACTED", o: RedactorOptions{Patterns: []string{`pin: (\d+)`}}},
		"pattern groups": {media: "text/plain", body: "ab-cd", want: "REDACTED-REDACTED", o: RedactorOptions{Patterns: []string{`(a\w)-(c\w)(x)?`}}},
		"bare":           {media: "application/json", body: `{"password":"http://a:b@c"}`, o: RedactorOptions{Bare: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.want == "" {
				c.want = c.body
			}
			body := []byte(c.body)
			r := &record.Record{HTTP: record.HTTP{MediaType: c.media, Body: body, BodyKind: record.BodyText}}
			redactor(t, c.o).Redact(r)
			if got := string(r.HTTP.Body); got != c.want {
				t.Errorf("Redact(%q) =\n%s, want\n%s", c.body, got, c.want)
			}
			if string(body) != c.body {
				t.Errorf("Redact changed the answer's own bytes to %q", body)
			}
		})
	}
}

func TestRedactOtherPlaces(t *testing.T) {
	rd := redactor(t, RedactorOptions{Patterns: []string{"hush"}})
	r := &record.Record{
		Type: "org.example.v1", Data: []byte(`{"password":"x","say":"hush"}`),
		HTTP: record.HTTP{Path: "/proxy/https://me:pw@h/hush", Error: "dial http://a:b@h: hush"},
	}
	rd.Redact(r)
	if want := "/proxy/https://REDACTED@h/REDACTED"; r.HTTP.Path != want {
		t.Errorf("path = %q, want %q", r.HTTP.Path, want)
	}
	if want := "dial http://REDACTED@h: REDACTED"; r.HTTP.Error != want {
		t.Errorf("error = %q, want %q", r.HTTP.Error, want)
	}
	if want := `{"password":"REDACTED","say":"REDACTED"}`; string(r.Data) != want {
		t.Errorf("data = %s, want %s", r.Data, want)
	}
}

func TestRedactorErrorsNameTheRule(t *testing.T) {
	for name, c := range map[string]struct {
		o    RedactorOptions
		want string
	}{
		"pattern":       {RedactorOptions{Patterns: []string{"fine", "(open"}}, `pattern "(open"`},
		"empty pattern": {RedactorOptions{Patterns: []string{"x*"}}, `pattern "x*"`},
		"empty key":     {RedactorOptions{QueryKeys: []string{""}}, `query key ""`},
		"no dollar":     {RedactorOptions{JSONPaths: []string{"user.name"}}, `json path "user.name"`},
		"nothing":       {RedactorOptions{JSONPaths: []string{"$"}}, `json path "$"`},
		"no name":       {RedactorOptions{JSONPaths: []string{"$.a..", "$.b"}}, `json path "$.a.."`},
		"dots":          {RedactorOptions{JSONPaths: []string{"$...a"}}, `json path "$...a"`},
		"open bracket":  {RedactorOptions{JSONPaths: []string{"$.a[0"}}, `json path "$.a[0"`},
		"filter":        {RedactorOptions{JSONPaths: []string{"$.a[?(@.b)]"}}, `json path "$.a[?(@.b)]"`},
		"slice":         {RedactorOptions{JSONPaths: []string{"$[-1]"}}, `json path "$[-1]"`},
		"open quote":    {RedactorOptions{JSONPaths: []string{"$['a"}}, `json path "$['a"`},
		"junk":          {RedactorOptions{JSONPaths: []string{"$a"}}, `json path "$a"`},
		"too deep":      {RedactorOptions{JSONPaths: []string{"$" + strings.Repeat(".a", 64)}}, "more than 63 steps"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewRedactor(c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewRedactor(%+v) = %v, want an error with %s", c.o, err, c.want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	rd := redactor(t, RedactorOptions{JSONPaths: []string{"$.user.pin"}})
	sample := &record.Record{HTTP: record.HTTP{Query: "a=1&Token=abc", MediaType: "application/json", Body: []byte(`{"user":{"pin":1},"u":"http://a:b@c"}`)}}
	want := []Change{
		{"query", "query key Token", "abc", "REDACTED"},
		{"body", "json path $.user.pin", "1", `"REDACTED"`},
		{"body", "user information in a URL", "a:b", "REDACTED"},
	}
	got := rd.Explain(sample)
	if len(got) != len(want) {
		t.Fatalf("Explain = %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("change %d = %+v, want %+v", i, got[i], want[i])
		}
	}
	if got, want := (Change{"body", "pattern a", "x\n\x1b", redacted}).String(), `body: pattern a: x\n\x1b -> REDACTED`; got != want {
		t.Errorf("String = %s, want %s", got, want)
	}
	if sample.HTTP.Query != "a=1&Token=abc" {
		t.Errorf("Explain changed the sample: %q", sample.HTTP.Query)
	}
}

func downcase() *record.Record {
	return &record.Record{Source: "/downcase", Time: time.Unix(1, 0), Subject: "/downcase/", HTTP: record.HTTP{
		Method: "GET", Path: "/downcase/", Query: "param=HELLO", Status: 200, Client: "192.0.2.7", Request: "01JDA8Q5V3W7XKZ2M4N6P8R9ST",
		Bytes: 28, MediaType: "text/plain", Body: []byte("lower case of HELLO is hello"), BodyKind: record.BodyText,
	}}
}

func TestRedactAllocatesNothingWithoutASecret(t *testing.T) {
	rd, r := redactor(t, RedactorOptions{}), downcase()
	if n := testing.AllocsPerRun(100, func() { rd.Redact(r) }); n != 0 {
		t.Errorf("Redact of the downcase record: %v allocations, want 0", n)
	}
}

// FuzzRedactJSON checks the scanner against encoding/json: what is valid is changed as if
// it had been decoded, and what is not valid does no harm.
func FuzzRedactJSON(f *testing.F) {
	for _, s := range []string{`{"password":"x"}`, `[{"a":{"password":[1,{"b":"}"}]}},"password"]`, `{"p\u0061ssword":1}`, `"a":{"password":1`, `{"a":[[]]}`, ``} {
		f.Add(s)
	}
	deep := redactor(f, RedactorOptions{Bare: true, JSONPaths: []string{"$..password"}})
	mixed := redactor(f, RedactorOptions{Bare: true, JSONPaths: []string{"$..password", "$.a[1].b", "$..x.*", "$[*]..a"}})
	f.Fuzz(func(t *testing.T, s string) {
		r := &record.Record{HTTP: record.HTTP{MediaType: "application/json", Body: []byte(s)}}
		mixed.Redact(r)
		var before, after any
		valid := json.Unmarshal([]byte(s), &before) == nil
		if err := json.Unmarshal(r.HTTP.Body, &after); valid && err != nil {
			t.Fatalf("Redact(%q) = %q: %v", s, r.HTTP.Body, err)
		}
		r.HTTP.Body = []byte(s)
		deep.Redact(r)
		if !valid {
			return
		}
		if err := json.Unmarshal(r.HTTP.Body, &after); err != nil || !reflect.DeepEqual(after, censor(before)) {
			t.Fatalf("Redact(%q) = %s, %v; want %v", s, r.HTTP.Body, err, censor(before))
		}
	})
}

// censor is what $..password does, in the words of encoding/json.
func censor(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, member := range v {
			if v[k] = censor(member); sameName([]byte(k), "password") {
				v[k] = redacted
			}
		}
	case []any:
		for i := range v {
			v[i] = censor(v[i])
		}
	}
	return v
}

// FuzzShapes asserts that edits stay inside the text, and that nothing outside them changes.
func FuzzShapes(f *testing.F) {
	for _, s := range []string{"http://a:b@c", "%3A%2F%2Fa%40b", "Bearer abc123def", "Authorization: Basic x", token, "z", "eyJ", "://@", "authoriz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at := 0
		for _, e := range merge(findShapes(nil, []byte(s))) {
			if e.start < at || e.end > len(s) || e.start >= e.end {
				t.Fatalf("findShapes(%q): edit %d to %d after %d", s, e.start, e.end, at)
			}
			at = e.end
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	rd := redactor(b, RedactorOptions{})
	large := downcase()
	large.HTTP.Body = bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog. "), 64<<10/45)
	object := downcase()
	object.HTTP.MediaType = "application/json"
	object.HTTP.Body = []byte(`{"id":17,"name":"a product","price":{"amount":1200,"currency":"EUR"},"tags":["a","b","c"],"stock":null}`)
	for name, r := range map[string]*record.Record{"downcase": downcase(), "text 64KiB": large, "json": object} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rd.Redact(r)
			}
		})
	}
}
