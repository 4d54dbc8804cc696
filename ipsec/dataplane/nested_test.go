// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A tunnel in a tunnel to another gateway, by one policy and by one for each tunnel; random bundles; sizes; and that nothing is allocated.

package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// site is three hosts: a traveller, the gateway that it meets first, and one behind that.
type site struct {
	*duo
	h, near, far *end
	// addresses of the hosts, and of what is behind the traveller and the far gateway.
	hAddr, nearAddr, farAddr, src, dst netip.Addr
}

func newSite(t testing.TB, v6 bool) *site {
	d := newDuo(t, plain)
	s := &site{duo: d, h: d.a, near: d.b, far: newEnd(t, d.now, Config{})}
	list := []string{"192.0.2.1", "198.51.100.2", "203.0.113.9", "10.1.0.5", "10.2.0.7"}
	if v6 {
		list = []string{"2001:db8:f::1", "2001:db8:f::2", "2001:db8:f::9", "2001:db8:1::5", "2001:db8:2::7"}
	}
	for i, a := range []*netip.Addr{&s.hAddr, &s.nearAddr, &s.farAddr, &s.src, &s.dst} {
		*a = netip.MustParseAddr(list[i])
	}
	return s
}

// tunnel adds the SAs between the traveller and a gateway to both.
func (s *site) tunnel(g *end, at netip.Addr, spi uint32) {
	s.t.Helper()
	for i := range uint32(2) {
		sa := sadb.SA{Proto: sadb.ProtoESP, SPI: spi + i, Src: s.hAddr, Dst: at, Mode: tn, Suite: gcm, Key: key(20), Window: 64, CopyDF: true, CopyECN: true}
		if i == 1 {
			sa.Src, sa.Dst = at, s.hAddr
		}
		for _, h := range []*end{s.h, g} {
			if err := h.db.AddSA(s.now, sa); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// both adds policies of a host for both directions; each template is a gateway's address.
func (s *site) both(h *end, own, local, remote netip.Addr, gateways ...netip.Addr) {
	s.t.Helper()
	for _, dir := range []sadb.Dir{sadb.Out, sadb.In} {
		e := sadb.SPDEntry{Dir: dir, Action: sadb.Protect, Local: host(local), Remote: host(remote)}
		for _, g := range gateways {
			x := tmpl(sadb.ProtoESP, tn, sadb.Require)
			if x.Src, x.Dst = own, g; dir == sadb.In {
				x.Src, x.Dst = g, own
			}
			e.Templates = append(e.Templates, x)
		}
		if _, err := h.db.SPDAdd(s.now, e); err != nil {
			s.t.Fatal(err)
		}
	}
}

// carried is the one datagram of a host as an IP packet from src to dst.
func carried(t testing.TB, list []Datagram, src, dst netip.Addr) []byte {
	t.Helper()
	if len(list) != 1 {
		t.Fatalf("%d datagrams", len(list))
	}
	d := list[0]
	p := make([]byte, headerLen(dst.Is6())+d.N)
	h := header(p, src, dst, protoESP, d.TOS, d.N)
	copy(p[h:], d.Buf)
	return p
}

// fromWire has an IP packet arrive.
func fromWire(p []byte) []Datagram {
	if p[0]>>4 == 6 {
		return []Datagram{{Buf: bytes.Clone(p[40:]), N: len(p) - 40, Proto: p[6], TOS: p[0]<<4 | p[1]>>4,
			Remote: netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[8:24])), 0), Local: netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[24:40])), 0)}}
	}
	d := arrives(p)
	d.TOS = p[1]
	return []Datagram{d}
}

