package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/earshot-mq/earshot/internal/durable"
)

// Power is a machine whose power can be cut: of the files below Root a cut leaves what was
// synced, and of all else any part of it. What was written since a file's last fsync is kept
// or lost by the page or the sector, in any order, as is its size; what was made, renamed or
// removed since its folder's last fsync has been or not, each by itself. Nothing is really
// synced, so that thousands of cuts take seconds. Files keep their inodes across a cut.
type Power struct {
	Root string

	t      testing.TB
	shadow string // has each file once more, by its inode: what was removed may come back
	boot   int

	mu     sync.Mutex
	linked map[uint64]bool                // by inode: is in shadow
	files  map[uint64][]byte              // what is durable of each file
	dirs   map[string][]map[string]uint64 // what the names in each folder have been since its last fsync
}

// NewPower makes an empty machine, and has it be the one of this process until t ends.
func NewPower(t testing.TB) *Power {
	t.Helper()
	dir := t.TempDir()
	p := &Power{
		Root: filepath.Join(dir, "root"), shadow: filepath.Join(dir, "shadow"), t: t,
		linked: map[uint64]bool{}, files: map[uint64][]byte{}, dirs: map[string][]map[string]uint64{},
	}
	for _, d := range []string{p.Root, p.shadow} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(durable.Pretend(p))
	p.settle(p.Root)
	return p
}

// BootID implements durable.Machine: another one after each cut.
func (p *Power) BootID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint("boot ", p.boot)
}

// Sync implements durable.Machine.
func (p *Power) Sync(f *os.File) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p.look()
	if info.IsDir() {
		all := p.dirs[f.Name()]
		p.dirs[f.Name()] = all[max(len(all)-1, 0):]
		return nil
	}
	b, err := os.ReadFile(p.kept(inode(info)))
	if err != nil {
		return err
	}
	p.files[inode(info)] = b
	return nil
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}

func (p *Power) kept(ino uint64) string { return filepath.Join(p.shadow, strconv.FormatUint(ino, 10)) }

// look notes the names that there are now. The caller holds mu.
func (p *Power) look() {
	err := filepath.WalkDir(p.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		names := map[string]uint64{}
		for _, e := range entries {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) { // renamed or removed in between
				continue
			}
			if err != nil {
				return err
			}
			names[e.Name()] = inode(info)
			if !e.IsDir() && !p.linked[inode(info)] {
				p.linked[inode(info)] = true
				if err := os.Link(filepath.Join(path, e.Name()), p.kept(inode(info))); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
		}
		all, known := p.dirs[path]
		if !known {
			all = []map[string]uint64{{}}
		}
		if !maps.Equal(all[len(all)-1], names) {
			all = append(all, names)
		}
		p.dirs[path] = all
		return nil
	})
	if err != nil {
		p.t.Error(err)
	}
}

// settle takes what there is below a folder for durable: its machine has just started.
func (p *Power) settle(root string) {
	for dir := range p.dirs {
		if within(dir, root) {
			delete(p.dirs, dir)
		}
	}
	p.look()
	named := map[uint64]bool{}
	for dir, all := range p.dirs {
		if within(dir, root) {
			p.dirs[dir] = all[len(all)-1:]
		}
		for _, names := range p.dirs[dir] {
			for _, ino := range names {
				named[ino] = true
				if b, err := os.ReadFile(p.kept(ino)); err == nil && within(dir, root) { // else it is a folder
					p.files[ino] = b
				}
			}
		}
	}
	entries, err := os.ReadDir(p.shadow)
	if err != nil {
		p.t.Error(err)
	}
	for _, e := range entries {
		if ino, err := strconv.ParseUint(e.Name(), 10, 64); err == nil && !named[ino] {
			_ = os.Remove(p.kept(ino))
			delete(p.files, ino)
			delete(p.linked, ino)
		}
	}
}

func within(dir, root string) bool {
	return dir == root || strings.HasPrefix(dir, root+string(filepath.Separator))
}

