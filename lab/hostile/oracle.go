// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The common oracle ("OK-oracle" of the catalogue). After a case: no machine panicked; a legitimate peer completes IKE
// within 2 s and reaches the inner network; the tunnel that was open lost none of its pings; IKE SAs, half-open ones and
// goroutines are what they were; memory drifted by a bounded amount; strangers caused at most one line of log a class and
// second; and no key is in the log.

package hostile

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/bogus"
)

const (
	// legitimateLimit is how long a login may take after an attack.
	legitimateLimit = 2 * time.Second
	// restLimit is how much longer than the life of a half-open IKE SA the daemon may take to forget a case; the catalogue
	// has 35 s for a life of 30 s.
	restLimit = 5 * time.Second
	// defaultDrift is what may stay in memory, in octets: maps and buffers that have grown to their size once, of the daemon,
	// of gVisor and of the test itself.
	defaultDrift = 8 << 20
	pingPause    = 25 * time.Millisecond
	pingLimit    = 2 * time.Second
)

// baseline is what a case must come back to.
type baseline struct {
	goroutines, ikeSAs, children int
	heap                         int64
}

func (w *World) measure() baseline {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	st := w.D.Stats()
	return baseline{runtime.NumGoroutine(), st.IKESAs, st.Children, int64(m.HeapAlloc)}
}

// end asks the oracle and takes the world down.
func (w *World) end(o Options) {
	w.t.Helper()
	for p := range w.peers {
		w.Leave(p)
	}
	for o := range w.outs {
		o.close()
	}
	if w.pings != nil {
		sent, lost := w.pings.stop()
		w.base.goroutines--
		if lost > 0 || sent == 0 {
			w.t.Errorf("oracle: the open tunnel lost %d of %d pings", lost, sent)
		}
	}
	w.legitimate()
	w.rest(o)
	if st := w.D.Stats(); st.Panics > 0 {
		w.t.Errorf("oracle: %d machines panicked", st.Panics)
	}
	w.learn(w.Tunnel)
	if err := w.D.Close(); err != nil { // the tunnel's peer confirms the delete
		w.t.Errorf("close: %v", err)
	}
	w.Tunnel.Close()
	w.Log.check(w.t, w.keys)
}

// legitimate has a new peer log in, ping, and leave.
func (w *World) legitimate() {
	w.t.Helper()
	p := w.peer(func(c *bogus.Config) {
		c.ID = bogus.FQDN("honest.example")
		c.Timeout, c.Repeat = legitimateLimit, legitimateLimit/4
	})
	defer p.Close()
	begin := time.Now()
	if err := p.Connect(); err != nil {
		w.t.Errorf("oracle: a legitimate peer cannot log in: %v", err)
		return
	}
	if took := time.Since(begin); took > legitimateLimit {
		w.t.Errorf("oracle: a legitimate login took %s", took)
	}
	w.learn(p)
	if !p.EchoThrough(p.Address(), inner(), 1, pingLimit) {
		w.t.Error("oracle: the legitimate peer's tunnel carries nothing")
	}
	if err := p.DeleteIKE(); err != nil {
		w.t.Errorf("oracle: the legitimate peer's delete: %v", err)
	}
}

// rest waits until everything is what it was before the case.
func (w *World) rest(o Options) {
	w.t.Helper()
	limit := o.Drift
	if limit == 0 {
		limit = defaultDrift
	}
	end := time.Now().Add(w.life + restLimit)
	for {
		now, half := w.measure(), w.D.Stats().HalfOpen
		ok := half == 0 && now.ikeSAs == w.base.ikeSAs && now.children == w.base.children &&
			now.goroutines <= w.base.goroutines && now.heap <= w.base.heap+limit
		if ok {
			return
		}
		if time.Now().After(end) {
			w.t.Errorf("oracle: %d half-open, %d IKE SAs (was %d), %d children (was %d), %d goroutines (was %d), heap %+d KiB (limit %d)",
				half, now.ikeSAs, w.base.ikeSAs, now.children, w.base.children, now.goroutines, w.base.goroutines,
				(now.heap-w.base.heap)>>10, limit>>10)
			if now.goroutines > w.base.goroutines {
				buf := make([]byte, 16<<10)
				w.t.Logf("%s", buf[:runtime.Stack(buf, true)])
			}
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// pinger sends echo requests through a tunnel all the time.
type pinger struct {
	quit chan struct{}
	done sync.WaitGroup
	// sent and lost are the goroutine's until done.
	sent, lost int
}

func ping(p *bogus.Peer) *pinger {
	g := &pinger{quit: make(chan struct{})}
	g.done.Go(func() {
		tick := time.NewTicker(pingPause)
		defer tick.Stop()
		for {
			g.one(p, pingLimit)
			select {
			case <-g.quit:
				return
			case <-tick.C:
			}
		}
	})
	return g
}

func (g *pinger) one(p *bogus.Peer, limit time.Duration) {
	if g.sent++; !p.EchoThrough(p.Address(), inner(), uint16(g.sent), limit) {
		g.lost++
	}
}

func (g *pinger) stop() (sent, lost int) {
	close(g.quit)
	g.done.Wait()
	return g.sent, g.lost
}

// Eventually waits for a condition that other goroutines bring about.
func Eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
