package journal

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestOldSegmentsLeaveThePageCache: the newest segments stay in it, older ones are read from
// the disk, once, by who was away for long.
func TestOldSegmentsLeaveThePageCache(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 64 << 10})
	next := uint64(1)
	for len(l.segs) < 3*warmSegments {
		appendAll(t, l, batch(runA, next, 100))
		next += 100
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	for i, s := range l.segs[:len(l.segs)-1] {
		if fs.Type == unix.TMPFS_MAGIC { // the page cache is all it is
			break
		}
		want := i > len(l.segs)-1-warmSegments
		if got := cached(t, s.path(dir)); got != want {
			t.Errorf("segment %d of %d: in the page cache is %v, want %v", i, len(l.segs), got, want)
		}
	}
	if got := numbers(t, l, runA, 1); len(got) != int(next-1) {
		t.Errorf("%d records are there, want %d", len(got), next-1)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// cached tells whether any page of a file is in the page cache. See mincore(2).
func cached(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	pages := make([]byte, (len(m)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&pages[0]))); e != 0 {
		t.Fatal(e)
	}
	for _, p := range pages {
		if p&1 != 0 {
			return true
		}
	}
	return false
}
