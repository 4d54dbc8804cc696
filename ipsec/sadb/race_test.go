// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Everything at once: packets of the data plane while a client adds, changes, lists and removes. For the race detector.

package sadb

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestConcurrent(t *testing.T) {
	db := newDB(t, 0)
	addEntry(t, db, outEntry())
	in := outEntry()
	in.Dir, in.Templates[0].Src, in.Templates[0].Dst = In, in.Templates[0].Dst, in.Templates[0].Src
	addEntry(t, db, in)
	addSA(t, db, inSA(0x1000))
	var all sync.WaitGroup
	var stop atomic.Bool
	all.Go(func() { // sends
		buf := make([]byte, 200)
		for !stop.Load() {
			m, _ := db.Match(&across)
			var b Bundle
			switch m.Resolve(7, &across, &b) {
			case Sealed:
				s := b.SAs[0]
				s.BeginSeal(7)
				_, _ = s.Seal(buf, 20, 4)
				s.EndSeal()
				s.MaxInner(7)
			case Missing:
				m.Hold(7, &across, buf[:20])
			}
			db.Release(make([]byte, 2048), 8, func([]byte) {})
		}
	})
	all.Go(func() { // receives, from here and there
		for i := 1; !stop.Load(); i++ {
			pkt := packet(t, 0x1000, i%40+1)
			from := peer
			if i%3 == 0 {
				from = thief
			}
			_ = opens(db, start, pkt, from, local)
			if r := db.Receiver(ProtoESP, 0x1000, local.Addr()); r != nil {
				db.CheckIn(7, &across, layersOf(r))
				r.Source()
			}
		}
	})
	all.Go(func() { // listens
		var list [8]Notice
		for !stop.Load() {
			db.Notices(list[:])
			for _, r := range db.SAs(0, true) {
				r.Info()
			}
			db.SPDList()
		}
	})
	for i := range 300 { // changes
		now := start.Add(time.Duration(i) * time.Millisecond)
		out, reserved := outSA(0x2000+uint32(i%3)), inSA(0x3000)
		_ = db.AddSA(now, out)
		e := out.place()
		e.DstPort += uint16(i % 5)
		_ = db.UpdateSA(now, out.ID(), Change{Endpoint: &e, Limits: &Limits{SoftPackets: 5, HardPackets: 50}})
		if spi, err := db.ReserveSA(now, Reservation{Proto: ProtoESP, Src: peer.Addr(), Dst: local.Addr(), Min: 0x3000, Max: 0x3000}); err == nil {
			reserved.SPI = spi
			_ = db.CompleteSA(now, reserved)
		}
		if _, err := db.SPDUpdate(now, outEntry()); err != nil {
			t.Error(err)
		}
		_, _ = db.DeleteSA(now, reserved.ID())
		if i%2 == 0 {
			_, _ = db.DeleteSA(now, out.ID())
		}
		db.SetFollow(1, i%7 != 0)
		db.Tick(now)
	}
	stop.Store(true)
	all.Wait()
	db.SPDFlush()
	db.FlushSAs(start, 0)
	for db.Pending() {
		notices(db)
	}
	db.Tick(start.Add(time.Hour))
	empty(t, db)
}

// TestUpdateSAKeepsReceiving: an SA whose source moves is found at any time, as is one that seals by its policy.
func TestUpdateSAKeepsReceiving(t *testing.T) {
	db := newDB(t, 0)
	in := inSA(0x5678)
	addSA(t, db, in)
	var all sync.WaitGroup
	var stop atomic.Bool
	all.Go(func() {
		for !stop.Load() {
			if db.Receiver(ProtoESP, in.SPI, in.Dst) == nil {
				t.Error("not found while its source moves")
				return
			}
		}
	})
	for i := range 20000 {
		to := in.place()
		to.SrcPort = uint16(1 + i%2)
		if err := db.UpdateSA(start, in.ID(), Change{Endpoint: &to}); err != nil {
			t.Error(err)
			break
		}
	}
	stop.Store(true)
	all.Wait()
}
