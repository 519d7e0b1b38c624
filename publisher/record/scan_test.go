package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const (
	testID    = `q7k3v9x2m1t8w/19a8f3c2e4b00d17/1`
	testAttrs = `"specversion":"1.0","id":"` + testID + `","source":"/s","time":"2026-11-22T10:35:12Z"`
	testHead  = `{` + testAttrs + `,"type":"earshot.http.v1"`
)

func TestScan(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		want string // what describe says of the line, without the attributes that all have
	}{
		"least":              {testHead + `,"data":{}}`, ``},
		"line feed":          {testHead + `,"data":{}}` + "\n", ``},
		"CR LF":              {testHead + `,"data":{}}` + "\r\n", ``},
		"white space":        {" { " + testAttrs[:13] + " : " + testAttrs[14:] + ` , "type" : "earshot.http.v1" , "data" : { "us" : 1 } } `, `us=1`},
		"any order":          {`{"data":{"status":200,"method":"GET"},"type":"earshot.http.v1",` + testAttrs + `}`, `method=GET status=200`},
		"unknown":            {testHead + `,"x":{"id":[1,"}"]},"data":{"y":[],"us":7,"z":null,"path":"/"},"w":1}`, `path=/ us=7`},
		"unknown first":      {`{"a":1,` + testAttrs + `,"type":"earshot.http.v1","data":{"a":{},"open":true}}`, `open=true`},
		"null":               {testHead + `,"subject":null,"sampledrate":null,"data":{"method":null,"status":null,"open":null,"body":null}}`, `body=null`},
		"escaped names":      {testHead + `,"sub\u006aect":"a","d\u0061ta":{"\u006fpen":true}}`, `subject=a open=true`},
		"escaped type":       {`{` + testAttrs + `,"type":"earshot\u002ehttp.v1","data":{"us":1}}`, `us=1`},
		"numbers":            {testHead + `,"data":{"us":-1,"bytes":9223372036854775807,"status":0}}`, `us=-1 bytes=9223372036854775807`},
		"texts":              {testHead + `,"data":{"path":"\/\"\\\b\f\n\r\t\u00e9\ud83d\ude00\ud800x\udc00"}}`, "path=/\"\\\b\f\n\r\té😀\ufffdx\ufffd"},
		"bodies":             {testHead + `,"data":{"body":[{"a":[]},{}, "]"]}}`, `body=[{"a":[]},{}, "]"]`},
		"text body":          {testHead + `,"data":{"body":"a\nb","truncated":true}}`, `body="a\nb" truncated=true`},
		"other type":         {`{` + testAttrs + `,"type":"x","data":[1]}`, `data=[1]`},
		"other, data before": {`{"data":{"status":"x"},` + testAttrs + `,"type":"x"}`, `data={"status":"x"}`},
		"no data":            {`{` + testAttrs + `,"type":"x"}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Scan([]byte(c.line))
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(&l); got != c.want {
				t.Errorf("Scan(%s) = %s, want %s", c.line, got, c.want)
			}
			if l.ID().String() != testID || l.Service().String() != "s" || l.Time.Unix() != 1795343712 {
				t.Errorf("id %v, service %s, time %v", l.ID(), l.Service(), l.Time)
			}
		})
	}
}

// describe has the members of a line that are there.
func describe(l *Line) string {
	var b []string
	add := func(name string, value any, there bool) {
		if there {
			b = append(b, fmt.Sprintf("%s=%v", name, value))
		}
	}
	add("subject", l.Subject, l.Subject != nil)
	add("traceparent", l.Traceparent, l.Traceparent != nil)
	add("sampledrate", l.SampledRate, l.SampledRate != 0)
	add("data", string(l.Data), l.Data != nil && !l.IsHTTP)
	add("method", l.Method, l.Method != nil)
	add("path", l.Path, l.Path != nil)
	add("query", l.Query, l.Query != nil)
	add("status", l.Status, l.Status != 0)
	add("us", l.Micros, l.Micros != 0)
	add("client", l.Client, l.Client != nil)
	add("request", l.Request, l.Request != nil)
	add("bytes", l.Bytes, l.Bytes != 0)
	add("type", l.MediaType, l.MediaType != nil)
	add("body", string(l.Body), l.Body != nil)
	add("truncated", l.Truncated, l.Truncated)
	add("aborted", l.Aborted, l.Aborted)
	add("open", l.Open, l.Open)
	add("upstream", l.Upstream, l.Upstream != nil)
	add("error", l.Error, l.Error != nil)
	return strings.Join(b, " ")
}

func TestScanRefuses(t *testing.T) {
	edit := func(old, new string) string {
		line := testHead + `,"data":{"status":200}}`
		if !strings.Contains(line, old) {
			t.Fatalf("%q is not in the line", old)
		}
		return strings.Replace(line, old, new, 1)
	}
	nested := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	for name, line := range map[string]string{
		"nothing":             "",
		"line feed":           "\n",
		"array":               "[]",
		"empty object":        "{}",
		"batch":               `{"batch":{"v":1}}`,
		"two objects":         edit("}}", "}}{}"),
		"two lines":           edit("}}", "}}\n\n"),
		"line feed inside":    edit(`"source"`, "\n"+`"source"`),
		"cut":                 edit("}}", "}"),
		"comma at the end":    edit("}}", "},}"),
		"comma at the begin":  edit(`{"spec`, `{,"spec`),
		"no comma":            edit(`,"id"`, ` "id"`),
		"no colon":            edit(`"id":`, `"id" `),
		"name is no string":   edit(`"id":`, `id:`),
		"not UTF-8":           edit("/s", "/\xff"),
		"control":             edit("/s", "/\x01"),
		"wrong escape":        edit("/s", `/\x`),
		"short escape":        edit("/s", `/\u00`),
		"escape of no digits": edit("/s", `/\u00g0`),
		"version":             edit(`"1.0"`, `"2.0"`),
		"no version":          edit(`"specversion":"1.0",`, ``),
		"version number":      edit(`"1.0"`, `1.0`),
		"no id":               edit(`"id":"`+testID+`",`, ``),
		"null id":             edit(`"`+testID+`"`, `null`),
		"id without number":   edit(`17/1"`, `17"`),
		"id with number 0":    edit(`17/1"`, `17/0"`),
		"id with 21 digits":   edit(`17/1"`, `17/18446744073709551616"`),
		"id with space":       edit(`17/1"`, `17/1 "`),
		"stream of letter l":  edit("q7k", "q7l"),
		"epoch in capitals":   edit("19a8", "19A8"),
		"no source":           edit(`"source":"/s",`, ``),
		"empty source":        edit(`"/s"`, `""`),
		"no type":             edit(`,"type":"earshot.http.v1"`, ``),
		"no time":             edit(`,"time":"2026-11-22T10:35:12Z"`, ``),
		"time without zone":   edit(`:12Z`, `:12`),
		"no data":             edit(`,"data":{"status":200}`, ``),
		"data null":           edit(`{"status":200}`, `null`),
		"data an array":       edit(`{"status":200}`, `[]`),
		"member twice":        edit(`"status":200`, `"status":200,"status":200`),
		"member twice, null":  edit(`"status":200`, `"status":null,"status":200`),
		"escaped twice":       edit(`"status":200`, `"status":200,"\u0073tatus":200`),
		"attribute twice":     edit(`"id"`, `"source":"/s","id"`),
		"data twice":          edit(`}}`, `},"data":{}}`),
		"status text":         edit(`200`, `"200"`),
		"status fraction":     edit(`200`, `200.0`),
		"status exponent":     edit(`200`, `2e2`),
		"status of 65 bits":   edit(`200`, `9223372036854775808`),
		"leading zero":        edit(`200`, `0200`),
		"no digits":           edit(`200`, `-`),
		"no fraction":         edit(`200`, `1.`),
		"no exponent":         edit(`200`, `1e+`),
		"flag number":         edit(`"status":200`, `"open":1`),
		"flag word":           edit(`"status":200`, `"open":truth`),
		"method number":       edit(`"status":200`, `"method":1`),
		"body nothing":        edit(`"status":200`, `"body":`),
		"body word":           edit(`"status":200`, `"body":nul`),
		"body bracket":        edit(`"status":200`, `"body":[}`),
		"body comma":          edit(`"status":200`, `"body":[1,]`),
		"body member":         edit(`"status":200`, `"body":{"a"}`),
		"body too deep":       edit(`"status":200`, `"body":`+nested),
		"unknown too deep":    edit(`"status":200`, `"x":`+nested),
		"too long":            edit("/s", strings.Repeat("s", MaxLine)),
	} {
		if l, err := Scan([]byte(line)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: Scan(%.300s) = %v, want ErrMalformed", name, line, err)
		} else if l.Source != nil {
			t.Errorf("%s: a line beside the error", name)
		}
		if _, err := Parse([]byte(line)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: Parse = %v, want ErrMalformed", name, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	for _, in := range []string{
		"2026-11-22T10:35:12Z", "2026-11-22T10:35:12.1Z", "2026-11-22T10:35:12.123456789Z", "2026-11-22T10:35:12.1234567899Z",
		"2026-11-22T10:35:12+01:30", "2026-11-22T10:35:12.5-23:59", "0000-01-01T00:00:00Z", "0000-02-29T00:00:00Z", "9999-12-31T23:59:59Z",
		"2000-02-29T00:00:00Z", "1900-02-28T00:00:00Z", "1900-03-01T00:00:00Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z",
		// refused
		"", "2026-11-22", "2026-11-22T10:35:12", "2026-11-22 10:35:12Z", "2026-11-22t10:35:12z", "2026-11-22T10:35:12,5Z", "2026-11-22T10:35:12.Z",
		"2026-11-22T10:35:12+24:00", "2026-11-22T10:35:12+00:60", "2026-11-22T10:35:12+0000", "2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z",
		"2026-11-22T10:35:60Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-11-31T00:00:00Z",
		"2026-11-00T00:00:00Z", "2026-11-22T10:35:12ZZ", "2O26-11-22T10:35:12Z", "+026-11-22T10:35:12Z", "2026-11-22T1:35:12.12Z",
	} {
		sameTime(t, []byte(in))
	}
	for day := time.Date(1896, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2105; day = day.AddDate(0, 0, 1) {
		sameTime(t, appendTime(nil, day))
	}
}

// rfc3339 is the grammar; the time package alone takes a comma, an hour of one digit
// and zones of more than a day.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func referenceTime(in []byte) (at time.Time, err error) {
	if !rfc3339.Match(in) {
		return at, errors.New("not RFC 3339")
	}
	err = at.UnmarshalText(in)
	return at, err
}

// sameTime compares parseTime with the time package.
func sameTime(t *testing.T, in []byte) {
	t.Helper()
	want, err := referenceTime(in)
	sec, nsec, ok := parseTime(in)
	if ok != (err == nil) || ok && !time.Unix(sec, nsec).Equal(want) {
		t.Errorf("parseTime(%q) = %v %v %t, want %v, %v", in, sec, nsec, ok, want, err)
	}
}

func TestAppendFrame(t *testing.T) {
	for name, c := range map[string]struct {
		r    Record
		want string
		none bool
	}{
		"downcase":     {r: *downcase(), want: "lower case of HELLO is hello"},
		"controls":     {r: Record{HTTP: HTTP{BodyKind: BodyText, Body: []byte("\x1b\r\n\u2028\u202e\\ \"é\" \u0085😀\x00")}}, want: "\x1b\r\n\u2028\u202e\\ \"é\" \u0085😀\x00"},
		"JSON":         {r: Record{HTTP: HTTP{BodyKind: BodyJSON, Body: []byte(`{ "a": 1.0 }`)}}, want: `{"a":1.0}`},
		"JSON string":  {r: Record{HTTP: HTTP{BodyKind: BodyJSON, Body: []byte(`"a\n"`)}}, want: `"a\n"`},
		"empty":        {r: Record{HTTP: HTTP{BodyKind: BodyText}}, want: ""},
		"not recorded": {r: Record{}, none: true},
		"truncated":    {r: Record{HTTP: HTTP{BodyKind: BodyText, Body: []byte("a"), Truncated: true}}, none: true},
		"plain":        {r: Record{Type: TypePlain, Data: []byte(`{"frames":["a"],"body":"b"}`)}, none: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.r.ID = downcase().ID
			line := Append(nil, &c.r)
			frame, ok := AppendFrame([]byte("x"), line)
			if string(frame) != "x"+c.want || ok == c.none {
				t.Errorf("AppendFrame(%s) = %q, %t, want %q", line, frame, ok, c.want)
			}
		})
	}
	if frame, ok := AppendFrame([]byte("x"), []byte(`{"body":"b"}`)); ok || string(frame) != "x" {
		t.Errorf("AppendFrame(malformed) = %q, %t", frame, ok)
	}
}

func TestAppendLine(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	for in, want := range map[string]string{
		string(Append(nil, downcase())):                            string(Append(nil, downcase())),
		testHead + `,"data":{}}`:                                   testHead + `,"data":{}}` + "\n",
		testHead + ",\t\"data\" : { \"path\":\"\u202e \x7f\" }\r}": testHead + `,"data":{"path":"\u202e \u007f"}}` + "\n",
		testHead + `,"data":{"body":` + deep + `}}`:                testHead + `,"data":{"body":` + deep + `}}` + "\n",
	} {
		if got, err := AppendLine([]byte("x"), []byte(in)); err != nil || string(got) != "x"+want {
			t.Errorf("AppendLine(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	if got, err := AppendLine([]byte("x"), []byte(`{"gap":{}}`)); !errors.Is(err, ErrMalformed) || string(got) != "x" {
		t.Errorf("AppendLine(no record) = %q, %v", got, err)
	}
}

func TestService(t *testing.T) {
	for in, want := range map[string]string{`/a`: "a", `\/a`: "a", `\u002fa`: "a", `\u002Fa/b`: "a/b", `a`: "a", `/`: ""} {
		if l := (Line{Source: Text(in)}); l.Service().String() != want {
			t.Errorf("Service of source %s = %q, want %q", in, l.Service(), want)
		}
	}
}

func TestScanAllocates(t *testing.T) {
	for i, r := range golden() {
		line := Append(nil, &r)
		dst := make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(100, func() {
			l, _ := Scan(line)
			dst = l.Path.Append(dst[:0])
			dst, _ = AppendFrame(dst[:0], line)
		}); n != 0 {
			t.Errorf("Scan(record %d) makes %v allocations", i+1, n)
		}
	}
}

// FuzzScan holds Scan against a reader made of encoding/json: they accept the same
// lines and find the same values in them.
func FuzzScan(f *testing.F) {
	for _, r := range golden() {
		f.Add(Append(nil, &r))
	}
	f.Add([]byte(`{"data":{"status":200,"method":"GET","\u0073tatus":1},"type":"earshot.http.v1",` + testAttrs + `}`))
	f.Add([]byte(`{"data":{"status":-0,"body":null,"x":[]} , "type":"earshot.http.v1",` + testAttrs + `}`))
	f.Add([]byte(strings.Replace(testHead, "2026-", `2026\u002d`, 1) + `,"data":{}}`))
	f.Add([]byte(`{"a":{},"subject":null,` + testAttrs + `,"type":"\ud800","data":"x"}`))
	f.Add([]byte(testHead + `,"data":{"path":"\/\ud83d\ude00\udc00","open":true,"us":1e3}}` + "\r\n"))
	f.Add([]byte(testHead + `,"data":{"body":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := Scan(line)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("Scan(%q) = %v, which is not ErrMalformed", line, err)
		}
		want, wantErr := reference(line)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("Scan(%q) = %v, encoding/json says %v", line, err, wantErr)
		}
		if err != nil {
			return
		}
		r, err := Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]any{
			"id": r.ID.String(), "source": r.Source, "type": r.Type, "subject": r.Subject, "traceparent": r.Traceparent, "sampledrate": int64(r.SampledRate),
			"time": r.Time.UTC().Format(time.RFC3339Nano),
		}
		if r.Type == TypeHTTP {
			h := r.HTTP
			for name, value := range map[string]any{
				"method": h.Method, "path": h.Path, "query": h.Query, "status": int64(h.Status), "us": l.Micros, "client": h.Client,
				"request": h.Request, "bytes": h.Bytes, "type": h.MediaType, "body": string(l.Body),
				"truncated": h.Truncated, "aborted": h.Aborted, "open": h.Open, "upstream": h.Upstream, "error": h.Error,
			} {
				got["data."+name] = value
			}
		} else {
			got["data"] = string(r.Data)
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s of %q = %#v, encoding/json says %#v", name, line, got[name], value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d values, want %d", len(got), len(want))
		}
	})
}

