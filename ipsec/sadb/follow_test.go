// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Single SAs follow their peer: HOSTILE T-069 for SAs of PF_KEY.

package sadb

import (
	"net/netip"
	"testing"
	"time"
)

func TestFollow(t *testing.T) {
	db := newDB(t, 0)
	in := addSA(t, db, inSA(0x1000))
	a, b := addSA(t, db, outSA(0x2000)), addSA(t, db, outSA(0x2001))
	other, elsewhere := outSA(0x2002), outSA(0x2003)
	other.Owner, elsewhere.DstPort = 2, 9
	c, d := addSA(t, db, other), addSA(t, db, elsewhere)
	if _, err := seals(a, start, 2); err != nil {
		t.Fatal(err)
	}
	moved := netip.MustParseAddrPort("198.51.100.2:40404")
	step := func(seq int, from netip.AddrPort) []Notice {
		if err := opens(db, start, packet(t, 0x1000, seq), from, local); err != nil {
			t.Logf("packet %d: %v", seq, err)
		}
		return mappings(db)
	}
	if n := step(5, peer); len(n) != 0 {
		t.Errorf("no move: %+v", n)
	}
	if n := append(step(3, thief), step(5, thief)...); len(n) != 0 {
		t.Errorf("a late packet or a replay moved it: %+v", n)
	}
	n := step(6, moved)
	if len(n) != 1 || n[0].From != peer || n[0].To != moved || n[0].Local != local || n[0].SPIIn != 0 || n[0].SA == nil || n[0].SA.SPI != 0x1000 {
		t.Fatalf("%+v", n)
	}
	for _, s := range []*Single{a, b} {
		if s.Endpoint().Remote != moved {
			t.Errorf("%#x sends to %v", s.spi, s.Endpoint().Remote)
		}
		if x, ok := db.LookupSA(SAID{ProtoESP, s.spi, peer.Addr()}); !ok || x != s || x.Info().DstPort != peer.Port() || x.Info().Endpoint.Remote != moved {
			t.Errorf("%#x has lost the name that its owner knows", s.spi)
		}
	}
	if c.Endpoint().Remote != peer || d.Endpoint().Remote != netip.AddrPortFrom(peer.Addr(), 9) {
		t.Error("what another owner has, or what went elsewhere, moved")
	}
	if pkt, err := seals(a, start, 1); err != nil || pkt[7] != 3 {
		t.Errorf("the counter did not go on: %v", err)
	}
	if i := in.Info(); i.Endpoint.Remote != moved {
		t.Errorf("expected from %v", i.Endpoint.Remote)
	}
	if n := step(7, moved); len(n) != 0 {
		t.Errorf("told again: %+v", n)
	}
	// The owner says its addresses again, for a lifetime: what has moved stays.
	e := a.spot()
	if err := db.UpdateSA(start, a.id(), Change{Endpoint: &e, Limits: &Limits{HardTime: time.Hour}}); err != nil || a.Endpoint().Remote != moved {
		t.Errorf("an update of limits moved it back: %v", err)
	}
	if n := step(8, peer); len(n) != 1 || a.Endpoint().Remote != peer {
		t.Errorf("back: %+v", n)
	}
	for _, s := range []*Single{in, a, b, c, d} {
		if _, err := db.DeleteSA(start, s.id()); err != nil {
			t.Error(err)
		}
	}
	empty(t, db)
}

