package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Flags adds to fs the flags of the settings that a command uses. An alias that fs has
// already is left out; a name that it has is an error.
func (set *Set) Flags(command string, fs *pflag.FlagSet) error {
	for _, s := range set.settings {
		if !slices.Contains(s.Commands, command) {
			continue
		}
		if fs.Lookup(s.Flag()) != nil {
			return fmt.Errorf("config: %s has a flag --%s of its own", command, s.Flag())
		}
		v := &flagValue{setting: s, shown: s.DefaultOf(command)}
		if s.Secret {
			v.shown = ""
		}
		help := s.flagHelp()
		if s.Alias != "" && fs.Lookup(s.Alias) == nil {
			help += " (also --" + s.Alias + ")"
			short := fs.VarPF(v, s.Alias, "", help)
			short.Hidden, short.NoOptDefVal = true, noOpt(s)
		}
		fs.VarPF(v, s.Flag(), "", help).NoOptDefVal = noOpt(s)
	}
	return nil
}

func noOpt(s *Setting) string {
	if s.Kind == Bool {
		return "true"
	}
	return ""
}

func (s *Setting) flagHelp() string {
	help := strings.TrimSuffix(s.Help, ".")
	if s.Secret {
		return "file that holds: " + lowerFirst(help)
	}
	if r := s.rangeText(); r != "" {
		help += ", " + r
	}
	return help
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// flagValue implements pflag.Value. Of a list each use of the flag adds items.
type flagValue struct {
	setting *Setting
	shown   string
	set     bool
	value   any
}

func (f *flagValue) String() string { return f.shown }
func (f *flagValue) Type() string   { return f.setting.arg() }

// IsBoolFlag lets pflag show a bool as a bare switch.
func (f *flagValue) IsBoolFlag() bool { return f.setting.Kind == Bool }

func (f *flagValue) Set(text string) error {
	s := f.setting
	if s.Secret {
		f.set, f.shown, f.value = true, text, text
		return nil
	}
	v, err := s.parse(text)
	if err != nil {
		return err
	}
	if f.set && s.Kind.many() {
		v = appendLists(f.value, v)
		text = f.shown + "," + text
	}
	f.set, f.shown, f.value = true, text, v
	return nil
}

// FlagError names the nearest flag of fs where err is about one that fs doesn't have.
// Other errors it returns as they are.
func FlagError(fs *pflag.FlagSet, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var known []string
	fs.VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	name := unknown.GetSpecifiedName()
	if near := Nearest(name, known); near != "" {
		return fmt.Errorf("unknown flag --%s; did you mean --%s?", name, near)
	}
	return err
}
