package config

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"
)

// value is a setting's, and where it comes from.
type value struct {
	v      any
	source string // "default", "earshot.yaml:12", "EARSHOT_JOURNAL_SYNC", "--journal-sync"
}

// Values are the settings of one command as they were loaded. The getters return the
// zero value for a name that the table doesn't have, or has with another kind; Err then
// says so, which is a fault of the program. Not safe for concurrent use.
type Values struct {
	set     *Set
	command string
	values  map[string]value
	file    string
	rest    *yaml.Node // the sections
	misused []error
}

// Err is the first fault of the program in calling the getters.
func (v *Values) Err() error { return errors.Join(v.misused...) }

func get[T any](v *Values, name string) (out T) {
	val, ok := v.values[name]
	if ok {
		out, ok = val.v.(T)
	}
	if !ok {
		v.misused = append(v.misused, fmt.Errorf("config: %s is no setting of type %T", name, out))
	}
	return out
}

// String is a setting of kind Text.
func (v *Values) String(name string) string { return get[string](v, name) }

// Bool is a setting of kind Bool.
func (v *Values) Bool(name string) bool { return get[bool](v, name) }

// Int is a setting of kind Int.
func (v *Values) Int(name string) int { return int(get[int64](v, name)) }

// Duration is a setting of kind Duration.
func (v *Values) Duration(name string) time.Duration { return get[time.Duration](v, name) }

// Size is a setting of kind Bytes.
func (v *Values) Size(name string) int64 { return int64(get[Size](v, name)) }

// Strings is a setting of kind List or Lines.
func (v *Values) Strings(name string) []string { return slices.Clone(get[[]string](v, name)) }

// Prefixes is a setting of kind Networks.
func (v *Values) Prefixes(name string) []netip.Prefix {
	return slices.Clone(get[[]netip.Prefix](v, name))
}

// Listen is the address of a listener, with the port of the setting port where that is
// not 0.
func (v *Values) Listen(name, port string) string {
	addr, n := v.String(name), v.Int(port)
	host, _, err := net.SplitHostPort(addr)
	if n == 0 || err != nil {
		return addr
	}
	return net.JoinHostPort(host, strconv.Itoa(n))
}

// Source says where a setting comes from: "default", "earshot.yaml:12",
// "EARSHOT_JOURNAL_SYNC" or "--journal-sync".
func (v *Values) Source(name string) string { return v.values[name].source }

// Differing has the names of the command's settings whose values are others than in o.
func (v *Values) Differing(o *Values) (names []string) {
	for _, s := range v.set.settings {
		if slices.Contains(s.Commands, v.command) && !reflect.DeepEqual(v.values[s.Name].v, o.values[s.Name].v) {
			names = append(names, s.Name)
		}
	}
	return names
}

// File is the name of the file that was read, without its folder; "" if none was.
func (v *Values) File() string { return v.file }

// Errorf is an error about the value of a setting, found by who uses it. It says where
// the value comes from and wraps ErrInvalid.
func (v *Values) Errorf(name, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if s := v.Source(name); s != "default" {
		return &Error{File: s, Path: name, Err: err}
	}
	return &Error{File: name, Err: err}
}

// Has tells whether the file has a section.
func (v *Values) Has(section string) bool { return v.section(section) != nil }

func (v *Values) section(name string) *yaml.Node {
	if v.rest == nil {
		return nil
	}
	for i := 0; i < len(v.rest.Content); i += 2 {
		if v.rest.Content[i].Value == name {
			return v.rest.Content[i+1]
		}
	}
	return nil
}

// Section decodes one section of the file into into, as Decode does. Without the
// section into stays as it is.
func (v *Values) Section(name string, into any) error {
	if n := v.section(name); n != nil {
		return decodeNode(v.file, n, name, into)
	}
	return nil
}

// Sections decodes all sections together into into, a struct that has their names as
// keys, so that its Validate can compare them. Without a section into stays as it is
// and validates itself.
func (v *Values) Sections(into any) error {
	if v.rest == nil {
		return decodeNode(v.file, nil, "", into)
	}
	return decodeNode(v.file, v.rest, "", into)
}

// Print lists the settings of the command, each with its value and where it comes from.
// Of a secret it says only whether there is one.
func (v *Values) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SETTING\tVALUE\tFROM")
	for _, s := range v.set.settings {
		if !slices.Contains(s.Commands, v.command) {
			continue
		}
		val := v.values[s.Name]
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Name, shown(s, val.v), val.source)
	}
	return t.Flush()
}

// shown writes a value on one line.
func shown(s *Setting, v any) string {
	if s.Secret {
		if v == "" {
			return "(none)"
		}
		return "(secret)"
	}
	switch v := v.(type) {
	case string:
		if v == "" || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return strconv.Quote(v)
		}
		return v
	case time.Duration:
		return FormatDuration(v)
	case []string:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}
