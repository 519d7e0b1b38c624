package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

var (
	testRun = record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 0x19a8f3c2e4b00d17}
	testAt  = time.Date(2026, 11, 22, 10, 35, 12, 123456789, time.UTC)
	east    = time.FixedZone("east", 3600)
)

// line is a line of a service; edit changes the downcase record first.
func line(edit func(r *record.Record)) []byte {
	r := record.Record{
		ID: record.ID{Run: testRun, Seq: 1001}, Source: "/downcase", Time: testAt, Subject: "/downcase/",
		HTTP: record.HTTP{
			Method: "GET", Path: "/downcase/", Query: "param=HELLO", Status: 200, Duration: 412 * time.Microsecond,
			Client: "192.0.2.7", Request: "01JDA8Q5V3W7XKZ2M4N6P8R9ST", Bytes: 28, MediaType: "text/plain",
			Body: []byte("lower case of HELLO is hello"), BodyKind: record.BodyText,
		},
	}
	if edit != nil {
		edit(&r)
	}
	return record.Append(nil, &r)
}

// records are lines of every kind.
func records() map[string][]byte {
	return map[string][]byte{
		"downcase": line(nil),
		"no body": line(func(r *record.Record) {
			r.HTTP.BodyKind, r.HTTP.Bytes, r.HTTP.MediaType = record.BodyNone, 10240, "image/png"
		}),
		"nothing": line(func(r *record.Record) {
			r.HTTP = record.HTTP{Method: "DELETE", Path: "/a", Status: 204}
		}),
		"empty body": line(func(r *record.Record) { r.HTTP.Body, r.HTTP.Bytes = nil, 0 }),
		"truncated":  line(func(r *record.Record) { r.HTTP.Truncated, r.HTTP.Bytes = true, 1<<20 }),
		"aborted": line(func(r *record.Record) {
			r.HTTP.Truncated, r.HTTP.Aborted, r.HTTP.Bytes, r.HTTP.Duration = true, true, 1<<20, time.Minute
		}),
		"open": line(func(r *record.Record) {
			r.HTTP.BodyKind, r.HTTP.Open, r.HTTP.Bytes, r.HTTP.Duration = record.BodyNone, true, 0, 10*time.Second
		}),
		"json": line(func(r *record.Record) {
			r.HTTP.BodyKind, r.HTTP.Body, r.HTTP.MediaType = record.BodyJSON, []byte(`{"a": "x\n\"y\" z"}`), "application/json"
		}),
		"gateway": line(func(r *record.Record) {
			r.HTTP.Status, r.HTTP.Upstream, r.HTTP.Error = 502, "http://192.0.2.9:8080", "connection refused"
			r.SampledRate, r.Traceparent = 10, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		}),
		"hostile": line(func(r *record.Record) {
			r.Source, r.HTTP.Method = "/a b", ""
			r.HTTP.Path, r.HTTP.Query = "/x 200\n2026-11-22T10:35:12.123456Z", "a=\"\x1b"
			r.HTTP.Body = []byte("one\r\ntwo \x1b[2J\u202e C:\\x \xff \"q\" 日本")
		}),
		"plain": line(func(r *record.Record) {
			r.Type, r.Data = record.TypePlain, record.AppendPlain(nil, "", []byte("10001"), []byte("7\n°"))
		}),
		"other":       line(func(r *record.Record) { r.Type, r.Data = "com.example.tick", []byte(`{"n": 1}`) }),
		"other, text": line(func(r *record.Record) { r.Type, r.Data = "com.example.tick", []byte(`"tick\n"`) }),
		"other, bare": line(func(r *record.Record) { r.Type, r.Source = "GAP 1", "/" }),
		"foreign": []byte(`{ "type":"earshot.http.v1", "source":"\/downcase", "time":"2026-11-22T11:35:12.5+01:00", "specversion":"1.0", "id":"` + testRun.String() +
			`/7","data":{"us":-1,"body":[1, "` + "\u202e" + `"],"path":"\/` + "\u2028" + `"}}`),
		"not a record": []byte(`{"gap":{}}` + "\n"),
		"two lines":    []byte("a\nb\x1b\xff\n"),
		"nothing here": nil,
	}
}

