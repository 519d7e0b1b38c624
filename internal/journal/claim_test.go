package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestTakeLeft: what may be removed whole is a journal and has nothing else in it.
func TestTakeLeft(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		err   error
	}{
		"nothing":               {nil, ErrNone},
		"a journal":             {[]string{"lock", "last", "cursors", "19a8f3c2e4b00d17-000001.jsonl", "19a8f3c2e4b00d17-000001.index", "19a8f3c2e4b00d17-000002.open"}, nil},
		"no record yet":         {[]string{"lock", "last"}, nil},
		"killed in a WriteFile": {[]string{"lock", "cursors.123456.tmp", "19a8f3c2e4b00d17-000001.index.9.tmp"}, nil},
		"no lock":               {[]string{"last", "19a8f3c2e4b00d17-000001.jsonl"}, ErrNone},
		"a store":               {[]string{"lock", "id", "19a8f3c2e4b00d17-000001.jsonl"}, ErrNone},
		"something else":        {[]string{"lock", "notes.txt"}, ErrNone},
		"no segment":            {[]string{"lock", "data.jsonl"}, ErrNone},
		"a folder":              {[]string{"lock", "below/lock"}, ErrNone},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range c.files {
				path := filepath.Join(dir, f)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			claim, err := TakeLeft(dir)
			if !errors.Is(err, c.err) || err == nil != (c.err == nil) {
				t.Fatalf("TakeLeft = %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			if _, err := TakeLeft(dir); !errors.Is(err, ErrLocked) {
				t.Errorf("TakeLeft of a taken one = %v", err)
			}
			if err := claim.Remove(); err != nil {
				t.Error(err)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := TakeLeft(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("TakeLeft of nothing = %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("TakeLeft has made it")
	}
}

func TestBelow(t *testing.T) {
	data := filepath.Join(t.TempDir(), "a[b") // not for a pattern
	var want []string
	for _, dir := range []string{"journals/downcase/1", "journals/gateway/2", "store"} {
		dir = filepath.Join(data, dir)
		claim, err := Take(dir)
		if err != nil {
			t.Fatal(err)
		}
		claim.Release()
		if filepath.Base(dir) != "store" {
			want = append(want, dir)
		} else if err := os.WriteFile(filepath.Join(dir, "id"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := Below(data); !slices.Equal(got, want) {
		t.Errorf("Below = %v, want %v", got, want)
	}
	if got := Below(filepath.Join(data, "journals", "downcase")); !slices.Equal(got, want[:1]) {
		t.Errorf("Below a role = %v, want %v", got, want[:1])
	}
}