// reference reads a line with encoding/json alone.
func reference(line []byte) (map[string]any, error) {
	body := bytes.TrimSuffix(line, []byte("\n"))
	if len(line) > MaxLine || bytes.ContainsRune(body, '\n') || !utf8.Valid(body) || !json.Valid(body) {
		return nil, errors.New("not a line of JSON")
	}
	attrs, err := referenceObject(body, MaxDepth+1, "specversion", "id", "source", "type", "time", "subject", "traceparent", "sampledrate", "data")
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	for _, name := range []string{"specversion", "id", "source", "type", "subject", "traceparent"} {
		values[name], err = text(attrs[name], err)
	}
	values["sampledrate"], err = number(attrs["sampledrate"], err)
	stamp, err := text(attrs["time"], err)
	if err != nil {
		return nil, err
	}
	id, idErr := ParseID(values["id"].(string))
	at, timeErr := referenceTime([]byte(stamp))
	if err := errors.Join(idErr, timeErr); err != nil {
		return nil, err
	}
	if values["specversion"] != "1.0" || id.Seq == 0 || values["source"] == "" || values["type"] == "" {
		return nil, errors.New("required attribute")
	}
	delete(values, "specversion")
	values["time"] = at.UTC().Format(time.RFC3339Nano)
	if values["type"] != TypeHTTP {
		values["data"] = string(attrs["data"])
		return values, nil
	}
	return values, referenceExchange(values, attrs["data"])
}

