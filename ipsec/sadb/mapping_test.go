// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Where the peer is: HOSTILE T-069 (an authentic packet is raced), T-071 and T-075 as far as the SAD decides.

package sadb

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/wire/natt"
)

func mappings(db *DB) []Notice {
	var list []Notice
	for _, n := range notices(db) {
		if n.Kind == NewMapping {
			list = append(list, n)
		}
	}
	return list
}

func TestNewMapping(t *testing.T) {
	db := newDB(t, 0)
	spi, _ := install(t, db, start, 0, nil)
	moved := netip.MustParseAddrPort("198.51.100.2:40404")
	if err := arrive(t, db, start, spi, 5, peer); err != nil {
		t.Fatal(err)
	}
	if n := mappings(db); len(n) != 0 {
		t.Errorf("no move: %+v", n)
	}
	// Not newer than all before it: a late packet, a replay.
	_ = arrive(t, db, start, spi, 3, thief)
	_ = arrive(t, db, start, spi, 5, thief)
	if n := mappings(db); len(n) != 0 {
		t.Errorf("a late packet moved it: %+v", n)
	}
	_ = arrive(t, db, start, spi, 6, moved)
	_ = arrive(t, db, start, spi, 7, moved)
	n := mappings(db)
	if len(n) != 1 || n[0].From != peer || n[0].To != moved || n[0].Local != local || n[0].SPIIn != spi {
		t.Fatalf("notices %+v", n)
	}
	if got := db.Inbound(spi).Endpoint().Remote; got != peer {
		t.Errorf("moved to %v before anybody decided", got)
	}
	if err := db.Move(start, spi, Endpoint{Local: local, Remote: moved, Encap: natt.NonESP}); err != nil {
		t.Fatal(err)
	}
	_ = arrive(t, db, start, spi, 8, moved)
	if n := mappings(db); len(n) != 0 || db.Inbound(spi).Endpoint().Remote != moved {
		t.Errorf("after the move: %+v", n)
	}
	if len(db.paths) != 1 || db.paths.find(hashOfEnd(db.seed, moved), moved) == nil {
		t.Error("the old path is still there")
	}
}

// TestRefusedMove: a daemon that does not follow is reminded once a second, not with every packet.
func TestRefusedMove(t *testing.T) {
	db := newDB(t, 0)
	spi, _ := install(t, db, start, 0, nil)
	told := 0
	for i := range 50 {
		_ = arrive(t, db, start.Add(time.Duration(i)*100*time.Millisecond), spi, i+1, thief)
		told += len(mappings(db))
	}
	if told != 5 {
		t.Errorf("told %d times in 5 s", told)
	}
}

// TestT069Race: an attacker on the path copies a packet and delivers it first from his own address. The peer's next packet, whenever it
// comes between the notice and the Move, puts the endpoint right.
func TestT069Race(t *testing.T) {
	to := func(a netip.AddrPort) Endpoint { return Endpoint{Local: local, Remote: a, Encap: natt.NonESP} }
	t.Run("next packet before the notice is fetched", func(t *testing.T) {
		db := newDB(t, 0)
		spi, _ := install(t, db, start, 0, nil)
		_ = arrive(t, db, start, spi, 1, thief)
		_ = arrive(t, db, start, spi, 1, peer) // the original: a replay by now
		_ = arrive(t, db, start, spi, 2, peer)
		if n := mappings(db); len(n) != 0 {
			t.Errorf("%+v", n)
		}
	})
	t.Run("next packet between notice and Move", func(t *testing.T) {
		db := newDB(t, 0)
		spi, _ := install(t, db, start, 0, nil)
		_ = arrive(t, db, start, spi, 1, thief)
		if n := mappings(db); len(n) != 1 || n[0].To != thief {
			t.Fatalf("%+v", n)
		}
		_ = arrive(t, db, start, spi, 2, peer)
		if err := db.Move(start, spi, to(thief)); err != nil {
			t.Fatal(err)
		}
		n := mappings(db) // without any further packet
		if len(n) != 1 || n[0].From != thief || n[0].To != peer {
			t.Fatalf("%+v", n)
		}
		_ = db.Move(start, spi, to(peer))
		if n := mappings(db); len(n) != 0 {
			t.Errorf("%+v", n)
		}
	})
	t.Run("next packet after the Move", func(t *testing.T) {
		db := newDB(t, 0)
		spi, _ := install(t, db, start, 0, nil)
		_ = arrive(t, db, start, spi, 1, thief)
		_ = mappings(db)
		_ = db.Move(start, spi, to(thief))
		_ = arrive(t, db, start, spi, 2, peer)
		if n := mappings(db); len(n) != 1 || n[0].To != peer {
			t.Errorf("%+v", n)
		}
	})
	t.Run("IKE moved it meanwhile", func(t *testing.T) {
		db := newDB(t, 0)
		spi, _ := install(t, db, start, 0, nil)
		third := netip.MustParseAddrPort("198.51.100.2:7")
		_ = arrive(t, db, start, spi, 1, thief)
		_ = db.Move(start, spi, to(third))
		if n := mappings(db); len(n) != 1 || n[0].From != third || n[0].To != thief {
			t.Errorf("%+v", n)
		}
	})
}

