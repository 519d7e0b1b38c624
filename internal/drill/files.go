package drill

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"syscall"
)

// inode is the number of an open file.
func inode(f *os.File) (uint64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.New("drill: files have no numbers here")
	}
	return st.Ino, nil
}

// lines iterates over the lines of a text, without their ends.
func lines(r io.Reader) iter.Seq[string] {
	return func(yield func(string) bool) {
		for scan := bufio.NewScanner(r); scan.Scan(); {
			if !yield(scan.Text()) {
				return
			}
		}
	}
}

// FreePort is a port that is free on all the addresses given. It lies below those that the
// kernel gives to whoever connects: such a one may be taken while nobody listens on it.
func FreePort(hosts ...string) (string, error) {
	for range 1000 {
		port := strconv.Itoa(15000 + rand.IntN(17000))
		free := true
		for _, h := range hosts {
			l, err := net.Listen("tcp", net.JoinHostPort(h, port))
			if err != nil {
				free = false
				break
			}
			_ = l.Close()
		}
		if free {
			return port, nil
		}
	}
	return "", errors.New("drill: no free port")
}
