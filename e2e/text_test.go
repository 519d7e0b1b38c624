package e2e_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// text is 10,000 lines of a real word list, all different.
func text(t *testing.T) (lines []string) {
	t.Helper()
	f, err := os.Open("/usr/share/dict/words")
	if err != nil {
		testenv.Missing(t, "/usr/share/dict/words (Debian's package wamerican) not found")
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan() && len(lines) < 10_000; {
		lines = append(lines, scan.Text())
	}
	return lines
}

// sendAll asks for each line from eight clients at once, and again where no whole
// answer came.
func sendAll(t *testing.T, base string, lines []string) *answers {
	t.Helper()
	a := &answers{}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(lines) {
					return
				}
				for !a.get(client, base+"/downcase/?param="+url.QueryEscape(lines[i])) {
					time.Sleep(10 * time.Millisecond) // it is down
				}
			}
		})
	}
	wg.Wait()
	return a
}

// classic runs the classic client until the test ends and tells how often it logged
// each text.
func classic(t *testing.T, endpoint string) func() map[string]int {
	t.Helper()
	file := filepath.Join(t.TempDir(), "subscriber.log")
	python(t, []string{"PUB_ADDR=" + endpoint}, []string{"../examples/classic/client.py", file}, "zmq")
	return func() map[string]int {
		b, _ := os.ReadFile(file)
		got := map[string]int{}
		for line := range strings.Lines(string(b)) {
			if i := strings.LastIndex(line, " - "); i > 0 && strings.HasSuffix(line, "\n") {
				got[line[:i]]++
			}
		}
		return got
	}
}

// joined waits until the classic client hears the feed.
func joined(t *testing.T, i *instance, heard func() map[string]int) {
	t.Helper()
	testenv.Wait(t, "the classic client hears the feed", 20*time.Second, func() bool {
		resp, err := http.Get(i.http + "/downcase/?param=PROBE")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return heard()["lower case of PROBE is probe"] > 0
	})
}

func TestEveryLineOfAText(t *testing.T) {
	lines := text(t)
	t.Run("subscriber and classic client there", func(t *testing.T) {
		i := newInstance(t, []string{"up"}, "--subscriber-format", "json")
		i.start()
		heard := classic(t, i.text)
		joined(t, i, heard)
		a := sendAll(t, i.http, lines)
		testenv.Wait(t, "a frame for each answer", 20*time.Second, func() bool { return len(heard()) >= len(lines)+1 })
		i.stop()
		oracle(t, a, filepath.Join(i.data, "store"), filepath.Join(i.data, "logs"))
		frames, got := 0, heard()
		for _, one := range a.Whole() {
			if n := got[one.Body]; n != 1 {
				t.Errorf("%q came %d times on the text feed", one.Body, n)
			} else {
				frames++
			}
		}
		t.Logf("lines %d, answers %d, frames at the classic client %d", len(lines), a.Count(), frames)
	})
	t.Run("subscriber started late", func(t *testing.T) {
		s := newInstance(t, []string{"service", "downcase"})
		s.start()
		a := sendAll(t, s.http, lines)
		if late, err := time.ParseDuration(os.Getenv("EARSHOT_TEST_LATE")); err == nil {
			time.Sleep(late) // by the clock, for who wants to see that
		}
		sub := newInstance(t, []string{"subscriber"}, "--subscriber-connect", s.feed, "--subscriber-format", "json")
		sub.start()
		logs := filepath.Join(sub.data, "logs")
		a.logged(t, 30*time.Second, func() map[string]int { return logIDs(t, logs) })
		sub.stop()
		s.stop()
		oracle(t, a, filepath.Join(sub.data, "store"), logs)
	})
	t.Run("under twenty kills", func(t *testing.T) {
		i := newInstance(t, []string{"up"}, "--subscriber-format", "json")
		i.start()
		stop, stopped := make(chan struct{}), make(chan int)
		go func() {
			kills := 0
			for {
				select {
				case <-stop:
					stopped <- kills
					return
				case <-time.After(250 * time.Millisecond):
				}
				if kills < 20 {
					_ = i.signal(syscall.SIGKILL)
					i.start()
					kills++
				}
			}
		}()
		var all []string
		for n := range 3 { // enough for twenty kills
			for _, l := range lines {
				all = append(all, fmt.Sprintf("%s-%d", l, n))
			}
		}
		a := sendAll(t, i.http, all)
		close(stop)
		kills := <-stopped
		logs := filepath.Join(i.data, "logs")
		a.logged(t, 30*time.Second, func() map[string]int { return logIDs(t, logs) })
		i.stop()
		oracle(t, a, filepath.Join(i.data, "store"), logs)
		t.Logf("kills %d", kills)
	})
}
