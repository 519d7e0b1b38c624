package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrInvalid is wrapped by each error that is about what somebody wrote.
var ErrInvalid = errors.New("invalid configuration")

// Error is what is wrong in one place of a file.
type Error struct {
	File string // as it was named by the caller
	Line int    // from 1; 0 when unknown
	Path string // such as routes[0].upstream; "" is the whole file, or in the text of Err
	Err  error
}

// Error says file, line, path and cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line))
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the cause and ErrInvalid.
func (e *Error) Unwrap() []error { return []error{e.Err, ErrInvalid} }

// At says where below its own value a Validate method found what is wrong. The path is
// relative: "upstream", "routes[2].upstream", `headers["x.y"]`. A Validate method that
// found more than one thing returns them joined.
func At(path string, err error) error {
	if err == nil {
		return nil
	}
	return &atError{path, err}
}

type atError struct {
	path string
	err  error
}

func (e *atError) Error() string { return e.path + ": " + e.err.Error() }
func (e *atError) Unwrap() error { return e.err }

// Unknown says that name is no known what ("upstream", "service"), and which known one
// is nearest.
func Unknown(what, name string, known []string) error {
	if near := Nearest(name, known); near != "" {
		return fmt.Errorf("unknown %s %s; did you mean %q?", what, quote(name), near)
	}
	return fmt.Errorf("unknown %s %s%s", what, quote(name), oneOf(known))
}

// oneOf lists the known names where they are few enough to be read.
func oneOf(known []string) string {
	if len(known) == 0 || len(known) > 8 {
		return ""
	}
	known = slices.Sorted(slices.Values(known))
	return "; known: " + strings.Join(known, ", ")
}

// quote returns s in quotes, cut where nobody would read on.
func quote(s string) string { return strconv.Quote(cut(s)) }

func cut(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
