package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// isText is true of what reads itself from text and has no keys of its own, so that its
// kind doesn't matter.
func isText(v reflect.Value) bool {
	t := v.Type()
	return reflect.PointerTo(t).Implements(textType) && (t.Kind() != reflect.Struct || !hasKeys(t))
}

// hasKeys is true of a struct that can also be written as a mapping.
func hasKeys(t reflect.Type) bool {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") != "" {
			return true
		}
	}
	return false
}

// scalar decodes a single value.
func scalar(n *yaml.Node, v reflect.Value) error {
	switch {
	case v.Type() == durationType:
		d, err := ParseDuration(n.Value)
		v.SetInt(int64(d))
		return err
	case v.Type() == prefixType:
		p, err := ParsePrefix(n.Value)
		v.Set(reflect.ValueOf(p))
		return err
	case v.Addr().Type().Implements(textType):
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value))
	}
	wrong := fmt.Errorf("want %s, got %s", wanted(v), shape(n))
	switch v.Kind() {
	case reflect.String:
		if n.Tag != "!!str" {
			return fmt.Errorf("%w; put it into quotes to make it text", wrong)
		}
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Tag != "!!bool" || n.Value != "true" && n.Value != "false" {
			return wrong
		}
		v.SetBool(n.Value == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		return number(n, v, wrong)
	default:
		return wrong
	}
	return nil
}

// decimal leaves out the other ways in which YAML writes numbers: 010 is eight to one
// reader and ten to another.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

func number(n *yaml.Node, v reflect.Value, wrong error) error {
	if n.Tag != "!!int" && n.Tag != "!!float" || !decimal.MatchString(n.Value) {
		return wrong
	}
	var err error
	bits := v.Type().Bits()
	switch {
	case v.CanInt():
		var i int64
		if i, err = strconv.ParseInt(n.Value, 10, bits); err == nil {
			v.SetInt(i)
		}
	case v.CanUint():
		var u uint64
		if u, err = strconv.ParseUint(n.Value, 10, bits); err == nil {
			v.SetUint(u)
		}
	default:
		var f float64
		if f, err = strconv.ParseFloat(n.Value, bits); err == nil {
			v.SetFloat(f)
		}
	}
	if err != nil {
		return wrong
	}
	return nil
}

// wanted says in words what v takes.
func wanted(v reflect.Value) string {
	t := v.Type()
	switch {
	case t == durationType:
		return "a duration such as 5s"
	case t == reflect.TypeFor[Size]():
		return "a size such as 64KiB"
	case t == prefixType, t == reflect.TypeFor[netip.Addr](), t == reflect.TypeFor[netip.AddrPort]():
		return "an address"
	case isText(v):
		return "text"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Struct, reflect.Map:
		return "keys with values"
	case reflect.Slice:
		return "a list"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Int8, reflect.Int16, reflect.Int32:
		top := int64(1)<<(t.Bits()-1) - 1
		return fmt.Sprintf("a whole number from %d to %d", -top-1, top)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	case reflect.Uint, reflect.Uint64:
		return "a whole number, 0 or more"
	}
	return t.String()
}

// shape says in words what n is.
func shape(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!str":
		return "the text " + quote(n.Value)
	case "!!int", "!!float":
		return "the number " + cut(n.Value)
	case "!!bool":
		return n.Value
	case "!!timestamp":
		return "the date " + cut(n.Value)
	case "!!null":
		return "no value"
	}
	return quote(n.Value)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// join names what stands under key at path.
func join(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

func inPath(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}
