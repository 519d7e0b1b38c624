package journal

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// readSoFar is how many bytes this process has read from files, by its own calls.
func readSoFar(t testing.TB) (n int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		testenv.Missing(t, "what this process has read: "+err.Error())
	}
	if _, err := fmt.Sscanf(string(text), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// turns fills a log with runs that take turns, a record of about 400 bytes each, up to size
// bytes.
func turns(t testing.TB, dir string, runs int, size int64) *Log {
	t.Helper()
	l, err := Open(dir, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); l.Bytes() < size; n++ {
		all := make([]Entry, runs)
		for i := range all {
			line := fmt.Appendf(nil, `{"specversion":"1.0","n":%d,"pad":"%0240d"}`+"\n", n, i)
			all[i] = Entry{Kind: KindBatch, Run: turn(i), First: n, Last: n, Lines: line, Raw: AppendBatch(nil, turn(i), n, 1, line)}
		}
		if _, err := l.Append(all...); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func turn(i int) record.Run {
	return record.Run{Stream: runA.Stream, Epoch: runA.Epoch + record.Epoch(i)}
}

// readRun reads a run to its end, as a FETCH does, and gives the bytes and records.
func readRun(t testing.TB, l *Log, run record.Run, buf *[]byte) (size int64, n uint64) {
	t.Helper()
	limit := 32 << 10
	for from := uint64(1); ; {
		data, next, err := l.Read((*buf)[:0], run, from, limit)
		if err != nil {
			t.Fatal(err)
		}
		if *buf = data; next == from {
			return size, from - 1
		}
		size, from, limit = size+int64(len(data)), next, min(2*limit, 512<<10)
	}
}

// BenchmarkReadTurns fetches one run of a segment in which many take turns, while it is written
// and when it is closed.
func BenchmarkReadTurns(b *testing.B) {
	for _, runs := range []int{1, 100, 1000} {
		dir := b.TempDir()
		l := turns(b, dir, runs, 60<<20)
		bench := func(b *testing.B) {
			var size int64
			var records uint64
			var buf []byte
			before := readSoFar(b)
			for i := 0; b.Loop(); i++ {
				s, n := readRun(b, l, turn(i%runs), &buf)
				size, records = size+s, records+n
			}
			b.ReportMetric(float64(b.Elapsed())/float64(time.Microsecond)/float64(records), "µs/record")
			b.ReportMetric(float64(readSoFar(b)-before)/float64(size), "read/delivered")
		}
		b.Run(fmt.Sprintf("open/%d", runs), bench)
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		var err error
		if l, err = Open(dir, Options{ReadOnly: true}); err != nil {
			b.Fatal(err)
		}
		l.segs[0].spans = map[record.Run]*span{} // as if it were not the newest, which is read whole
		if err := l.segs[0].readIndex(dir); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("closed/%d", runs), bench)
	}
}
