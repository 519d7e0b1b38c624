package metric

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// targets are the labels that Prometheus gives to whatever it has asked.
var targets = []string{"instance", "job"}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func all(text, pattern string) (found []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

var (
	selector = regexp.MustCompile(`\b(earshot_[a-z_]+|up)\b(?:\{([^}]*)\})?`)
	grouping = regexp.MustCompile(`\b(?:by|on|ignoring|group_left) ?\(([^)]*)\)`)
)

// expression says what is wrong with the names in a question to Prometheus, and which labels
// its answer may have. Whether it is a question at all promtool knows.
func expression(expr string, known map[string]defined) (labels, wrong []string) {
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		metric, ok := known[m[1]]
		if !ok && m[1] != "up" {
			wrong = append(wrong, "there is no metric "+m[1])
		}
		has := slices.Concat(targets, metric.labels)
		for _, label := range all(m[2], `([a-z_]+) ?[=!]`) {
			if !slices.Contains(has, label) {
				wrong = append(wrong, m[1]+" has no label "+label)
			}
		}
		labels = append(labels, has...)
	}
	if len(labels) == 0 {
		wrong = append(wrong, "it asks for nothing")
	}
	if by := grouping.FindAllStringSubmatch(expr, -1); by != nil {
		var kept []string
		for _, m := range by {
			for _, label := range strings.Split(m[1], ", ") {
				if !slices.Contains(labels, label) {
					wrong = append(wrong, "nothing has the label "+label)
				}
				kept = append(kept, label)
			}
		}
		labels = kept
	}
	return labels, wrong
}

func TestExpression(t *testing.T) {
	known := map[string]defined{"earshot_a_total": {labels: []string{"store"}}, "earshot_b": {}}
	for expr, want := range map[string]string{
		`rate(earshot_a_total{job=~"$job",store="x"}[1m]) > 0 or up == 0`: "",
		`sum by (instance, store) (earshot_a_total)`:                      "",
		`earshot_c`:                              "there is no metric earshot_c",
		`earshot_a_total / earshot_b{store!=""}`: "earshot_b has no label store",
		`sum by (store) (earshot_b)`:             "nothing has the label store",
		`1`:                                      "it asks for nothing",
	} {
		if _, wrong := expression(expr, known); strings.Join(wrong, "; ") != want {
			t.Errorf("%s: %q, want %q", expr, wrong, want)
		}
	}
}

// rule is an alert, as alerts.yml has it.
type rule struct {
	Alert, Expr string
	Labels      struct{ Severity string }
	Annotations struct{ Summary, Description, Runbook string }
}

// TestAlerts: alerts ask for metrics and labels that there are, and each has its paragraph in
// docs/operating.md, which has no other.
func TestAlerts(t *testing.T) {
	known := flat(source(t))
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(read(t, "deploy", "prometheus", "alerts.yml"), &file); err != nil {
		t.Fatal(err)
	}
	var names []string
	critical, warned := 0, false
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			names = append(names, r.Alert)
			labels, wrong := expression(r.Expr, known)
			for _, label := range all(r.Annotations.Summary+r.Annotations.Description, `\$labels\.([a-z_]+)`) {
				if !slices.Contains(labels, label) {
					wrong = append(wrong, "it has no label "+label)
				}
			}
			if r.Annotations.Summary == "" || r.Annotations.Description == "" {
				wrong = append(wrong, "it has no words")
			}
			if want := "docs/operating.md#" + strings.ToLower(r.Alert); r.Annotations.Runbook != want {
				wrong = append(wrong, "its runbook is not "+want)
			}
			switch r.Labels.Severity {
			case "critical":
				critical++
				if warned {
					wrong = append(wrong, "the critical ones come first")
				}
			case "warning":
				warned = true
			default:
				wrong = append(wrong, "it is neither critical nor a warning")
			}
			for _, kind := range all(r.Expr, `trouble=~?"([^"]+)"`) {
				for _, kind := range strings.Split(kind, "|") {
					if !noted(t, kind) {
						wrong = append(wrong, "there is no trouble "+kind)
					}
				}
			}
			for _, w := range wrong {
				t.Errorf("%s: %s", r.Alert, w)
			}
		}
	}
	text := string(read(t, "docs", "operating.md"))
	if headings := all(text, `(?m)^### (Earshot\w+)$`); !slices.Equal(names, headings) || critical == 0 {
		t.Errorf("alerts:     %s\nparagraphs: %s", names, headings)
	}
	if headings := regexp.MustCompile(`(?m)^### Earshot\w+\n\n#`).FindString(text); headings != "" {
		t.Errorf("an alert has no words: %s", headings)
	}
}

