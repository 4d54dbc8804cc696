// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section C: fragments (T-031, T-032).

package hostile

import (
	"runtime"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/lab/bogus"
)

// TestT031_FragmentNumbers: numbers that no fragment has, with a right ICV: dropped before anything is kept, so that the
// same message in right fragments still goes through.
func TestT031_FragmentNumbers(t *testing.T) {
	w := Open(t, Options{})
	filler := make([]byte, 400)
	p := w.Connect(nil)
	for name, number := range map[string]func(i, n int) (uint16, uint16, uint8){
		"number 0":               func(i, n int) (uint16, uint16, uint8) { return 0, uint16(n), 41 },
		"number above total":     func(i, n int) (uint16, uint16, uint8) { return uint16(n + i), uint16(n), 0 },
		"total 0":                func(i, n int) (uint16, uint16, uint8) { return uint16(i), 0, 41 },
		"0 of 0":                 func(i, n int) (uint16, uint16, uint8) { return 0, 0, 41 },
		"total 65535":            func(i, n int) (uint16, uint16, uint8) { return uint16(i), 65535, 0 },
		"65535 of 65535":         func(i, n int) (uint16, uint16, uint8) { return 65535, 65535, 0 },
		"total above the limit":  func(i, n int) (uint16, uint16, uint8) { return uint16(i), 65, 0 },
		"the first is missing":   func(i, n int) (uint16, uint16, uint8) { return uint16(i + 1), uint16(n + 1), 0 },
		"next payload in others": func(i, n int) (uint16, uint16, uint8) { return uint16(i), uint16(n), 41 },
	} {
		p.Seen()
		p.SetBugs(bogus.Bugs{FragmentSize: 100, Seal: func(_ bogus.Step, o *bogus.Sealing) { o.Number = number }})
		if _, err := p.Post(bogus.InfoRequest, bogus.Informational, bogus.N(40000, filler...)); err != nil {
			t.Fatal(err)
		}
		w.Silence(p, name)
		p.SetBugs(bogus.Bugs{FragmentSize: 60}) // more fragments than above replace what might have been kept
		if _, err := p.Exchange(bogus.InfoRequest, bogus.Informational, bogus.N(40000, filler...)); err != nil {
			t.Fatalf("%s: the honest fragments afterwards: %v", name, err)
		}
	}
	p.SetBugs(bogus.Bugs{})
	if err := p.Ping(); err != nil {
		t.Error(err)
	}
	// A duplicate, and each order, is as good.
	p.SetBugs(bogus.Bugs{FragmentSize: 100, Wire: func(_ bogus.Step, d [][]byte) [][]byte {
		out := [][]byte{d[len(d)-1], d[0], d[0]}
		return append(append(out, d...), d...)
	}})
	if _, err := p.Exchange(bogus.InfoRequest, bogus.Informational, bogus.N(40000, filler...)); err != nil {
		t.Errorf("fragments twice and in another order: %v", err)
	}
	p.SetBugs(bogus.Bugs{FragmentSize: 100, Seal: bogus.SealOn(bogus.InfoRequest, bogus.Sealing{FragmentSize: 100, FlipICV: true})})
	w.Settle() // what was sent twice above is answered twice: the last repeats may still be under way
	p.Seen()
	p.Post(bogus.InfoRequest, bogus.Informational, bogus.N(40000, filler...))
	w.Silence(p, "fragments with a wrong ICV")
}

// TestT032_UnfinishedFragments: half-open IKE SAs that each send all fragments but one of a message as long as there may be:
// what is kept of them is bounded, per IKE SA and so that all together stay below 16 MiB, and is gone with them.
func TestT032_UnfinishedFragments(t *testing.T) {
	const (
		peers    = 120
		fragment = 1000
		// perHalfOpen is 16 MiB divided by the 1,000 that there may be, and what an IKE SA itself is.
		perHalfOpen = 16<<10 + 20<<10
	)
	w := Open(t, Options{Daemon: func(o *daemon.Options) { o.HalfOpenLife = 10 * time.Second }})
	defer w.Forget()
	var list []*bogus.Peer
	for i := range peers {
		p := w.Peer(func(c *bogus.Config) { c.Local = Source(i / 30) })
		if _, err := p.Init(); err != nil {
			t.Fatal(err)
		}
		p.SetBugs(bogus.Bugs{FragmentSize: fragment, Wire: func(_ bogus.Step, d [][]byte) [][]byte { return d[:len(d)-1] }})
		list = append(list, p)
	}
	w.Settle()
	before := heap()
	for i, p := range list {
		// The ID is long; 63 of 64 fragments arrive.
		big := bogus.Payload{Type: bogus.PayloadVendor, Body: make([]byte, 63*fragment+500)}
		if _, err := p.Post(bogus.AuthRequest, bogus.IKEAuth, big); err != nil {
			t.Fatal(err)
		}
		if i%8 == 7 {
			w.Settle() // the socket's buffer is not what is tested
		}
	}
	w.Settle()
	if grown := heap() - before; grown > peers*perHalfOpen {
		t.Errorf("%d half-open IKE SAs keep %d KiB of fragments, expected at most %d", peers, grown>>10, peers*perHalfOpen>>10)
	} else {
		t.Logf("%d half-open IKE SAs with 62 KiB of fragments each keep %d KiB", peers, grown>>10)
	}
	if half := w.D.Stats().HalfOpen; half != peers {
		t.Errorf("%d half-open IKE SAs, expected %d: the case has tested nothing", half, peers)
	}
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
