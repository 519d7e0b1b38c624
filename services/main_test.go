package services

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/earshot-mq/earshot/internal/process"
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

// TestLoad sees that each setting of a service arrives where it belongs; those of its
// publisher and its recorder are package setup's to try.
func TestLoad(t *testing.T) {
	o, err := load("test", quiet("there", "EARSHOT_PORT=8081", "EARSHOT_ADMIN_TOKEN=0123456789abcdef", "EARSHOT_ADMIN_PRIVATE=true",
		"EARSHOT_RECORD_BODY=4KiB"), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Listen != "127.0.0.1:8081" || o.Admin != "127.0.0.1:0" || o.AdminToken != "0123456789abcdef" || !o.AdminPrivate {
		t.Errorf("addresses are %+v", o)
	}
	if want := filepath.Join("there", "services", "test"); o.Handler.Data != want {
		t.Errorf("the service's own folder is %s, want %s", o.Handler.Data, want)
	}
	if want := filepath.Join("there", "journals", "test"); o.Publisher.Dir != want || o.Recorder.MaxBody != 4<<10 || o.Recorder.Redactor == nil {
		t.Errorf("the journal is %s, want %s; the recorder has %+v", o.Publisher.Dir, want, o.Recorder)
	}
}
