// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Warm among single SAs, and the table that they are found in while it grows.

package sadb

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ipsec/esp"
)

// TestWarmSingles: what is warmed is what will be used, and nothing is allocated; strangers find nothing.
func TestWarmSingles(t *testing.T) {
	db := newDB(t, 0)
	key := secret.New([]byte(gcmKey))
	const n = 100
	for i := range n {
		keyed(t, db, i, key)
	}
	buf := make([]byte, 256)
	out, in, _ := keyed(t, db, n, key)
	singleTrip(t, db, n, 1, buf)

	var w Warm
	to := []Remote{{Addr: ipOf(outer(1))}, {Addr: ipOf(inner(n))}, {Addr: IP{Lo: 1, Hi: 2}, V6: true}}
	w.Sealing(db, to)
	if got := w.singles.sas[0]; got == nil || got.spi != out.SPI || got.sender.Load() == nil {
		t.Errorf("for sealing: %v", got)
	}
	if w.singles.sas[1] != nil {
		t.Error("a stranger has an SA")
	}
	spis := []uint32{0, in.SPI, 0xffffffff}
	w.Opening(db, spis)
	s := w.singles.sas[0]
	if s == nil || s.spi != in.SPI || s.receiver.Load() == nil {
		t.Fatalf("for opening: %v", s)
	}
	f := Flow{Local: IP{Lo: 1}, Remote: ipOf(inner(n)), Proto: 17, Ports: HavePorts}
	if p, _ := db.spd.Load().first(classIn, &f); p == nil || w.singles.policies[0] != p {
		t.Error("not the policy that let the packet in")
	}
	w.Opening(db, make([]uint32, 2*MaxWarm))
	if n := testing.AllocsPerRun(10, func() { w.Sealing(db, to); w.Opening(db, spis) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestWarmOthers: policies without templates, with several, for networks, and SAs in transport mode: Warm decides nothing, and stumbles
// over none.
func TestWarmOthers(t *testing.T) {
	db := newDB(t, 0)
	addEntry(t, db, SPDEntry{Dir: Out, Action: Bypass, Local: sel("0.0.0.0/0"), Remote: Selector{From: inner(1), To: inner(1), PortTo: 65535}})
	addEntry(t, db, SPDEntry{Dir: Out, Action: Protect, Local: sel("0.0.0.0/0"), Remote: Selector{From: inner(2), To: inner(2), PortTo: 65535},
		Templates: []Template{{Proto: ProtoIPComp, Mode: Transport}, {Proto: ProtoESP, Mode: Tunnel, Src: local.Addr(), Dst: outer(2)}}})
	addEntry(t, db, SPDEntry{Dir: Out, Action: Discard, Local: sel("0.0.0.0/0"), Remote: sel("10.0.0.0/8")})
	if err := db.AddSA(start, inSA(0x1234)); err != nil {
		t.Fatal(err)
	}
	var w Warm
	w.Sealing(db, []Remote{{Addr: ipOf(inner(1))}, {Addr: ipOf(inner(2))}, {Addr: ipOf(inner(3))}})
	w.Opening(db, []uint32{0x1234})
	if w.singles.sas[0] == nil {
		t.Error("the SA is not found")
	}
}

// TestSADGrow: packets find every single SA while the table grows, and while others come and go in its chains.
func TestSADGrow(t *testing.T) {
	db := newDB(t, 0)
	const fixed, more = 50, 3000
	add := func(i int) SAID {
		sa := inSA(esp.MinSPI + uint32(i))
		if err := db.AddSA(start, sa); err != nil {
			t.Error(err)
		}
		return sa.ID()
	}
	var kept []SAID
	for i := range fixed {
		kept = append(kept, add(i))
	}
	var all sync.WaitGroup
	var stop atomic.Bool
	for range 2 {
		all.Go(func() {
			for i := 0; !stop.Load(); i++ {
				id := kept[i%fixed]
				if s := db.lookupSA(saKey{id.SPI, id.Proto}, id.Dst); s == nil || s.spi != id.SPI {
					t.Errorf("SA %d is not found", i%fixed)
					return
				}
				if db.lookupSA(saKey{id.SPI, id.Proto}, netip.Addr{}) == nil || db.lookupSA(saKey{id.SPI, ProtoAH}, id.Dst) != nil {
					t.Error("found without its destination, or not without one")
					return
				}
			}
		})
	}
	var ids []SAID
	for i := range more {
		ids = append(ids, add(fixed+i))
	}
	if n := len(db.SAs(0, false)); n != fixed+more {
		t.Errorf("%d listed", n)
	}
	for _, id := range ids {
		if _, err := db.DeleteSA(start, id); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	all.Wait()
	if n := len(db.SAs(0, false)); n != fixed || db.sad.n != fixed {
		t.Errorf("%d left", n)
	}
}

// TestWarmWhileChanging: what Warm reads is not written meanwhile (with -race).
func TestWarmWhileChanging(t *testing.T) {
	db := newDB(t, 0)
	key := secret.New([]byte(gcmKey))
	buf := make([]byte, 256)
	out, in, _ := keyed(t, db, 1, key)
	singleTrip(t, db, 1, 1, buf)
	var all sync.WaitGroup
	var stop atomic.Bool
	all.Go(func() {
		var w Warm
		for !stop.Load() {
			w.Sealing(db, []Remote{{Addr: ipOf(inner(1))}, {Addr: ipOf(inner(2))}})
			w.Opening(db, []uint32{out.SPI, in.SPI, 0x2000})
		}
	})
	for i := range 300 {
		e := out
		e.DstPort = uint16(4500 + i%2)
		place, limits := e.place(), Limits{HardPackets: uint64(1000 + i), HardTime: 1 << 40}
		if err := db.UpdateSA(start, out.ID(), Change{Limits: &limits, Endpoint: &place}); err != nil {
			t.Fatal(err)
		}
		spi, err := db.ReserveSA(start, Reservation{Proto: ProtoESP, Src: peer.Addr(), Dst: local.Addr(), Mode: Tunnel, Min: 0x2000, Max: 0x2000})
		if err != nil {
			t.Fatal(err)
		}
		sa := inSA(spi)
		if err := db.CompleteSA(start, sa); err != nil {
			t.Fatal(err)
		}
		if _, err := db.DeleteSA(start, sa.ID()); err != nil {
			t.Fatal(err)
		}
		db.forgetRetired(never)
		_, _, ids := keyed(t, db, 2, key)
		for _, id := range ids {
			if _, err := db.SPDDelete(id); err != nil {
				t.Fatal(err)
			}
		}
		for k := range uint32(2) {
			id := SAID{ProtoESP, 1<<20 + 4 + k, outer(2)}
			if k == 1 {
				id.Dst = local.Addr()
			}
			if _, err := db.DeleteSA(start, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop.Store(true)
	all.Wait()
}
