package deploy

import (
	"errors"
	"strings"
	"testing"
)

func TestIgnored(t *testing.T) {
	for name, c := range map[string]struct {
		rules     string
		out, kept []string
	}{
		"a name and what is in it":    {"bin", []string{"bin", "bin/earshot"}, []string{"binary", "cmd/bin"}},
		"slashes at the ends":         {"/bin/", []string{"bin", "bin/earshot"}, []string{"cmd/bin"}},
		"a comment and an empty line": {"# bin\n\n \nx", []string{"x"}, []string{"bin", "# bin"}},
		"a star stays in its folder":  {"*.md", []string{"README.md", ".md"}, []string{"docs/README.md", "md"}},
		"two stars are any folders":   {"**/*_test.go", []string{"a_test.go", "x/y/a_test.go"}, []string{"x/test.go"}},
		"two stars at the end":        {"a/**", []string{"a/b", "a/b/c"}, []string{"a", "ab"}},
		"two stars in the middle":     {"a/**/c", []string{"a/c", "a/b/c", "a/b/b/c/d"}, []string{"ac", "a/b"}},
		"a question mark":             {"a?c", []string{"abc", "aäc"}, []string{"ac", "a/c"}},
		"a class":                     {"[a-c][^x]", []string{"az", "cb"}, []string{"ax", "dz"}},
		"an escaped star":             {`a\*`, []string{"a*"}, []string{"ab"}},
		"a dot is a dot":              {"a.c", []string{"a.c"}, []string{"abc"}},
		"the last rule decides":       {"deploy/*\n!deploy/*.go\ndeploy/x.go", []string{"deploy/lint", "deploy/x.go"}, []string{"deploy", "deploy/y.go"}},
		"one is kept of a folder":     {"docs\n!docs/keep", []string{"docs/a"}, []string{"docs/keep", "docs/keep/a"}},
		"the folder itself":           {".\n/", nil, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := parseIgnored(strings.NewReader(c.rules))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range c.out {
				if !rules.has(p) {
					t.Errorf("%q is sent, want it left out", p)
				}
			}
			for _, p := range c.kept {
				if rules.has(p) {
					t.Errorf("%q is left out, want it sent", p)
				}
			}
		})
	}
}

func TestIgnoredSkips(t *testing.T) {
	rules, err := parseIgnored(strings.NewReader("docs\ndeploy\n!deploy/x/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{"docs": true, "deploy": false, "deploy/x": false, "deploy/y": true, "deploy/xy": true} {
		if got := rules.skips(dir); got != want {
			t.Errorf("skips(%s) = %v, want %v", dir, got, want)
		}
	}
}

func TestIgnoredErrors(t *testing.T) {
	for name, text := range map[string]string{"an open class": "a\n[b", "nothing to keep": "a\n! "} {
		t.Run(name, func(t *testing.T) {
			_, err := parseIgnored(strings.NewReader(text))
			if !errors.Is(err, errIgnore) || !strings.Contains(err.Error(), "line 2") {
				t.Errorf("%v, want an error of line 2", err)
			}
		})
	}
}

func FuzzIgnored(f *testing.F) {
	for _, seed := range []string{"bin\n!bin/x", "**/[a-c]?.go", `\*`, "#\n[", "!", "**", "a[]-]b", "[[:a]"} {
		f.Add(seed, "bin/x")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		rules, err := parseIgnored(strings.NewReader(text))
		if err != nil && !errors.Is(err, errIgnore) {
			t.Errorf("parseIgnored(%q) = %v, which does not wrap errIgnore", text, err)
		}
		if rules.has(name) && rules.skips(name) && !rules.has(name+"/x") {
			t.Errorf("%q: %q is passed by, but %q is kept", text, name, name+"/x")
		}
	})
}