// Cut takes the power away from what is below a folder, which may be Root, and starts that
// machine again. Whoever has a file there open must not use it any more.
func (p *Power) Cut(rnd *rand.Rand, root string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look()
	p.boot++
	dirs := slices.Sorted(maps.Keys(p.dirs))
	left := map[uint64]bool{}
	for _, dir := range dirs {
		if !within(dir, root) {
			continue
		}
		if _, err := os.Stat(dir); err != nil { // lost with the folder that it was in
			continue
		}
		names := survive(rnd, p.dirs[dir])
		if err := p.restore(dir, names); err != nil {
			p.t.Fatal(err)
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			left[names[name]] = true
		}
	}
	for _, ino := range slices.Sorted(maps.Keys(left)) {
		now, err := os.ReadFile(p.kept(ino))
		if err != nil { // a folder
			continue
		}
		if b := mix(rnd, p.files[ino], now); !bytes.Equal(b, now) {
			if err := os.WriteFile(p.kept(ino), b, 0o600); err != nil { // in place
				p.t.Fatal(err)
			}
		}
	}
	p.settle(root)
}

// restore gives a folder these names.
func (p *Power) restore(dir string, names map[string]uint64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && names[e.Name()] != inode(info) {
			err = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
		if err != nil {
			return err
		}
	}
	for name, ino := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		if err := os.Link(p.kept(ino), path); err != nil {
			return err
		}
	}
	return nil
}

// survive chooses what names a folder has after a cut, of those that it had since its last
// fsync. Names and files that have to do with each other, as those of a rename, are chosen
// together; all others by themselves.
func survive(rnd *rand.Rand, states []map[string]uint64) map[string]uint64 {
	group := map[string]string{} // of a name, or "#" and an inode: the first of its group
	var find func(x string) string
	find = func(x string) string {
		if g, ok := group[x]; ok && g != x {
			return find(g)
		}
		group[x] = x
		return x
	}
	all := map[string]bool{}
	for _, s := range states {
		for _, name := range slices.Sorted(maps.Keys(s)) {
			all[name] = true
			group[find(name)] = find(fmt.Sprint("#", s[name]))
		}
	}
	chosen := map[string]int{}
	left := map[string]uint64{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		g := find(name)
		if _, ok := chosen[g]; !ok {
			chosen[g] = rnd.IntN(len(states))
		}
		if ino, ok := states[chosen[g]][name]; ok {
			left[name] = ino
		}
	}
	return left
}

// mix is what a cut leaves of a file that was synced as old and is now.
func mix(rnd *rand.Rand, old, now []byte) []byte {
	if bytes.Equal(old, now) {
		return now
	}
	switch rnd.IntN(4) {
	case 0:
		return old
	case 1:
		return now
	}
	unit := []int{512, 4096}[rnd.IntN(2)]
	least, most := min(len(old), len(now)), max(len(old), len(now))
	size := most
	switch rnd.IntN(3) {
	case 0:
		size = least
	case 1:
		size = min(most, (least/unit+rnd.IntN((most-least)/unit+1)+1)*unit)
	}
	b := make([]byte, size)
	copy(b, old)
	kept := 1 + rnd.IntN(9) // of ten
	for at := 0; at < size; at += unit {
		if rnd.IntN(10) < kept && at < len(now) {
			copy(b[at:min(at+unit, size)], now[at:])
		}
	}
	return b
}

// Long tells whether tests that can take a quarter of an hour are to: EARSHOT_TEST_LONG=yes.
// Those of random faults then begin with another seed each time.
var Long = os.Getenv("EARSHOT_TEST_LONG") == "yes"

// SeedEnv is the variable that repeats what a test of random faults did: the number that it
// has logged, or another one.
const SeedEnv = "EARSHOT_TEST_SEED"

// Seed is the one that is asked for, another one each time in the long form, or else always
// the same.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(1)
	if Long {
		seed = rand.Uint64N(1e9)
	}
	if text := os.Getenv(SeedEnv); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", SeedEnv, err)
		}
	}
	t.Logf("%s=%d", SeedEnv, seed)
	return seed
}
