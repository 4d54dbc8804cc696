// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What one client may take of the table of clients, and what it keeps when its NAT gives it another port or address.

package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// lodger is a pair at a gateway whose other end there is not.
type lodger struct {
	pair *sadb.Pair
	spi  uint32
}

// lodge installs a pair of an identity's at a NAT of IPv4, lodge6 at one of IPv6.
func lodge(t testing.TB, now time.Time, gw *end, peer uint64, at netip.Addr) lodger {
	t.Helper()
	return lodgeAt(t, now, gw, peer, at, natted.gateway, natted.client.Addr())
}

func lodge6(t testing.TB, now time.Time, gw *end, peer uint64, at netip.Addr) lodger {
	t.Helper()
	return lodgeAt(t, now, gw, peer, at, nat6.gateway, netip.Addr{})
}

func lodgeAt(t testing.TB, now time.Time, gw *end, peer uint64, at netip.Addr, gateway netip.AddrPort, orig netip.Addr) lodger {
	t.Helper()
	gw.reserve(now, 0)
	one := func(a netip.Addr) []sadb.Selector { return []sadb.Selector{{From: a, To: a, PortTo: 65535}} }
	err := gw.db.Install(now, sadb.Child{
		Reqid: gw.reqid, SPIIn: gw.spi, SPIOut: gw.spi ^ 1, Suite: gcm, Mode: sadb.Transport, KeyIn: key(20), KeyOut: key(20), Peer: peer,
		Endpoint: sadb.Endpoint{Local: gateway, Remote: netip.AddrPortFrom(at, 4500), Encap: natt.NonESP},
		TSLocal:  one(gateway.Addr()), TSRemote: one(at), OrigRemote: orig,
	})
	if err != nil {
		t.Fatal(err)
	}
	return lodger{gw.db.Inbound(gw.spi), gw.spi}
}

func slotAt(a netip.Addr, port uint16) slot { return slotOf(a, natted.gateway.Addr(), port) }

func slot6(a netip.Addr) slot { return slotOf(a, nat6.gateway.Addr(), 1701) }

func slotOf(a, gateway netip.Addr, port uint16) slot {
	p := packet(a, gateway, protoUDP, udpOf(port, 1, 0))
	var in inner
	parse(p, false, &in)
	k, _, _ := sideOf(p, &in, false)
	return k
}

// fill has an identity make children, use all that one may and delete it again, and returns how many ports it got.
func fill(t testing.TB, now time.Time, gw *end, peer uint64, at netip.Addr, children int) int {
	t.Helper()
	n := 0
	for range children {
		l := lodge(t, now, gw, peer, at)
		for port := range uint16(maxFlows) {
			if _, ok := gw.e.nats.arrive(gw.db.Clock(now), slotAt(at, 1000+port), who{pair: l.pair}); ok {
				n++
			}
		}
		gw.db.Remove(now, l.spi, false)
	}
	return n
}

// TestOneIdentityFillsNothing: who makes and deletes children in a row spends what is its own. Others, at the same NAT as well, find
// room; it goes on itself with the ports that its children had, and nobody else gets those before they have rested.
func TestOneIdentityFillsNothing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	gw, at := newEnd(t, now, Config{}), natted.outside.Addr()
	const children = maxShardFlows/maxFlows + 8 // more than a shard holds
	fill(t, now, gw, 7, at, children)
	sh := gw.e.nats.shard(slotAt(at, 1).remote)
	if len(sh.out) > maxPeerFlows {
		t.Errorf("one identity has %d flows, expected at most %d", len(sh.out), maxPeerFlows)
	}
	had := map[uint16]bool{}
	for k := range sh.out {
		had[k.port] = true
	}
	other := lodge(t, now, gw, 8, at)
	for port := range uint16(maxFlows) {
		got, ok := gw.e.nats.arrive(gw.db.Clock(now), slotAt(at, 1000+port), who{pair: other.pair})
		if !ok {
			t.Fatalf("another identity has no room for its flow %d", port)
		}
		if had[got] {
			t.Fatalf("port %d was another identity's a moment ago", got)
		}
	}
	again := lodge(t, now, gw, 7, at)
	if port, ok := gw.e.nats.arrive(gw.db.Clock(now), slotAt(at, 1701), who{pair: again.pair}); !ok || !had[port] {
		t.Errorf("its next child has port %d, %v: expected one that its children had", port, ok)
	}
	// When all have rested nothing is left of them.
	gw.db.Remove(now, again.spi, false)
	now = now.Add(time.Duration(flowRest) + time.Second)
	for range 4 { // those that nobody looked at since they ended rest first
		lodge(t, now, gw, 9, at)
		fill(t, now, gw, 9, at, 1)
		now = now.Add(time.Duration(flowRest) + time.Second)
	}
	last := lodge(t, now, gw, 10, at)
	gw.e.nats.arrive(gw.db.Clock(now), slotAt(at, 1), who{pair: last.pair})
	for p, a := range sh.accounts {
		if p.peer == 7 {
			t.Errorf("it is still charged for %d", a.n)
		}
	}
}

