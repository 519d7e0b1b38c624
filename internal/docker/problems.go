package docker

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// Problem is what is wrong with a container's labels, or with some of them.
type Problem struct {
	Container string // its name
	Err       error
}

// String is the problem in a line.
func (p Problem) String() string {
	return p.Container + ": " + strings.ReplaceAll(p.Err.Error(), "\n", "; ")
}

// shown is how many problems Lines names.
const shown = 8

// Problems is what is wrong with containers now. The log is told once of each.
type Problems struct {
	log *slog.Logger

	mu  sync.Mutex // guards what follows
	now []Problem
}

// NewProblems makes one that has none.
func NewProblems(log *slog.Logger) *Problems { return &Problems{log: log} }

// Set says what is wrong now, and tells the log what was not before and what no longer is.
func (p *Problems) Set(now []Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	without := func(all []Problem, but []Problem) (rest []Problem) {
		for _, one := range all {
			if !slices.ContainsFunc(but, func(b Problem) bool { return b.String() == one.String() }) {
				rest = append(rest, one)
			}
		}
		return rest
	}
	for _, one := range without(now, p.now) {
		p.log.Warn("labels are refused", "container", one.Container, "error", one.Err)
	}
	for _, one := range without(p.now, now) {
		p.log.Info("labels are no longer refused", "was", one.String())
	}
	p.now = now
}

// Lines has a line for each problem, of many only the first ones.
func (p *Problems) Lines() (lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, one := range p.now {
		if i == shown {
			return append(lines, fmt.Sprintf("and %d more", len(p.now)-i))
		}
		lines = append(lines, one.String())
	}
	return lines
}

// Containers is how many containers have a problem.
func (p *Problems) Containers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := map[string]bool{}
	for _, one := range p.now {
		names[one.Container] = true
	}
	return len(names)
}
