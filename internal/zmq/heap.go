package zmq

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static void earshot_keep_heap(size_t largest, size_t keep) {
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, largest);
	mallopt(M_TRIM_THRESHOLD, keep);
	mallopt(M_ARENA_MAX, 2);
#endif
}
*/
import "C"

import "sync"

const (
	heapLargest = 4 << 20 // bytes of an allocation that still comes from the heap: every message
	heapKeep    = 8 << 20 // bytes of free heap that are not given back to the kernel
)

// keepHeap makes glibc keep what libzmq frees. Its messages are up to 64 KiB, made on one
// thread and freed on another; given back to the kernel each time, as glibc does beyond
// 128 KiB, a fifth of what a subscriber takes goes into getting the same pages again. Of
// arenas there are two, since goroutines go from thread to thread. See mallopt(3).
var keepHeap = sync.OnceFunc(func() { C.earshot_keep_heap(heapLargest, heapKeep) })
