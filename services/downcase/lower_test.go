package downcase

import (
	"bufio"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/earshot-mq/earshot/internal/testenv"
)

func TestLower(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":                         {"", ""},
		"ascii":                         {"HELLO, World 42", "hello, world 42"},
		"latin":                         {"ÄÖÜ ẞ É", "äöü ß é"},
		"dotted capital i is two":       {"İSTANBUL", "i\u0307stanbul"},
		"dotless i stays":               {"ıI", "ıi"},
		"sigma at the end of a word":    {"ΟΔΥΣΣΕΥΣ", "οδυσσευς"},
		"sigma alone":                   {"Σ", "σ"},
		"sigma before a letter":         {"ΣΑ", "σα"},
		"sigma after an apostrophe":     {"Α'Σ", "α'ς"},
		"sigma before an apostrophe":    {"ΑΣ'Α", "ασ'α"},
		"sigma before a full stop":      {"ΑΣ. Α", "ας. α"},
		"sigma after a digit":           {"1Σ", "1σ"},
		"an accent between is no end":   {"ΑΣ\u0301Α", "ασ\u0301α"},
		"many marks are passed over":    {"ΑΣ" + strings.Repeat(".", 1000) + "Α", "ασ" + strings.Repeat(".", 1000) + "α"},
		"a modifier letter is ignored":  {"ʰΣ", "ʰσ"},
		"a title case letter is cased":  {"ǅΣ", "ǆς"},
		"outside the basic plane":       {"𐐀 𝐀", "𐐨 𝐀"},
		"bytes that are no text":        {"A\xffB\xe2\x82", "a\ufffdb\ufffd\ufffd"},
		"the replacement character too": {"\ufffdA", "\ufffda"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Lower(c.in); got != c.want {
				t.Errorf("Lower(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

// contexts puts r alone and in all places from which it could decide about a Σ.
func contexts(r rune) string {
	c := string(r)
	return c + " " + c + "Σ A" + c + "Σ 1" + c + "Σ AΣ" + c + " AΣ" + c + "A AΣ" + c + "1 " + c + "A"
}

// changed names the code points that Unicode has put into another class after they were
// assigned, as far as that decides about a Σ beside them, with the major version from
// which on they are where they are now.
var changed = map[rune]int{
	'\u0295':     16, // no longer a small letter
	'\u055f':     13, // the Armenian abbreviation mark, Word_Break MidLetter
	'\u1734':     14, // Hanunoo sign pamudpod, Mn to Mc
	'\ua9bd':     12, // Javanese consonant sign keret, Mc to Mn
	'\U0001171e': 16, // Ahom consonant sign medial ra, Mn to Mc
}

// TestLowerEveryCodePoint holds Lower against a real Python over all of Unicode. The
// two may know different versions of it; a difference is allowed only for a code point
// that is younger than one of the two versions, which is to say unassigned there, or
// that is named in changed with a version between the two.
func TestLowerEveryCodePoint(t *testing.T) {
	py := startPython(t)
	same := py.Unicode == unicode.Version
	older, newer := major(t, py.Unicode), major(t, unicode.Version)
	if older > newer {
		older, newer = newer, older
	}
	younger := 0
	var batch []string
	flush := func() {
		for i, want := range py.lower(t, batch) {
			if got := Lower(batch[i]); got != want {
				t.Errorf("Lower(%q) = %q, want %q as in Python", batch[i], got, want)
			}
		}
		batch = batch[:0]
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		if v := changed[r]; older < v && v <= newer {
			t.Logf("%U is left out: it changed in Unicode %d", r, v)
			continue
		}
		switch here, there := !unicode.Is(unicode.Cn, r), py.knows(r); {
		case here && there && unicode.In(r, unicode.Co, unicode.Han, unicode.Hangul):
			batch = append(batch, string([]rune{'A', r, 'Σ', r, 'A'})) // five sixths of all, all alike
		case here && there:
			batch = append(batch, contexts(r))
		case !here && !there:
			batch = append(batch, string(r))
		default:
			younger++
			if same {
				t.Errorf("%U is assigned here: %v, in Python: %v, and both say Unicode %s", r, here, there, py.Unicode)
			}
		}
		if len(batch) >= 4096 {
			flush()
		}
	}
	flush()
	t.Logf("Unicode %s here, %s in Python; %d code points are younger than one of them", unicode.Version, py.Unicode, younger)
}

func major(t *testing.T, version string) int {
	t.Helper()
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		t.Fatalf("version of Unicode %q: %v", version, err)
	}
	return n
}

// TestLowerGenerated holds Lower against Python on words: all short ones over one
// character of each class that the rule for Σ tells apart, and long random ones.
func TestLowerGenerated(t *testing.T) {
	py := startPython(t)
	// Capital sigma; cased; neither; case-ignorable; both; of two code points.
	classes := []string{"Σ", "A", "1", "'", "ʰ", "İ"}
	words := []string{""}
	for from, n := 0, 0; n < 6; n++ {
		to := len(words)
		for _, w := range words[from:to] {
			for _, c := range classes {
				words = append(words, w+c)
			}
		}
		from = to
	}
	alphabet := []rune("ΣΣΣσςΑαAaİıǅßẞ'.:·’ʰͅ\u0301\u200d\u00ad ª\u2160Ⓐ𐐀𝐀1_-\ufffd\U0001f600\n")
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		w := make([]rune, 1+rnd.IntN(60))
		for i := range w {
			w[i] = alphabet[rnd.IntN(len(alphabet))]
		}
		words = append(words, string(w))
	}
	for start := 0; start < len(words); start += 4096 {
		in := words[start:min(start+4096, len(words))]
		for i, want := range py.lower(t, in) {
			if got := Lower(in[i]); got != want {
				t.Fatalf("Lower(%q) = %q, want %q as in Python", in[i], got, want)
			}
		}
	}
	t.Logf("%d words", len(words))
}

// python is a running testdata/lower.py.
type python struct {
	Unicode string
	Unknown [][2]rune // ranges of code points that are unassigned there

	in  io.Writer
	out *bufio.Reader
}

func startPython(t *testing.T) *python {
	t.Helper()
	cmd := exec.Command(testenv.Python(t), "testdata/lower.py") // ends when its input does
	cmd.Env = append(os.Environ(), "PYTHONUTF8=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("lower.py: %v", err)
		}
	})
	p := &python{in: in, out: bufio.NewReader(out)}
	p.read(t, p)
	return p
}

func (p *python) read(t *testing.T, v any) {
	t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, v); err != nil {
		t.Fatal(err)
	}
}

// lower returns str.lower() of each string.
func (p *python) lower(t *testing.T, in []string) []string {
	t.Helper()
	if err := json.NewEncoder(p.in).Encode(in); err != nil {
		t.Fatal(err)
	}
	var out []string
	p.read(t, &out)
	if len(out) != len(in) {
		t.Fatalf("Python answered %d strings with %d", len(in), len(out))
	}
	return out
}

func (p *python) knows(r rune) bool {
	_, found := slices.BinarySearchFunc(p.Unknown, r, func(run [2]rune, r rune) int {
		switch {
		case run[1] < r:
			return -1
		case run[0] > r:
			return 1
		}
		return 0
	})
	return !found
}

func BenchmarkLower(b *testing.B) {
	for name, s := range map[string]string{"ascii": "HELLO, World", "greek": "ΟΔΥΣΣΕΥΣ ΟΔΥΣΣΕΥΣ"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Lower(s)
			}
		})
	}
}
