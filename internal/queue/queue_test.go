package queue

import (
	"slices"
	"testing"
)

func TestQueue(t *testing.T) {
	q := New[string](10)
	for _, step := range []struct {
		item  string
		bytes int
		must  bool
		taken bool
	}{
		{"larger than the bound, alone", 20, false, true},
		{"beyond", 1, false, false},
		{"beyond, and must", 1, true, true},
	} {
		if got := q.Put(step.item, step.bytes, step.must); got != step.taken {
			t.Errorf("Put(%s) = %v, want %v", step.item, got, step.taken)
		}
	}
	select {
	case <-q.Wake:
	default:
		t.Error("nobody is told that there is something")
	}
	select {
	case <-q.Wake:
		t.Error("two words for one Take")
	default:
	}
	if n := q.Drops.Load(); n != 1 || q.Len() != 2 || q.Bytes() != 21 {
		t.Errorf("%d dropped, %d wait of %d bytes, want 1, 2 and 21", n, q.Len(), q.Bytes())
	}
	got := q.Take(nil)
	if want := []string{"larger than the bound, alone", "beyond, and must"}; !slices.Equal(got, want) {
		t.Errorf("Take = %q, want %q", got, want)
	}
	if !q.Put("6", 6, false) || q.Put("5", 5, false) || !q.Put("4", 4, false) {
		t.Error("6 and 4 of 10 bytes fit, 5 does not")
	}
	if again := q.Take(got); !slices.Equal(again, []string{"6", "4"}) || got[0] != "" {
		t.Errorf("Take = %q, and the slice that was given back has %q", again, got)
	}
}

func TestSignal(t *testing.T) {
	c := make(chan struct{}, 1)
	Signal(c)
	Signal(c) // does not wait
	if len(c) != 1 {
		t.Errorf("%d words, want 1", len(c))
	}
}
