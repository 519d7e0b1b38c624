package metric

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// promtool is Prometheus' own judge of what it is given.
func promtool(t *testing.T, args ...string) error {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), testenv.Need(t, "promtool"), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("promtool %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// forPrometheus copies deploy/prometheus, with a token where scrape.yml says that one is.
func forPrometheus(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	token := filepath.Join(dir, "token")
	for name, text := range map[string][]byte{
		"token":           []byte("secret\n"),
		"alerts.yml":      read(t, "deploy", "prometheus", "alerts.yml"),
		"alerts_test.yml": read(t, "deploy", "prometheus", "alerts_test.yml"),
		"scrape.yml":      regexp.MustCompile(`(?m)(credentials_file:) .*`).ReplaceAll(read(t, "deploy", "prometheus", "scrape.yml"), []byte("$1 "+token)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPrometheusTakesThem: Prometheus reads what it is to be given, and each alert fires when
// it should, and stops. With any one of them spoilt it says so.
func TestPrometheusTakesThem(t *testing.T) {
	judge := func(dir string) error {
		t.Helper()
		if err := promtool(t, "check", "config", filepath.Join(dir, "scrape.yml")); err != nil { // with its rule files
			return err
		}
		return promtool(t, "test", "rules", filepath.Join(dir, "alerts_test.yml"))
	}
	if err := judge(forPrometheus(t)); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct{ file, from, to string }{
		"a bracket":      {"alerts.yml", "rate(earshot_answer_seconds_count[5m])", "rate(earshot_answer_seconds_count[5m]"},
		"a template":     {"alerts.yml", "{{ $value | humanize }}", "{{ $value | humanise }}"},
		"a bound":        {"alerts.yml", "earshot_store_stranded_records > 0", "earshot_store_stranded_records > 9"},
		"a time":         {"alerts.yml", "for: 30m", "for: 50m"},
		"a config's key": {"scrape.yml", "scrape_interval", "scrape_intervall"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := forPrometheus(t)
			path := filepath.Join(dir, c.file)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			spoilt := strings.Replace(string(text), c.from, c.to, 1)
			if spoilt == string(text) {
				t.Fatalf("%s has no %q", c.file, c.from)
			}
			if err := os.WriteFile(path, []byte(spoilt), 0o600); err != nil {
				t.Fatal(err)
			}
			if judge(dir) == nil {
				t.Errorf("%s with %q is fine", c.file, c.to)
			}
		})
	}
}

// TestEachAlertIsTested: alerts_test.yml has each alert of alerts.yml fire, and none that is
// not there.
func TestEachAlertIsTested(t *testing.T) {
	var rules struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(read(t, "deploy", "prometheus", "alerts.yml"), &rules); err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name string `yaml:"alertname"`
				Fire []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
			Questions []struct {
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	if err := yaml.Unmarshal(read(t, "deploy", "prometheus", "alerts_test.yml"), &file); err != nil {
		t.Fatal(err)
	}
	var names, fire []string
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			names = append(names, r.Alert)
		}
	}
	for _, test := range file.Tests {
		for _, a := range test.Alerts {
			if len(a.Fire) > 0 {
				fire = append(fire, a.Name)
			}
		}
		for _, q := range test.Questions {
			for _, s := range q.Samples {
				fire = append(fire, all(s.Labels, `alertname="(\w+)"`)...)
			}
		}
	}
	slices.Sort(names)
	slices.Sort(fire)
	if fire = slices.Compact(fire); !slices.Equal(names, fire) {
		t.Errorf("alerts:            %s\nthose that a test has fire: %s", names, fire)
	}
}

// TestDashboardIsAsked: Prometheus understands each question of the dashboard, as Grafana
// puts it, and not one with a bracket too few.
func TestDashboardIsAsked(t *testing.T) {
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "deploy", "grafana", "earshot.json"), &board); err != nil {
		t.Fatal(err)
	}
	type recording struct{ Record, Expr string }
	var asked []recording
	as := strings.NewReplacer("$job", "earshot", "$instance", ".*", "$__range", "1h")
	for i, p := range board.Panels {
		for j, target := range p.Targets {
			asked = append(asked, recording{fmt.Sprintf("panel:%d:%d", i, j), as.Replace(target.Expr)})
		}
	}
	check := func(all []recording) error {
		text, err := yaml.Marshal(map[string]any{"groups": []map[string]any{{"name": "dashboard", "rules": all}}})
		path := filepath.Join(t.TempDir(), "rules.yml")
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return promtool(t, "check", "rules", path)
	}
	if err := check(asked); err != nil {
		t.Error(err)
	}
	for i := range asked {
		asked[i].Expr = strings.TrimSuffix(asked[i].Expr, ")")
	}
	if check(asked) == nil {
		t.Error("questions with a bracket too few are fine")
	}
}
