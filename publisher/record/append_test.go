package record

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
)

// golden are the records of testdata/v1/records.ndjson, a line each. That file stays
// as it is for ever: what one release wrote, every later one must read.
func golden() []Record {
	at := time.Date(2026, 11, 22, 10, 35, 12, 123456789, time.UTC)
	run := Run{"q7k3v9x2m1t8w", 0x19a8f3c2e4b00d17}
	records := []Record{
		*downcase(),
		{ // JSON, with a number that no float holds and a key twice
			Source: "/shop", Time: at, Subject: "/shop/:id", SampledRate: 10,
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			HTTP: HTTP{
				Method: "POST", Path: "/shop/a%20b", Status: 201, Duration: 1500 * time.Microsecond, Bytes: 61,
				MediaType: "application/json", BodyKind: BodyJSON, Body: []byte(`{"price":19.990,"id":12345678901234567890,"id":[],"é":"\u00e9"}`),
			},
		},
		{ // a stream that is still open: no body
			Source: "/ticker", Time: at.Add(10 * time.Second),
			HTTP: HTTP{Method: "GET", Path: "/ticker", Status: 200, Duration: 10 * time.Second, MediaType: "text/event-stream", Bytes: 4096, Open: true},
		},
		{ // broken off and cut
			Source: "/downcase", Time: at,
			HTTP: HTTP{
				Method: "GET", Path: "/big", Status: 200, Duration: time.Second, Bytes: 1 << 20, MediaType: "text/plain",
				BodyKind: BodyText, Body: []byte("the beginning"), Truncated: true, Aborted: true,
			},
		},
		{ // a gateway's own answer
			Source: "/gateway", Time: at, Subject: "/shop/",
			HTTP: HTTP{
				Method: "GET", Path: "/shop/", Status: 502, Duration: 3 * time.Millisecond, Client: "2001:db8::1", Bytes: 2,
				MediaType: "application/problem+json", BodyKind: BodyJSON, Body: []byte(`{}`),
				Upstream: "http://192.0.2.9:8080", Error: "connection refused",
			},
		},
		{ // hostile text: every kind of character that may not stand raw
			Source: "/downcase", Time: at,
			HTTP: HTTP{
				Method: "GET", Path: "/\r\n", Query: "a=\x1b[2J\x00", Status: 200, MediaType: "text/plain", Bytes: 3, BodyKind: BodyText,
				Body: []byte("\b\t\n\f\r\"\\/<\x7f\u0080\u009f\u00a0\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff日本語 😀"),
			},
		},
		{ // an empty body that was recorded
			Source: "/downcase", Time: at, HTTP: HTTP{Method: "GET", Status: 200, MediaType: "text/plain", BodyKind: BodyText, Body: []byte{}},
		},
		{Source: "/weather", Type: TypePlain, Time: at, Data: []byte(`{"frames":["10001","7 \u001b[0m"]}`)},
		{Source: "/cron", Type: "com.example.tick", Time: at, Data: []byte(`[1,null,true,{"a":-0.0e+1}]`)},
		{Source: "/cron", Type: "com.example.tick", Time: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	for i := range records {
		r := &records[i]
		r.ID = ID{run, uint64(i + 1)}
		if r.Type == "" {
			r.Type = TypeHTTP
		}
	}
	return records
}

func TestGolden(t *testing.T) {
	file, err := os.ReadFile("testdata/v1/records.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(file, []byte("\n"))
	lines = lines[:len(lines)-1]
	want := golden()
	if len(lines) != len(want) {
		t.Fatalf("%d golden lines, want %d", len(lines), len(want))
	}
	for i, line := range lines {
		if got := Append(nil, &want[i]); !bytes.Equal(got, line) {
			t.Errorf("Append(record %d) =\n%s want\n%s", i+1, got, line)
		}
		r, err := Parse(line)
		if err != nil {
			t.Errorf("Parse(line %d): %v", i+1, err)
		} else if !reflect.DeepEqual(r, want[i]) {
			t.Errorf("Parse(line %d) = %+v\nwant %+v", i+1, r, want[i])
		}
	}
}

// The lines are CloudEvents in the eyes of the SDK of that specification.
func TestCloudEvents(t *testing.T) {
	for _, r := range golden() {
		line := Append(nil, &r)
		var e event.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("the SDK can't read %s: %v", line, err)
		}
		if err := e.Validate(); err != nil {
			t.Errorf("Validate(%s): %v", line, err)
		}
		if e.ID() != r.ID.String() || e.Source() != r.Source || e.Type() != r.Type || !e.Time().Equal(r.Time) || e.Subject() != r.Subject {
			t.Errorf("the SDK reads %s as %v", line, e)
		}
		if trace, _ := e.Extensions()["traceparent"].(string); trace != r.Traceparent {
			t.Errorf("traceparent = %q, want %q", trace, r.Traceparent)
		}
		if rate, _ := e.Extensions()["sampledrate"].(int32); int(rate) != r.SampledRate {
			t.Errorf("sampledrate = %d, want %d", rate, r.SampledRate)
		}
		if r.Type != TypeHTTP {
			continue
		}
		var data struct {
			Method, Path, Type string
			Status             int
			US                 int64
		}
		if err := e.DataAs(&data); err != nil {
			t.Fatalf("DataAs(%s): %v", line, err)
		}
		if h := r.HTTP; data.Method != h.Method || data.Path != h.Path || data.Type != h.MediaType || data.Status != h.Status || data.US != h.Duration.Microseconds() {
			t.Errorf("the SDK reads the data of %s as %+v", line, data)
		}
	}
}

func TestDowncaseSize(t *testing.T) {
	line := Append(nil, downcase())
	if len(line) > 400 {
		t.Errorf("the downcase record has %d bytes, want at most 400: %s", len(line), line)
	}
	t.Logf("%d bytes", len(line))
}

func TestPrefixSequenceTail(t *testing.T) {
	r := downcase()
	line := AppendPrefix(nil, r.ID.Run)
	line = append(line, "1001"...)
	line = AppendTail(line, r)
	if want := Append(nil, r); !bytes.Equal(line, want) {
		t.Errorf("prefix, sequence and tail = %s, want %s", line, want)
	}
}

func TestAppendBody(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, c := range map[string]struct {
		kind BodyKind
		body string
		want string // the raw member, empty for none
	}{
		"none":                 {BodyNone, "x", ""},
		"text":                 {BodyText, "a b", `"a b"`},
		"empty text":           {BodyText, "", `""`},
		"bytes that aren't":    {BodyText, "a\xffb\xc3", `"a` + "\ufffd" + `b` + "\ufffd" + `"`},
		"overlong":             {BodyText, "\xc0\x8a", `"` + "\ufffd\ufffd" + `"`},
		"surrogate bytes":      {BodyText, "\xed\xa0\x80", `"` + "\ufffd\ufffd\ufffd" + `"`},
		"C1 after ASCII":       {BodyText, "12345678\u0085", `"12345678\u0085"`},
		"JSON":                 {BodyJSON, " { \"a\" : [ 1 , 2 ] }\r\n", `{"a":[1,2]}`},
		"JSON scalars":         {BodyJSON, "\n null \n", `null`},
		"JSON numbers":         {BodyJSON, `[1E400, -0, 1.10]`, `[1E400,-0,1.10]`},
		"JSON raw controls":    {BodyJSON, "[\"\u2028\u202e\x7f\"]", `["\u2028\u202e\u007f"]`},
		"JSON space in string": {BodyJSON, `["a  b"]`, `["a  b"]`},
		"JSON not UTF-8":       {BodyJSON, "[\"\xff\"]", `["` + "\ufffd" + `"]`},
		"JSON string":          {BodyJSON, `"a"`, `"\"a\""`},
		"JSON string, spaces":  {BodyJSON, ` "a"`, `" \"a\""`},
		"not JSON":             {BodyJSON, `{"a":1,}`, `"{\"a\":1,}"`},
		"two values":           {BodyJSON, `1 2`, `"1 2"`},
		"no JSON":              {BodyJSON, ``, `""`},
		"deep":                 {BodyJSON, nested(MaxDepth), nested(MaxDepth)},
		"too deep":             {BodyJSON, nested(MaxDepth + 1), `"` + nested(MaxDepth+1) + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			line := Append(nil, &Record{ID: downcase().ID, HTTP: HTTP{Body: []byte(c.body), BodyKind: c.kind}})
			l, err := Scan(line)
			if err != nil {
				t.Fatalf("Scan(%s): %v", line, err)
			}
			if string(l.Body) != c.want {
				t.Errorf("body = %s, want %s", l.Body, c.want)
			}
			if l.Truncated {
				t.Error("truncated")
			}
		})
	}
}

// What does not fit is cut in the order of the specification, never in the middle of a
// rune, and the line stays within its limit.
func TestAppendCuts(t *testing.T) {
	long := func(s string, n int) string { return strings.Repeat(s, n/len(s)+1)[:n] }
	for name, c := range map[string]struct {
		r         Record
		truncated bool
		body      int // the least bytes of body that are kept
		path      int // the bytes of path that are kept, all if not given
	}{
		"body at its limit":     {r: Record{HTTP: HTTP{Body: []byte(long("ab ", MaxBody)), BodyKind: BodyText}}, body: MaxBody},
		"body past its limit":   {r: Record{HTTP: HTTP{Body: []byte(long("é", MaxBody+2)), BodyKind: BodyText}}, body: MaxBody, truncated: true},
		"cut between runes":     {r: Record{HTTP: HTTP{Body: []byte("x" + long("é", MaxBody)), BodyKind: BodyText}}, body: MaxBody - 1, truncated: true},
		"JSON past its limit":   {r: Record{HTTP: HTTP{Body: []byte(`["` + long("x", MaxBody) + `"]`), BodyKind: BodyJSON}}, body: MaxBody, truncated: true},
		"body of controls":      {r: Record{HTTP: HTTP{Body: make([]byte, MaxBody), BodyKind: BodyText}}, body: MaxLine/6 - 400, truncated: true},
		"JSON of controls":      {r: Record{HTTP: HTTP{Body: []byte(`["` + long("\x7f", MaxBody-4) + `"]`), BodyKind: BodyJSON}}, body: MaxLine/6 - 400, truncated: true},
		"long path":             {r: Record{HTTP: HTTP{Path: long("/p", 200<<10), Body: []byte(long("x", MaxBody)), BodyKind: BodyText}}, body: 56500, truncated: true},
		"path past the line":    {r: Record{HTTP: HTTP{Path: long("/p", 1<<20), Body: []byte("x"), BodyKind: BodyText}}, path: 261000, truncated: true},
		"path and query":        {r: Record{HTTP: HTTP{Path: long("/p", 1<<20), Query: long("q", 1<<20)}}, path: 130000},
		"long path, some query": {r: Record{HTTP: HTTP{Path: long("/p", 1<<20), Query: "q=1"}}, path: 261000},
		"all attributes": {r: Record{
			Source: long("/s", 1<<20), Subject: long("\x00", 1<<20), Traceparent: long("t", 1<<20),
			HTTP: HTTP{
				Method: long("M", 1<<20), Path: long("\x01", 1<<20), Query: long("\xff", 1<<20), Client: long("\u202e", 1<<20),
				Request: long("r", 1<<20), MediaType: long("t", 1<<20), Upstream: long("u", 1<<20), Error: long("e", 1<<20),
				Body: []byte(long("b", MaxBody)), BodyKind: BodyText,
			},
		}, truncated: true, path: 10000},
	} {
		t.Run(name, func(t *testing.T) {
			c.r.ID = ID{downcase().ID.Run, 1<<64 - 1}
			line := Append([]byte("before"), &c.r)[len("before"):]
			if len(line) > MaxLine {
				t.Fatalf("the line has %d bytes", len(line))
			}
			l, err := Scan(line)
			if err != nil {
				t.Fatalf("Scan: %v", err)
			}
			body := l.AppendBody(nil)
			if !bytes.HasPrefix(c.r.HTTP.Body, body) {
				t.Error("the body is not the beginning of what was given")
			}
			if l.Truncated != c.truncated || len(body) < c.body || !c.truncated && len(body) != len(c.r.HTTP.Body) {
				t.Errorf("truncated = %t with %d bytes of body, want %t with %d", l.Truncated, len(body), c.truncated, c.body)
			}
			path := l.Path.String()
			if c.path == 0 && path != c.r.HTTP.Path {
				t.Errorf("%d bytes of path are kept, want all", len(path))
			}
			if c.path > 0 && (len(path) < c.path || !strings.HasSuffix(path, ellipsis) || !strings.HasPrefix(c.r.HTTP.Path, strings.TrimSuffix(path, ellipsis))) {
				t.Errorf("%d bytes of path are kept, want %d and an ellipsis", len(path), c.path)
			}
		})
	}
}

func TestAppendData(t *testing.T) {
	for name, c := range map[string]struct{ data, want string }{
		"compacted":        {` { "a" : 1 } `, `{"a":1}`},
		"no JSON":          {"a\nb", `"a\nb"`},
		"string":           {`"a"`, `"a"`},
		"too long":         {"[\"" + strings.Repeat("x", MaxLine) + "\"]", ""},
		"too long as text": {strings.Repeat("x", MaxLine), ""},
	} {
		t.Run(name, func(t *testing.T) {
			line := Append(nil, &Record{ID: downcase().ID, Type: "com.example", Data: []byte(c.data)})
			l, err := Scan(line)
			if err != nil {
				t.Fatalf("Scan: %v", err)
			}
			if c.want != "" {
				if string(l.Data) != c.want {
					t.Errorf("data = %s, want %s", l.Data, c.want)
				}
				return
			}
			var cut struct {
				Truncated bool
				Bytes     int
				Text      string
			}
			if err := json.Unmarshal(l.Data, &cut); err != nil {
				t.Fatal(err)
			}
			if !cut.Truncated || cut.Bytes != len(c.data) || len(cut.Text) < MaxLine-1000 || !strings.HasPrefix(c.data, cut.Text) {
				t.Errorf("data = truncated %t, %d bytes, text of %d", cut.Truncated, cut.Bytes, len(cut.Text))
			}
		})
	}
}

func TestAppendTime(t *testing.T) {
	zone := time.FixedZone("east", 3600)
	for in, want := range map[time.Time]string{
		time.Date(2026, 11, 22, 1, 2, 3, 4, zone):                 "2026-11-22T00:02:03.000000004Z",
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC):  "9999-12-31T23:59:59.999999999Z",
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC):                  "0000-01-01T00:00:00.000000000Z",
		time.Date(10000, 12, 31, 23, 59, 59, 999999999, time.UTC): "0001-01-01T23:59:59.999999999Z",
		time.Date(-1, 12, 31, 23, 59, 59, 999999999, time.UTC):    "0001-01-01T23:59:59.999999999Z",
		time.Date(2024, 2, 29, 12, 0, 0, 100000000, time.UTC):     "2024-02-29T12:00:00.100000000Z",
	} {
		if got := string(appendTime(nil, in)); got != want {
			t.Errorf("appendTime(%v) = %s, want %s", in, got, want)
		}
	}
}

