package main

import (
	"fmt"
	"io"
	"time"

	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber/view"
)

// printer shows records on a terminal or to a program.
type printer struct {
	out    io.Writer
	format *view.Format
	colour bool
	buf    []byte
}

func newPrinter(out io.Writer, format string, asJSON bool, tz string) (*printer, error) {
	terminal := process.Terminal(out)
	switch {
	case asJSON && format != "" && format != "json":
		return nil, fmt.Errorf("--json and --format %s exclude each other", format)
	case asJSON || format == "" && !terminal:
		format = "json"
	}
	zone, err := location(tz)
	if err != nil {
		return nil, err
	}
	f, err := view.ParseFormat(format, zone)
	if err != nil {
		return nil, err
	}
	return &printer{out: out, format: f, colour: terminal && !process.NoColor() && format != "json"}, nil
}

// location is the zone of that name; an empty name leaves it to the format.
func location(tz string) (*time.Location, error) {
	if tz == "" {
		return nil, nil
	}
	zone, err := time.LoadLocation(tz)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", tz, err)
	}
	return zone, nil
}

func (p *printer) print(line []byte) error {
	p.buf = p.buf[:0]
	start, end := colours(line)
	if p.colour {
		p.buf = append(p.buf, start...)
	}
	p.buf = p.format.AppendEvent(p.buf, line)
	if p.colour && start != "" {
		p.buf = append(append(p.buf[:len(p.buf)-1], end...), '\n')
	}
	_, err := p.out.Write(p.buf)
	return err
}

// colours paints what went wrong: yellow for a client's error, red for a server's or a
// loss. What is well stays plain, and nothing is told by colour alone.
func colours(line []byte) (start, end string) {
	l, err := record.Scan(line)
	switch {
	case err != nil || l.Status >= 500:
		return "\x1b[31m", "\x1b[0m"
	case l.Status >= 400:
		return "\x1b[33m", "\x1b[0m"
	}
	return "", ""
}