// TestTwoGateways: the traveller's packets go through the near gateway to the far one, and the answers back. one: one policy names both tunnels;
// otherwise there is one for each, and what the first has made is routed into the second (RFC 4301, Appendix E).
func TestTwoGateways(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, one := range []bool{true, false} {
			s := newSite(t, v6)
			s.tunnel(s.near, s.nearAddr, 0x1000)
			s.tunnel(s.far, s.farAddr, 0x2000)
			if one {
				s.both(s.h, s.hAddr, s.src, s.dst, s.farAddr, s.nearAddr)
			} else {
				s.both(s.h, s.hAddr, s.src, s.dst, s.farAddr)
				s.both(s.h, s.hAddr, s.hAddr, s.farAddr, s.nearAddr)
			}
			s.both(s.near, s.nearAddr, s.farAddr, s.hAddr, s.hAddr)
			s.both(s.far, s.farAddr, s.dst, s.src, s.hAddr)
			for _, n := range []int{20, 900} {
				p := relength(packet(s.src, s.dst, 17, udpOf(5000, 53, n)), n)
				grams := s.h.seal(s.now, p)
				if !one {
					grams = s.h.seal(s.now, carried(t, grams, s.hAddr, s.farAddr))
				}
				got := s.near.open(s.now, fromWire(carried(t, grams, s.hAddr, s.nearAddr)))
				if len(got) != 1 {
					t.Fatalf("near: %v", s.near.e.Counters())
				}
				got = s.far.open(s.now, fromWire(got[0]))
				if len(got) != 1 || !sameInner(got[0], p) {
					t.Fatalf("far: %v", s.far.e.Counters())
				}
				p = turned(p)
				got = [][]byte{carried(t, s.far.seal(s.now, p), s.farAddr, s.hAddr)}
				got[0] = carried(t, s.near.seal(s.now, got[0]), s.nearAddr, s.hAddr)
				got = s.h.open(s.now, fromWire(got[0]))
				if len(got) != 1 || !sameInner(got[0], p) {
					t.Fatalf("v6 %v, one %v: %d packets; %v", v6, one, len(got), s.h.e.Counters())
				}
			}
		}
	}
}

// TestT092Nested: what a gateway on the way, a stranger with a tunnel of its own, or nobody at all makes of the far gateway's packets.
func TestT092Nested(t *testing.T) {
	s := newSite(t, false)
	stranger := newEnd(t, s.now, Config{})
	strange := netip.MustParseAddr("203.0.113.66")
	s.tunnel(s.near, s.nearAddr, 0x1000)
	s.tunnel(s.far, s.farAddr, 0x2000)
	s.tunnel(stranger, strange, 0x3000)
	s.both(s.h, s.hAddr, s.src, s.dst, s.farAddr, s.nearAddr)
	s.both(s.far, s.farAddr, s.dst, s.src, s.hAddr)
	s.both(s.near, s.nearAddr, s.farAddr, s.hAddr, s.hAddr)
	s.both(stranger, strange, s.farAddr, s.hAddr, s.hAddr)
	s.both(stranger, strange, s.dst, s.src, s.hAddr)
	p := packet(s.dst, s.src, 17, udpOf(53, 5000, 20))
	inner := func() []byte { return carried(t, s.far.seal(s.now, p), s.farAddr, s.hAddr) }
	for name, c := range map[string]struct {
		q   []byte
		why Counter
	}{
		"without the outer tunnel":  {inner(), InSelectors},
		"in a stranger's tunnel":    {carried(t, stranger.seal(s.now, inner()), strange, s.hAddr), InSelectors},
		"a stranger's alone":        {carried(t, stranger.seal(s.now, p), strange, s.hAddr), InSelectors},
		"in the near tunnel, twice": {carried(t, s.near.seal(s.now, carried(t, s.near.seal(s.now, inner()), s.farAddr, s.hAddr)), s.nearAddr, s.hAddr), InSelectors},
	} {
		before := s.h.e.Counters()[c.why]
		if got := s.h.open(s.now, fromWire(c.q)); len(got) != 0 || s.h.e.Counters()[c.why] != before+1 {
			t.Errorf("%s: %d packets; %v", name, len(got), s.h.e.Counters())
		}
	}
	// The stranger may say that its own traffic is for this host: that is not a way to speak for the far gateway.
	s.both(s.h, s.hAddr, s.hAddr, strange, strange)
	if got := s.h.open(s.now, fromWire(carried(t, stranger.seal(s.now, inner()), strange, s.hAddr))); len(got) != 0 {
		t.Error("delivered from a stranger's tunnel that has a policy")
	}
	if got := s.h.open(s.now, fromWire(carried(t, s.near.seal(s.now, inner()), s.nearAddr, s.hAddr))); len(got) != 1 {
		t.Errorf("the right way: %v", s.h.e.Counters())
	}
}