// TestOneNetworkFillsNothing: identities that a network makes up leave half of a shard to others.
func TestOneNetworkFillsNothing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	gw := newEnd(t, now, Config{})
	// Addresses of one /64 that share a shard.
	at := netip.MustParseAddr("2001:db8:9::5")
	shardOf := func(a netip.Addr) *clientShard { return gw.e.nats.shard(slot6(a).remote) }
	list := []netip.Addr{at}
	for a := at.Next(); len(list) < 4; a = a.Next() {
		if shardOf(a) == shardOf(at) {
			list = append(list, a)
		}
	}
	peer := uint64(100)
	for _, a := range list {
		for range 3 {
			peer++
			for range maxPeerFlows / maxFlows {
				l := lodge6(t, now, gw, peer, a)
				for port := range uint16(maxFlows) {
					k := slot6(a)
					k.port = 1000 + port
					gw.e.nats.arrive(gw.db.Clock(now), k, who{pair: l.pair})
				}
				gw.db.Remove(now, l.spi, false)
			}
		}
	}
	if total := len(shardOf(at).out); total != maxNetFlows {
		t.Errorf("one network has %d flows, expected %d", total, maxNetFlows)
	}
	other := netip.MustParseAddr("2001:db8:a::1")
	for shardOf(other) != shardOf(at) {
		other = other.Next()
	}
	l := lodge6(t, now, gw, 1, other)
	if _, ok := gw.e.nats.arrive(gw.db.Clock(now), slot6(other), who{pair: l.pair}); !ok {
		t.Error("another network has no room")
	}
}

// TestNATMoves: a client's NAT gives it another port, then another address. This host's server goes on seeing the same peer, answers reach
// the client at its own port, and every checksum is right; a client that comes to the old address, or was at the new one, is another.
func TestNATMoves(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	first, c := h.move(), h.move()
	h.up(first, protoUDP, 1701)
	port := h.up(c, protoUDP, 1701)
	id := h.up(c, protoICMP, 77)
	at := netip.MustParseAddr("203.0.113.99")
	neighbour := seen{natted.client, netip.AddrPortFrom(at, 31001), natted.gateway}
	h.s = neighbour
	n := h.move()
	if h.up(n, protoUDP, 1701) != 1701 {
		t.Fatal("the neighbour has not its own port")
	}
	h.s = natted
	for _, to := range []netip.AddrPort{netip.AddrPortFrom(natted.outside.Addr(), 40404), netip.AddrPortFrom(at, 40405), netip.AddrPortFrom(at, 40406), natted.outside} {
		c.s.outside = to
		if got := h.up(c, protoUDP, 1701); got != port {
			t.Fatalf("%s: before the move the port is %d, was %d; %v", to, got, port, h.gw.e.Counters())
		}
		if err := h.gw.db.Move(h.now, c.spiGW, sadb.Endpoint{Local: natted.gateway, Remote: to, Encap: natt.NonESP}); err != nil {
			t.Fatal(err)
		}
		if got := h.up(c, protoUDP, 1701); got != port {
			t.Fatalf("%s: the port is %d, was %d", to, got, port)
		}
		if got := h.up(c, protoICMP, 77); got != id {
			t.Errorf("%s: the identifier is %d, was %d", to, got, id)
		}
		if who, own := h.down(protoUDP, port); who != c || own != 1701 {
			t.Fatalf("%s: the answer reached somebody else, or port %d; %v", to, own, h.gw.e.Counters())
		}
		if who, _ := h.down(protoUDP, 1701); who != first {
			t.Errorf("%s: what is for the first client reached somebody else", to)
		}
		old := c.spiGW
		h.install(c, c.reqid) // a rekey: the selectors are those of the beginning
		if err := h.gw.db.Move(h.now, c.spiGW, sadb.Endpoint{Local: natted.gateway, Remote: to, Encap: natt.NonESP}); err != nil {
			t.Fatal(err)
		}
		h.gw.db.Remove(h.now, old, false)
	}
}

// TestMovedButNotNatted: a peer that is not behind a NAT is where its address is: what comes from elsewhere is not its.
func TestMovedButNotNatted(t *testing.T) {
	p := newPeers(t, plain, natt.NonESP, nil)
	p.s.outside = netip.MustParseAddrPort("192.0.2.2:4500")
	if got := p.says(17, udpOf(7, 9, 4)); len(got) != 0 {
		t.Error("delivered")
	}
	p.gw.count(InSelectors, 1)
}

