package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/earshot-mq/earshot/internal/config"
)

// write makes a file and returns its path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load loads the real table for a command.
func load(t testing.TB, command string, args, environ []string) (*config.Values, error) {
	t.Helper()
	set, err := config.New(config.Settings(), "routes", "upstreams")
	if err != nil {
		t.Fatal(err)
	}
	fs := pflag.NewFlagSet(command, pflag.ContinueOnError)
	if err := set.Flags(command, fs); err != nil {
		t.Fatal(err)
	}
	if err := fs.Parse(args); err != nil {
		return nil, config.FlagError(fs, err)
	}
	return set.Load(command, fs, environ)
}

func TestPrecedence(t *testing.T) {
	file := write(t, "earshot.yaml", "journal: {sync: always, max-age: 2d}\nfeed: {peers: 5}\n")
	v, err := load(t, "gateway",
		[]string{"--config", file, "--journal-sync", "never"},
		[]string{"EARSHOT_JOURNAL_SYNC=interval", "EARSHOT_FEED_PEERS=7", "PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	type want struct{ value, source string }
	for name, w := range map[string]want{
		"journal.sync":    {"never", "--journal-sync"},
		"feed.peers":      {"7", "EARSHOT_FEED_PEERS"},
		"journal.max-age": {"48h0m0s", "earshot.yaml:1"},
		"journal.policy":  {"drop-oldest", "default"},
	} {
		got := want{source: v.Source(name)}
		switch name {
		case "feed.peers":
			got.value = fmt.Sprint(v.Int(name))
		case "journal.max-age":
			got.value = v.Duration(name).String()
		default:
			got.value = v.String(name)
		}
		if got != w {
			t.Errorf("%s = %+v, want %+v", name, got, w)
		}
	}
	if err := v.Err(); err != nil {
		t.Error(err)
	}
}

func TestKindsFromEverywhere(t *testing.T) {
	check := func(t *testing.T, v *config.Values, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct{ got, want any }{
			"text":      {v.String("data"), "/d"},
			"bool":      {v.Bool("record.expose"), true},
			"int":       {v.Int("feed.peers"), 3},
			"duration":  {v.Duration("record.wait"), 250 * time.Millisecond},
			"size":      {v.Size("journal.max-bytes"), int64(10e9)},
			"list":      {v.Strings("redact.query"), []string{"pin", "tan"}},
			"lines":     {v.Strings("redact.pattern"), []string{`a{1,2}`, `b`}},
			"networks":  {v.Prefixes("trusted"), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")}},
			"none":      {v.String("feed.text"), ""},
			"untouched": {v.String("feed.record"), "tcp://127.0.0.1:4445"},
		} {
			if !reflect.DeepEqual(c.got, c.want) {
				t.Errorf("%s = %v, want %v", name, c.got, c.want)
			}
		}
		if err := v.Err(); err != nil {
			t.Error(err)
		}
	}
	t.Run("flags", func(t *testing.T) {
		v, err := load(t, "gateway", []string{
			"--data=/d", "--record-expose", "--feed-peers=3", "--record-wait=250ms", "--journal-max-bytes=10GB", "--redact-query=pin", "--redact-query=tan",
			"--redact-pattern=a{1,2}", "--redact-pattern=b", "--trusted=10.0.0.0/8,192.0.2.7", "--feed-text=none",
		}, nil)
		check(t, v, err)
	})
	t.Run("variables", func(t *testing.T) {
		v, err := load(t, "gateway", nil, []string{
			"EARSHOT_DATA=/d", "EARSHOT_RECORD_EXPOSE=true", "EARSHOT_FEED_PEERS=3", "EARSHOT_RECORD_WAIT=250ms", "EARSHOT_JOURNAL_MAX_BYTES=10GB",
			"EARSHOT_REDACT_QUERY=pin, tan", "EARSHOT_REDACT_PATTERN=a{1,2}\nb\n", "EARSHOT_TRUSTED=10.0.0.0/8,192.0.2.7", "EARSHOT_FEED_TEXT=none",
		})
		check(t, v, err)
	})
	t.Run("file", func(t *testing.T) {
		file := write(t, "f.yaml", `
data: /d
record: {expose: true, wait: 250ms}
feed: {peers: 3, text: none}
journal: {max-bytes: 10GB}
redact: {query: [pin, tan], pattern: ['a{1,2}', b]}
trusted: [10.0.0.0/8, 192.0.2.7]
`)
		v, err := load(t, "gateway", nil, []string{"EARSHOT_CONFIG=" + file})
		check(t, v, err)
	})
}

func TestDefaultsOfCommands(t *testing.T) {
	for command, want := range map[string]string{"up": "127.0.0.1:5000", "gateway": "127.0.0.1:5000", "service": "127.0.0.1:8080"} {
		v, err := load(t, command, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Listen("http.listen", "port"); got != want {
			t.Errorf("%s listens on %s, want %s", command, got, want)
		}
	}
	v, err := load(t, "up", []string{"--port", "5050"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Listen("http.listen", "port"); got != "127.0.0.1:5050" {
		t.Errorf("with --port 5050: %s", got)
	}
}

func TestAliases(t *testing.T) {
	v, err := load(t, "subscriber", []string{"--plain", "tcp://h:1", "--subscriber-plain", "tcp://h:2", "--connect=none", "--tz=UTC"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Strings("subscriber.plain"); !reflect.DeepEqual(got, []string{"tcp://h:1", "tcp://h:2"}) {
		t.Errorf("plain = %q, want both", got)
	}
	if got := v.Strings("subscriber.connect"); len(got) != 0 {
		t.Errorf("connect = %q, want none", got)
	}
}

func TestLoadErrors(t *testing.T) {
	for name, c := range map[string]struct {
		args, env []string
		file      string
		want      string
	}{
		"flag":            {args: []string{"--journal-sync=alway"}, want: `want one of interval, always, never, got "alway"; did you mean "always"?`},
		"flag's range":    {args: []string{"--feed-peers=0"}, want: `want from 1 to 1000, got 0`},
		"unknown flag":    {args: []string{"--jurnal-sync=always"}, want: `unknown flag --jurnal-sync; did you mean --journal-sync?`},
		"variable":        {env: []string{"EARSHOT_RECORD_WAIT=1"}, want: `EARSHOT_RECORD_WAIT: want a duration with its unit, got the bare number "1"; for seconds write 1s`},
		"variable's size": {env: []string{"EARSHOT_RECORD_BODY=1MiB"}, want: `EARSHOT_RECORD_BODY: want from 1 to 64KiB, got 1MiB`},
		"unknown variable": {
			env: []string{"EARSHOT_JOURNAL_SINC=always", "EARSHOT_NONSENSE_AT_ALL=1"},
			want: "EARSHOT_JOURNAL_SINC: unknown variable; did you mean EARSHOT_JOURNAL_SYNC?\n" +
				"EARSHOT_NONSENSE_AT_ALL: unknown variable; see earshot up --help and docs/configuration.md",
		},
		"endpoint":          {env: []string{"EARSHOT_FEED_TEXT=127.0.0.1:4444"}, want: `EARSHOT_FEED_TEXT: want tcp://HOST:PORT such as tcp://127.0.0.1:4445, got "127.0.0.1:4444"`},
		"agent":             {env: []string{"EARSHOT_DISCOVER_DOCKER_AGENT=tcp://h:5002"}, want: `EARSHOT_DISCOVER_DOCKER_AGENT: want http://HOST:PORT such as http://docker-agent:5002, got "tcp://h:5002"`},
		"agent with a path": {env: []string{"EARSHOT_DISCOVER_DOCKER_AGENT=http://h:5002/x"}, want: `EARSHOT_DISCOVER_DOCKER_AGENT: want http://HOST:PORT such as http://docker-agent:5002, got "http://h:5002/x"`},
		"agent with a user": {env: []string{"EARSHOT_DISCOVER_DOCKER_AGENT=http://u:secret@h:5002"}, want: `EARSHOT_DISCOVER_DOCKER_AGENT: want http://HOST:PORT without a user`},
		"listen":            {env: []string{"EARSHOT_HTTP_LISTEN=5000"}, want: `EARSHOT_HTTP_LISTEN: want HOST:PORT such as 127.0.0.1:5000 or [::1]:5000, got "5000"`},
		"bool":              {env: []string{"EARSHOT_RECORD_EXPOSE=yes"}, want: `EARSHOT_RECORD_EXPOSE: want true or false, got "yes"`},
		"list":              {env: []string{"EARSHOT_REDACT_QUERY=a,,b"}, want: `EARSHOT_REDACT_QUERY: item 2 of "a,,b" is empty`},
		"pattern":           {env: []string{"EARSHOT_REDACT_PATTERN=("}, want: "EARSHOT_REDACT_PATTERN: error parsing regexp: missing closing ): `(`"},
		"unknown key": {
			file: "journal:\n  snyc: always\n",
			want: `f.yaml:2: unknown key "snyc" in journal; did you mean "sync"?`,
		},
		"unknown at the top": {file: "route: []\n", want: `f.yaml:1: unknown key "route"; did you mean "routes"?`},
		"key's value":        {file: "\njournal: {sync: sometimes}\n", want: `f.yaml:2: journal.sync: want one of interval, always, never, got "sometimes"`},
		"key's range":        {file: "feed: {peers: 5000}\n", want: `f.yaml:1: feed.peers: want from 1 to 1000, got 5000`},
		"key's type":         {file: "feed: {peers: many}\n", want: `f.yaml:1: feed.peers: want a whole number, got the text "many"`},
		"group as value":     {file: "journal: always\n", want: `f.yaml:1: journal: want keys with values, got the text "always"`},
		"value as group":     {file: "data: {dir: x}\n", want: `f.yaml:1: data: want text, got keys with values`},
		"text for a list":    {file: "redact: {query: pin}\n", want: `f.yaml:1: redact.query: want a list, got the text "pin"`},
		"config in the file": {file: "config: x\n", want: `f.yaml:1: unknown key "config"`},
		"secret in the file": {
			file: "admin: {token: 0123456789abcdef}\n",
			want: `f.yaml:1: secret admin.token is not written here; name a file that holds it as admin.token-file, or set EARSHOT_ADMIN_TOKEN`,
		},
		"two secrets": {
			env:  []string{"EARSHOT_ADMIN_TOKEN=0123456789abcdef", "EARSHOT_ADMIN_TOKEN_FILE=/x"},
			want: `EARSHOT_ADMIN_TOKEN: EARSHOT_ADMIN_TOKEN_FILE is set too; set one of them`,
		},
		"short secret": {env: []string{"EARSHOT_ADMIN_TOKEN=hunter2"}, want: `EARSHOT_ADMIN_TOKEN: want at least 16 bytes, got 7`},
		"all": {
			file: "data: 5\n",
			env:  []string{"EARSHOT_FEED_PEERS=x"},
			want: "EARSHOT_FEED_PEERS: want a whole number, got \"x\"\nf.yaml:1: data: want text, got the number 5; put it into quotes to make it text",
		},
	} {
		t.Run(name, func(t *testing.T) {
			env := c.env
			if c.file != "" {
				env = append(env, "EARSHOT_CONFIG="+write(t, "f.yaml", c.file))
			}
			_, err := load(t, "up", c.args, env)
			if err == nil {
				t.Fatalf("Load is fine, want %s", c.want)
			}
			if c.args != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("Parse = %v, want it to say %s", err, c.want)
				}
				return
			}
			if got := err.Error(); got != c.want && !strings.HasPrefix(got, c.want+"; known: ") {
				t.Errorf("Load:\n got %s\nwant %s", got, c.want)
			}
			if !errors.Is(err, config.ErrInvalid) {
				t.Errorf("%v does not wrap ErrInvalid", err)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	_, err := load(t, "up", []string{"--config=/no/such/file"}, nil)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("Load = %v, want it to name the file", err)
	}
}

func TestIgnoredVariables(t *testing.T) {
	v, err := load(t, "up", nil, []string{
		"EARSHOT_SERVICE_HOST=10.0.0.1", "EARSHOT_SERVICE_PORT=5000", "EARSHOT_SERVICE_PORT_HTTP=5000", "EARSHOT_PORT=tcp://10.0.0.1:5000",
		"EARSHOT_PORT_5000_TCP=tcp://10.0.0.1:5000", "EARSHOT_PORT_5000_TCP_PROTO=tcp", "EARSHOT_PORT_5000_TCP_PORT=5000", "EARSHOT_PORT_5000_TCP_ADDR=10.0.0.1",
		"EARSHOT_GATEWAY_PORT_53_UDP=udp://10.0.0.1:53", "EARSHOT_GATEWAY_SERVICE_HOST=10.0.0.1",
		"EARSHOT_TEST_REQUIRE=all", "EARSHOT_TEST_ANYTHING=", "EARSHOT_DATA=", "MYEARSHOT_X=1", "EARSHOTX=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Listen("http.listen", "port"); got != "127.0.0.1:5000" {
		t.Errorf("an injected EARSHOT_PORT made the address %s", got)
	}
	if v.Source("data") != "default" {
		t.Error("an empty variable counts as set")
	}
	if v, err = load(t, "up", nil, []string{"EARSHOT_PORT=5050"}); err != nil || v.Int("port") != 5050 {
		t.Errorf("EARSHOT_PORT=5050: %v, %v", v, err)
	}
}

func TestNewRefusesAmbiguity(t *testing.T) {
	for name, table := range map[string][]config.Setting{
		"same variable": {{Name: "a.b-c"}, {Name: "a.b.c"}},
		"leaf and group": {
			{Name: "log"}, {Name: "log.level"},
		},
		"group and leaf": {{Name: "log.level"}, {Name: "log"}},
		"alias":          {{Name: "a"}, {Name: "b", Alias: "a"}},
		"section":        {{Name: "routes"}},
		"bad default":    {{Name: "a", Kind: config.Int, Default: "x"}},
		"out of range":   {{Name: "a", Kind: config.Int, Default: "1", Max: "0"}},
		"bad bound":      {{Name: "a", Kind: config.Int, Default: "1", Max: "x"}},
		"of a command":   {{Name: "a", Kind: config.Int, Default: "1", Defaults: map[string]string{"up": "x"}}},
	} {
		if _, err := config.New(table, "routes"); err == nil {
			t.Errorf("%s: New is fine", name)
		}
	}
}

func TestFlagTakenByCommand(t *testing.T) {
	set, err := config.New(config.Settings())
	if err != nil {
		t.Fatal(err)
	}
	fs := pflag.NewFlagSet("tail", pflag.ContinueOnError)
	fs.String("tz", "", "of the command itself")
	if err := set.Flags("tail", fs); err != nil {
		t.Errorf("Flags with the name of an alias taken: %v, want it left out", err)
	}
	fs.String("data", "", "")
	if err := set.Flags("up", fs); err == nil {
		t.Error("Flags with a name taken is fine")
	}
}

func TestHelp(t *testing.T) {
	set, err := config.New(config.Settings())
	if err != nil {
		t.Fatal(err)
	}
	fs := pflag.NewFlagSet("tail", pflag.ContinueOnError)
	if err := set.Flags("tail", fs); err != nil {
		t.Fatal(err)
	}
	want := `      --admin-listen HOST:PORT   Address of health, metrics and admin; of a client, where it asks (default 127.0.0.1:5001)
      --admin-token-file FILE    file that holds: token that each request but those for /livez and /readyz has to bring, at least 16 bytes
      --config FILE              YAML file with settings, and with the gateway's routes and upstreams
      --subscriber-tz ZONE       Time zone of the times that are shown; the default is UTC, and local time for the format message (also --tz)
`
	if got := fs.FlagUsages(); got != want {
		t.Errorf("help:\n%s\nwant\n%s", got, want)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("journal: {sync: always}", "EARSHOT_DATA=x")
	f.Add(config.Example, "EARSHOT_PORT=tcp://1")
	f.Add("routes: []\n", "EARSHOT_REDACT_PATTERN=a\nb")
	f.Add("feed: {text: none}", "EARSHOT_TRUSTED=10.0.0.0/8")
	set, err := config.New(config.Settings(), "routes")
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, file, variable string) {
		path := filepath.Join(dir, "f.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(variable, "EARSHOT_CONFIG") || strings.Contains(file, "-file") || strings.Contains(variable, "_FILE") {
			return // it names other files
		}
		if _, err := set.Load("up", nil, []string{variable, "EARSHOT_CONFIG=" + path}); err != nil && !errors.Is(err, config.ErrInvalid) {
			t.Errorf("Load(%q, %q) = %v, which does not wrap ErrInvalid", file, variable, err)
		}
	})
}

func ExampleSet_Load() {
	set, err := config.New(config.Settings(), "routes", "upstreams")
	if err != nil {
		fmt.Println(err)
		return
	}
	fs := pflag.NewFlagSet("gateway", pflag.ContinueOnError)
	if err := errors.Join(set.Flags("gateway", fs), fs.Parse([]string{"--journal-sync", "always"})); err != nil {
		fmt.Println(err)
		return
	}
	v, err := set.Load("gateway", fs, []string{"EARSHOT_JOURNAL_MAX_BYTES=10GB"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.String("journal.sync"), v.Source("journal.sync"))
	fmt.Println(v.Size("journal.max-bytes"), v.Source("journal.max-bytes"))
	// Output:
	// always --journal-sync
	// 10000000000 EARSHOT_JOURNAL_MAX_BYTES
}

// TestDiffering: only what the command uses, and not what a flag says anyway.
func TestDiffering(t *testing.T) {
	before, err := load(t, "gateway", []string{"--feed-peers=5"}, []string{"EARSHOT_CONFIG=" +
		write(t, "f.yaml", "journal: {sync: always, max-age: 2d}\nfeed: {peers: 1}\ntrusted: [10.0.0.0/8]\nstore: {max-age: 1d}\n")})
	if err != nil {
		t.Fatal(err)
	}
	after, err := load(t, "gateway", []string{"--feed-peers=5"}, []string{"EARSHOT_CONFIG=" +
		write(t, "f.yaml", "journal: {sync: never, max-age: 48h}\nfeed: {peers: 2}\ntrusted: [10.0.0.0/8, 192.0.2.7]\nstore: {max-age: 2d}\n")})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := after.Differing(before), []string{"config", "trusted", "journal.sync"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Differing = %q, want %q", got, want)
	}
}
