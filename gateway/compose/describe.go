package compose

import (
	"encoding/json"
	"slices"
	"strings"
)

// Description says what a view takes and has, for who documents it.
type Description struct {
	View    string   // its name
	Parts   []Asked  // that are asked, as declared
	Inputs  []Input  // what comes from the client
	Members []Member // of the page, in order
}

// Asked is a part.
type Asked struct {
	Name, Upstream string
	Segments       []string // of its path; "{}" stands for what is not fixed
	Required       bool
}

// Input is a parameter of the route's path, or of the client's query.
type Input struct {
	Name     string
	Query    bool
	Required bool
	Default  string // what stands for one that is not there; "" if nothing does
	Uses     []Use
}

// Use is where a part has the input as a whole value of its own request.
type Use struct {
	Part    int    // in Description.Parts
	Segment int    // of its path, unless it is in the query
	Query   string // the name of the value in its query
}

// Member is a member of a page, or of an object in it.
type Member struct {
	Name string
	Part int      // in Description.Parts; only at the top
	Path []string // to the value, in the part or in the object
	Pick []Member // what is let through; nil: the whole value
}

// Describe says what the view takes and has.
func (v *View) Describe() Description {
	d := Description{View: v.name, Members: describeFields(v.fields, func(part int) int { return slices.Index(v.asked, part) })}
	for at, i := range v.asked {
		p := &v.c.parts[i]
		asked := Asked{Name: p.name, Upstream: p.upstream, Required: p.required}
		if p.when != "" {
			d.input(Input{Name: p.when, Query: true})
		}
		for n, pieces := range p.url.segments {
			fixed := ""
			for _, piece := range pieces {
				if piece.ref == nil {
					fixed += piece.text
					continue
				}
				d.reference(p, piece.ref, len(pieces) == 1, Use{Part: at, Segment: n})
			}
			if uses := slices.ContainsFunc(pieces, func(p piece) bool { return p.ref != nil }); uses {
				fixed = "{}"
			}
			asked.Segments = append(asked.Segments, fixed)
		}
		for n, piece := range p.url.query {
			if piece.ref != nil {
				name, whole := nameInQuery(p.url.query, n)
				d.reference(p, piece.ref, whole, Use{Part: at, Query: name})
			}
		}
		d.Parts = append(d.Parts, asked)
	}
	return d
}

func describeFields(fields []field, at func(part int) int) []Member {
	var members []Member
	for i := range fields {
		f := &fields[i]
		m := Member{Path: f.path, Part: at(f.part)}
		_ = json.Unmarshal(f.name[:len(f.name)-1], &m.Name) // nameOf has made it
		if f.pick != nil {
			m.Pick = describeFields(f.pick, func(int) int { return 0 })
		}
		members = append(members, m)
	}
	return members
}

// nameInQuery is the name of the value that piece n is; whole: it is all of the value.
func nameInQuery(query []piece, n int) (name string, whole bool) {
	if n == 0 || query[n-1].ref != nil || n+1 < len(query) && !strings.HasPrefix(query[n+1].text, "&") {
		return "", false
	}
	before := query[n-1].text
	name, ok := strings.CutSuffix(before[strings.LastIndexByte(before, '&')+1:], "=")
	return name, ok && name != ""
}

// reference notes what a part's request takes from the client.
func (d *Description) reference(p *part, ref *reference, whole bool, use Use) {
	alone := len(ref.choices) == 1
	for _, c := range ref.choices {
		if c.source == fromPart {
			continue
		}
		in := Input{Name: c.name, Query: c.source == fromQuery}
		in.Required = !in.Query || alone && ref.fallback == nil && p.required && p.when == ""
		if alone && ref.fallback != nil {
			in.Default = *ref.fallback
		}
		if whole {
			in.Uses = []Use{use}
		}
		d.input(in)
	}
}

// input adds what is said of one to what was said of it before.
func (d *Description) input(in Input) {
	i := slices.IndexFunc(d.Inputs, func(o Input) bool { return o.Name == in.Name && o.Query == in.Query })
	if i < 0 {
		d.Inputs = append(d.Inputs, in)
		return
	}
	known := &d.Inputs[i]
	known.Required = known.Required || in.Required
	known.Uses = append(known.Uses, in.Uses...)
	if known.Default == "" {
		known.Default = in.Default
	}
}
