package deploy

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Pack writes a folder as a tar archive, without what its .dockerignore leaves out. The
// Dockerfile and .dockerignore themselves are always in it, since the builder reads
// them. Everything belongs to root, so that whose clone it is makes no other image.
func Pack(w io.Writer, dir, dockerfile string) error {
	var rules ignored
	f, err := os.Open(filepath.Join(dir, ".dockerignore"))
	if err == nil {
		rules, err = parseIgnored(f)
		f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deploy: .dockerignore: %w", err)
	}
	p := packer{dir: dir, tar: tar.NewWriter(w), done: map[string]bool{".": true}}
	err = filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, at)
		if err != nil || name == "." {
			return err
		}
		name = filepath.ToSlash(name)
		wanted := !rules.has(name) || name == ".dockerignore" || name == path.Clean(dockerfile)
		switch {
		case wanted:
			return p.add(name)
		case d.IsDir() && rules.skips(name):
			return fs.SkipDir
		}
		return nil
	})
	if err == nil {
		err = p.tar.Close()
	}
	if err != nil {
		return fmt.Errorf("deploy: pack %q: %w", dir, err)
	}
	return nil
}

// packer writes files and the folders above them, each once.
type packer struct {
	dir  string
	tar  *tar.Writer
	done map[string]bool
}

func (p *packer) add(name string) error {
	if p.done[name] {
		return nil
	}
	p.done[name] = true
	if err := p.add(path.Dir(name)); err != nil {
		return err
	}
	at := filepath.Join(p.dir, filepath.FromSlash(name))
	info, err := os.Lstat(at)
	if err != nil {
		return err
	}
	var target string
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if target, err = os.Readlink(at); err != nil {
			return err
		}
	case !info.Mode().IsRegular() && !info.IsDir(): // a socket, a pipe
		return nil
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	h.Name, h.Uid, h.Gid, h.Uname, h.Gname = name, 0, 0, "", ""
	if info.IsDir() {
		h.Name += "/"
	}
	if err := p.tar.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(p.tar, f)
	return err
}

// Unpack writes the folders and plain files of a tar archive into dir, and nothing
// outside of it. Links and devices are left out.
func Unpack(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("deploy: unpack: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing is written through it
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = unpackOne(root, h, t)
		}
		if err != nil {
			return fmt.Errorf("deploy: unpack into %q: %w", dir, err)
		}
	}
}

func unpackOne(root *os.Root, h *tar.Header, r io.Reader) error {
	const dirMode = 0o755
	name := path.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, dirMode)
	case tar.TypeReg:
	default:
		return nil
	}
	if err := root.MkdirAll(path.Dir(name), dirMode); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
