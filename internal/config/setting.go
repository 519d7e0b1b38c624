package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Kind is the type of a setting's value and how it is written.
type Kind uint8

// The kinds of settings. In a file a list is a list; in a flag and a variable it is
// separated by commas, Lines by line breaks.
const (
	Text     Kind = iota // string
	Bool                 // bool: true or false
	Int                  // int64
	Duration             // time.Duration: 5s, 100ms, 7d
	Bytes                // Size: 65536, 64KiB, 10GB
	List                 // []string
	Lines                // []string whose items may have commas: regular expressions
	Networks             // []netip.Prefix
)

var kinds = [...]struct {
	name string
	zero any
}{
	Text:     {"text", ""},
	Bool:     {"bool", false},
	Int:      {"number", int64(0)},
	Duration: {"duration", time.Duration(0)},
	Bytes:    {"size", Size(0)},
	List:     {"list", []string(nil)},
	Lines:    {"lines", []string(nil)},
	Networks: {"networks", []netip.Prefix(nil)},
}

func (k Kind) many() bool { return k == List || k == Lines || k == Networks }

// Setting is one thing that people can set: by flag, by variable, in the file.
type Setting struct {
	// Name is dotted, "journal.sync": the flag --journal-sync, the variable
	// EARSHOT_JOURNAL_SYNC, and in the file the key sync below journal.
	Name     string
	Group    string // the heading under which the reference has it
	Kind     Kind
	Default  string            // as one would write it
	Defaults map[string]string // of commands that have another one
	Commands []string          // that use it
	Help     string            // one sentence: what it does, in which unit
	More     string            // what the reference says beyond Help
	Arg      string            // what stands for the value in help, "HOST:PORT"; default by kind
	Alias    string            // a second, shorter flag

	Choices  []string           // the only values
	Min, Max string             // bounds, as one would write them
	Check    func(string) error // of a text, or of each item of a list
	None     bool               // "none" means no value: an empty text, an empty list

	// Secret is true of what must not be seen: it comes from EARSHOT_…, or from a file
	// that EARSHOT_…_FILE, the flag --…-file, or the file's key …-file names.
	Secret bool
	// Outside is true of what can't stand in the file.
	Outside bool
}

// Flag is the name of the setting's flag, without its hyphens.
func (s *Setting) Flag() string {
	name := strings.ReplaceAll(s.Name, ".", "-")
	if s.Secret {
		return name + "-file"
	}
	return name
}

// Variable is the name of the setting's environment variable.
func (s *Setting) Variable() string {
	return prefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s.Name))
}

// Key is the dotted place of the setting in the file.
func (s *Setting) Key() string {
	if s.Secret {
		return s.Name + "-file"
	}
	return s.Name
}

// DefaultOf is the default for a command, as one would write it.
func (s *Setting) DefaultOf(command string) string {
	if d, ok := s.Defaults[command]; ok {
		return d
	}
	return s.Default
}

// arg says in help what the value looks like.
func (s *Setting) arg() string {
	switch {
	case s.Secret:
		return "FILE"
	case s.Arg != "":
		return s.Arg
	case len(s.Choices) > 0:
		return strings.Join(s.Choices, "|")
	case s.Kind == Bool:
		return "" // pflag shows none
	}
	return kinds[s.Kind].name
}

// parse reads a value as a flag or a variable has it.
func (s *Setting) parse(text string) (any, error) {
	if s.None && text == "none" {
		return kinds[s.Kind].zero, nil
	}
	v, err := s.read(text)
	if err != nil {
		return nil, err
	}
	return v, s.check(v)
}

func (s *Setting) read(text string) (any, error) {
	switch s.Kind {
	case Bool:
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("want true or false, got %s", quote(text))
		}
		return text == "true", nil
	case Int:
		return parseInt(text)
	case Duration:
		return ParseDuration(text)
	case Bytes:
		return ParseSize(text)
	case List:
		return items(text, ",")
	case Lines:
		return items(text, "\n")
	case Networks:
		return networks(text)
	}
	return text, nil
}

// items splits a list; an empty text is an empty list.
func items(text, sep string) ([]string, error) {
	if text = strings.TrimSpace(text); text == "" {
		return nil, nil
	}
	all := strings.Split(text, sep)
	for i := range all {
		if all[i] = strings.TrimSpace(all[i]); all[i] == "" {
			return nil, fmt.Errorf("item %d of %s is empty", i+1, quote(text))
		}
	}
	return all, nil
}

func networks(text string) ([]netip.Prefix, error) {
	all, err := items(text, ",")
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, item := range all {
		p, err := ParsePrefix(item)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// check says whether a value of the right type is in range.
func (s *Setting) check(v any) error {
	switch v := v.(type) {
	case string:
		return s.checkText(v)
	case []string:
		for _, item := range v {
			if err := s.checkText(item); err != nil {
				return err
			}
		}
	case int64, time.Duration, Size:
		return s.checkRange(reflect.ValueOf(v).Int())
	}
	return nil
}

func (s *Setting) checkText(text string) error {
	if len(s.Choices) > 0 && !slices.Contains(s.Choices, text) {
		near := ""
		if n := Nearest(text, s.Choices); n != "" {
			near = fmt.Sprintf("; did you mean %q?", n)
		}
		return fmt.Errorf("want one of %s, got %s%s", strings.Join(s.Choices, ", "), quote(text), near)
	}
	if s.Check != nil && (text != "" || s.Default != "") {
		return s.Check(text)
	}
	return nil
}

func (s *Setting) checkRange(n int64) error {
	low, hasLow, err1 := s.bound(s.Min)
	high, hasHigh, err2 := s.bound(s.Max)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if hasLow && n < low || hasHigh && n > high {
		return fmt.Errorf("want %s, got %s", s.rangeText(), s.format(n))
	}
	return nil
}

func (s *Setting) bound(text string) (n int64, ok bool, err error) {
	if text == "" {
		return 0, false, nil
	}
	v, err := s.read(text)
	if err != nil {
		return 0, false, err
	}
	return reflect.ValueOf(v).Int(), true, nil
}

// rangeText says in words what is in range; "" if everything is.
func (s *Setting) rangeText() string {
	switch {
	case s.Min != "" && s.Max != "":
		return "from " + s.Min + " to " + s.Max
	case s.Min != "":
		return "at least " + s.Min
	case s.Max != "":
		return "at most " + s.Max
	}
	return ""
}

func (s *Setting) format(n int64) string {
	switch s.Kind {
	case Duration:
		return FormatDuration(time.Duration(n))
	case Bytes:
		return Size(n).String()
	}
	return fmt.Sprint(n)
}
