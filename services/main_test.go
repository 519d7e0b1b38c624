package services

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/publisher"
)

func quiet(dir string, more ...string) []string {
	return append([]string{
		"EARSHOT_DATA=" + dir, "EARSHOT_HTTP_LISTEN=127.0.0.1:0", "EARSHOT_ADMIN_LISTEN=127.0.0.1:0",
		"EARSHOT_FEED_TEXT=none", "EARSHOT_FEED_RECORD=none", "EARSHOT_FEED_REPLAY=none",
	}, more...)
}

func TestRun(t *testing.T) {
	s := New("test", func(r *Router) { r.GET("/", func(c *gin.Context) { c.Status(http.StatusNoContent) }) })
	for name, c := range map[string]struct {
		service *Service
		environ []string
		code    int
		stderr  string
	}{
		"a stop at once":     {s, nil, process.ExitOK, "service is up"},
		"an unknown setting": {s, []string{"EARSHOT_HTTP_LISTN=:1"}, process.ExitUsage, "did you mean EARSHOT_HTTP_LISTEN?"},
		"a wrong value":      {s, []string{"EARSHOT_JOURNAL_SYNC=often"}, process.ExitUsage, "want one of interval, always, never"},
		"a wrong path":       {s, []string{"EARSHOT_REDACT_JSON=$["}, process.ExitUsage, "$["},
		"a name that can't be": {
			New("a b", s.routes), nil, process.ExitFailed, `a b: services: name "a b"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var stderr bytes.Buffer
			code := run(ctx, c.service, quiet(t.TempDir(), c.environ...), &stderr)
			if code != c.code || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("run() = %d with %q, want %d with %q", code, &stderr, c.code, c.stderr)
			}
		})
	}
}

// TestLoad sees that each setting of a service arrives where it belongs.
func TestLoad(t *testing.T) {
	o, err := load("test", quiet("there", "EARSHOT_PORT=8081", "EARSHOT_ADMIN_TOKEN=0123456789abcdef", "EARSHOT_ADMIN_PRIVATE=true",
		"EARSHOT_FEED_RECORD=tcp://127.0.0.1:4455", "EARSHOT_FEED_PEERS=3", "EARSHOT_JOURNAL_SYNC=always", "EARSHOT_JOURNAL_SYNC_INTERVAL=2s",
		"EARSHOT_JOURNAL_MAX_BYTES=1GiB", "EARSHOT_JOURNAL_MAX_AGE=7d", "EARSHOT_JOURNAL_POLICY=block", "EARSHOT_JOURNAL_REQUIRED=a,b",
		"EARSHOT_RECORD_WAIT=3s", "EARSHOT_RECORD_BODY=4KiB", "EARSHOT_RECORD_CLIENT=hmac", "EARSHOT_RECORD_HMAC_KEY=fedcba9876543210",
		"EARSHOT_TRUSTED=10.0.0.0/8"), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Listen != "127.0.0.1:8081" || o.Admin != "127.0.0.1:0" || o.AdminToken != "0123456789abcdef" || !o.AdminPrivate {
		t.Errorf("addresses are %+v", o)
	}
	if want := filepath.Join("there", "services", "test"); o.Handler.Data != want {
		t.Errorf("the service's own folder is %s, want %s", o.Handler.Data, want)
	}
	wantPublisher := publisher.Options{
		Dir: filepath.Join("there", "journals", "test"), Record: "tcp://127.0.0.1:4455", Peers: 3,
		Sync: journal.SyncAlways, SyncEvery: 2 * time.Second, Wait: 3 * time.Second,
		MaxBytes: 1 << 30, MaxAge: 7 * 24 * time.Hour, Policy: publisher.Block, Required: []string{"a", "b"},
	}
	if !reflect.DeepEqual(o.Publisher, wantPublisher) {
		t.Errorf("publisher's options are %+v, want %+v", o.Publisher, wantPublisher)
	}
	o.Recorder.Redactor = nil
	wantRecorder := publisher.RecorderOptions{
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Client: publisher.ClientHMAC,
		HMACKey: []byte("fedcba9876543210"), MaxBody: 4 << 10,
	}
	if !reflect.DeepEqual(o.Recorder, wantRecorder) {
		t.Errorf("recorder's options are %+v, want %+v", o.Recorder, wantRecorder)
	}
}
