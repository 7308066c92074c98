package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
)

// measured measures a row's work with items, in memory that this process holds already.
func (e *environment) measured(ctx context.Context, items int, work func() error) (sample, error) {
	growHeap()
	before := e.cpu.read(ctx)
	took, err := timed(work)
	return sample{items: items, took: took, cpu: e.cpu.read(ctx).sub(before)}, err
}

// growHeap collects what is garbage, and touches as much memory as the heap may take before the next collection. A process that has run
// for a while holds it; between rows the Go runtime gives it back, and a row would pay for taking it again (docs/adr/0022).
func growHeap() {
	const piece, page = 64 << 10, 4 << 10 // bytes
	runtime.GC()
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	// A collection on the way would count less memory as being in use, and the runtime would give the rest back while work is measured.
	percent := debug.SetGCPercent(-1)
	if percent < 0 {
		return // GOGC=off: no collection comes, and no size is the one before it
	}
	for size := heap.HeapAlloc; size < heap.NextGC; size += piece {
		touched = make([]byte, piece)
		for at := 0; at < piece; at += page {
			touched[at] = 1
		}
	}
	touched = nil
	debug.SetGCPercent(percent)
	runtime.GC()
}

// touched keeps the compiler from leaving out what growHeap makes.
var touched []byte

// outside is memory outside of Go's heap, for what producers hold in their own processes: settled does not collect it, and does not wait
// longer before it collects because of it.
type outside struct {
	mapped []byte
	used   int
}

// newOutside maps size bytes.
func newOutside(size int) (*outside, error) {
	mapped, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map memory: %w", err)
	}
	return &outside{mapped: mapped}, nil
}

var errOutsideIsFull = errors.New("the mapped memory is full")

// keep copies text, which is good until free.
func (o *outside) keep(text []byte) ([]byte, error) {
	if len(text) > len(o.mapped)-o.used {
		return nil, errOutsideIsFull
	}
	kept := o.mapped[o.used : o.used+len(text) : o.used+len(text)]
	o.used += copy(kept, text)
	return kept, nil
}

func (o *outside) free() { _ = syscall.Munmap(o.mapped) } // fails for what was not mapped
