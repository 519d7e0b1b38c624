package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/internal/journal"
)

// TestIdentity: a store has one id for ever, which its publishers know it by, and one owner
// at a time.
func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	id := ""
	for range 2 {
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if id == "" {
			id = s.ID()
		}
		if s.ID() != id || id == "" {
			t.Errorf("the store is %q, and was %q", s.ID(), id)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), dir) {
			t.Errorf("Open of a store that is open = %v, want ErrLocked with the folder", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "id")
	for _, text := range []string{"", "nonsense\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Open with the id %q = %v, want an error that names the file", text, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{}) // after all that was refused nobody has the lock
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.ID() == id {
		t.Error("another store has the same id")
	}
}