// TestT075PathMTU: only for a live flow that the quotation shows, only downwards, never below the floor, and not for ever.
func TestT075PathMTU(t *testing.T) {
	db := newDB(t, 0)
	spi, _ := install(t, db, start, 0, nil)
	p := db.Inbound(spi)
	quote := func(spi, seq uint32) []byte {
		var b [8]byte
		binary.BigEndian.PutUint32(b[:], spi)
		binary.BigEndian.PutUint32(b[4:], seq)
		return b[:]
	}
	now := start
	mtu := func() int { return p.PathMTU(db.Clock(now)) }
	good := quote(0xabcdef01, 3)
	if db.PathEvent(start, peer, good, 1300, false) {
		t.Error("believed about a packet that was never sent")
	}
	for range 5 {
		if err := seal(db, start, spi, 1400); err != nil {
			t.Fatal(err)
		}
	}
	for name, e := range map[string]struct {
		from   netip.AddrPort
		quoted []byte
		mtu    int
	}{
		"unknown SPI":      {peer, quote(0x1234567, 3), 1300},
		"our inbound SPI":  {peer, quote(spi, 3), 1300},
		"another peer":     {thief, good, 1300},
		"another port":     {netip.AddrPortFrom(peer.Addr(), 9), good, 1300},
		"a later sequence": {peer, quote(0xabcdef01, 6), 1300},
		"an old sequence":  {peer, quote(0xabcdef01, ^uint32(0)-1<<20), 1300},
		"nothing quoted":   {peer, nil, 1300},
		"four octets":      {peer, good[:4], 1300},
		"upwards":          {peer, good, 1501},
		"the same":         {peer, good, 1500},
		"65535":            {peer, good, 65535},
	} {
		if db.PathEvent(start, e.from, e.quoted, e.mtu, false) || mtu() != 1500 {
			t.Errorf("%s: believed, MTU %d", name, mtu())
		}
	}
	if !db.PathEvent(start, peer, good, 1300, false) || mtu() != 1300 {
		t.Errorf("an honest message: MTU %d", mtu())
	}
	if db.PathEvent(start, peer, good, 1400, false) || mtu() != 1300 {
		t.Error("raised by a message")
	}
	for _, m := range []int{68, 1, 576} {
		db.PathEvent(start, peer, good, m, false)
		if mtu() != FloorV4 {
			t.Errorf("MTU %d after a message of %d", mtu(), m)
		}
	}
	now = start.Add(11 * time.Minute)
	if mtu() != 1500 {
		t.Errorf("MTU %d after 11 minutes", mtu())
	}
	if !db.PathEvent(now, peer, good, 0, false) || mtu() != 1492 || !db.PathEvent(now, peer, good, 0, false) || mtu() != 1400 {
		t.Errorf("a router that does not say: MTU %d", mtu())
	}
	if !db.PathEvent(now, peer, nil, 1390, true) || mtu() != 1390 {
		t.Errorf("this host's own finding: MTU %d", mtu())
	}
	if p.state.Load() != 0 {
		t.Error("the SA was closed by ICMP")
	}
	db.Remove(now, spi, true)
	if db.PathEvent(now, peer, good, 1300, false) {
		t.Error("believed for an outbound SA that was removed")
	}

	six := netip.MustParseAddrPort("[2001:db8::2]:4500")
	spi, _ = install(t, db, start, 0, func(c *Child) {
		c.Endpoint = Endpoint{Local: netip.MustParseAddrPort("[2001:db8::1]:4500"), Remote: six, Encap: natt.NonESP}
	})
	_ = seal(db, start, spi, 1)
	db.PathEvent(start, six, quote(0xabcdef01, 1), 68, false)
	if got := db.Inbound(spi).PathMTU(db.Clock(start)); got != FloorV6 {
		t.Errorf("IPv6: MTU %d", got)
	}
	// Outer IPv6, UDP, ESP with GCM: 40 + 8 + 8 + 8 + 16 + trailer.
	if got := db.Inbound(spi).MaxInner(db.Clock(start)); got != 1280-40-8-8-8-16-2 {
		t.Errorf("largest inner packet %d", got)
	}
}

// TestT075Single: what a router says of a single SA is believed like what it says of a pair: of what has been sent, by an SA that seals,
// to where it sends now.
func TestT075Single(t *testing.T) {
	db := newDB(t, 0)
	s := addSA(t, db, outSA(0x1234))
	in := addSA(t, db, inSA(0x5678))
	in.asReceiver()
	pkt, err := seals(s, start, 5)
	if err != nil {
		t.Fatal(err)
	}
	mtu := func() int { return s.PathMTU(db.Clock(start)) }
	never, opener := bytes.Clone(pkt), bytes.Clone(pkt)
	never[7]++
	binary.BigEndian.PutUint32(opener, 0x5678)
	for name, e := range map[string]struct {
		from   netip.AddrPort
		quoted []byte
	}{
		"a number never sent": {peer, never}, "an SA that opens": {peer, opener}, "another peer": {thief, pkt},
		"another port": {netip.AddrPortFrom(peer.Addr(), 9), pkt},
	} {
		if db.PathEvent(start, e.from, e.quoted, 1300, false) || mtu() != 1500 {
			t.Errorf("%s: believed, MTU %d", name, mtu())
		}
	}
	if !db.PathEvent(start, peer, pkt, 1300, false) || mtu() != 1300 {
		t.Errorf("an honest message: MTU %d", mtu())
	}
	if db.PathEvent(start, peer, pkt, 68, false); mtu() != FloorV4 {
		t.Errorf("MTU %d", mtu())
	}
	db.mu.Lock()
	db.redirect(s, thief)
	db.mu.Unlock()
	if db.PathEvent(start, peer, pkt, 1200, false) || !db.PathEvent(start, thief, pkt, 1200, false) || mtu() != 1200 {
		t.Errorf("after the peer has moved: MTU %d", mtu())
	}
	if _, err := db.DeleteSA(start, s.id()); err != nil {
		t.Fatal(err)
	}
	if db.PathEvent(start, thief, pkt, 1000, false) {
		t.Error("believed of an SA that is gone")
	}
}
