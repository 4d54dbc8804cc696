// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Ports that come back, and what many clients behind one NAT cost.

package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

// TestHostSpeaksAgain: what this host begins to a port of a client that is gone waits until that has rested since its end was seen, and
// no packet need come from anybody for that.
func TestHostSpeaksAgain(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	a, b := h.move(), h.move()
	if who, _ := h.down(protoUDP, 7777); who != a {
		t.Fatal("it is not the first client's, whose policy is the first")
	}
	h.gw.db.Remove(h.now, a.spiGW, false)
	for _, passed := range []time.Duration{0, time.Minute, 5*time.Minute - time.Second} {
		h.now = time.Unix(1_800_000_000, 0).Add(passed)
		if who, _ := h.down(protoUDP, 7777); who != nil {
			t.Errorf("after %s somebody else got it", passed)
		}
	}
	h.now = time.Unix(1_800_000_000, 0).Add(5*time.Minute + time.Second)
	if who, _ := h.down(protoUDP, 7777); who != b {
		t.Errorf("after five minutes it reaches nobody: %v", h.gw.e.Counters())
	}
}

// TestQuotesNoAllocation: a batch of errors each way.
func TestQuotesNoAllocation(t *testing.T) {
	h := houseOf(t, natted)
	h.move()
	c := h.move()
	port := h.up(c, protoUDP, 1701)
	client, gateway, outside := natted.client.Addr(), natted.gateway.Addr(), natted.outside.Addr()
	up := complaint(client, gateway, 3, 3, 0, packet(gateway, client, protoUDP, udpOf(1701, 1701, 8)))
	down := complaint(gateway, outside, 3, 3, 0, packet(outside, gateway, protoUDP, udpOf(port, 1701, 8)))
	const n = 32
	var bufs [n][]byte
	var sizes [n]int
	for i := range n {
		bufs[i], sizes[i] = make([]byte, Headroom+len(up)), len(up)
	}
	var grams [maxDatagrams]Datagram
	memory := make([]byte, 1<<20)
	send := func(from *end, p []byte) []Datagram {
		for i := range n {
			copy(bufs[i][Headroom:], p)
		}
		list := grams[:received(grams[:], memory, from.out.Seal(h.now, bufs[:], sizes[:], Headroom).Datagrams)]
		for i := range list {
			list[i].Remote, list[i].Local = natted.gateway, natted.client
			if from == c.end {
				list[i].Remote, list[i].Local = c.s.outside, natted.gateway
			}
		}
		return list
	}
	run := func() {
		if got := h.gw.in.Open(h.now, send(c.end, up)); len(got.Packets) != n {
			t.Fatalf("%d packets up; %v %v", len(got.Packets), c.e.Counters(), h.gw.e.Counters())
		}
		if got := c.in.Open(h.now, send(h.gw, down)); len(got.Packets) != n {
			t.Fatalf("%d packets down; %v %v", len(got.Packets), h.gw.e.Counters(), c.e.Counters())
		}
	}
	run()
	if a := testing.AllocsPerRun(20, run); a != 0 {
		t.Errorf("%v allocations for %d errors", a, 2*n)
	}
}

// BenchmarkClients: a packet of one of 1,000 clients behind one NAT in, and its answer out, in batches.
func BenchmarkClients(b *testing.B) {
	now := time.Unix(1_800_000_000, 0)
	gw := newEnd(b, now, Config{})
	at := natted.outside.Addr()
	var pairs []*sadb.Pair
	for i := range 1000 {
		l := lodge(b, now, gw, uint64(i+1), at)
		pairs = append(pairs, l.pair)
	}
	own, clock := slotAt(at, 1701), gw.db.Clock(now)
	for i := 0; b.Loop(); i++ {
		port, ok := gw.e.nats.arrive(clock, own, who{pair: pairs[i%len(pairs)]})
		if !ok {
			b.Fatal("no port")
		}
		k := own
		k.port = port
		if to, _ := gw.e.nats.leave(clock, k); to.pair != pairs[i%len(pairs)] {
			b.Fatal("another's")
		}
	}
}

// TestManyFillNothing: identities, each in a network of its own, that take all that they may and delete it leave something for one who
// comes after them, and for one whose NAT is one of theirs.
func TestManyFillNothing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	gw := newEnd(t, now, Config{})
	sh := gw.e.nats.shard(slotAt(natted.outside.Addr(), 1).remote)
	at := natted.outside.Addr()
	next := func() netip.Addr {
		for at = at.Next(); gw.e.nats.shard(slotAt(at, 1).remote) != sh; at = at.Next() {
		}
		return at
	}
	const greedy = 2 * maxShardFlows / maxPeerFlows
	for peer := range uint64(greedy) {
		fill(t, now, gw, 100+peer, next(), maxPeerFlows/maxFlows)
	}
	for i, a := range []netip.Addr{at, next()} {
		l := lodge(t, now, gw, 7+uint64(i), a)
		for port := range uint16(maxFlows) {
			if _, ok := gw.e.nats.arrive(gw.db.Clock(now), slotAt(a, 1000+port), who{pair: l.pair}); !ok {
				t.Fatalf("no room for flow %d of who comes later", port)
			}
		}
	}
}
