package deploy

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree writes files into a new folder.
func tree(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPack(t *testing.T) {
	dir := tree(t, map[string]string{
		".dockerignore": "Dockerfile\n.dockerignore\n.git\ndeploy/*\n!deploy/*.go\n**/*_test.go",
		"Dockerfile":    "FROM scratch", "main.go": "package main", "main_test.go": "x", ".git/HEAD": "x",
		"deploy/lint": "x", "deploy/a.go": "package deploy", "deploy/a_test.go": "x", "cmd/b.go": "package b",
	})
	if err := os.Symlink("main.go", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // as who has a clone of another's is
		if err := os.Chown(filepath.Join(dir, "main.go"), 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := Pack(&b, dir, "Dockerfile"); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s belongs to %d:%d, want root", h.Name, h.Uid, h.Gid)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = string(text) + h.Linkname
	}
	want := map[string]string{
		".dockerignore": "Dockerfile\n.dockerignore\n.git\ndeploy/*\n!deploy/*.go\n**/*_test.go",
		"Dockerfile":    "FROM scratch", "main.go": "package main", "link": "main.go",
		"deploy/": "", "deploy/a.go": "package deploy", "cmd/": "", "cmd/b.go": "package b",
	}
	if !maps.Equal(got, want) {
		t.Errorf("packed %q\nwant %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

func TestPackErrors(t *testing.T) {
	for name, dir := range map[string]string{
		"no folder":       filepath.Join(t.TempDir(), "none"),
		"a wrong pattern": tree(t, map[string]string{".dockerignore": "["}),
	} {
		t.Run(name, func(t *testing.T) {
			if err := Pack(io.Discard, dir, "Dockerfile"); err == nil || !strings.HasPrefix(err.Error(), "deploy: ") {
				t.Errorf("Pack() = %v, want an error of deploy", err)
			}
		})
	}
}

func archive(t *testing.T, headers ...tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Mode = 0o600
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(w, h.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	err := Unpack(archive(t,
		tar.Header{Name: "data/", Typeflag: tar.TypeDir},
		tar.Header{Name: "data/logs/subscriber.log", Typeflag: tar.TypeReg},
		tar.Header{Name: "data/out", Linkname: "/etc", Typeflag: tar.TypeSymlink},
	), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "data/logs/subscriber.log"))
	if err != nil || string(text) != "data/logs/subscriber.log" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "data/out")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a link was written: %v", err)
	}
}

func TestUnpackStaysInside(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "in")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../x", "/x", "a/../../x"} {
		if err := Unpack(archive(t, tar.Header{Name: name, Typeflag: tar.TypeReg}), dir); err == nil {
			t.Errorf("Unpack of %q: no error", name)
		}
		if _, err := os.Lstat(filepath.Join(outer, "x")); err == nil {
			t.Fatalf("%q was written outside", name)
		}
	}
}
