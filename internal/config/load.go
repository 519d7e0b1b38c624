package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// configName is the setting that names the file.
const configName = "config"

// Load reads the settings of a command: a flag goes before a variable, a variable before
// the file, the file before the default. fs has what Flags added, parsed; environ is
// that of os.Environ. The file is the one that the setting "config" names, if any. All
// that is wrong in the three is reported together, and wraps ErrInvalid; with such an
// error the Values are those that could be read, for who wants to judge the rest too.
func (set *Set) Load(command string, fs *pflag.FlagSet, environ []string) (*Values, error) {
	v := &Values{set: set, command: command, values: map[string]value{}}
	for _, s := range set.settings {
		def, err := s.parse(s.DefaultOf(command))
		if err != nil {
			return nil, fmt.Errorf("config: default of %s: %w", s.Name, err)
		}
		v.values[s.Name] = value{def, "default"}
	}
	flags := set.fromFlags(fs)
	vars, errs := set.environment(environ)
	fromVars, more := set.fromVariables(vars)
	errs = append(errs, more...)

	path := first(flags[configName], fromVars[configName], v.values[configName])
	if name, _ := path.v.(string); name != "" {
		fromFile, err := v.fromFile(name)
		if err != nil {
			errs = append(errs, err)
		}
		v.put(fromFile)
	}
	v.put(fromVars)
	v.put(flags)
	errs = append(errs, v.secrets(fs, vars)...)
	return v, errors.Join(errs...)
}

func first(all ...value) value {
	for _, v := range all {
		if v.source != "" {
			return v
		}
	}
	return value{}
}

func (set *Set) fromFlags(fs *pflag.FlagSet) map[string]value {
	out := map[string]value{}
	if fs == nil {
		return out
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if fv, ok := f.Value.(*flagValue); ok && fv.set && !fv.setting.Secret {
			out[fv.setting.Name] = value{fv.value, "--" + fv.setting.Flag()}
		}
	})
	return out
}

func (set *Set) fromVariables(vars map[string]string) (out map[string]value, errs []error) {
	out = map[string]value{}
	for _, s := range set.settings {
		text, ok := vars[s.Variable()]
		if !ok || s.Secret {
			continue
		}
		v, err := s.parse(text)
		if err != nil {
			errs = append(errs, &Error{File: s.Variable(), Err: err})
			continue
		}
		out[s.Name] = value{v, s.Variable()}
	}
	return out, errs
}

// fromFile reads the settings of a file and keeps its other parts.
func (v *Values) fromFile(path string) (map[string]value, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	v.file = filepath.Base(path)
	root, err := parse(v.file, b)
	if err != nil || root == nil {
		return nil, err
	}
	d := &decoder{name: v.file, lines: map[string]int{}}
	out := map[string]value{}
	v.walk(d, root, "", v.set.tree, out, 0)
	return out, d.err()
}

// walk follows the tree of keys into a mapping of the file.
func (v *Values) walk(d *decoder, n *yaml.Node, path string, at *branch, out map[string]value, depth int) {
	line := n.Line
	n, ok := d.enter(n, path, depth)
	if !ok {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(line, path, fmt.Errorf("want keys with values, got %s", shape(n)))
		return
	}
	d.pairs(n, path, func(key, node *yaml.Node, here string) {
		next, ok := at.below[key.Value]
		switch {
		case ok && next.setting != nil:
			v.leaf(d, node, here, next.setting, out, depth+1)
		case ok:
			v.walk(d, node, here, next, out, depth+1)
		case path == "" && slices.Contains(v.set.sections, key.Value):
			if v.rest == nil {
				v.rest = &yaml.Node{Kind: yaml.MappingNode, Line: key.Line, Tag: "!!map"}
			}
			v.rest.Content = append(v.rest.Content, key, node)
		default:
			d.fail(key.Line, "", v.unknown(key.Value, path, at))
		}
	})
}