func TestAppendAllocates(t *testing.T) {
	for name, r := range map[string]*Record{"text": downcase(), "JSON": &golden()[1], "hostile": &golden()[5], "plain": &golden()[7]} {
		buf := make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(100, func() { buf = AppendTail(buf[:0], r) }); n != 0 {
			t.Errorf("AppendTail(%s) makes %v allocations", name, n)
		}
	}
}

// raw is the first character of s that no line may hold, judged one rune at a time.
func raw(s []byte) (r rune, found bool) {
	if !utf8.Valid(s) {
		return utf8.RuneError, true
	}
	for _, r := range string(s) {
		switch {
		case r < 0x20, 0x7f <= r && r <= 0x9f, r == 0x61c, r == 0x200e, r == 0x200f,
			0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
			return r, true
		}
	}
	return 0, false
}

// FuzzAppend puts anything into every field. The line must be one line of valid JSON
// with nothing in it that could drive a terminal, and mean what was given.
func FuzzAppend(f *testing.F) {
	for _, r := range golden() {
		h := r.HTTP
		f.Add(r.Source, r.Type, r.Subject, h.Path, h.Query, h.Error, h.Body, uint8(h.BodyKind), int64(h.Status), 1, r.Time.UnixNano())
		f.Add(r.Source, r.Type, r.Subject, h.Path, h.Query, h.Error, r.Data, uint8(2), int64(-1), 70000, int64(-1))
	}
	f.Fuzz(func(t *testing.T, source, kind, subject, path, query, text string, body []byte, bodyKind uint8, n int64, times int, at int64) {
		times = min(max(times, 1), 70000)
		r := Record{
			ID: downcase().ID, Source: source, Type: kind, Subject: subject, Traceparent: text, Time: time.Unix(0, at), SampledRate: int(n), Data: body,
			HTTP: HTTP{
				Method: query, Path: path, Query: query, Status: int(n), Duration: time.Duration(n), Client: text, Request: subject, Bytes: n,
				MediaType: source, Body: bytes.Repeat(body, 1+times*len(body)/(1+len(body)*len(body))), BodyKind: BodyKind(bodyKind % 3), Upstream: path, Error: text,
			},
		}
		line := Append(nil, &r)
		if len(line) > MaxLine || line[len(line)-1] != '\n' {
			t.Fatalf("a line of %d bytes", len(line))
		}
		line = line[:len(line)-1]
		if c, found := raw(line); found {
			t.Fatalf("raw %U in %s", c, line)
		}
		var got struct {
			ID, Source, Type, Subject, Traceparent string
			Time                                   time.Time
			Data                                   json.RawMessage
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("encoding/json can't read %s: %v", line, err)
		}
		same(t, "id", got.ID, r.ID.String())
		same(t, "source", got.Source, or(source, "/"))
		same(t, "type", got.Type, or(kind, TypeHTTP))
		same(t, "subject", got.Subject, subject)
		same(t, "traceparent", got.Traceparent, text)
		if !got.Time.Equal(r.Time) {
			t.Errorf("time = %v, want %v", got.Time, r.Time)
		}
		l, err := Scan(line)
		if err != nil {
			t.Fatalf("Scan(%s): %v", line, err)
		}
		if kind == "" || kind == TypeHTTP {
			sameExchange(t, got.Data, &r.HTTP)
			sameBody(t, &l, &r.HTTP)
		} else if json.Valid(body) && len(body) < 10000 && maxDepth(body) <= MaxDepth {
			sameJSON(t, got.Data, body)
		}
	})
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// same compares a text that was read with the one that was given, which may have been
// cut and may not have been UTF-8.
func same(t *testing.T, name, got, given string) {
	t.Helper()
	want := string([]rune(given))
	if cut, ok := strings.CutSuffix(got, ellipsis); ok && len(given) > maxAttr/maxEscape && strings.HasPrefix(want, cut) {
		return
	}
	if got != want {
		t.Errorf("%s = %.200q, want %.200q", name, got, want)
	}
}

func sameExchange(t *testing.T, data []byte, h *HTTP) {
	t.Helper()
	var got struct {
		Method, Path, Query, Client, Request, Type, Upstream, Error string
		Status, US, Bytes                                           int64
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatalf("data %s: %v", data, err)
	}
	for name, pair := range map[string][2]string{
		"method": {got.Method, h.Method}, "path": {got.Path, h.Path}, "query": {got.Query, h.Query}, "client": {got.Client, h.Client},
		"request": {got.Request, h.Request}, "type": {got.Type, h.MediaType}, "upstream": {got.Upstream, h.Upstream}, "error": {got.Error, h.Error},
	} {
		same(t, name, pair[0], pair[1])
	}
	if got.Status != int64(h.Status) || got.US != h.Duration.Microseconds() || got.Bytes != h.Bytes {
		t.Errorf("numbers = %+v, want those of %+v", got, h)
	}
}

func sameBody(t *testing.T, l *Line, h *HTTP) {
	t.Helper()
	switch l.BodyKind() {
	case BodyNone:
		if h.BodyKind != BodyNone {
			t.Error("the body is not there")
		}
	case BodyJSON:
		if h.BodyKind != BodyJSON {
			t.Errorf("a body of kind %d became JSON", h.BodyKind)
		}
		sameJSON(t, l.Body, h.Body)
	case BodyText:
		got, want := string(l.AppendBody(nil)), string([]rune(string(h.Body)))
		if l.Truncated && len(h.Body) > MaxBody/4 && len(got) > MaxBody/4 {
			// A rune that was cut in two may begin the difference; only ever the last one.
			if !strings.HasPrefix(want, strings.TrimRight(got, "\ufffd")) {
				t.Error("the body is not the beginning of what was given")
			}
		} else if got != want {
			t.Errorf("body = %.200q, want %.200q", got, want)
		}
	}
}

// sameJSON compares two JSON texts by their tokens, so that members that stand twice
// and the texts of numbers count.
func sameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	a, b := json.NewDecoder(bytes.NewReader(got)), json.NewDecoder(bytes.NewReader(want))
	a.UseNumber()
	b.UseNumber()
	for {
		x, errX := a.Token()
		y, errY := b.Token()
		if x != y || (errX == nil) != (errY == nil) {
			t.Fatalf("JSON %.200s, want %.200s: token %v, want %v", got, want, x, y)
		}
		if errX != nil {
			return
		}
	}
}

func maxDepth(b []byte) (deepest int) {
	depth := 0
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

func TestAppendInt(t *testing.T) {
	for _, n := range []int64{-1, 0, 9, 10, 99, 100, 101, 999, 1000, 9999, 10_000, math.MaxInt64, math.MinInt64} {
		if got := string(appendInt([]byte("x"), n)); got != "x"+strconv.FormatInt(n, 10) {
			t.Errorf("appendInt(%d) = %s", n, got)
		}
	}
}
