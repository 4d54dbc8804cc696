// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Everything at once, for the race detector: two sockets deliver for one SA, a TUN queue seals, and meanwhile the SA moves, is
// rekeyed, queried and removed. Each packet is delivered once at most.

package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

func TestConcurrent(t *testing.T) {
	w := newWorld(t, gcm, func(a, b *sadb.Child) { a.Window, b.Window = 4096, 4096 })
	const batches, size = 60, 32
	var sealed, delivered, twice atomic.Uint64
	var seen sync.Map
	feed := make(chan []Datagram, batches)
	var all sync.WaitGroup

	receive := func() {
		in := w.b.e.NewInbound()
		for list := range feed {
			for range 2 { // everything arrives twice
				for _, p := range in.Open(w.now, clone(list)).Packets {
					id := binary.BigEndian.Uint32(p[Headroom+24:])
					if _, dup := seen.LoadOrStore(id, true); dup {
						twice.Add(1)
					}
					delivered.Add(1)
				}
				w.b.db.Notices(make([]sadb.Notice, 8))
			}
		}
	}
	var receivers sync.WaitGroup
	for range 2 {
		receivers.Go(receive)
	}
	for q := range 2 { // two TUN queues
		all.Go(func() {
			out := w.a.e.NewOutbound()
			for i := range batches / 2 {
				var bufs [][]byte
				var sizes []int
				for k := range size {
					p := tcp4(200, uint32((q*batches+i)*size+k), 0x10)
					bufs, sizes = append(bufs, append(make([]byte, Headroom), p...)), append(sizes, len(p))
				}
				sent := out.Seal(w.now, bufs, sizes, Headroom)
				list := arrive(apart(sent.Datagrams))
				sealed.Add(uint64(len(list)))
				feed <- list
			}
		})
	}
	all.Go(func() {
		for i := range 200 {
			to := netip.AddrPortFrom(outerB.Addr(), uint16(4500+i%7))
			if err := w.a.db.Move(w.now, w.a.spi, sadb.Endpoint{Local: outerA, Remote: to, Encap: natt.NonESP}); err != nil {
				t.Error(err)
			}
			_, _ = w.a.e.Probe(w.now, w.a.spi, make([]byte, 128))
			w.a.db.PathEvent(w.now, to, nil, 1400, true)
			w.a.db.Query(w.a.spi)
			w.a.db.List(func(sadb.Info) bool { return true })
			w.a.db.Tick(w.now)
			id, err := w.a.db.AddPolicy(sadb.Policy{Action: sadb.Bypass, Local: []sadb.Selector{selector("10.9.0.0/16")}, Remote: []sadb.Selector{selector("10.8.0.0/16")}})
			if err != nil {
				t.Error(err)
			}
			w.a.db.RemovePolicy(id)
		}
	})
	all.Wait()
	close(feed)
	receivers.Wait()
	if twice.Load() != 0 || delivered.Load() != sealed.Load() {
		t.Errorf("%d sealed, %d delivered, %d twice; %v", sealed.Load(), delivered.Load(), twice.Load(), w.b.e.Counters())
	}
	if u, _ := w.b.db.Query(w.b.spi); u.PacketsIn != sealed.Load() {
		t.Errorf("usage %d", u.PacketsIn)
	}
}

// clone copies datagrams: a socket's buffers belong to one reader.
func clone(list []Datagram) []Datagram {
	out := make([]Datagram, len(list))
	for i, d := range list {
		d.Buf = bytes.Clone(d.Buf)
		out[i] = d
	}
	return out
}

// TestRemoveWhileSealing: after Remove has answered, nothing more is sealed or delivered on the pair, and its usage is final.
func TestRemoveWhileSealing(t *testing.T) {
	for range 20 {
		w := newWorld(t, gcm, nil)
		var all sync.WaitGroup
		var stop atomic.Bool
		all.Go(func() {
			out := w.a.e.NewOutbound()
			p := tcp4(200, 1, 0x10)
			buf := append(make([]byte, Headroom), p...)
			for !stop.Load() {
				out.Seal(w.now, [][]byte{buf, buf, buf}, []int{len(p), len(p), len(p)}, Headroom)
			}
		})
		for w.a.e.Counters()[OutSealed] < 30 {
		}
		u := w.a.db.Remove(w.now, w.a.spi, false)
		final := u.PacketsOut
		if _, ok := w.a.e.Probe(w.now, w.a.spi, make([]byte, 128)); ok {
			t.Error("a probe after Remove")
		}
		stop.Store(true)
		all.Wait()
		if got := w.a.e.Counters()[OutSealed]; got != final {
			t.Errorf("%d packets sealed, %d in the final usage", got, final)
		}
	}
}

// TestDeleteWhileSealing: after DeleteSA has answered nothing more is sealed on a single SA, and its counters are final.
func TestDeleteWhileSealing(t *testing.T) {
	for range 20 {
		d := newDuo(t, plain)
		d.sa(sadb.ProtoESP, sadb.Tunnel, 0x1000)
		d.policy(everything(false), everything(false), tmpl(sadb.ProtoESP, sadb.Tunnel, sadb.Require))
		var all sync.WaitGroup
		var stop atomic.Bool
		all.Go(func() {
			out := d.a.e.NewOutbound()
			p := append(make([]byte, Headroom), tcp4(20, 1, 0x10)...)
			for !stop.Load() {
				out.Seal(d.now, [][]byte{p, p, p}, []int{len(p) - Headroom, len(p) - Headroom, len(p) - Headroom}, Headroom)
			}
		})
		for d.a.e.Counters()[OutSealed] < 30 {
			runtime.Gosched()
		}
		i, err := d.a.db.DeleteSA(d.now, sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1000, Dst: plain.gateway.Addr()})
		if err != nil {
			t.Fatal(err)
		}
		stop.Store(true)
		all.Wait()
		if got := d.a.e.Counters()[OutSealed]; got != i.Packets {
			t.Errorf("%d packets sealed, %d in the answer", got, i.Packets)
		}
	}
}

// TestChangeWhileSealing: no packet is lost or held while the owner of the SA that it needs changes it in place.
func TestChangeWhileSealing(t *testing.T) {
	d := newDuo(t, plain)
	d.sa(sadb.ProtoESP, sadb.Tunnel, 0x1000)
	d.policy(everything(false), everything(false), tmpl(sadb.ProtoESP, sadb.Tunnel, sadb.Require))
	var all sync.WaitGroup
	var stop atomic.Bool
	all.Go(func() {
		for i := uint32(1); !stop.Load(); i++ {
			reqid := 1 + i%2
			if err := d.a.db.UpdateSA(d.now, sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1000, Dst: plain.gateway.Addr()}, sadb.Change{Reqid: &reqid}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	const n = 200000
	p := append(make([]byte, Headroom), tcp4(20, 1, 0x10)...)
	for range n {
		d.a.out.Seal(d.now, [][]byte{p}, []int{len(p) - Headroom}, Headroom)
	}
	stop.Store(true)
	all.Wait()
	c := d.a.e.Counters()
	if lost := n - c[OutSealed]; lost > 5 || c[OutHeld] != 0 {
		t.Errorf("%d of %d packets lost, %d held", lost, n, c[OutHeld])
	}
}
