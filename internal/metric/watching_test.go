package metric

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// own are the labels that Prometheus itself gives.
var own = []string{"instance", "job", "severity"}

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func all(text, pattern string) (found []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// TestWatching: alerts and dashboard ask for metrics and labels that there are, and each
// alert has its paragraph in docs/operating.md, which has no other.
func TestWatching(t *testing.T) {
	known := all(read(t, "docs", "metrics.md"), "(?m)^\\| `(earshot_[a-z_]+)` \\|")
	alerts := read(t, "deploy", "prometheus", "alerts.yml")
	dashboard := read(t, "deploy", "grafana", "earshot.json")
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(dashboard), &board); err != nil {
		t.Fatal(err)
	}
	if len(known) < 50 || len(board.Panels) < 10 {
		t.Fatalf("%d metrics and %d panels: this test shows nothing", len(known), len(board.Panels))
	}
	for _, p := range board.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %s asks for nothing", p.Title)
		}
	}
	for file, text := range map[string]string{"alerts.yml": alerts, "earshot.json": dashboard} {
		for _, name := range all(text, `\b(earshot_[a-z_]+)`) {
			if !slices.Contains(known, name) {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
		labels := all(text, `\{\{ ?(?:\$labels\.)?([a-z_]+) ?\}\}`)
		for _, by := range all(text, `\bby \(([^)]*)\)`) {
			labels = append(labels, strings.Split(by, ", ")...)
		}
		for _, label := range labels {
			if !slices.Contains(own, label) && !given(t, label) {
				t.Errorf("%s: no metric has a label %s", file, label)
			}
		}
	}

	names := all(alerts, `- alert: (\w+)`)
	for what, pattern := range map[string]string{"summary": `(?m)^ +summary: (.+)`, "description": `(?m)^ +description: (.+)`, "severity": `severity: (critical|warning)`} {
		if n := len(all(alerts, pattern)); n != len(names) {
			t.Errorf("%d alerts, and %d have a %s", len(names), n, what)
		}
	}
	anchors := all(alerts, `runbook: docs/operating\.md#(\S+)`)
	headings := all(read(t, "docs", "operating.md"), `(?m)^### (Earshot\w+)$`)
	if !slices.Equal(names, headings) {
		t.Errorf("alerts:     %s\nparagraphs: %s", names, headings)
	}
	for i, name := range names {
		if i >= len(anchors) || anchors[i] != strings.ToLower(name) {
			t.Errorf("the runbook of %s is another's: %s", name, anchors)
			break
		}
	}
}

// given tells whether the source gives a label to any metric.
func given(t *testing.T, label string) bool {
	t.Helper()
	for _, file := range []string{"publisher/lag.go", "subscriber/metrics.go", "gateway/metrics.go", "services/metrics.go"} {
		text := read(t, file)
		for _, list := range append(all(text, `(?i:labels)[ :=]+\[\]string\{([^}]*)\}`), all(text, `_total",[^)]*, ("[a-z]+")\)`)...) {
			if strings.Contains(list, `"`+label+`"`) {
				return true
			}
		}
	}
	return false
}
