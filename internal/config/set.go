package config

import (
	"errors"
	"fmt"
	"strings"
)

// Set is a table of settings that was checked, and the names of the file's other parts.
type Set struct {
	settings []*Setting
	byName   map[string]*Setting
	sections []string
	tree     *branch
}

// branch is a key of the file: a group of keys, or a setting.
type branch struct {
	setting *Setting
	below   map[string]*branch
}

// New makes a Set. Sections are keys of the file that are no settings and that somebody
// else decodes (Values.Section). It fails if two settings share a name, a flag, a
// variable or a place in the file, or if a default is not a valid value.
func New(table []Setting, sections ...string) (*Set, error) {
	set := &Set{byName: map[string]*Setting{}, sections: sections, tree: &branch{below: map[string]*branch{}}}
	var errs []error
	taken := map[string]string{}
	for i := range table {
		s := &table[i]
		set.settings = append(set.settings, s)
		names := []string{s.Name, "--" + s.Flag(), s.Variable()}
		if s.Secret {
			names = append(names, s.Variable()+fileSuffix)
		}
		if s.Alias != "" {
			names = append(names, "--"+s.Alias)
		}
		for _, name := range names {
			if other, ok := taken[name]; ok {
				errs = append(errs, fmt.Errorf("config: %s is of %s and of %s", name, other, s.Name))
			}
			taken[name] = s.Name
		}
		set.byName[s.Name] = s
		errs = append(errs, set.plant(s))
		for command := range defaultsOf(s) {
			if _, err := s.parse(s.DefaultOf(command)); err != nil {
				errs = append(errs, fmt.Errorf("config: default of %s: %w", s.Name, err))
			}
		}
	}
	for _, section := range sections {
		if _, ok := set.tree.below[section]; ok {
			errs = append(errs, fmt.Errorf("config: section %s is also the place of settings", section))
		}
	}
	return set, errors.Join(errs...)
}

// All makes the Set of all Settings. Beside them the file has the gateway's parts, which one
// file for all roles has too.
func All() (*Set, error) {
	return New(Settings(), "upstreams", "routes", "compositions", "client-idle")
}

// defaultsOf has the commands of which s has a default of their own, and "".
func defaultsOf(s *Setting) map[string]bool {
	all := map[string]bool{"": true}
	for c := range s.Defaults {
		all[c] = true
	}
	return all
}

// plant puts a setting into the tree of the file's keys.
func (set *Set) plant(s *Setting) error {
	if s.Outside {
		return nil
	}
	at := set.tree
	keys := strings.Split(s.Key(), ".")
	for i, key := range keys {
		next := at.below[key]
		last := i == len(keys)-1
		switch {
		case next == nil && last:
			at.below[key] = &branch{setting: s}
			return nil
		case next == nil:
			next = &branch{below: map[string]*branch{}}
			at.below[key] = next
		case last || next.setting != nil:
			return fmt.Errorf("config: %s has the place of another setting", s.Name)
		}
		at = next
	}
	return nil
}
