package record

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// Every byte at every place among plain ones: the words of eight bytes must see what
// a look at each byte sees.
func TestRuns(t *testing.T) {
	for c := range 256 {
		for at := range 24 {
			for _, fill := range []byte{'a', 0x20, 0x7e} {
				s := []byte(strings.Repeat(string(rune(fill)), 24))
				s[at] = byte(c)
				want := len(s)
				if c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
					want = at
				}
				if got := safeRun(s); got != want {
					t.Fatalf("safeRun(%q) = %d, want %d", s, got, want)
				}
				if want = len(s); c >= 0x7f {
					want = at
				}
				if got := cleanRun(s); got != want {
					t.Fatalf("cleanRun(%q) = %d, want %d", s, got, want)
				}
				if want = len(s); c < 0x20 || c == '"' || c == '\\' {
					want = at
				}
				if got := plainEnd(s, 0); got != want {
					t.Fatalf("plainEnd(%q) = %d, want %d", s, got, want)
				}
			}
		}
	}
}

// Every rune: what is forbidden is written by its number, all else stands as it is.
func TestAppendStringRunes(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		text := string(r)
		got := AppendString(nil, []byte(text))
		if c, found := raw(got); found {
			t.Fatalf("AppendString(%U) has a raw %U", r, c)
		}
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != text {
			t.Fatalf("AppendString(%U) = %s, read as %q, %v", r, got, back, err)
		}
		if _, found := raw([]byte(text)); !found && r != '"' && r != '\\' && string(got) != `"`+text+`"` {
			t.Fatalf("AppendString(%U) = %s, want it as it is", r, got)
		}
	}
}

func TestAppendEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"lower case of HELLO is hello": "lower case of HELLO is hello",
		`say "hi"`:                     `say "hi"`,
		"a\r\n\tb":                     `a\r\n\tb`,
		`C:\new`:                       `C:\\new`,
		"\x1b[2J\x00\x7f":              `\x1b[2J\x00\x7f`,
		"\u0085\u009b":                 `\u0085\u009b`,
		"\u2028\u202e\u2069\u061c":     `\u2028\u202e\u2069\u061c`,
		"\xff\xc3":                     `\xff\xc3`,
		"日本語 😀\ufffd":                  "日本語 😀\ufffd",
	} {
		if got := string(AppendEscaped(nil, []byte(in))); got != want {
			t.Errorf("AppendEscaped(%q) = %s, want %s", in, got, want)
		}
	}
}

// FuzzEscaped holds AppendEscaped against Go's own reading of string literals, and
// AppendString and Text against encoding/json.
func FuzzEscaped(f *testing.F) {
	f.Add([]byte("a\r\nb\x1b\\\"\u2028\xff\xc3\u202e日本語"))
	f.Add([]byte(`\u0041\ud83d\ude00\ud800\/\x`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := string(AppendEscaped(nil, text))
		if c, found := raw([]byte(got)); found {
			t.Fatalf("AppendEscaped(%q) has a raw %U", text, c)
		}
		if back, err := strconv.Unquote(`"` + strings.ReplaceAll(got, `"`, `\"`) + `"`); err != nil || back != string(text) {
			t.Errorf("AppendEscaped(%q) = %s, which means %q, %v", text, got, back, err)
		}
		quoted := AppendString(nil, text)
		var back string
		if err := json.Unmarshal(quoted, &back); err != nil || back != string([]rune(string(text))) {
			t.Errorf("AppendString(%q) = %s, which means %q, %v", text, quoted, back, err)
		}
		if inside := Text(quoted[1 : len(quoted)-1]); inside.String() != back || !inside.Is(back) {
			t.Errorf("Text(%s) = %q, want %q", inside, inside.String(), back)
		}
		if literal := []byte(`"` + string(text) + `"`); json.Valid(literal) && utf8.Valid(text) {
			if err := json.Unmarshal(literal, &back); err != nil || Text(text).String() != back {
				t.Errorf("Text(%s) = %q, want %q, %v", text, Text(text).String(), back, err)
			}
		}
		for room := range min(len(quoted), 40) {
			if cut, whole := appendCut(nil, text, room); len(cut) > room || whole != (len(quoted)-2 <= room) || !strings.HasPrefix(string(quoted[1:]), string(cut)) || !utf8.Valid(cut) {
				t.Errorf("appendCut(%q, %d) = %q, %t", text, room, cut, whole)
			}
		}
	})
}

// TestTextAtEveryLength puts each byte at each place of short texts: the fast way and the
// slow one must agree wherever a word begins or ends.
func TestTextAtEveryLength(t *testing.T) {
	for n := 1; n <= 20; n++ {
		for at := range n {
			for c := range 256 {
				s := bytes.Repeat([]byte("a"), n)
				s[at] = byte(c)
				want := appendSlowly(nil, s)
				for _, room := range []int{0, n, 64} {
					if got := appendText(make([]byte, 0, room), s); !bytes.Equal(got, want) {
						t.Fatalf("appendText(%q) with room for %d = %q, want %q", s, room, got, want)
					}
				}
			}
		}
	}
}

// The lowest mark is exact whatever stands above it, and there is none where all is safe.
func TestUnsafe8(t *testing.T) {
	text := []byte("xxxxxxxx")
	for at := range len(text) - 1 {
		for pair := range 1 << 16 {
			text[at], text[at+1] = byte(pair), byte(pair>>8)
			want := 8
			if !asciiSafe(text[at]) {
				want = at
			} else if !asciiSafe(text[at+1]) {
				want = at + 1
			}
			if got := bits.TrailingZeros64(unsafe8(binary.LittleEndian.Uint64(text))) >> 3; got != want {
				t.Fatalf("%q: the first that is not safe is %d, want %d", text, got, want)
			}
		}
		text[at], text[at+1] = 'x', 'x'
	}
}
