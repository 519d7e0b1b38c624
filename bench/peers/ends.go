package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/earshot-mq/earshot/bench/talk"
)

// lines is what is sent: those of the file, over and over, each with its number.
type lines struct {
	all [][]byte
	at  int // where the six digits of the number are
}

func readLines(path string) (*lines, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	l := &lines{all: bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))}
	last := len(l.all) - 1
	l.all[last] = append(bytes.Clone(l.all[last]), '\n')
	if l.at = bytes.Index(l.all[0], []byte("/100000")) + 1; l.at == 0 {
		return nil, fmt.Errorf("%s: no number in %q", path, l.all[0])
	}
	return l, nil
}

// line is record n's. It is good until line n+len(all) is asked for.
func (l *lines) line(n int) []byte {
	b := l.all[n%len(l.all)]
	for i, v := l.at+5, 100_000+n; i >= l.at; i, v = i-1, v/10 {
		b[i] = byte('0' + v%10)
	}
	return b
}

// publish is a sender's life: send gets each line in turn, flush waits until the server
// has all of them.
func publish(c *talk.Control, t *task, send func(line []byte) error, flush func() error) error {
	l, err := readLines(t.Lines)
	if err != nil {
		return err
	}
	if err := c.Ready(nil); err != nil {
		return err
	}
	began := time.Now()
	for n := range t.Records {
		if err := send(l.line(n)); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	used, err := c.Done(talk.Facts{"took": fmt.Sprint(time.Since(began).Microseconds())})
	if err != nil {
		return err
	}
	return c.Usage(used, nil)
}

// sink is where a consumer writes, as `earshot subscriber` does: in large writes, synced
// at the end.
type sink struct {
	file *os.File
	w    *bufio.Writer
	got  int
}

func newSink(path string) (*sink, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &sink{file: f, w: bufio.NewWriterSize(f, 256<<10)}, nil
}

func (s *sink) take(line []byte) error {
	s.got++
	_, err := s.w.Write(line)
	return err
}

func (s *sink) sync() error { return errors.Join(s.w.Flush(), s.file.Sync()) }

// done ends a consumer's life; quiet is how long it waited for nothing.
func done(c *talk.Control, got int, quiet time.Duration) error {
	used, err := c.Done(talk.Facts{"records": fmt.Sprint(got), "quiet": fmt.Sprint(quiet.Microseconds())})
	if err != nil {
		return err
	}
	return c.Usage(used, nil)
}

// watch waits until another process has written all lines into a file, and syncs it. Its
// own CPU is the bench's, and not counted.
func watch(_ context.Context, c *talk.Control, t *task) error {
	l, err := readLines(t.Lines)
	if err != nil {
		return err
	}
	want := int64(0)
	for n := range t.Records {
		want += int64(len(l.all[n%len(l.all)]))
	}
	if err := c.Ready(nil); err != nil {
		return err
	}
	size, moved, quiet := int64(0), time.Now(), time.Duration(0)
	for size < want {
		time.Sleep(2 * time.Millisecond)
		if info, err := os.Stat(t.Out); err == nil && info.Size() > size {
			size, moved = info.Size(), time.Now()
		}
		if time.Since(moved) > quietAfter {
			quiet = quietAfter
			break
		}
	}
	f, err := os.OpenFile(t.Out, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if _, err := c.Done(talk.Facts{"records": fmt.Sprint(int64(t.Records) * size / want), "quiet": fmt.Sprint(quiet.Microseconds())}); err != nil {
		return err
	}
	return c.Usage(0, nil)
}

// tcpPub sends lines over TCP, 64 KiB a write.
func tcpPub(_ context.Context, c *talk.Control, t *task) error {
	conn, err := net.Dial("tcp", t.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // what was sent is waited for
	w := bufio.NewWriterSize(conn, 64<<10)
	return publish(c, t, func(line []byte) error {
		_, err := w.Write(line)
		return err
	}, w.Flush)
}
