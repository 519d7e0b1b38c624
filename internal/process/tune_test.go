package process

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// A heap that grows is collected as Go's default has it, one that is small again later.
func TestTuneFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	Tune()
	percent := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	if got := percent(); got != roomier {
		t.Errorf("at first it is %d %%, want %d", got, roomier)
	}
	func() {
		held := make([]byte, 3*headroom)
		testenv.Wait(t, "less room for a large heap", testenv.Patience, func() bool { runtime.GC(); return percent() == 100 })
		runtime.KeepAlive(held)
	}()
	testenv.Wait(t, "more room for a small heap", testenv.Patience, func() bool { runtime.GC(); return percent() > 300 })
}

func TestPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{0: roomier, 1 << 20: roomier, 8 << 20: 400, headroom: 100, 1 << 40: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("percentFor(%d) = %d, want %d", live, got, want)
		}
	}
}
