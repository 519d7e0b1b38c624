package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// logFollower reads a log file as it grows and notes when each line was there.
type logFollower struct {
	base time.Time
	file *os.File
	grow *growth
	seen []time.Duration // since base, by the number in the line; 0: not seen
	left int
	rest []byte        // the beginning of a line
	done chan struct{} // closed when all were seen, or at the end
}

// followLog begins at the end of the file and waits for the numbers 0 to n-1.
func followLog(path string, n int, base time.Time) (*logFollower, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	grow, err := watchGrowth(path)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := &logFollower{base: base, file: f, grow: grow, seen: make([]time.Duration, n), left: n, done: make(chan struct{})}
	go l.run()
	return l, nil
}

func (l *logFollower) run() {
	defer close(l.done)
	buf := make([]byte, 256<<10)
	for l.left > 0 {
		n, err := l.file.Read(buf)
		if n > 0 {
			l.lines(buf[:n], time.Since(l.base))
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			fmt.Fprintln(os.Stderr, "bench: log:", err)
			return
		}
		if l.grow.wait() != nil {
			return // stopped
		}
	}
}

func (l *logFollower) lines(b []byte, at time.Duration) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			l.rest = append([]byte(nil), l.rest...)
			return
		}
		l.rest = rest
		if n, ok := lineNumber(line); ok && n < len(l.seen) && l.seen[n] == 0 {
			l.seen[n] = at
			l.left--
		}
	}
}

// lineNumber is the N of a line that ends with "lower case of N is N".
func lineNumber(line []byte) (n int, ok bool) {
	_, text, ok := bytes.Cut(line, []byte("lower case of "))
	if !ok {
		return 0, false
	}
	number, _, _ := bytes.Cut(text, []byte(" "))
	n, err := strconv.Atoi(string(number))
	return n, err == nil && n >= 0
}

// wait waits until every line was seen, or so long.
func (l *logFollower) wait(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
		l.stop()
	}
}

// stop ends the reading. It may be called again.
func (l *logFollower) stop() {
	l.grow.close()
	<-l.done
	_ = l.file.Close() // it was read only
}
