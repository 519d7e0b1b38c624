package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/internal/config"
)

func TestSecrets(t *testing.T) {
	token := "0123456789abcdef"
	file := write(t, "token", token+"\n")
	yaml := write(t, "f.yaml", "admin: {token-file: "+file+"}\n")
	for name, c := range map[string]struct {
		args, env []string
		source    string
	}{
		"variable":        {env: []string{"EARSHOT_ADMIN_TOKEN=" + token}, source: "EARSHOT_ADMIN_TOKEN"},
		"variable's file": {env: []string{"EARSHOT_ADMIN_TOKEN_FILE=" + file}, source: "EARSHOT_ADMIN_TOKEN_FILE"},
		"flag":            {args: []string{"--admin-token-file", file}, env: []string{"EARSHOT_ADMIN_TOKEN=anotheranotheranother"}, source: "--admin-token-file"},
		"file":            {env: []string{"EARSHOT_CONFIG=" + yaml}, source: "f.yaml:1"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := load(t, "healthcheck", c.args, c.env)
			if err != nil {
				t.Fatal(err)
			}
			if got := v.String("admin.token"); got != token || v.Source("admin.token") != c.source {
				t.Errorf("admin.token = %q from %s, want it from %s", got, v.Source("admin.token"), c.source)
			}
			var b strings.Builder
			if err := v.Print(&b); err != nil || strings.Contains(b.String(), token) || !strings.Contains(b.String(), "(secret)") {
				t.Errorf("Print shows %v:\n%s", err, b.String())
			}
		})
	}
	for name, text := range map[string]string{"empty": "\n", "short": "abc"} {
		if _, err := load(t, "up", []string{"--admin-token-file", write(t, "token", text)}, nil); err == nil || !strings.HasPrefix(err.Error(), "--admin-token-file: ") {
			t.Errorf("%s: %v, want an error of --admin-token-file", name, err)
		}
	}
}

func TestPrint(t *testing.T) {
	v, err := load(t, "tail", []string{"--tz", "Local"}, []string{"EARSHOT_ADMIN_LISTEN=127.0.0.1:6001"})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := v.Print(&b); err != nil {
		t.Fatal(err)
	}
	want := `SETTING        VALUE           FROM
config         ""              default
subscriber.tz  Local           --subscriber-tz
admin.listen   127.0.0.1:6001  EARSHOT_ADMIN_LISTEN
admin.token    (none)          default
`
	if b.String() != want {
		t.Errorf("Print:\n%s\nwant\n%s", b.String(), want)
	}
}

func TestSections(t *testing.T) {
	type pages struct {
		Routes []struct {
			Path string `yaml:"path"`
		} `yaml:"routes"`
		Upstreams map[string]string `yaml:"upstreams"`
	}
	file := write(t, "f.yaml", "data: x\nroutes:\n- path: /\nupstreams: {a: b}\n")
	v, err := load(t, "gateway", []string{"--config", file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var p pages
	if err := v.Sections(&p); err != nil || p.Routes[0].Path != "/" || p.Upstreams["a"] != "b" {
		t.Errorf("Sections = %+v, %v", p, err)
	}
	var m map[string]int
	if err := v.Section("upstreams", &m); err == nil || err.Error() != `f.yaml:4: upstreams.a: want a whole number, got the text "b"` {
		t.Errorf("Section = %v, want the line of the file", err)
	}
	if !v.Has("routes") || v.Has("nothing") || v.File() != "f.yaml" {
		t.Errorf("Has, File = %v, %v, %q", v.Has("routes"), v.Has("nothing"), v.File())
	}
	v, err = load(t, "gateway", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Section("routes", &m), v.Sections(&p)); err != nil || v.Has("routes") {
		t.Errorf("without a file: %v, %v", err, v.Has("routes"))
	}
}

func TestMisuseIsAnError(t *testing.T) {
	v, err := load(t, "gateway", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.Int("no.such") != 0 || v.Bool("data") {
		t.Error("a misused getter returned something")
	}
	if err := v.Err(); err == nil || !strings.Contains(err.Error(), "no.such") || !strings.Contains(err.Error(), "data") {
		t.Errorf("Err = %v, want both", err)
	}
}

func TestErrorfNamesTheSource(t *testing.T) {
	v, err := load(t, "up", []string{"--data=/x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Errorf("data", "can't be written"); err.Error() != "--data: data: can't be written" || !errors.Is(err, config.ErrInvalid) {
		t.Errorf("Errorf = %v", err)
	}
	if err := v.Errorf("port", "is taken"); err.Error() != "port: is taken" {
		t.Errorf("Errorf = %v", err)
	}
}
