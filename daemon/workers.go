// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Workers do what would keep a shard waiting: key exchanges, signatures, certificate chains, name resolution. Their number
// is bounded, and so is what waits for them: when the queue is full the question fails at once, which refuses the login
// and not the established SAs.

package daemon

import (
	"context"
	"runtime"
	"sync"
)

// maxQueuedWork is how many questions may wait for a worker. With 1 ms each, the last waits for a second.
const maxQueuedWork = 1024

// workers runs functions on a fixed number of goroutines.
type workers struct {
	n    int
	jobs chan func()
	wg   sync.WaitGroup
}

func newWorkers(ctx context.Context) *workers {
	w := &workers{n: max(2, runtime.GOMAXPROCS(0)), jobs: make(chan func(), maxQueuedWork)}
	for range w.n {
		w.wg.Add(1)
		go func() {
			defer w.wg.Done()
			for {
				select {
				case <-ctx.Done():
					return
				case f := <-w.jobs:
					f()
				}
			}
		}()
	}
	return w
}

// do hands f to a worker; false: too much is waiting.
func (w *workers) do(f func()) bool {
	select {
	case w.jobs <- f:
		return true
	default:
		return false
	}
}
