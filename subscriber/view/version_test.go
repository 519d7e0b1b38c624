package view

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

// TestVersion1 goes on with a log file that the first version has written, and left behind
// its checkpoint: each line of its store is there once, and then those that are new. In
// another boot what is behind the checkpoint is written again, in the same one it is counted.
func TestVersion1(t *testing.T) {
	run := record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 0x19a8f3c2e4b00d17}
	want, err := os.ReadFile("testdata/v1/subscriber.log")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		boot string // "": as it is
		cut  int    // bytes that a crash has kept from the file
	}{
		"as it is":                {},
		"in the same boot":        {boot: durable.BootID()},
		"in another one":          {boot: "another"},
		"torn, in the same boot":  {boot: durable.BootID(), cut: 30},
		"torn, in another":        {boot: "another", cut: 1000},
		"cut to the checkpoint's": {boot: durable.BootID(), cut: len(want) - 1569},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{t: t, dir: t.TempDir(), want: want}
			if s.f, err = ParseFormat("text", nil); err != nil {
				t.Fatal(err)
			}
			store := filepath.Join(s.dir, "store")
			if err := os.CopyFS(store, os.DirFS("../store/testdata/v1")); err != nil {
				t.Fatal(err)
			}
			if s.log, err = journal.Open(store, journal.Options{Arrivals: true}); err != nil {
				t.Fatal(err)
			}
			checkpoint, err := os.ReadFile("testdata/v1/log")
			if err != nil {
				t.Fatal(err)
			}
			for to, text := range map[string][]byte{"view": checkpoint, "logs/subscriber.log": want[:len(want)-c.cut]} {
				path := filepath.Join(s.dir, to)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cps, err := openCheckpoints(filepath.Join(s.dir, "view"))
			if err != nil {
				t.Fatal(err)
			}
			if cps.Seq != 2 || cps.Arrival != 17 || cps.Length != 1569 || cps.Sum != 3871354540 || cps.Format != "text UTC" || cps.Began.IsZero() {
				t.Errorf("the checkpoint says %+v", cps.checkpoint)
			}
			if c.boot != "" {
				cp := cps.checkpoint
				cp.BootID = c.boot
				if err := cps.save(cp); err != nil {
					t.Fatal(err)
				}
			}
			if err := cps.close(); err != nil {
				t.Fatal(err)
			}
			for _, how := range []string{"opened", "opened again"} {
				v := s.open(FileOptions{RotateEvery: 1 << 62}) // it began when this version did
				ctx, stop := context.WithCancel(t.Context())
				stop() // it shows what there is
				if err := v.Run(ctx); err != nil {
					t.Fatal(err)
				}
				s.check(v, how)
				if n := bytes.Count(s.want, newline); s.log.Arrival() != uint64(n)+1 || v.next != s.log.Arrival() {
					t.Errorf("%s: the store has arrivals below %d, %d are shown, in %d lines", how, s.log.Arrival(), v.next-1, n)
				}
				at, ok := s.log.Cursor(run)
				if !ok {
					t.Fatal("the store does not know the run")
				}
				line := record.Append(nil, &record.Record{
					ID: record.ID{Run: run, Seq: at.Next}, Source: "/downcase", Time: time.Unix(1e9, 0), Subject: "/downcase/",
					HTTP: record.HTTP{Method: "GET", Path: "/downcase/", Status: 200, Body: []byte("new"), BodyKind: record.BodyText},
				})
				raw := journal.AppendBatch(nil, run, at.Next, 1, line)
				if _, err := s.log.Append(journal.Entry{Kind: journal.KindBatch, Run: run, First: at.Next, Last: at.Next, Lines: raw[len(raw)-len(line):], Raw: raw}); err != nil {
					t.Fatal(err)
				}
				s.want = s.f.Append(bytes.Clone(s.want), line)
			}
			if err := s.log.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
