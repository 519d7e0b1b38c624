package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Example is a file with settings of several kinds, as the reference shows it.
const Example = `data: /var/lib/earshot
http:
  listen: 0.0.0.0:5000
trusted: [10.0.0.0/8, 192.0.2.7]
journal:
  sync: always
  max-bytes: 10GB
  max-age: 7d
redact:
  query: [pin]
  pattern: ['IBAN (\w+)']
admin:
  token-file: /run/secrets/admin-token
`

const referenceHead = "<!-- Generated from internal/config/settings.go by `make docs`. -->\n" + `# Configuration

Each setting has a flag, a variable and a key in the file. A flag goes before a variable, a variable before the file, the
file before the default. A name that does not exist is an error that says which one is nearest, so that nothing is
left out in silence.

- **Flags**: ` + "`--journal-sync always`" + `. Of a list, items are separated by commas, and each use of the flag adds to it.
- **Variables**: ` + "`EARSHOT_JOURNAL_SYNC=always`" + `. An empty one counts as not set. What Kubernetes injects for a Service whose
  name begins with ` + "`earshot`" + ` is ignored, and so is ` + "`EARSHOT_TEST_*`" + `.
- **File**: YAML, named by ` + "`--config`" + ` or ` + "`EARSHOT_CONFIG`" + `; the dots of a setting are levels of keys. The gateway's routes and
  upstreams stand in the same file.
- **Secrets** come from the variable, or from a file that the flag, the variable with ` + "`_FILE`" + ` or the file's key names; they
  are not written into the file, nor on the command line, where others can read them.

Durations have a unit (` + "`100ms`, `5s`, `24h`, `7d`" + `); sizes are bytes, or have one (` + "`64KiB`, `10GB`" + `).

` + "```yaml\n" + Example + "```\n"

// Reference writes the page that documents the table, docs/configuration.md.
func Reference(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s", referenceHead)
	last := ""
	for _, s := range Settings() {
		if s.Group != last {
			last = s.Group
			fmt.Fprintf(b, "\n## %s\n\n| setting | flag | variable | default | for | what it does |\n|---|---|---|---|---|---|\n", last)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", s.keyCell(), s.flagCell(), s.variableCell(), s.defaultCell(), strings.Join(s.Commands, ", "), s.helpCell())
	}
	return b.Flush()
}

func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }

func (s *Setting) keyCell() string {
	if s.Outside {
		return code(s.Name) + " (not in the file)"
	}
	return code(s.Key())
}

func (s *Setting) flagCell() string {
	cell := code(strings.TrimSpace("--" + s.Flag() + " " + s.arg()))
	if s.Alias != "" {
		cell += ", " + code("--"+s.Alias)
	}
	return cell
}

func (s *Setting) variableCell() string {
	if s.Secret {
		return code(s.Variable()) + ", " + code(s.Variable()+fileSuffix)
	}
	return code(s.Variable())
}

func (s *Setting) defaultCell() string {
	cell := ""
	if s.Default != "" {
		cell = code(s.Default)
	}
	for _, c := range s.Commands {
		if d, ok := s.Defaults[c]; ok {
			cell += "; " + c + ": " + code(d)
		}
	}
	return strings.TrimPrefix(cell, "; ")
}

func (s *Setting) helpCell() string {
	text := s.Help
	if r := s.rangeText(); r != "" {
		text = strings.TrimSuffix(text, ".") + "; " + r + "."
	}
	if s.More != "" {
		text += " " + s.More
	}
	return strings.ReplaceAll(text, "|", `\|`)
}