var gaps = map[string]Gap{
	"gap":          {Time: testAt, Run: testRun, Service: "downcase", First: 1002, Last: 1018, Reason: "journal past its bound"},
	"gap of one":   {Time: testAt, Run: testRun, Service: "down case", First: 7, Last: 7, Reason: "a\nb"},
	"gap, nothing": {Run: record.Run{Stream: "\x1b"}, First: 1, Last: 2},
}

// The golden file of a format has a line for each record and gap, by name.
func TestFormats(t *testing.T) {
	for name, c := range map[string]struct {
		format string
		tz     *time.Location
	}{
		"text":     {"", nil},
		"text-tz":  {"text", east},
		"message":  {"message", east},
		"json":     {"json", east},
		"logfmt":   {"logfmt", nil},
		"template": {"template={{.Time.Format \"15:04\"}}\t{{.Service}}\t{{with .Status}}{{.}} {{end}}{{.Body}}\n", east},
	} {
		t.Run(name, func(t *testing.T) {
			golden, err := os.ReadFile("testdata/format-" + name + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			f, err := ParseFormat(c.format, c.tz)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for _, row := range strings.SplitAfter(string(golden), "\n") {
				key, line, _ := strings.Cut(row, ": ")
				want[key] = line
			}
			for key, line := range records() {
				if got := string(f.Append([]byte("x"), line)); got != "x"+want[key] {
					t.Errorf("%s:\n%s, want\n%s", key, got[1:], want[key])
				}
			}
			for key, gap := range gaps {
				if got := string(f.AppendGap([]byte("x"), gap)); got != "x"+want[key] {
					t.Errorf("%s:\n%s, want\n%s", key, got[1:], want[key])
				}
			}
		})
	}
}

func TestParseFormat(t *testing.T) {
	for name, want := range map[string]string{"": "text UTC", "text": "text UTC", "message": "message Local", "json": "json", "logfmt": "logfmt UTC", "template=x": "template=x UTC"} {
		f, err := ParseFormat(name, nil)
		if err != nil || f.String() != want {
			t.Errorf("ParseFormat(%q) = %v, %v, want %s", name, f, err, want)
		}
	}
	if f, err := ParseFormat("message", east); err != nil || f.String() != "message east" {
		t.Errorf("ParseFormat(message, east) = %v, %v", f, err)
	}
	for name, want := range map[string]string{
		"txt":                           "none of text, message, json, logfmt and template",
		"TEXT":                          "none of",
		"template={{":                   "template: format:1",
		"template={{.Serivce}}":         "Serivce",
		"template={{index .Body 1000}}": "out of range",
	} {
		if f, err := ParseFormat(name, nil); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "view: ") {
			t.Errorf("ParseFormat(%q) = %v, %v, want an error with %q", name, f, err, want)
		}
	}
}

// A template that fails on a record leaves that to the format text.
func TestTemplateFails(t *testing.T) {
	f, err := ParseFormat("template={{slice .Body 0 5}}", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(f.Append(nil, line(nil))), "lower\n"; got != want {
		t.Errorf("Append = %q, want %q", got, want)
	}
	if got, want := string(f.Append(nil, records()["nothing"])), "2026-11-22T10:35:12.123456Z downcase 204 DELETE /a 0.000000s\n"; got != want {
		t.Errorf("Append = %q, want %q", got, want)
	}
}

// Across a change of the clocks, and back and forth in time, the kept texts are those
// of the record's second.
func TestClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		testenv.Missing(t, "time zone: "+err.Error())
	}
	c := newClock(berlin)
	for _, at := range []int64{0, 1, 1, 1792886399, 1792890000, 1792886399, -1, 1e10} {
		for _, nsec := range []int64{0, 999999999} {
			when := time.Unix(at, nsec)
			if got, want := string(c.fraction(nil, when, 6)), when.In(berlin).Format("2006-01-02T15:04:05.000000Z07:00"); got != want {
				t.Errorf("fraction(%d) = %s, want %s", at, got, want)
			}
			if got, want := string(c.minutes(nil, when)), when.In(berlin).Format("2006-01-02 15:04"); got != want {
				t.Errorf("minutes(%d) = %s, want %s", at, got, want)
			}
		}
	}
}

