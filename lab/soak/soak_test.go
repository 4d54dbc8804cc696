// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab && soak

// Floods and repetitions against a live daemon in this process.

package soak

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/lab/bogus"
	"github.com/natterjack/natterjack/lab/hostile"
)

var scale = flag.Float64("scale", 1, "how much of each soak is done")

func scaled(n int) int { return max(1, int(float64(n)**scale)) }

// quiet has nothing logged: a soak would fill the memory with it.
func quiet(o *daemon.Options) { o.Log = nil }

func rss() string {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fmt.Sprintf("heap %d KiB, %d goroutines", m.HeapAlloc>>10, runtime.NumGoroutine())
}

// template is one IKE_SA_INIT request.
func template(t *testing.T, p *bogus.Peer) []byte {
	t.Helper()
	m, err := p.InitMessage()
	if err != nil {
		t.Fatal(err)
	}
	return m.Append(nil)
}

// login has one honest peer log in and leave, and returns how long that took.
func login(t *testing.T, w *hostile.World, b bogus.Bugs, limit time.Duration) (time.Duration, error) {
	t.Helper()
	p := w.Peer(func(c *bogus.Config) { c.Bugs, c.Timeout, c.Repeat = b, limit, limit/4 })
	begin := time.Now()
	err := p.Connect()
	took := time.Since(begin)
	w.Leave(p)
	return took, err
}

// TestFlood is T-059 and G2: 20,000 first messages a second for a minute, from 10,000 sources, while 100 honest peers log in.
func TestFlood(t *testing.T) {
	const sources, rate = 10000, 20000
	w := hostile.Open(t, hostile.Options{Daemon: quiet, Drift: 64 << 20})
	defer w.Forget()
	crowd := w.Crowd()
	cheap := template(t, w.Peer(nil))
	slow := template(t, w.Peer(func(c *bogus.Config) { c.IKE = bogus.GCM128(); c.IKE.KE = bogus.KEMODP4096 }))
	quit := make(chan struct{})
	done := make(chan int)
	go func() {
		random := rand.New(rand.NewPCG(1, 1))
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; {
			select {
			case <-quit:
				done <- n
				return
			case <-tick.C:
			}
			for range rate / 100 {
				b := cheap
				if n%4 == 0 {
					b = slow
				}
				binary.BigEndian.PutUint64(b, random.Uint64()|1)
				crowd.Send(random.IntN(sources), w.IKE, b)
				n++
			}
		}
	}()
	var times []time.Duration
	failed := 0
	before := w.D.Stats().KeyExchanges
	begin := time.Now()
	for range scaled(100) {
		took, err := login(t, w, bogus.Bugs{}, 4*time.Second)
		if err != nil {
			failed++
		}
		times = append(times, took)
		time.Sleep(500 * time.Millisecond)
	}
	lasted := time.Since(begin)
	close(quit)
	sent := <-done
	slices.Sort(times)
	st := w.D.Stats()
	t.Logf("%d first messages in %s; %d honest logins, %d failed, median %s, worst %s; %d key exchanges, %d half-open, %s",
		sent, lasted.Round(time.Second), len(times), failed, times[len(times)/2], times[len(times)-1], st.KeyExchanges-before, st.HalfOpen, rss())
}

// TestLogins is T-062: 100,000 logins that succeed and as many that fail.
func TestLogins(t *testing.T) {
	w := hostile.Open(t, hostile.Options{Daemon: quiet, Drift: 32 << 20})
	for name, b := range map[string]bogus.Bugs{
		"good":            {},
		"wrong AUTH":      {Auth: func(a *bogus.AuthInput) { a.Data = make([]byte, 32) }},
		"no AUTH":         {Edit: bogus.Omit(bogus.AuthRequest, bogus.PayloadAUTH)},
		"no proposal":     {Edit: bogus.Replace(bogus.InitRequest, bogus.SAPayload(bogus.Proposal{Num: 1, Proto: 1, Transforms: []bogus.Transform{{Type: 1, ID: 3}}}))},
		"critical inside": {Edit: bogus.Add(bogus.AuthRequest, bogus.Payload{Type: 200, Flags: 0x80})},
	} {
		n := scaled(25000)
		if name == "good" {
			n = scaled(100000)
		}
		t.Logf("%s: before %s", name, rss())
		begin := time.Now()
		for range n {
			if _, err := login(t, w, b, 5*time.Second); (err == nil) != (name == "good") {
				t.Errorf("%s: %v", name, err)
			}
		}
		t.Logf("%s: %d in %s, after %s", name, n, time.Since(begin).Round(time.Millisecond), rss())
	}
}

