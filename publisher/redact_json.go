package publisher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
)

// jsonPath is a path to values in JSON.
type jsonPath struct {
	text  string
	steps []jsonStep // at most maxSteps
}

// jsonStep goes from a value into one of its members or elements, or, if it is deep,
// into one at any depth.
type jsonStep struct {
	deep  bool
	any   bool
	name  string
	index int // -1: a name
}

// maxSteps is as many as there are bits for places in a path.
const maxSteps = 63

// parseJSONPath reads the part of JSONPath (RFC 9535) that names places: .name, ..name,
// ['name'], [0], .*, [*] and their deep forms.
func parseJSONPath(text string) (jsonPath, error) {
	bad := func(why string) (jsonPath, error) { return jsonPath{}, fmt.Errorf("json path %q: %s", text, why) }
	p := jsonPath{text: text}
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return bad("does not begin with $")
	}
	for rest != "" {
		step, after, why := parseStep(rest)
		if why != "" {
			return bad(why + " at " + strconv.Quote(rest))
		}
		p.steps, rest = append(p.steps, step), after
	}
	switch {
	case len(p.steps) == 0:
		return bad("names nothing")
	case len(p.steps) > maxSteps:
		return bad("has more than " + strconv.Itoa(maxSteps) + " steps")
	}
	return p, nil
}

func parseStep(s string) (step jsonStep, rest, why string) {
	step.index = -1
	rest, step.deep = strings.CutPrefix(s, "..")
	if !step.deep {
		var dotted bool
		if rest, dotted = strings.CutPrefix(s, "."); !dotted && s[0] != '[' {
			return step, "", "neither a dot nor a bracket"
		}
		if dotted && strings.HasPrefix(rest, "[") {
			return step, "", "no name"
		}
	}
	if inner, bracket := strings.CutPrefix(rest, "["); bracket {
		return parseBracket(step, inner)
	}
	n := strings.IndexAny(rest, ".[")
	if n < 0 {
		n = len(rest)
	}
	step.name, rest = rest[:n], rest[n:]
	step.any = step.name == "*"
	if step.name == "" || strings.ContainsAny(step.name, "]'\"?()@, ") {
		return step, "", "no name"
	}
	return step, rest, ""
}

// parseBracket reads what stands after an opening bracket.
func parseBracket(step jsonStep, s string) (_ jsonStep, rest, why string) {
	if s != "" && (s[0] == '\'' || s[0] == '"') {
		name, after, ok := strings.Cut(s[1:], s[:1]+"]")
		if !ok || name == "" {
			return step, "", "no name"
		}
		step.name = name
		return step, after, ""
	}
	inner, after, ok := strings.Cut(s, "]")
	if !ok {
		return step, "", "no closing bracket"
	}
	if step.any = inner == "*"; step.any {
		return step, after, ""
	}
	n, err := strconv.Atoi(inner)
	if err != nil || n < 0 {
		return step, "", "neither a name, nor an index, nor *"
	}
	step.index = n
	return step, after, ""
}

// A jsonScan goes once through a text that should be JSON. It only looks at the tokens,
// so it finds what there is also in a text that is cut off or broken: where it can no
// longer tell how deep it is, it takes each name for one that any path may end with.
type jsonScan struct {
	paths  []jsonPath
	text   []byte
	edits  []edit
	open   []jsonFrame
	places []uint64 // len(paths) for each frame and for the next value: bit i set, i steps are done
	lost   bool
	hit    int // path that names the next value, or -1
}

type jsonFrame struct {
	array bool
	index int
	key   bool // the next string is one
}

var jsonScans = sync.Pool{New: func() any { return new(jsonScan) }}

// findPaths appends the values that the paths name.
func (rd *Redactor) findPaths(edits []edit, text []byte) []edit {
	j := jsonScans.Get().(*jsonScan)
	*j = jsonScan{paths: rd.paths, text: text, edits: edits, open: j.open[:0], places: j.places[:0], hit: -1}
	for range rd.paths {
		j.places = append(j.places, 1)
	}
	for i := 0; i < len(text); {
		i = j.token(i)
	}
	edits = j.edits
	if j.text, j.edits = nil, nil; cap(j.open) <= 1<<10 { // else somebody nested to waste memory
		jsonScans.Put(j)
	}
	return edits
}