// TestFollowOff: a daemon that moves its SAs itself is told, once a second, until it has.
func TestFollowOff(t *testing.T) {
	db := newDB(t, 0)
	db.SetFollow(1, false)
	in, out := addSA(t, db, inSA(0x1000)), addSA(t, db, outSA(0x2000))
	moved := netip.MustParseAddrPort("198.51.100.2:40404")
	told := 0
	for i := range 10 {
		_ = opens(db, start.Add(time.Duration(i)*500*time.Millisecond), packet(t, 0x1000, i+1), moved, local)
		told += len(mappings(db))
	}
	if told != 5 || out.Endpoint().Remote != peer {
		t.Errorf("told %d times in 5 s; sends to %v", told, out.Endpoint().Remote)
	}
	e := in.spot()
	e.Src, e.SrcPort = moved.Addr(), moved.Port()
	if err := db.UpdateSA(start, in.id(), Change{Endpoint: &e}); err != nil {
		t.Fatal(err)
	}
	e = out.spot()
	e.Dst, e.DstPort = moved.Addr(), moved.Port()
	if err := db.UpdateSA(start, out.id(), Change{Endpoint: &e}); err != nil {
		t.Fatal(err)
	}
	_ = opens(db, start.Add(time.Minute), packet(t, 0x1000, 20), moved, local)
	if n := mappings(db); len(n) != 0 {
		t.Errorf("after the owner moved it: %+v", n)
	}
	db.SetFollow(1, true)
	_ = opens(db, start.Add(time.Minute), packet(t, 0x1000, 21), peer, local)
	if n := mappings(db); len(n) != 1 {
		t.Errorf("switched on again: %+v", n)
	}
}

// TestFollowOnePeer: a peer that writes another's address as its source takes nothing of the other's, now or later, and does not end up
// at its address itself; whether both are one owner's or not.
func TestFollowOnePeer(t *testing.T) {
	for _, owner := range []uint64{1, 2} {
		followOnePeer(t, owner)
	}
}

func followOnePeer(t *testing.T, owner uint64) {
	db := newDB(t, 0)
	b := netip.MustParseAddrPort("203.0.113.77:4500")
	addSA(t, db, inSA(0x1000))
	outA := addSA(t, db, outSA(0x2000))
	ib, ob := inSA(0x1100), outSA(0x2100)
	ib.Owner, ob.Owner = owner, owner
	ib.Src, ib.SrcPort, ob.Dst, ob.DstPort = b.Addr(), b.Port(), b.Addr(), b.Port()
	addSA(t, db, ib)
	outB := addSA(t, db, ob)
	for i, from := range []netip.AddrPort{peer, b, peer, b} {
		_ = opens(db, start.Add(time.Duration(i)*2*time.Second), packet(t, 0x1100, i+1), from, local)
		mappings(db)
		if outA.Endpoint().Remote != peer || outB.Endpoint().Remote != b {
			t.Fatalf("packet %d: one peer's SA sends to %v, the other's to %v", i, outA.Endpoint().Remote, outB.Endpoint().Remote)
		}
	}
	// Its own NAT may still give it another address.
	moved := netip.MustParseAddrPort("203.0.113.77:40404")
	_ = opens(db, start.Add(time.Minute), packet(t, 0x1100, 9), moved, local)
	if mappings(db); outB.Endpoint().Remote != moved {
		t.Errorf("after a new mapping: %v", outB.Endpoint().Remote)
	}
}

// TestT069RaceSingle: an attacker on the path copies a packet and delivers it first from his own address. The peer's next packet puts
// it right, whenever it comes.
func TestT069RaceSingle(t *testing.T) {
	for _, between := range []bool{false, true} {
		db := newDB(t, 0)
		addSA(t, db, inSA(0x1000))
		out := addSA(t, db, outSA(0x2000))
		first, second := packet(t, 0x1000, 1), packet(t, 0x1000, 2)
		_ = opens(db, start, first, thief, local)
		if between {
			if mappings(db); out.Endpoint().Remote != thief {
				t.Error("an authentic packet was not followed")
			}
		}
		if err := opens(db, start, first, peer, local); err == nil {
			t.Error("the original opened twice")
		}
		if err := opens(db, start, second, peer, local); err != nil {
			t.Error(err)
		}
		if mappings(db); out.Endpoint().Remote != peer {
			t.Errorf("sends to %v after the peer's next packet", out.Endpoint().Remote)
		}
		forged := packet(t, 0x1000, 9)
		forged[len(forged)-1] ^= 1
		_ = opens(db, start, forged, thief, local)
		if n := mappings(db); len(n) != 0 || out.Endpoint().Remote != peer {
			t.Errorf("a forged packet moved it: %+v", n)
		}
	}
}

