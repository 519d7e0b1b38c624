package house_test

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const socket = "docker.sock"

// TestSocketOfTheAgentOnly: the Docker socket is as good as root, so no process that
// strangers talk to may have it. In the code it belongs to the agent, in Compose to the
// agent's container, which nobody outside can reach.
func TestSocketOfTheAgentOnly(t *testing.T) {
	own := []string{"deploy", "deploy/agent", "internal/config"} // the last has the setting's default
	sources(t, func(name string, text []byte) {
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		if strings.Contains(string(text), socket) && !slices.Contains(own, path.Dir(name)) {
			t.Errorf("%s knows of %s", name, socket)
		}
		for _, imported := range imports(t, name, text) {
			if strings.HasPrefix(imported, module+"deploy") && !slices.Contains([]string{"cmd/earshot/agent.go", "cmd/earshot/doctor.go"}, name) {
				t.Errorf("%s imports %s: only the commands docker-agent and doctor may", name, imported)
			}
		}
	})
}

func TestSocketInCompose(t *testing.T) {
	type service struct {
		Command, Volumes, Ports, Networks []string
		ReadOnly                          bool `yaml:"read_only"`
		Privileged                        bool
		User                              string
		Drop                              []string `yaml:"cap_drop"`
		Group                             []string `yaml:"group_add"`
	}
	overlay := "../../deploy/docker-labels.yml"
	files, err := filepath.Glob("../../deploy/*.y*ml")
	if err != nil || !slices.Contains(files, overlay) {
		t.Fatalf("%v, %v", files, err)
	}
	holders := 0
	for _, path := range append(files, "../../docker-compose.yml") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Services map[string]service
			Networks map[string]struct{ Internal bool }
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for name, s := range file.Services {
			if !strings.Contains(strings.Join(s.Volumes, " "), socket) {
				continue
			}
			holders++
			if name != "docker-agent" || path != overlay || !slices.Equal(s.Command, []string{"docker-agent"}) {
				t.Errorf("%s: %s has the socket", path, name)
			}
			if !s.ReadOnly || s.Privileged || s.User != "" || !slices.Equal(s.Drop, []string{"ALL"}) || len(s.Group) != 1 || len(s.Ports) > 0 {
				t.Errorf("%s: %s has more than it needs: %+v", path, name, s)
			}
			if !slices.Equal(s.Networks, []string{"agent"}) || !file.Networks["agent"].Internal {
				t.Errorf("%s: %s is in the networks %v, want an internal one of its own", path, name, s.Networks)
			}
		}
	}
	if holders != 1 {
		t.Errorf("%d services have the socket, want 1", holders)
	}
}