func referenceExchange(values map[string]any, data []byte) error {
	texts := []string{"method", "path", "query", "client", "request", "type", "upstream", "error"}
	numbers := []string{"status", "us", "bytes"}
	flags := []string{"truncated", "aborted", "open"}
	names := append(append(append([]string{"body"}, texts...), numbers...), flags...)
	members, err := referenceObject(data, MaxDepth, names...)
	for _, name := range texts {
		values["data."+name], err = text(members[name], err)
	}
	for _, name := range numbers {
		values["data."+name], err = number(members[name], err)
	}
	for _, name := range flags {
		var flag bool
		if raw := members[name]; raw != nil && err == nil {
			err = json.Unmarshal(raw, &flag)
		}
		values["data."+name] = flag
	}
	values["data.body"] = string(members["body"])
	return err
}

func text(raw []byte, err error) (s string, _ error) {
	if raw == nil || err != nil {
		return "", err
	}
	return s, json.Unmarshal(raw, &s)
}

func number(raw []byte, err error) (n int64, _ error) {
	if raw == nil || err != nil {
		return 0, err
	}
	err = json.Unmarshal(raw, &n)
	return n, err
}

// referenceObject has the members of an object; those of known may stand once.
func referenceObject(b []byte, depth int, known ...string) (map[string]json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	d := json.NewDecoder(bytes.NewReader(b))
	if brace, err := d.Token(); err != nil || brace != json.Delim('{') {
		return nil, errors.New("not an object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		if maxDepth(raw) > depth && name != "data" {
			return nil, errors.New("too deep")
		}
		for _, k := range known {
			if k != name {
				continue
			}
			if _, twice := members[k]; twice {
				return nil, errors.New("twice")
			}
			members[k] = raw
		}
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		return nil, err
	}
	if data := members["data"]; maxDepth(data) > MaxDepth+1 {
		return nil, errors.New("too deep")
	}
	return members, nil
}
