package process

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	headroom = 32 << 20 // bytes that a heap may grow by, at least, before it is collected
	roomier  = 800      // percent; what 4 MiB, the least that the runtime reckons with, make of headroom
)

// Tune sets the garbage collector for programs that hold little and move much: with the
// default of 100 % a heap of 5 MB is collected forty times a second under load. A small heap
// grows by headroom before it is collected, a large one to twice its size, as by default:
// a limit on the memory would have it collected without pause when what is held comes near.
// Whoever sets GOGC or GOMEMLIMIT gets what they ask for.
func Tune() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(roomier)
		afterGC(roomier)
	}
}

// afterGC sets the percentage again after each collection, by what that has left.
func afterGC(percent int) {
	runtime.SetFinalizer(&struct{ _ [16]byte }{}, func(any) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		now := percentFor(live[0].Value.Uint64())
		if now*10 < percent*9 || now*9 > percent*10 { // to set it stops the program for a moment
			debug.SetGCPercent(now)
			percent = now
		}
		afterGC(percent)
	})
}

// percentFor is by how much a heap of so many bytes may grow.
func percentFor(live uint64) int {
	return int(min(max(100*headroom/max(live, 1), 100), roomier))
}