func TestSeconds(t *testing.T) {
	for in, want := range map[int64]string{0: "0.000000s", 412: "0.000412s", 1500000: "1.500000s", -1: "-0.000001s", 1<<63 - 1: "9223372036854.775807s", -1 << 63: "-9223372036854.775808s"} {
		if got := string(seconds(nil, in)); got != want {
			t.Errorf("seconds(%d) = %s, want %s", in, got, want)
		}
	}
}

func TestFormatAllocates(t *testing.T) {
	for _, name := range []string{"text", "message", "json", "logfmt"} {
		f, err := ParseFormat(name, east)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 0, 8192)
		for key, line := range records() {
			if key == "not a record" || key == "two lines" || key == "nothing here" {
				continue // the error of Scan
			}
			dst = f.Append(dst[:0], line) // the scratch buffer grows
			if n := testing.AllocsPerRun(100, func() { dst = f.Append(dst[:0], line) }); n != 0 {
				t.Errorf("%s of %s makes %v allocations", name, key, n)
			}
		}
	}
}

// hostile tells what in a line could forge another one or drive a terminal.
func hostile(out []byte, tabs bool) error {
	if n := bytes.IndexByte(out, '\n'); n != len(out)-1 {
		return fmt.Errorf("line feed at %d of %d", n, len(out))
	}
	if !json.Valid(record.AppendString(nil, out)) {
		return fmt.Errorf("not text")
	}
	for _, r := range string(out[:len(out)-1]) {
		switch {
		case r == '\t' && tabs:
		case r < 0x20, 0x7f <= r && r <= 0x9f, r == 0x61c, r == 0x200e, r == 0x200f, 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
			return fmt.Errorf("raw %U", r)
		}
	}
	return nil
}