// TestT092Datagram: ESP in UDP inside of a tunnel is a datagram, delivered as one or refused, and not opened.
func TestT092Datagram(t *testing.T) {
	s := newSite(t, false)
	s.tunnel(s.near, s.nearAddr, 0x1000)
	s.tunnel(s.far, s.farAddr, 0x2000)
	s.both(s.h, s.hAddr, s.src, s.dst, s.farAddr, s.nearAddr)
	s.both(s.far, s.farAddr, s.dst, s.src, s.hAddr)
	s.both(s.near, s.nearAddr, s.farAddr, s.hAddr, s.hAddr)
	datagram := func() []byte {
		esp := s.far.seal(s.now, packet(s.dst, s.src, 17, udpOf(53, 5000, 20)))[0]
		u := append(udpOf(4500, 4500, 0), esp.Buf...)
		binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
		return carried(t, s.near.seal(s.now, ipv4(s.farAddr.String(), s.hAddr.String(), 17, u)), s.nearAddr, s.hAddr)
	}
	if got := s.h.open(s.now, fromWire(datagram())); len(got) != 0 {
		t.Error("delivered without a policy")
	}
	s.h.count(InSelectors, 1)
	s.both(s.h, s.hAddr, s.hAddr, s.farAddr, s.nearAddr)
	got := s.h.open(s.now, fromWire(datagram()))
	if len(got) != 1 || got[0][9] != 17 {
		t.Fatalf("%d packets; %v", len(got), s.h.e.Counters())
	}
	// The socket gets it, and the engine as if from outside: the policy that wants both tunnels is not met.
	d := Datagram{Buf: got[0][28:], N: len(got[0]) - 28, Encap: natt.NonESP, Remote: netip.AddrPortFrom(s.farAddr, 4500), Local: netip.AddrPortFrom(s.hAddr, 4500)}
	if again := s.h.open(s.now, []Datagram{d}); len(again) != 0 {
		t.Error("delivered by one tunnel where the policy wants two")
	}
}

// TestT092Outbound: a peer's inner packet that names an SA by which this host sends does not make it one that opens.
func TestT092Outbound(t *testing.T) {
	s := newSite(t, false)
	s.tunnel(s.near, s.nearAddr, 0x1000)
	s.tunnel(s.far, s.farAddr, 0x2000)
	s.both(s.h, s.hAddr, s.src, s.dst, s.farAddr)
	s.both(s.near, s.nearAddr, s.hAddr, s.farAddr, s.hAddr)
	forged := make([]byte, 60)
	binary.BigEndian.PutUint32(forged, 0x2000)
	forged[7] = 1
	q := carried(t, s.near.seal(s.now, ipv4(s.hAddr.String(), s.farAddr.String(), protoESP, forged)), s.nearAddr, s.hAddr)
	if got := s.h.open(s.now, fromWire(q)); len(got) != 0 {
		t.Error("delivered")
	}
	s.h.count(InICV, 1)
	if grams := s.h.seal(s.now, packet(s.src, s.dst, 17, udpOf(5000, 53, 20))); len(grams) != 1 {
		t.Errorf("the SA does not seal any more: %v", s.h.e.Counters())
	}
}

// TestT092Depth: six layers are opened if a policy has them, the seventh is refused before it costs anything.
func TestT092Depth(t *testing.T) {
	d := newDuo(t, plain)
	var list []*forge
	e := sadb.SPDEntry{Dir: sadb.In, Action: sadb.Protect, Local: host(netip.MustParseAddr("10.2.0.7")), Remote: host(netip.MustParseAddr("10.1.0.5"))}
	for i := range uint32(7) {
		list = append(list, forged(d.b, d, sadb.ProtoESP, tn, 0x1000+i, i+1, plain.client.Addr(), plain.gateway.Addr()))
		x := tmpl(sadb.ProtoESP, tn, sadb.Require)
		x.Src, x.Dst, x.Reqid = plain.client.Addr(), plain.gateway.Addr(), i+1
		if i < 6 {
			e.Templates = append(e.Templates, x)
		}
	}
	if _, err := d.b.db.SPDAdd(d.now, e); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{6, 7} {
		p := ipv4("10.1.0.5", "10.2.0.7", 17, udpOf(1, 2, 8))
		for _, f := range list[:n] {
			p, _ = f.wrap(p)
		}
		if got := d.b.open(d.now, fromWire(p)); len(got) == 1 != (n == 6) {
			t.Errorf("%d layers: %d packets; %v", n, len(got), d.b.e.Counters())
		}
	}
	d.b.count(InDepth, 1)
	info, _ := d.b.db.LookupSA(list[0].sa.ID())
	if n := info.Info().Packets; n != 1 {
		t.Errorf("the innermost SA has opened %d packets", n)
	}
}

