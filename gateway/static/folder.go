package static

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNotFound is of a path that leads to no file.
var ErrNotFound = errors.New("static: no such file")

// Folder is a folder whose files are served.
type Folder struct{ dir string }

// New makes a Folder of a directory that is there.
func New(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("static: %w", err)
	}
	return &Folder{dir}, root.Close()
}

// Serve answers a GET or HEAD with the file at a decoded path that begins with a slash.
// The path of r itself is used only to redirect, its header for conditions and ranges.
func (f *Folder) Serve(w http.ResponseWriter, r *http.Request, name string) error {
	name, index, ok := clean(name)
	if !ok {
		return ErrNotFound
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return fmt.Errorf("static: %w", err)
	}
	defer func() { _ = root.Close() }() // only read from
	plain, err := open(root, name)
	if errors.Is(err, errFolder) && !index {
		redirect(w, r)
		return nil
	}
	if err != nil {
		return missing(err)
	}
	defer plain.close()
	chosen, coding := plain, ""
	for _, s := range siblings(r.Header["Accept-Encoding"]) {
		c, err := open(root, name+s.ending)
		if err != nil {
			continue // nobody has to have one
		}
		defer c.close()
		if !c.info.ModTime().Before(plain.info.ModTime()) {
			chosen, coding = c, s.coding
			break
		}
	}
	chosen.send(w, r, name, coding)
	return nil
}

// clean makes a file's name of a path. index: it is the index of a folder.
func clean(p string) (name string, index, ok bool) {
	name = strings.TrimPrefix(p, "/")
	if name == "" || strings.HasSuffix(name, "/") {
		name, index = name+"index.html", true
	}
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		return "", false, false
	}
	for i, part := range strings.Split(name, "/") {
		if part[0] == '.' && (i > 0 || part != ".well-known") {
			return "", false, false
		}
	}
	return name, index, true
}

// file is one that is open.
type file struct {
	*os.File
	info fs.FileInfo
}

func (f *file) close() { _ = f.Close() } // only read from

var (
	errFolder  = errors.New("is a folder")
	errSpecial = errors.New("is no regular file")
)

// open opens a regular file. Without O_NONBLOCK a pipe would wait for its writer.
func open(root *os.Root, name string) (*file, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = errFolder
	case !info.Mode().IsRegular():
		err = errSpecial
	default:
		return &file{f, info}, nil
	}
	return nil, errors.Join(err, f.Close())
}

// missing tells what is not there, or not for us, from what fails. What os.Root refuses
// has no error of its own.
func missing(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) && (number == syscall.EMFILE || number == syscall.ENFILE || number == syscall.EIO || number == syscall.ENOMEM) {
		return fmt.Errorf("static: %w", err)
	}
	return fmt.Errorf("%w: %w", ErrNotFound, err)
}

// redirect leads to the same path with a slash, relative: who is in front of us may
// have cut the path.
func redirect(w http.ResponseWriter, r *http.Request) {
	to := "./" + path.Base(r.URL.EscapedPath()) + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header()["Location"] = []string{to}
	w.WriteHeader(http.StatusMovedPermanently)
}

// send answers with the file under the name of the plain one.
func (f *file) send(w http.ResponseWriter, r *http.Request, name, coding string) {
	h := w.Header()
	h["Content-Type"] = []string{typeOf(name)}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Vary"] = []string{"Accept-Encoding"}
	h["Etag"] = []string{f.etag(coding)}
	if coding != "" {
		h["Content-Encoding"] = []string{coding}
	}
	modified := f.info.ModTime()
	if modified.Before(time.Date(1980, 1, 2, 0, 0, 0, 0, time.UTC)) {
		modified = time.Time{}
	}
	http.ServeContent(&sized{w, f.info.Size()}, r, "", modified, f)
}

// etag is the file's validator.
func (f *file) etag(coding string) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(f.info.Size()))
	b = binary.BigEndian.AppendUint64(b, uint64(f.info.ModTime().UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(changed(f.info).UnixNano()))
	sum := sha256.Sum256(append(b, coding...))
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// sized says how long a coded body is: ServeContent does not, for those who code after
// it.
type sized struct {
	http.ResponseWriter
	size int64
}

func (s *sized) WriteHeader(status int) {
	if h := s.Header(); status == http.StatusOK && h.Get("Content-Encoding") != "" {
		h["Content-Length"] = []string{strconv.FormatInt(s.size, 10)}
	}
	s.ResponseWriter.WriteHeader(status)
}

// ReadFrom leaves the copying to the writer below, which may have a better way.
func (s *sized) ReadFrom(r io.Reader) (int64, error) { return io.Copy(s.ResponseWriter, r) }

// Unwrap is for http.ResponseController.
func (s *sized) Unwrap() http.ResponseWriter { return s.ResponseWriter }
