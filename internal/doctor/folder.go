package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/config"
)

// Folder tells whether Earshot could write into the data folder, or make it, without
// trying.
func Folder(dir string) Finding {
	f := Finding{Check: "data", Status: OK, Facts: map[string]any{"folder": dir}}
	fail := func(path string, err error) Finding {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		f.Status, f.Found = Fails, fmt.Sprintf("%s: %v", path, err)
		f.Fix = "choose another folder with --data"
		if errors.Is(err, fs.ErrPermission) {
			f.Fix = fmt.Sprintf("make it writable for user %d, or %s", os.Geteuid(), f.Fix)
		}
		return f
	}
	at := existing(dir)
	switch info, err := os.Stat(at); {
	case err != nil:
		return fail(at, err)
	case !info.IsDir():
		return fail(at, unix.ENOTDIR)
	}
	if at != filepath.Clean(dir) {
		f.Found = dir + " is not there yet and will be made"
		if err := writable(at); err != nil {
			return fail(at, err)
		}
		return f
	}
	f.Found = dir + " can be written"
	for _, path := range folders(dir) {
		if err := writable(path); err != nil {
			return fail(path, err)
		}
	}
	return f
}

// folders are the data folder and those in it that somebody else may have made.
func folders(dir string) []string {
	all := []string{dir}
	for _, pattern := range []string{"journals", "journals/*", "store", "logs", "services"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern)) // a name with [ in it is not looked into
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				all = append(all, path)
			}
		}
	}
	return all
}

func writable(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// existing is dir, or the nearest folder above it that there is.
func existing(dir string) string {
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
	}
}

// Disk tells what is free where the data folder is. Below a twentieth Earshot's own files
// don't grow any more.
func Disk(dir string) Finding {
	f := Finding{Check: "disk", Status: OK}
	at := existing(dir)
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		f.Status, f.Found = Note, fmt.Sprintf("not known: %s: %v", at, err)
		return f
	}
	size, free := int64(st.Blocks)*int64(st.Bsize), int64(st.Bavail)*int64(st.Bsize)
	f.Facts = map[string]any{"size_bytes": size, "free_bytes": free}
	f.Found = fmt.Sprintf("%s of %s are free at %s", config.Size(free).Approx(), config.Size(size).Approx(), at)
	switch {
	case size == 0:
		f.Status, f.Found = Fails, at+" is no file system that keeps files"
	case free < size/20:
		f.Status = Fails
		f.Found += ", less than a twentieth: Earshot's files don't grow any more"
	case st.Files > 0 && st.Ffree == 0:
		f.Status = Fails
		f.Found += ", but no inode is: no file can be made"
	}
	if f.Status == Fails {
		f.Fix = "make room, or choose another folder with --data"
	}
	return f
}
