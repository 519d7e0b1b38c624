package config_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/internal/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md instead of comparing with it")

func TestReference(t *testing.T) {
	var b bytes.Buffer
	if err := config.Reference(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "docs", "configuration.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, b.Bytes()) {
		t.Errorf("%s is not what the table says; run: make docs", path)
	}
}

func TestExampleOfTheReference(t *testing.T) {
	text := strings.ReplaceAll(config.Example, "/run/secrets/admin-token", write(t, "token", "0123456789abcdef\n"))
	v, err := load(t, "up", []string{"--config", write(t, "f.yaml", text)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.String("journal.sync") != "always" || v.Size("journal.max-bytes") != 10e9 || v.String("admin.token") == "" {
		t.Errorf("the example is read as something else")
	}
}

// TestTable holds the table to what help and reference need.
func TestTable(t *testing.T) {
	for _, s := range config.Settings() {
		if s.Help == "" || !strings.HasSuffix(s.Help, ".") || strings.Contains(s.Help, ". ") {
			t.Errorf("%s: help %q is not one sentence", s.Name, s.Help)
		}
		if s.More != "" && !strings.HasSuffix(s.More, ".") {
			t.Errorf("%s: %q is no sentence", s.Name, s.More)
		}
		if len(s.Commands) == 0 || s.Group == "" {
			t.Errorf("%s: belongs to no command or no group", s.Name)
		}
		for _, c := range s.Choices {
			if c == "none" && s.None {
				t.Errorf("%s: none is a choice and no value", s.Name)
			}
		}
	}
}