// TestT092Loop: a packet of a tunnel that is routed into its own policy ends there, and so does a bundle that has an SA twice.
func TestT092Loop(t *testing.T) {
	d := newDuo(t, plain)
	d.sa(50, tn, 0x1000)
	d.policy(everything(false), everything(false), tmpl(50, tn, sadb.Require))
	esp := d.a.seal(d.now, packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 8)))
	for _, proto := range []uint8{50, 51, 108} {
		p := ipv4(plain.client.Addr().String(), plain.gateway.Addr().String(), proto, esp[0].Buf)
		if grams := d.a.seal(d.now, p); len(grams) != 0 {
			t.Errorf("protocol %d: sealed again", proto)
		}
	}
	d.a.count(OutLoop, 3)
	d.a.db.SPDFlush()
	d.policy(host(netip.MustParseAddr("10.1.0.5")), host(netip.MustParseAddr("10.2.0.7")), tmpl(50, tn, sadb.Require), tmpl(50, tn, sadb.Require))
	if grams := d.a.seal(d.now, ipv4("10.1.0.5", "10.2.0.7", 17, udpOf(1, 2, 8))); len(grams) != 0 {
		t.Error("one SA twice")
	}
	d.a.count(OutBundle, 1)
}

// TestT094Alone: IPComp by itself is anybody's: a stranger's bomb is not even looked into, and a policy that wants ESP does not take it.
func TestT094Alone(t *testing.T) {
	d := newDuo(t, plain)
	f := forged(d.b, d, sadb.ProtoIPComp, tr, 0x3000, 1, plain.client.Addr(), plain.gateway.Addr())
	e := sadb.SPDEntry{Dir: sadb.In, Action: sadb.Protect, Local: host(plain.gateway.Addr()), Remote: host(plain.client.Addr()),
		Templates: []sadb.Template{tmpl(108, tr, sadb.Require), tmpl(50, tr, sadb.Require)}}
	id, err := d.b.db.SPDAdd(d.now, e)
	if err != nil {
		t.Fatal(err)
	}
	p := packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 500))
	q, _ := f.wrap(p)
	if got := d.b.open(d.now, fromWire(q)); len(got) != 0 {
		t.Error("delivered without ESP")
	}
	d.b.count(InSelectors, 1)
	bomb, _ := f.wrap(ipv4("203.0.113.66", plain.gateway.Addr().String(), 17, make([]byte, 65000)))
	if got := d.b.open(d.now, fromWire(bomb)); len(got) != 0 || d.b.in.chunks.off != 0 {
		t.Errorf("a stranger's bomb took %d octets", d.b.in.chunks.off)
	}
	d.b.count(InCompression, 1)
	if _, err := d.b.db.SPDDelete(id); err != nil {
		t.Fatal(err)
	}
	e.Templates = e.Templates[:1]
	if _, err := d.b.db.SPDAdd(d.now, e); err != nil {
		t.Fatal(err)
	}
	if got := d.b.open(d.now, fromWire(q)); len(got) != 1 || !sameInner(got[0], p) {
		t.Errorf("its policy has nothing but IPComp: %v", d.b.e.Counters())
	}
}

// TestT092TwoPeers: AH of one peer around ESP of another: the inner SA is found only from its own peer's address.
func TestT092TwoPeers(t *testing.T) {
	d := newDuo(t, plain)
	other := netip.MustParseAddr("203.0.113.66")
	theirs := forged(d.b, d, sadb.ProtoESP, tr, 0x1000, 0, plain.client.Addr(), plain.gateway.Addr())
	mine := forged(d.b, d, sadb.ProtoAH, tr, 0x2000, 0, other, plain.gateway.Addr())
	if _, err := d.b.db.SPDAdd(d.now, sadb.SPDEntry{Dir: sadb.In, Action: sadb.Protect, Local: everything(false), Remote: everything(false),
		Templates: []sadb.Template{tmpl(50, tr, sadb.Require), tmpl(51, tr, sadb.Require)}}); err != nil {
		t.Fatal(err)
	}
	p, _ := theirs.wrap(ipv4(other.String(), plain.gateway.Addr().String(), 17, udpOf(1, 2, 8)))
	p, _ = mine.wrap(p)
	if got := d.b.open(d.now, fromWire(p)); len(got) != 0 {
		t.Error("delivered")
	}
	d.b.count(InUnknownSPI, 1)
}
