package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/earshot-mq/earshot/bench/talk"
	"github.com/earshot-mq/earshot/internal/zmq"
)

// facts says on what and how it was measured.
func (b *bench) facts() string {
	disk := b.dir
	var fs syscall.Statfs_t
	if syscall.Statfs(b.dir, &fs) == nil && int64(fs.Type) == tmpfs {
		disk += " (in memory, not a disk: see -dir)"
	}
	return fmt.Sprintf("%s, %d cores, %s, libzmq %s, %s %s/%s\n%d rounds of %s records of %.0f bytes, %s answers, %s a second for %s\n"+
		"journals and stores in %s\nmedian (least-most)",
		cpuModel(), runtime.NumCPU(), kernel(), zmq.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		b.o.rounds, number(float64(b.o.records), 0), b.bytes, number(float64(b.o.answers), 0), number(float64(b.o.pace), 0), b.o.paced, disk)
}

const tmpfs = 0x01021994

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown kernel"
	}
	return "Linux " + strings.TrimSpace(string(text))
}

// machineLoad is what the whole machine and what we have used so far.
type machineLoad struct {
	at                 time.Time
	busy, steal, total float64 // ticks of all cores
	ours               time.Duration
	average            string
}

func readLoad() machineLoad {
	l := machineLoad{at: time.Now()}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		l.average = strings.Join(strings.Fields(string(text))[:1], " ")
	}
	if text, err := os.ReadFile("/proc/stat"); err == nil {
		line, _, _ := strings.Cut(string(text), "\n")
		for i, field := range strings.Fields(line)[1:] {
			if i > 7 { // guest time is in user time already
				break
			}
			v, _ := strconv.ParseFloat(field, 64)
			l.total += v
			switch i {
			case 3, 4: // idle, waiting for the disk
			case 7:
				l.steal += v
			default:
				l.busy += v
			}
		}
	}
	l.ours = talk.CPU(syscall.RUSAGE_SELF) + talk.CPU(syscall.RUSAGE_CHILDREN)
	return l
}

// load says how busy the machine was with something else.
func (b *bench) load() string {
	now, then := readLoad(), b.before
	took := now.at.Sub(then.at)
	total := now.total - then.total
	if total == 0 {
		return fmt.Sprintf("took %s", took.Round(time.Second))
	}
	busy := (now.busy - then.busy) / total
	ours := (now.ours - then.ours).Seconds() / took.Seconds() / float64(runtime.NumCPU())
	return fmt.Sprintf("took %s; of %d cores these runs used %.0f %%, others %.0f %%, stolen %.1f %%; load average %s before, %s after",
		took.Round(time.Second), runtime.NumCPU(), 100*ours, 100*max(busy-ours, 0), 100*(now.steal-then.steal)/total, then.average, now.average)
}

// memory is what a process has in memory now, in MiB.
func memory(c *child) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return math.NaN()
	}
	_, line, _ := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return math.NaN()
	}
	kib, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return math.NaN()
	}
	return kib / 1024
}