func testFormats(t testing.TB) (all []*Format) {
	for _, name := range []string{"text", "message", "json", "logfmt", "template={{.Service}}\t{{.}} {{printf \"%c%s\" .Status .Path}} \\"} {
		f, err := ParseFormat(name, east)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// FuzzFormat renders any bytes, as a line and as the members of one.
func FuzzFormat(f *testing.F) {
	for _, line := range records() {
		f.Add(line, "/downcase", record.TypePlain, "/x y\n", uint8(1), int64(133))
	}
	f.Add([]byte("a\r\n\x1b\u2028\u202e\\\xff"), "\u2028", "GAP", "\r", uint8(2), int64(10))
	f.Add([]byte(`{"a":"\u202e\n"}`), "/a", "", "-", uint8(2), int64(-1))
	formats := testFormats(f)
	f.Fuzz(func(t *testing.T, raw []byte, source, kind, text string, bodyKind uint8, n int64) {
		made := record.Append(nil, &record.Record{
			ID: record.ID{Run: testRun, Seq: 1}, Source: source, Type: kind, Subject: text, Data: raw, Time: time.Unix(0, n),
			HTTP: record.HTTP{
				Method: text, Path: source, Query: text, Status: int(n), Duration: time.Duration(n), Request: text, Bytes: n, MediaType: kind,
				Body: raw, BodyKind: record.BodyKind(bodyKind % 3), Truncated: n&1 > 0, Aborted: n&2 > 0, Open: n&4 > 0, Error: text,
			},
		})
		frames := record.Append(nil, &record.Record{ID: record.ID{Run: testRun, Seq: 1}, Source: source, Type: record.TypePlain, Data: record.AppendPlain(nil, "", raw, []byte(text))})
		gap := Gap{Time: time.Unix(0, n), Run: record.Run{Stream: source}, Service: text, First: 1, Last: uint64(n), Reason: string(raw)}
		for _, f := range formats {
			for _, line := range [][]byte{made, frames, raw} {
				out := f.Append(nil, line)
				if err := hostile(out, f.kind == templated); err != nil {
					t.Fatalf("%s of %q = %q: %v", f, line, out, err)
				}
				checkShape(t, f, line, out)
			}
			if out := f.AppendGap(nil, gap); hostile(out, false) != nil {
				t.Fatalf("%s of gap %+v = %q: %v", f, gap, out, hostile(out, false))
			}
		}
	})
}

// checkShape holds a line against what its format promises.
func checkShape(t *testing.T, f *Format, line, out []byte) {
	_, err := record.Scan(line)
	switch f.kind {
	case text:
		columns := bytes.SplitN(bytes.TrimSuffix(out, []byte("\n")), []byte(" "), 4)
		if len(columns) < 3 {
			t.Fatalf("text of %q = %q", line, out)
		}
		third := string(columns[2])
		if isStatus := json.Valid(columns[2]) || third == "-"; isStatus != (err == nil) || !isStatus && third != "MALFORMED" {
			t.Fatalf("text of %q = %q", line, out)
		}
	case jsonLines:
		if !json.Valid(out) {
			t.Fatalf("json of %q = %q", line, out)
		}
		if _, again := record.Scan(out); (again == nil) != (err == nil) && len(out) <= record.MaxLine {
			t.Fatalf("json of %q = %q: %v", line, out, again)
		}
	case logfmt:
		pairs, bad := parseLogfmt(out)
		if bad != nil {
			t.Fatalf("logfmt of %q = %q: %v", line, out, bad)
		}
		if l, _ := record.Scan(line); err == nil && (pairs["id"] != l.ID().String() || pairs["service"] != l.Service().String() || l.IsHTTP && pairs["path"] != l.Path.String()) {
			t.Fatalf("logfmt of %q = %q", line, out)
		}
	}
}

// parseLogfmt reads a line as the usual parsers do: a quoted value is a JSON string.
func parseLogfmt(out []byte) (map[string]string, error) {
	pairs := map[string]string{}
	for rest := bytes.TrimSuffix(out, []byte("\n")); len(rest) > 0; rest = bytes.TrimPrefix(rest, []byte(" ")) {
		key, after, ok := bytes.Cut(rest, []byte("="))
		if _, twice := pairs[string(key)]; !ok || twice || bytes.ContainsAny(key, " \"") {
			return nil, fmt.Errorf("key %q", key)
		}
		value := ""
		if len(after) > 0 && after[0] == '"' {
			d := json.NewDecoder(bytes.NewReader(after))
			if err := d.Decode(&value); err != nil {
				return nil, err
			}
			rest = after[d.InputOffset():]
		} else {
			word, _, _ := bytes.Cut(after, []byte(" "))
			if len(word) == 0 || bytes.ContainsAny(word, `"=\`) {
				return nil, fmt.Errorf("value %q", word)
			}
			value, rest = string(word), after[len(word):]
		}
		if len(rest) > 0 && rest[0] != ' ' {
			return nil, fmt.Errorf("%q after a value", rest)
		}
		pairs[string(key)] = value
	}
	return pairs, nil
}

func BenchmarkFormat(b *testing.B) {
	in := line(nil)
	for _, f := range testFormats(b) {
		name, _, _ := strings.Cut(f.name, "=")
		b.Run(name, func(b *testing.B) {
			dst := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				dst = f.Append(dst[:0], in)
			}
		})
	}
	b.Run("scan alone", func(b *testing.B) {
		for b.Loop() {
			if _, err := record.Scan(in); err != nil {
				b.Fatal(err)
			}
		}
	})
}
