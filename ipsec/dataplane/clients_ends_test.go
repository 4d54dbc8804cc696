// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Whose a port is when its client has ended, and when others at the NAT have SAs of another kind.

package dataplane

import (
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// single adds an SA of a client's that opens, as PF_KEY does.
func single(t testing.TB, now time.Time, gw *end, spi uint32, port uint16) *sadb.Receiver {
	t.Helper()
	err := gw.db.AddSA(now, sadb.SA{Proto: sadb.ProtoESP, SPI: spi, Src: natted.outside.Addr(), Dst: natted.gateway.Addr(), SrcPort: port, DstPort: 4500,
		Encap: natt.NonESP, Mode: sadb.Transport, Suite: gcm, Key: key(20), Owner: 1})
	if err != nil {
		t.Fatal(err)
	}
	return gw.db.Receiver(sadb.ProtoESP, spi, natted.gateway.Addr())
}

// TestSingleGetsNoPair: what is for a client of single SAs is not sealed under the pair of another at its NAT.
func TestSingleGetsNoPair(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	h.move()
	r := single(t, h.now, h.gw, 0x1000, 30000)
	if _, ok := h.gw.e.nats.arrive(h.gw.db.Clock(h.now), slotAt(natted.outside.Addr(), 1701), who{rcv: r}); !ok {
		t.Fatal("no port")
	}
	if who, _ := h.down(protoUDP, 1701); who != nil {
		t.Error("it was sealed for another")
	}
	h.gw.count(OutNoSA, 1)
}

// TestTagOfTheGone: a single SA is not of a client that had its endpoint and ended long ago, or has another address inside.
func TestTagOfTheGone(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	gw, at := newEnd(t, now, Config{}), natted.outside.Addr()
	port := func(r *sadb.Receiver) uint16 {
		got, _ := gw.e.nats.arrive(gw.db.Clock(now), slotAt(at, 1701), who{rcv: r})
		return got
	}
	first := port(single(t, now, gw, 0x1000, 30000))
	if got := port(single(t, now, gw, 0x1001, 30000)); got != first {
		t.Errorf("another SA of the client's has port %d", got)
	}
	for _, spi := range []uint32{0x1000, 0x1001} {
		if _, err := gw.db.DeleteSA(now, sadb.SAID{Proto: sadb.ProtoESP, SPI: spi, Dst: natted.gateway.Addr()}); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Duration(tickPause))
	gw.e.Tick(now)
	if got := port(single(t, now, gw, 0x1010, 31000)); got == first || got == 0 {
		t.Errorf("another has port %d", got)
	}
	now = now.Add(time.Duration(endpointRest))
	if got := port(single(t, now, gw, 0x1002, 30000)); got == first || got == 0 {
		t.Errorf("who came later has port %d, which was another's", got)
	}
}

// TestReuseTakesNothing: a port that rested, and is another's by now, is not reused.
func TestReuseTakesNothing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	gw, at := newEnd(t, now, Config{}), natted.outside.Addr()
	fill(t, now, gw, 6, at, 1) // rests longest
	fill(t, now, gw, 7, at, maxPeerFlows/maxFlows)
	clock := gw.db.Clock(now)
	sh := gw.e.nats.shard(slotAt(at, 1).remote)
	last := lodge(t, now, gw, 7, at)
	if _, ok := gw.e.nats.arrive(clock, slotAt(at, 999), who{pair: last.pair}); !ok {
		t.Fatal("no port")
	}
	var by *account
	for p, a := range sh.accounts {
		if p.peer == 7 {
			by = a
		}
	}
	f := by.first
	other := lodge(t, now, gw, 8, at)
	f.endedAt = clock - flowRest // its client was found to be gone late
	if port, ok := gw.e.nats.arrive(clock, f.key, who{pair: other.pair}); !ok || port != f.port {
		t.Fatalf("a port that has rested is not given out: %d, %v", port, ok)
	}
	for port := range uint16(4) {
		gw.e.nats.arrive(clock, slotAt(at, 2000+port), who{pair: last.pair})
	}
	if to, _ := gw.e.nats.leave(clock, f.key); to.pair != other.pair {
		t.Error("its identity has taken it from another")
	}
}