// TestSinglesKeepTheirPort: a client of PF_KEY's SAs keeps its port when its NAT gives it another, when its SAs are replaced by such with
// that, and when the old ones go before a packet has come by the new.
func TestSinglesKeepTheirPort(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	gw := newEnd(t, now, Config{})
	for _, dir := range []sadb.Dir{sadb.Out, sadb.In} {
		e := sadb.SPDEntry{Dir: dir, Action: sadb.Protect, Local: host(natted.gateway.Addr()), Remote: host(natted.outside.Addr()),
			Templates: []sadb.Template{tmpl(sadb.ProtoESP, sadb.Transport, sadb.Require)}}
		if _, err := gw.db.SPDAdd(now, e); err != nil {
			t.Fatal(err)
		}
	}
	// client has SAs of its own at both ends.
	type client struct {
		*end
		spi  uint32
		from netip.AddrPort
	}
	add := func(c *client, spi uint32) {
		for i, k := range [][2]netip.AddrPort{{c.from, natted.gateway}, {natted.gateway, c.from}} {
			sa := sadb.SA{Proto: sadb.ProtoESP, SPI: spi + uint32(i), Src: k[0].Addr(), Dst: k[1].Addr(), SrcPort: k[0].Port(), DstPort: k[1].Port(),
				Encap: natt.NonESP, Mode: sadb.Transport, Suite: gcm, Key: key(20), Owner: 1}
			if err := gw.db.AddSA(now, sa); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				sa.Src, sa.SrcPort = natted.client.Addr(), 4500
			} else {
				sa.Dst, sa.DstPort = natted.client.Addr(), 4500
			}
			if err := c.db.AddSA(now, sa); err != nil {
				t.Fatal(err)
			}
		}
		c.spi = spi
	}
	drop := func(c *client, spi uint32) {
		for i, dst := range []netip.Addr{natted.gateway.Addr(), natted.outside.Addr()} {
			if _, err := gw.db.DeleteSA(now, sadb.SAID{Proto: sadb.ProtoESP, SPI: spi + uint32(i), Dst: dst}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.db.DeleteSA(now, sadb.SAID{Proto: sadb.ProtoESP, SPI: spi, Dst: natted.gateway.Addr()}); err != nil {
			t.Fatal(err)
		}
	}
	come := func(port uint16, spi uint32) *client {
		c := &client{end: newEnd(t, now, Config{}), from: netip.AddrPortFrom(natted.outside.Addr(), port)}
		add(c, spi)
		for dir, remote := range map[sadb.Dir]netip.Addr{sadb.Out: natted.gateway.Addr()} {
			e := sadb.SPDEntry{Dir: dir, Action: sadb.Protect, Local: host(natted.client.Addr()), Remote: host(remote),
				Templates: []sadb.Template{tmpl(sadb.ProtoESP, sadb.Transport, sadb.Require)}}
			if _, err := c.db.SPDAdd(now, e); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	up := func(c *client) uint16 {
		t.Helper()
		s := natted
		s.outside = c.from
		got := gw.open(now, cross(c.seal(now, packet(natted.client.Addr(), natted.gateway.Addr(), 17, udpOf(1701, 1701, 4))), s, true))
		gw.db.Notices(make([]sadb.Notice, 8)) // it follows
		if len(got) != 1 {
			t.Fatalf("%v %v", c.e.Counters(), gw.e.Counters())
		}
		return binary.BigEndian.Uint16(got[0][20:])
	}
	down := func(port uint16, c *client) {
		t.Helper()
		grams := gw.seal(now, packet(natted.gateway.Addr(), natted.outside.Addr(), 17, udpOf(1701, port, 4)))
		if len(grams) != 1 || binary.BigEndian.Uint32(grams[0].Buf) != c.spi+1 || grams[0].Remote != c.from {
			t.Errorf("sent %v, expected to %s on %08x; %v", grams, c.from, c.spi+1, gw.e.Counters())
		}
	}
	a, b := come(31001, 0x1000), come(31002, 0x2000)
	pa, pb := up(a), up(b)
	if pa == pb {
		t.Fatal("both have one port")
	}
	b.from = netip.AddrPortFrom(natted.outside.Addr(), 40404)
	if up(b) != pb {
		t.Error("another port of the NAT's is another port here")
	}
	down(pb, b)
	down(pa, a)
	old := b.spi
	add(b, 0x3000) // its daemon knows where it is by now
	drop(b, old)
	down(pb, b)                                          // no packet has come by the new SA
	for _, d := range []int64{tickPause, endpointRest} { // nor does one for a while
		now = now.Add(time.Duration(d))
		gw.e.Tick(now)
	}
	down(pb, b)
	if up(b) != pb {
		t.Error("a new SA with the same endpoint has another port")
	}
	now = now.Add(time.Second)
	drop(b, b.spi)
	late := func() int {
		return len(gw.seal(now, packet(natted.gateway.Addr(), natted.outside.Addr(), 17, udpOf(1701, pb, 4))))
	}
	if late() != 0 {
		t.Error("what was for a client that is gone was sent")
	}
	now = now.Add(time.Duration(flowRest))
	if late(); late() == 0 {
		t.Error("the port is nobody's for ever")
	}
	down(pa, a)
}