// noted tells whether publisher and subscriber note a trouble of this kind.
func noted(t *testing.T, kind string) bool {
	t.Helper()
	text := string(read(t, "publisher", "state.go")) + string(read(t, "subscriber", "state.go"))
	return strings.Contains(text, `troubles.Note("`+kind+`"`)
}

func flat(found map[string]map[string]defined) map[string]defined {
	known := map[string]defined{}
	for _, metrics := range found {
		for name, m := range metrics {
			if !m.histogram {
				known[name] = m
				continue
			}
			known[name+"_count"], known[name+"_sum"] = m, m
			known[name+"_bucket"] = defined{labels: append(slices.Clone(m.labels), "le")}
		}
	}
	return known
}

// TestDashboard: panels ask for metrics and labels that there are, and show labels that the
// answers have.
func TestDashboard(t *testing.T) {
	known := flat(source(t))
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct {
				Type  string
				Query any
			}
		}
	}
	if err := json.Unmarshal(read(t, "deploy", "grafana", "earshot.json"), &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Panels) < 10 {
		t.Fatalf("%d panels: this test shows nothing", len(board.Panels))
	}
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("%s: another panel has its number", p.Title)
		}
		ids[p.ID] = true
		if len(p.Targets) == 0 {
			t.Errorf("%s: it asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			labels, wrong := expression(target.Expr, known)
			for _, label := range all(target.LegendFormat, `\{\{ ?([a-z_]+) ?\}\}`) {
				if !slices.Contains(labels, label) {
					wrong = append(wrong, "it has no label "+label)
				}
			}
			for _, w := range wrong {
				t.Errorf("%s: %s: %s", p.Title, target.Expr, w)
			}
		}
	}
	for _, v := range board.Templating.List {
		if q, ok := v.Query.(map[string]any); ok && v.Type == "query" {
			expr, _ := q["query"].(string)
			if _, wrong := expression(expr, known); wrong != nil {
				t.Errorf("%s: %s", expr, wrong)
			}
		}
	}
}

// TestScrape: Prometheus asks the admin door, with its token, and knows the alerts beside.
func TestScrape(t *testing.T) {
	var file struct {
		Jobs []struct {
			Name          string `yaml:"job_name"`
			Authorization struct {
				File string `yaml:"credentials_file"`
			}
			Static []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
		Rules []string `yaml:"rule_files"`
	}
	if err := yaml.Unmarshal(read(t, "deploy", "prometheus", "scrape.yml"), &file); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(file.Rules, []string{"alerts.yml"}) || len(file.Jobs) != 1 || len(file.Jobs[0].Static) != 1 {
		t.Fatalf("scrape.yml = %+v", file)
	}
	j := file.Jobs[0]
	if !strings.Contains(string(read(t, "deploy", "prometheus", "alerts.yml")), `up{job="`+j.Name+`"}`) || j.Authorization.File == "" {
		t.Errorf("scrape.yml = %+v", j)
	}
	for _, at := range j.Static[0].Targets {
		if !strings.HasSuffix(at, ":5001") {
			t.Errorf("%s is no admin door", at)
		}
	}
}
