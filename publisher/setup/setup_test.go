package setup

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
)

func load(t *testing.T, environ ...string) *config.Values {
	t.Helper()
	set, err := config.All()
	if err != nil {
		t.Fatal(err)
	}
	v, err := set.Load("service", nil, environ)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSetup sees that each setting arrives where it belongs.
func TestSetup(t *testing.T) {
	v := load(t, "EARSHOT_DATA=there", "EARSHOT_FEED_TEXT=none", "EARSHOT_FEED_RECORD=tcp://127.0.0.1:4455", "EARSHOT_FEED_REPLAY=tcp://127.0.0.1:4456",
		"EARSHOT_FEED_PEERS=3", "EARSHOT_JOURNAL_SYNC=always", "EARSHOT_JOURNAL_SYNC_INTERVAL=2s", "EARSHOT_JOURNAL_MAX_BYTES=1GiB",
		"EARSHOT_JOURNAL_MAX_AGE=7d", "EARSHOT_JOURNAL_POLICY=block", "EARSHOT_JOURNAL_REQUIRED=a,b", "EARSHOT_RECORD_WAIT=3s", "EARSHOT_RECORD_BODY=4KiB",
		"EARSHOT_RECORD_CLIENT=hmac", "EARSHOT_RECORD_HMAC_KEY=fedcba9876543210", "EARSHOT_TRUSTED=10.0.0.0/8")
	wantPublisher := publisher.Options{
		Dir: filepath.Join("there", "journals", "test"), Record: "tcp://127.0.0.1:4455", Replay: "tcp://127.0.0.1:4456", Peers: 3,
		Sync: journal.SyncAlways, SyncEvery: 2 * time.Second, Wait: 3 * time.Second,
		MaxBytes: 1 << 30, MaxAge: 7 * 24 * time.Hour, Policy: publisher.Block, Required: []string{"a", "b"},
	}
	if got := Publisher(v, "test"); !reflect.DeepEqual(got, wantPublisher) {
		t.Errorf("publisher's options are %+v, want %+v", got, wantPublisher)
	}
	got, err := Recorder(v)
	got.Redactor = nil
	wantRecorder := publisher.RecorderOptions{
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Client: publisher.ClientHMAC,
		HMACKey: []byte("fedcba9876543210"), MaxBody: 4 << 10,
	}
	if err != nil || !reflect.DeepEqual(got, wantRecorder) {
		t.Errorf("recorder's options are %+v, %v, want %+v", got, err, wantRecorder)
	}
	if err := v.Err(); err != nil {
		t.Error(err)
	}
}

// TestWords: each choice of a setting is known here.
func TestWords(t *testing.T) {
	for word, want := range map[string]journal.SyncPolicy{"interval": journal.SyncInterval, "always": journal.SyncAlways, "never": journal.SyncNever} {
		if got := Publisher(load(t, "EARSHOT_JOURNAL_SYNC="+word), "x").Sync; got != want {
			t.Errorf("journal.sync %s is %d, want %d", word, got, want)
		}
	}
	for word, want := range map[string]publisher.Policy{"drop-oldest": publisher.DropOldest, "refuse": publisher.Refuse, "block": publisher.Block} {
		if got := Publisher(load(t, "EARSHOT_JOURNAL_POLICY="+word), "x").Policy; got != want {
			t.Errorf("journal.policy %s is %d, want %d", word, got, want)
		}
	}
	for _, s := range config.Settings() {
		for _, word := range s.Choices {
			_, isSync := syncs[word]
			_, isPolicy := policies[word]
			if s.Name == "journal.sync" && !isSync || s.Name == "journal.policy" && !isPolicy {
				t.Errorf("%s %s has no meaning", s.Name, word)
			}
		}
	}
}

// TestRedactor: each kind of rule is the redactor's.
func TestRedactor(t *testing.T) {
	rd, err := Redactor(load(t, "EARSHOT_REDACT_QUERY=pin", "EARSHOT_REDACT_JSON=$.name", "EARSHOT_REDACT_PATTERN=x[0-9]+"))
	if err != nil {
		t.Fatal(err)
	}
	r := record.Record{HTTP: record.HTTP{Query: "pin=1234&a=x42", MediaType: "application/json", BodyKind: record.BodyJSON, Body: []byte(`{"name":"Anna"}`)}}
	rd.Redact(&r)
	for _, secret := range []string{"1234", "x42", "Anna"} {
		if strings.Contains(r.HTTP.Query+string(r.HTTP.Body), secret) {
			t.Errorf("%s is left in %q, %s", secret, r.HTTP.Query, r.HTTP.Body)
		}
	}

	if _, err := Recorder(load(t, "EARSHOT_REDACT_JSON=$[")); err == nil {
		t.Error("a wrong path is no error")
	}
}