// TestBlockOfPorts: a client that has a block of the ports that are given out leaves others ports that they find.
func TestBlockOfPorts(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	gw, at := newEnd(t, now, Config{}), natted.outside.Addr()
	clock := gw.db.Clock(now)
	a, b := lodge(t, now, gw, 7, at), lodge(t, now, gw, 8, at)
	for i := range uint16(maxFlows) {
		gw.e.nats.arrive(clock, slotAt(at, firstPort+i), who{pair: a.pair})
	}
	for i := range uint16(3) {
		if _, ok := gw.e.nats.arrive(clock, slotAt(at, firstPort+i), who{pair: b.pair}); !ok {
			t.Error("no port")
		}
	}
}

// TestFullLooksOnce: the flows of a client that is full are looked through once, and again when the first of them lapses.
func TestFullLooksOnce(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	gw, at := newEnd(t, now, Config{}), natted.outside.Addr()
	clock := gw.db.Clock(now)
	a := lodge(t, now, gw, 7, at)
	for i := range uint16(maxFlows) {
		gw.e.nats.arrive(clock, slotAt(at, 1000+i), who{pair: a.pair})
	}
	next := func(at int64) bool {
		_, ok := gw.e.nats.arrive(at, slotAt(natted.outside.Addr(), 999), who{pair: a.pair})
		return ok
	}
	if next(clock) {
		t.Fatal("there is room")
	}
	k := slotAt(at, 1000)
	gw.e.nats.shard(k.remote).out[k].used.Store(clock - flowIdle) // which no packet does: only who looks sees it
	if next(clock + flowIdle - 1) {
		t.Error("looked again")
	}
	if !next(clock + flowIdle) {
		t.Error("an idle flow did not make room")
	}
}

// TestTickLetsGo: what a client was is forgotten a while after its end, its SAs at once with it and its port later, though nobody comes;
// one that lives keeps its port, and one of many ends as well.
func TestTickLetsGo(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	gone, stays := h.move(), h.move()
	h.up(gone, protoUDP, 1701)
	kept := h.up(stays, protoUDP, 1701)
	sh := h.gw.e.nats.shard(slotAt(natted.outside.Addr(), 1701).remote)
	look := func(clients, ports int) {
		t.Helper()
		h.gw.e.Tick(h.now)
		if n := len(sh.clients[natted.outside.Addr()]); n != clients || len(sh.out) != ports || int(sh.people.Load()) != clients {
			t.Errorf("%d clients, %d ports, expected %d and %d", n, len(sh.out), clients, ports)
		}
	}
	look(2, 2)
	h.gw.db.Remove(h.now, gone.spiGW, false)
	h.now = h.now.Add(time.Duration(tickPause))
	look(2, 2) // found
	h.now = h.now.Add(time.Duration(tickPause))
	look(2, 2) // another pair of its may be on its way
	h.now = h.now.Add(time.Duration(endpointRest))
	look(1, 2)
	h.now = h.now.Add(time.Duration(flowRest))
	look(1, 1)
	if port := h.up(stays, protoUDP, 1701); port != kept {
		t.Errorf("who lives has port %d, had %d", port, kept)
	}
}

// TestTickIsBounded: however many have ended, one tick holds a shard for a bounded number of entries, and the next goes on.
func TestTickIsBounded(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	sh := h.gw.e.nats.shard(slotAt(natted.outside.Addr(), 1701).remote)
	const people = tickStep/maxFlows + 2
	var all []*tenant
	for range people {
		c := h.move()
		for port := range maxFlows {
			h.up(c, protoUDP, uint16(2000+port))
		}
		all = append(all, c)
	}
	for _, c := range all {
		h.gw.db.Remove(h.now, c.spiGW, false)
	}
	h.now = h.now.Add(time.Duration(tickPause))
	h.gw.e.Tick(h.now)
	for _, want := range []int{people - tickStep/maxFlows, 0} {
		h.now = h.now.Add(time.Duration(endpointRest))
		h.gw.e.Tick(h.now)
		if n := len(sh.clients[natted.outside.Addr()]); n != want {
			t.Errorf("%d clients, expected %d", n, want)
		}
	}
	ports := len(sh.out)
	h.now = h.now.Add(time.Duration(flowRest))
	h.gw.e.Tick(h.now)
	if n := len(sh.out); ports-n != tickStep {
		t.Errorf("%d ports of %d, expected %d fewer", n, ports, tickStep)
	}
}