// TestFollowLeavesOthers: where a peer has moved to, its owner may add an SA for another one later. When the first moves on the other's
// stays; and nothing moves to an address of another family.
func TestFollowLeavesOthers(t *testing.T) {
	db := newDB(t, 0)
	addSA(t, db, inSA(0x1000))
	out := addSA(t, db, outSA(0x2000))
	first, second := netip.MustParseAddrPort("198.51.100.2:40404"), netip.MustParseAddrPort("198.51.100.2:50505")
	_ = opens(db, start, packet(t, 0x1000, 1), first, local)
	if mappings(db); out.Endpoint().Remote != first {
		t.Fatalf("sends to %v", out.Endpoint().Remote)
	}
	late := outSA(0x2001)
	late.DstPort = first.Port()
	other := addSA(t, db, late)
	_ = opens(db, start, packet(t, 0x1000, 2), second, local)
	mappings(db)
	if out.Endpoint().Remote != second || other.Endpoint().Remote != first {
		t.Errorf("the peer's SA sends to %v, the other's to %v", out.Endpoint().Remote, other.Endpoint().Remote)
	}
	_ = opens(db, start, packet(t, 0x1000, 3), netip.MustParseAddrPort("[2001:db8::1]:4500"), local)
	if mappings(db); out.Endpoint().Remote != second {
		t.Errorf("an IPv4 SA sends to %v", out.Endpoint().Remote)
	}
}

// TestFollowHeard: a peer moves to the source that was looked at, and to none that has come in between; that is looked at then.
func TestFollowHeard(t *testing.T) {
	db := newDB(t, 0)
	in := addSA(t, db, inSA(0x1000))
	out := addSA(t, db, outSA(0x2000))
	moved := netip.MustParseAddrPort("198.51.100.2:40404")
	_ = opens(db, start, packet(t, 0x1000, 1), moved, local)
	_ = opens(db, start, packet(t, 0x1000, 2), thief, local)
	r := in.receiver.Load()
	if _, to, _, ok := r.claim(false, moved); ok {
		t.Errorf("moved to %v, which nobody looked at", to)
	}
	if mappings(db); out.Endpoint().Remote != thief {
		t.Errorf("sends to %v after the next look", out.Endpoint().Remote)
	}
}

// TestFollowOneAfterAnother: where one client of a NAT was, another is later, and then the first one again: each goes where it is heard as
// long as nobody is there, and takes nothing of the other with it.
func TestFollowOneAfterAnother(t *testing.T) {
	db := newDB(t, 0)
	nat := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(peer.Addr(), port) }
	var outs [2]*Single
	for i := range outs {
		in, out := inSA(0x1000+uint32(i)), outSA(0x2000+uint32(i))
		in.SrcPort, out.DstPort = 30001+uint16(i), 30001+uint16(i)
		in.Owner, out.Owner = 1, 1
		addSA(t, db, in)
		outs[i] = addSA(t, db, out)
	}
	for n, c := range []struct {
		who   int
		from  uint16
		where [2]uint16
	}{
		{0, 40000, [2]uint16{40000, 30002}},
		{1, 40000, [2]uint16{40000, 30002}}, // the first is there
		{0, 40001, [2]uint16{40001, 30002}},
		{1, 40000, [2]uint16{40001, 40000}}, // it is not any more
		{0, 40000, [2]uint16{40001, 40000}},
		{1, 30001, [2]uint16{40001, 30001}}, // where the first began
		{0, 40000, [2]uint16{40000, 30001}},
	} {
		_ = opens(db, start.Add(time.Duration(n)*2*time.Second), packet(t, 0x1000+uint32(c.who), n+1), nat(c.from), local)
		mappings(db)
		for i, out := range outs {
			if got := out.Endpoint().Remote; got != nat(c.where[i]) {
				t.Errorf("step %d: client %d is at %v, expected port %d", n, i, got, c.where[i])
			}
		}
	}
}
