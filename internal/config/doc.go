// Package config reads what people write to tell Earshot what to do: a strict YAML
// file, EARSHOT_* variables and flags. It is the only package that imports a YAML
// library.
//
// # Files
//
// Decode and DecodeFile put YAML into structs. Fields are named by their `yaml:"key"`
// tag; a field without one is no part of the file. A key that nobody knows, a key twice,
// a value of another type or out of range are errors, all of them reported together,
// each with its line, its path and, where a name is near to a known one, that name:
//
//	earshot.yaml:12: unknown key "upstreem" in routes[0]; did you mean "upstream"?
//
// Nothing is guessed: text where a number is wanted, a number where text is wanted, a
// single value where a list is wanted and a key without a value are all refused. A
// time.Duration is written with its unit (5s, 100ms, 7d), a Size in bytes or with one
// (64KiB, 10GB), a netip.Prefix may be a single address. Aliases are followed; merge
// keys, tags and a second document are refused.
//
// # Settings
//
// Settings is the table of all settings. A Set made of it has the flags of each command,
// and Load reads them: a flag goes before an EARSHOT_* variable, a variable before the
// file, the file before the default. Values tells each value and where it comes from.
// What stands in the file beside settings, routes and upstreams, is kept for those who
// know it: Values.Section and Values.Sections. Reference writes docs/configuration.md.
//
// # Errors
//
// ErrInvalid: the text can't be used; errors.As finds an *Error for the place. A file
// that can't be read is the operating system's error.
package config