// TestDatagrams is G1: ten million hostile datagrams, mutations of first messages and of sealed ones, and noise.
func TestDatagrams(t *testing.T) {
	w := hostile.Open(t, hostile.Options{Daemon: quiet, Drift: 32 << 20})
	defer w.Forget()
	crowd := w.Crowd()
	p := w.Connect(nil)
	var seeds [][]byte
	seeds = append(seeds, template(t, w.Peer(nil)))
	p.SetBugs(bogus.Bugs{Wire: func(_ bogus.Step, d [][]byte) [][]byte {
		seeds = append(seeds, append(make([]byte, 4), d[0]...))
		return nil
	}})
	p.Post(bogus.InfoRequest, bogus.Informational, bogus.Delete(bogus.ProtoIKE))
	p.Post(bogus.ChildRequest, bogus.CreateChildSA, bogus.Nonce(make([]byte, 32)))
	p.SetBugs(bogus.Bugs{})
	c := p.Child()
	seeds = append(seeds, c.Seal(p.Packet(c, make([]byte, 60))))
	random := rand.New(rand.NewPCG(2, 2))
	n := scaled(10_000_000)
	t.Logf("before %s", rss())
	begin := time.Now()
	for i := range n {
		b := slices.Clone(seeds[i%len(seeds)])
		for range 1 + random.IntN(4) {
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
		b = b[:len(b)-random.IntN(1+random.IntN(len(b)))]
		to := w.NATT
		if i%len(seeds) == 0 {
			to = w.IKE
		}
		crowd.Send(random.IntN(5000), to, b)
		if i%256 == 255 {
			w.Settle()
		}
	}
	t.Logf("%d datagrams in %s, after %s", n, time.Since(begin).Round(time.Second), rss())
	if err := p.Ping(); err != nil {
		t.Errorf("the IKE SA whose messages were mutated: %v", err)
	}
}

// TestKeepalives is T-071: as many keepalives as 1,000 peers send in a day.
func TestKeepalives(t *testing.T) {
	w := hostile.Open(t, hostile.Options{Daemon: quiet})
	s := w.Stranger("127.0.0.4")
	n := scaled(4_320_000)
	t.Logf("before %s", rss())
	begin := time.Now()
	for i := range n {
		s.Send(w.NATT, []byte{0xff})
		if i%1024 == 1023 {
			w.Settle()
		}
	}
	t.Logf("%d keepalives in %s, after %s", n, time.Since(begin).Round(time.Second), rss())
}

// TestSealedTiming is the timing of T-015, and T-054 for pre-shared keys: how long the daemon takes until it has dropped a
// message, whatever is wrong with it. Only printed: a shared machine's clock decides nothing.
func TestSealedTiming(t *testing.T) {
	w := hostile.Open(t, hostile.Options{Daemon: quiet, NoPings: true})
	long := uint8(255)
	for name, o := range map[string]bogus.Sealing{"wrong ICV": {FlipICV: true}, "wrong ICV and padding": {FlipICV: true, PadLen: &long}, "right ICV, wrong padding": {PadLen: &long, Text: []byte{1}}} {
		p := w.Connect(nil)
		var times []time.Duration
		for range scaled(1000) {
			p.SetBugs(bogus.Bugs{Seal: bogus.SealOn(bogus.InfoRequest, o)})
			begin := time.Now()
			p.Post(bogus.InfoRequest, bogus.Informational, bogus.N(40000))
			p.SetBugs(bogus.Bugs{})
			if err := p.Ping(); err != nil { // answered behind the one that is dropped
				t.Fatal(err)
			}
			times = append(times, time.Since(begin))
		}
		slices.Sort(times)
		t.Logf("%s: median %s of %d", name, times[len(times)/2], len(times))
		w.Leave(p)
	}
}
