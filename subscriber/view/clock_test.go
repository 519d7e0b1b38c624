package view

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestNamesWhileTheClockIsSet: a file that is left has a name behind all before it and takes no
// other's place, and files that only look like ours stay.
func TestNamesWhileTheClockIsSet(t *testing.T) {
	s := newShelf(t)
	v := s.open(FileOptions{RotateBytes: 1, Keep: 3})
	foreign := filepath.Join(s.dir, "logs", "subscriber-00000000.log")
	if err := os.WriteFile(foreign, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, at := range []time.Time{now, now.Add(time.Hour), now.AddDate(10, 0, 0), now, now.Add(-time.Hour), now.AddDate(-10, 0, 0), now} {
		left := v.left()
		name := v.leaveAs(at)
		if len(left) > 0 && name <= left[len(left)-1] {
			t.Errorf("at %s a file is left as %s, behind %s", at, name, left[len(left)-1])
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := v.left()
	r := s.log.Reader(v.next)
	s.add(1)
	s.show(v, r)
	left := v.left()
	if len(left) != 3 || !slices.Equal(left[:2], names[len(names)-2:]) {
		t.Errorf("left are %v, want the newest of %v and another", left, names)
	}
	if b, err := os.ReadFile(foreign); err != nil || string(b) != "mine\n" {
		t.Errorf("a file that is not ours: %q, %v", b, err)
	}
}

// TestBegunInTheFuture: a file that was begun while the clock was ahead is as old as its
// opening, and not left only when the clock has caught up.
func TestBegunInTheFuture(t *testing.T) {
	s := newShelf(t)
	v := s.open(FileOptions{})
	s.add(1)
	s.show(v, s.log.Reader(1))
	v.began = time.Now().AddDate(10, 0, 0)
	if err := errors.Join(v.checkpoint(), v.Close()); err != nil {
		t.Fatal(err)
	}
	v = s.open(FileOptions{})
	defer v.Close()
	if v.began.After(time.Now()) {
		t.Errorf("the file began at %v", v.began)
	}
}