// unknown is the error of a key that no setting has.
func (v *Values) unknown(key, path string, at *branch) error {
	if s := v.set.byName[strings.TrimPrefix(path+"."+key, ".")]; s != nil && s.Secret {
		return fmt.Errorf("secret %s is not written here; name a file that holds it as %s, or set %s", s.Name, s.Key(), s.Variable())
	}
	known := make([]string, 0, len(at.below))
	for k := range at.below {
		known = append(known, k)
	}
	if path == "" {
		known = append(known, v.set.sections...)
	}
	slices.Sort(known)
	return unknownIn(key, path, known)
}

// leaf decodes one setting.
func (v *Values) leaf(d *decoder, n *yaml.Node, path string, s *Setting, out map[string]value, depth int) {
	into := reflect.New(reflect.TypeOf(kinds[s.Kind].zero)).Elem()
	before := len(d.errs)
	if s.None && n.Kind == yaml.ScalarNode && n.Value == "none" && n.Tag == "!!str" {
		out[s.Name] = value{kinds[s.Kind].zero, fmt.Sprintf("%s:%d", d.name, n.Line)}
		return
	}
	d.value(n, path, into, depth)
	if len(d.errs) > before {
		return
	}
	if !s.Secret {
		if err := s.check(into.Interface()); err != nil {
			d.fail(n.Line, path, err)
			return
		}
	}
	out[s.Name] = value{into.Interface(), fmt.Sprintf("%s:%d", d.name, n.Line)}
}

func (v *Values) put(from map[string]value) {
	for name, val := range from {
		v.values[name] = val
	}
}

// secrets reads the secrets from where they are: the flag's file, the variable, the
// variable's file, the file that the configuration names.
func (v *Values) secrets(fs *pflag.FlagSet, vars map[string]string) (errs []error) {
	for _, s := range v.set.settings {
		if !s.Secret {
			continue
		}
		val, err := v.secret(s, fs, vars)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		v.values[s.Name] = val
	}
	return errs
}

func (v *Values) secret(s *Setting, fs *pflag.FlagSet, vars map[string]string) (value, error) {
	if fs != nil {
		if f := fs.Lookup(s.Flag()); f != nil {
			if fv, ok := f.Value.(*flagValue); ok && fv.set {
				return s.fromSecretFile(fv.shown, "--"+s.Flag())
			}
		}
	}
	text, direct := vars[s.Variable()]
	path, byFile := vars[s.Variable()+fileSuffix]
	switch {
	case direct && byFile:
		return value{}, &Error{File: s.Variable(), Err: fmt.Errorf("%s is set too; set one of them", s.Variable()+fileSuffix)}
	case direct:
		return s.secretValue(text, s.Variable())
	case byFile:
		return s.fromSecretFile(path, s.Variable()+fileSuffix)
	}
	at := v.values[s.Name]
	if path, _ := at.v.(string); path != "" {
		return s.fromSecretFile(path, at.source)
	}
	return at, nil
}

const maxSecret = 64 << 10

// fromSecretFile reads a secret; one line break at its end is the editor's, not its own.
func (s *Setting) fromSecretFile(path, source string) (value, error) {
	b, err := readFile(path)
	if err != nil {
		return value{}, fmt.Errorf("%s: %w", source, err)
	}
	if len(b) > maxSecret {
		return value{}, &Error{File: source, Err: fmt.Errorf("secret in %s is longer than %v", path, Size(maxSecret))}
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if text == "" {
		return value{}, &Error{File: source, Err: fmt.Errorf("%s is empty", path)}
	}
	return s.secretValue(text, source)
}

// secretValue checks a secret. The error must not repeat it.
func (s *Setting) secretValue(text, source string) (value, error) {
	if err := s.check(text); err != nil {
		return value{}, &Error{File: source, Err: err}
	}
	return value{text, source}, nil
}

func appendLists(a, b any) any {
	switch a := a.(type) {
	case []string:
		return append(slices.Clip(a), b.([]string)...)
	case []netip.Prefix:
		return append(slices.Clip(a), b.([]netip.Prefix)...)
	}
	return cmp.Or(b, a)
}
