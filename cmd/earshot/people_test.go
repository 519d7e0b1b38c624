package main

import (
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
)

// TestRedactLines: a line that is no record is named, and what was before it is printed.
func TestRedactLines(t *testing.T) {
	rd, err := publisher.NewRedactor(publisher.RedactorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const good = `{"specversion":"1.0","id":"q7k3v9x2m1t8w/19a8f3c2e4b00d17/1001","source":"/downcase","type":"earshot.http.v1",` +
		`"time":"2026-11-22T10:35:12.123456789Z","data":{"method":"GET","path":"/x","query":"token=abc","status":200,"us":412,"bytes":0}}` + "\n"
	for name, c := range map[string]struct {
		in      string
		explain bool
		out     []string
		err     string
	}{
		"records":           {good + good, false, []string{"token=REDACTED", "token=REDACTED"}, ""},
		"explained":         {good + good, true, []string{"line 1: ", "line 2: "}, ""},
		"no record":         {good + "{}\n" + good, false, []string{"token=REDACTED"}, "redact: line 2: "},
		"longer than a one": {good + strings.Repeat("x", record.MaxLine+2), false, []string{"token=REDACTED"}, "redact: line 2: "},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := redactLines(&out, strings.NewReader(c.in), rd, c.explain)
			if (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("redactLines = %v, want %q", err, c.err)
			}
			lines := strings.SplitAfter(out.String(), "\n")
			if len(lines) != len(c.out)+1 {
				t.Fatalf("printed %q, want %d lines", lines, len(c.out))
			}
			for i, want := range c.out {
				if !strings.Contains(lines[i], want) || strings.Contains(lines[i], "token=abc") {
					t.Errorf("line %d is %q, want %s", i+1, lines[i], want)
				}
			}
		})
	}
}

func TestTailOfFewerThanNone(t *testing.T) {
	if _, code, err := call(t, "tail", "--lines", "-1"); code != 2 || !strings.Contains(err.Error(), "-1") {
		t.Errorf("code %d, %v", code, err)
	}
}