// token takes the token at i and returns where the next one begins.
func (j *jsonScan) token(i int) int {
	switch c := j.text[i]; c {
	case ' ', '\t', '\r', '\n', ':':
		return i + 1
	case ',':
		j.next()
		return i + 1
	case '{', '[':
		if j.hit >= 0 {
			return j.secret(i, containerEnd(j.text, i))
		}
		j.push(c == '[')
		return i + 1
	case '}', ']':
		j.pop(c == ']')
		return i + 1
	case '"':
		end := stringEnd(j.text, i)
		if k, ok := j.isKey(end); ok {
			j.enter(j.text[i+1:end-1], -1)
			return k
		}
		return j.value(i, end)
	}
	end := i + 1
	for end < len(j.text) && !endsScalar(j.text[end]) {
		end++
	}
	return j.value(i, end)
}

// isKey tells whether the string before end is a key, and where its value begins.
func (j *jsonScan) isKey(end int) (value int, ok bool) {
	top := len(j.open) - 1
	if top >= 0 && !j.open[top].key && !j.lost {
		return 0, false
	}
	for end < len(j.text) && bytes.IndexByte([]byte(" \t\r\n"), j.text[end]) >= 0 {
		end++
	}
	if end == len(j.text) || j.text[end] != ':' {
		return 0, false
	}
	if top >= 0 {
		j.open[top].key = false
	} else {
		j.lost = true
	}
	return end + 1, true
}

// value ends a value that is no container.
func (j *jsonScan) value(start, end int) int {
	if j.hit >= 0 {
		return j.secret(start, end)
	}
	return end
}

func (j *jsonScan) secret(start, end int) int {
	j.edits = append(j.edits, edit{start: start, end: end, quoted: true, rule: rule{"json path", j.paths[j.hit].text}})
	j.hit = -1
	return end
}

func (j *jsonScan) push(array bool) {
	j.open = append(j.open, jsonFrame{array: array, key: !array})
	j.places = append(j.places, j.places[len(j.places)-len(j.paths):]...)
	if array {
		j.enter(nil, 0)
	}
}

func (j *jsonScan) pop(array bool) {
	j.hit = -1
	top := len(j.open) - 1
	if top < 0 || j.open[top].array != array {
		j.lost = true
		return
	}
	j.open = j.open[:top]
	j.places = j.places[:len(j.places)-len(j.paths)]
}

// next goes on to the next member or element.
func (j *jsonScan) next() {
	j.hit = -1
	top := len(j.open) - 1
	if top < 0 {
		return
	}
	if f := &j.open[top]; f.array {
		f.index++
		j.enter(nil, f.index)
	} else {
		f.key = true
	}
}

// enter says that the next value is the member key, or the element index.
func (j *jsonScan) enter(key []byte, index int) {
	j.hit = -1
	if bytes.IndexByte(key, '\\') >= 0 {
		var plain string
		if json.Unmarshal(append(append([]byte{'"'}, key...), '"'), &plain) == nil {
			key = []byte(plain)
		}
	}
	n := len(j.paths)
	here := j.places[len(j.places)-n:]
	above := here
	if len(j.open) > 0 {
		above = j.places[len(j.places)-2*n:]
	}
	for i := range j.paths {
		at := above[i]
		if j.lost {
			at = math.MaxUint64
		}
		if here[i] = j.paths[i].step(at, key, index); here[i]>>len(j.paths[i].steps)&1 != 0 && j.hit < 0 {
			j.hit = i
		}
	}
}

// step is where in the path one is after entering a member or an element, from the
// places at.
func (p *jsonPath) step(at uint64, key []byte, index int) (next uint64) {
	for i := range p.steps {
		s := &p.steps[i]
		if at>>i&1 == 0 {
			continue
		}
		if s.deep {
			next |= 1 << i
		}
		if s.any || s.index >= 0 && s.index == index || s.index < 0 && index < 0 && sameName(key, s.name) {
			next |= 1 << (i + 1)
		}
	}
	return next
}

func sameName(key []byte, name string) bool {
	return len(key) == len(name) && strings.EqualFold(string(key), name)
}

// stringEnd is the end of the string that begins at i, its quote included.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(text)
}

func endsScalar(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', ',', ':', '{', '}', '[', ']', '"':
		return true
	}
	return false
}

// containerEnd is the end of the object or array that begins at i.
func containerEnd(text []byte, i int) int {
	for depth := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if i++; depth == 0 {
			return i
		}
	}
	return len(text)
}
