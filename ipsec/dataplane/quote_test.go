// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// ICMP between this host and clients behind NATs: errors, and pings in both directions.

package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// complaint makes an ICMP error with right checksums; kind is a type of ICMP's or of ICMPv6's.
func complaint(src, dst netip.Addr, kind, code uint8, mtu uint16, quoted []byte) []byte {
	m := append([]byte{kind, code, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}, quoted...)
	if src.Is6() {
		return packet(src, dst, protoICMPv6, m)
	}
	binary.BigEndian.PutUint16(m[2:], slowSum(m))
	return packet(src, dst, protoICMP, m)
}

// quotedIn checks every checksum of an error, the quoted packet's too, which must be whole, and returns that.
func quotedIn(t *testing.T, p []byte) []byte {
	t.Helper()
	var in inner
	if parse(p, false, &in) != good || !isError(in.flow.Proto, p[in.upper]) {
		t.Fatalf("not an ICMP error: %x", p)
	}
	icmp := func(p []byte, in *inner) bool {
		if in.flow.V6 {
			return right(p)
		}
		s := slowSum(p[in.upper:in.n])
		return s == 0 || s == 65535
	}
	if !icmp(p, &in) {
		t.Errorf("checksum of the error: %x", p)
	}
	q := p[in.upper+8:]
	var qi inner
	if parse(q, false, &qi) != good {
		t.Fatalf("it quotes no packet: %x", q)
	}
	if !qi.flow.V6 && slowSum(q[:20]) != 0 && slowSum(q[:20]) != 65535 {
		t.Errorf("checksum of the quoted header: %x", q)
	}
	if _, pseudo := sumAt(qi.flow.Proto); pseudo && !right(q) || !pseudo && !icmp(q, &qi) {
		t.Errorf("checksum in the quoted packet: %x", q)
	}
	return q
}

// alike compares two packets but for what routers change.
func alike(t *testing.T, what string, got, want []byte) {
	t.Helper()
	h := headerLen(want[0]>>4 == 6)
	at := 12
	if h == ipv6Header {
		at = 8
	}
	if len(got) != len(want) || !bytes.Equal(got[at:], want[at:]) {
		t.Errorf("%s: got  %x\nwant %x", what, got, want)
	}
}

// raw opens a datagram and returns what was sealed, as a host without any translation of its own gets it.
func raw(t *testing.T, c *end, now time.Time, d Datagram) []byte {
	t.Helper()
	r := c.db.Receiver(sadb.ProtoESP, binary.BigEndian.Uint32(d.Buf), netip.Addr{})
	r.BeginOpen(c.db.Clock(now))
	defer r.EndOpen()
	o, err := r.Open(bytes.Clone(d.Buf[:d.N]), &sadb.Arrival{From: d.Local, To: d.Remote})
	if err != nil {
		t.Fatal(err)
	}
	return o.Payload
}

// says seals any payload on a client's SA and has the gateway open it.
func (h *house) says(c *tenant, next uint8, payload []byte) [][]byte {
	h.t.Helper()
	return h.gw.open(h.now, cross(h.writes(c, next, payload), c.s, true))
}

// writes is what a client sends whatever its own host thinks of it.
func (h *house) writes(c *tenant, next uint8, payload []byte) []Datagram {
	h.t.Helper()
	pair := c.db.Inbound(c.spi)
	buf := make([]byte, pair.Size(len(payload))+64)
	n := copy(buf[pair.Head():], payload)
	pair.BeginSeal(c.db.Clock(h.now))
	size, err := pair.Seal(buf, n, next)
	pair.EndSeal()
	if err != nil {
		h.t.Fatal(err)
	}
	return []Datagram{{Buf: buf[:size], N: size, Encap: natt.NonESP}}
}

// upper of the three protocols that flows are told apart in, from or to a port that is an identifier in ICMP.
func upperOf(proto uint8, src, dst uint16, request bool) []byte {
	switch proto {
	case protoUDP:
		return udpOf(src, dst, 8)
	case protoTCP:
		return tcpOf(src, dst, 1, 0x10)
	}
	m := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	id := dst
	if request {
		m[0], id = 8, src
	}
	binary.BigEndian.PutUint16(m[4:], id)
	if proto == protoICMPv6 {
		m[0] = 129
		if request {
			m[0] = 128
		}
		return m
	}
	binary.BigEndian.PutUint16(m[2:], slowSum(m))
	return m
}

func houseOf(t *testing.T, s seen) *house {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	h.s = s
	return h
}

// TestHostErrors: what this host says about a client's packet reaches that client, and quotes what it had sent, octet for octet; on the
// way already, since not every client's host translates.
func TestHostErrors(t *testing.T) {
	for _, s := range []seen{natted, nat6} {
		icmp, kinds := uint8(protoICMP), [][2]uint8{{3, 3}, {3, 4}, {3, 13}, {11, 1}, {12, 0}}
		if s == nat6 {
			icmp, kinds = protoICMPv6, [][2]uint8{{1, 4}, {2, 0}, {3, 1}, {4, 0}}
		}
		h := houseOf(t, s)
		first, second := h.move(), h.move()
		for _, proto := range []uint8{protoUDP, protoTCP, icmp} {
			for _, c := range []*tenant{first, second, first} {
				sent := packet(s.client.Addr(), s.gateway.Addr(), proto, upperOf(proto, 1701, 80, true))
				got := h.gw.open(h.now, cross(c.seal(h.now, bytes.Clone(sent)), c.s, true))
				if len(got) != 1 {
					t.Fatalf("%v", h.gw.e.Counters())
				}
				for _, k := range kinds {
					grams := h.gw.seal(h.now, complaint(s.gateway.Addr(), s.outside.Addr(), k[0], k[1], 1300, got[0]))
					if len(grams) != 1 || grams[0].Remote != c.s.outside {
						t.Fatalf("protocol %d, type %d: %d datagrams; %v", proto, k[0], len(grams), h.gw.e.Counters())
					}
					plainly := raw(t, c.end, h.now, grams[0])
					alike(t, "on the way", plainly[8:], sent)
					if binary.BigEndian.Uint16(plainly[6:]) != 1300 {
						t.Errorf("the MTU is %x", plainly[:8])
					}
				}
				// Another, since that one has been opened.
				grams := h.gw.seal(h.now, complaint(s.gateway.Addr(), s.outside.Addr(), kinds[0][0], kinds[0][1], 0, got[0]))
				told := c.open(h.now, cross(grams, c.s, false))
				if len(told) != 1 {
					t.Fatalf("the client did not open it: %v", c.e.Counters())
				}
				alike(t, "at the client", quotedIn(t, told[0]), sent)
			}
		}
		// No client sent this, and redirects are nobody's.
		stranger := packet(s.outside.Addr(), s.gateway.Addr(), protoUDP, udpOf(999, 80, 8))
		known := packet(s.outside.Addr(), s.gateway.Addr(), protoUDP, udpOf(1701, 80, 8))
		for _, p := range [][]byte{
			complaint(s.gateway.Addr(), s.outside.Addr(), kinds[0][0], kinds[0][1], 0, stranger),
			complaint(s.gateway.Addr(), s.outside.Addr(), kinds[0][0], kinds[0][1], 0, known[:len(known)-9]),
			complaint(s.gateway.Addr(), s.outside.Addr(), 5, 0, 0, known),
		} {
			if grams := h.gw.seal(h.now, p); len(grams) != 0 {
				t.Errorf("sent: %x", p)
			}
		}
	}
}

// TestClientErrors: what a client says about a packet of this host's is about the packet that this host had sent, whether the client's
// host translates or not.
func TestClientErrors(t *testing.T) {
	for _, s := range []seen{natted, nat6} {
		icmp, kind, code := uint8(protoICMP), uint8(3), uint8(3)
		if s == nat6 {
			icmp, kind, code = protoICMPv6, 1, 4
		}
		h := houseOf(t, s)
		first, second := h.move(), h.move()
		for _, proto := range []uint8{protoUDP, protoTCP, icmp} {
			for _, c := range []*tenant{first, second, first} {
				asked := packet(s.client.Addr(), s.gateway.Addr(), proto, upperOf(proto, 1701, 80, true))
				got := h.gw.open(h.now, cross(c.seal(h.now, asked), c.s, true))
				var in inner
				parse(got[0], false, &in)
				k, _, _ := sideOf(got[0], &in, false)
				answer := packet(s.gateway.Addr(), s.outside.Addr(), proto, upperOf(proto, 80, k.port, false))
				there := c.open(h.now, cross(h.gw.seal(h.now, bytes.Clone(answer)), c.s, false))
				if len(there) != 1 {
					t.Fatalf("%v %v", h.gw.e.Counters(), c.e.Counters())
				}
				e := complaint(s.client.Addr(), s.gateway.Addr(), kind, code, 0, there[0])
				for _, got := range [][][]byte{
					h.gw.open(h.now, cross(c.seal(h.now, bytes.Clone(e)), c.s, true)),
					h.says(c, icmp, e[headerLen(s == nat6):]),
				} {
					if len(got) != 1 {
						t.Fatalf("protocol %d: %v %v", proto, h.gw.e.Counters(), c.e.Counters())
					}
					alike(t, "at this host", quotedIn(t, got[0]), answer)
				}
			}
		}
	}
}

// TestForgedQuotes: a hostile client has errors that concern flows of others, other hosts or the way to its NAT; none is delivered.
func TestForgedQuotes(t *testing.T) {
	h := houseOf(t, natted)
	a, b := h.move(), h.move()
	pa := h.up(a, protoUDP, 1701)
	pb := h.up(b, protoUDP, 1701)
	h.up(b, protoUDP, 5000)
	h.up(b, protoTCP, 1701)
	client, gateway, outside := natted.client.Addr(), natted.gateway.Addr(), natted.outside.Addr()
	other := netip.MustParseAddr("192.0.2.77")
	say := func(kind, code uint8, quoted []byte) [][]byte {
		return h.says(a, protoICMP, complaint(client, gateway, kind, code, 600, quoted)[20:])
	}
	u := func(src, dst netip.Addr, port uint16) []byte { return packet(src, dst, protoUDP, udpOf(1701, port, 8)) }
	mine := u(gateway, client, 1701)
	fragment := bytes.Clone(mine)
	fragment[7] = 1
	for name, got := range map[string][][]byte{
		"another's port":              say(3, 3, u(gateway, client, 5000)),
		"another's translated port":   say(3, 3, u(gateway, outside, pb)),
		"another's protocol":          say(3, 3, packet(gateway, client, protoTCP, tcpOf(1701, 1701, 1, 0))),
		"to another host":             say(3, 3, u(gateway, other, 1701)),
		"of another host":             say(3, 3, u(other, client, 1701)),
		"its own packet":              say(3, 3, u(client, gateway, 1701)),
		"a fragment":                  say(3, 3, fragment),
		"nothing":                     say(3, 3, nil),
		"half a header":               say(3, 3, mine[:19]),
		"seven octets":                say(3, 3, mine[:27]),
		"IPv6":                        say(3, 3, ipv6("2001:db8::1", "2001:db8::2", 17, udpOf(1701, 1701, 8))),
		"an error":                    say(3, 3, complaint(gateway, client, 3, 3, 0, mine)),
		"an echo that was not asked":  say(3, 3, packet(gateway, client, protoICMP, upperOf(protoICMP, 7, 7, true))),
		"redirect":                    say(5, 1, mine),
		"source quench":               say(4, 0, mine),
		"the MTU of what they share":  say(3, 4, mine),
		"a protocol that it has not":  say(3, 3, packet(gateway, client, 47, make([]byte, 8))),
		"a header of fourteen words":  say(3, 3, append([]byte{0x4e}, mine[1:]...)),
		"a header shorter than there": say(3, 3, append([]byte{0x44}, mine[1:]...)),
	} {
		if len(got) != 0 {
			t.Errorf("%s: delivered %x", name, got[0])
		}
	}
	got := say(3, 3, mine)
	if len(got) != 1 || binary.BigEndian.Uint16(quotedIn(t, got[0])[22:]) != pa {
		t.Errorf("its own: %x", got)
	}
	if got := say(3, 3, mine[:28]); len(got) != 1 || len(got[0]) != 56 {
		t.Errorf("eight octets are enough: %x", got)
	}
}

// TestMTUOfOne: a peer that is alone at its address and behind no NAT may say what the path carries; with a second one there it may not.
func TestMTUOfOne(t *testing.T) {
	p := newPeers(t, plain, natt.NonESP, nil)
	p.alive()
	say := func() int {
		quoted := packet(plain.gateway.Addr(), plain.client.Addr(), protoUDP, udpOf(9, 7, 8))
		return len(p.says(protoICMP, complaint(plain.client.Addr(), plain.gateway.Addr(), 3, 4, 1300, quoted)[20:]))
	}
	if say() != 1 {
		t.Errorf("not delivered: %v", p.gw.e.Counters())
	}
	s, other := plain, newEnd(t, p.now, Config{})
	s.client = netip.MustParseAddrPort("192.0.2.1:4501")
	s.outside = s.client
	join(t, p.now, other, p.gw, s, natt.NonESP, nil)
	p.gw.open(p.now, cross(other.seal(p.now, packet(s.client.Addr(), s.gateway.Addr(), 17, udpOf(7, 9, 4))), s, true))
	if say() != 0 {
		t.Error("one of two set the MTU of their path")
	}
}

// TestPings: this host pings clients behind one NAT. What it asks with one identifier goes to one client, and only that one's answer is
// delivered; the clients' own pings with the same identifiers are others.
func TestPings(t *testing.T) {
	for _, s := range []seen{natted, nat6} {
		icmp := uint8(protoICMP)
		if s == nat6 {
			icmp = protoICMPv6
		}
		h := houseOf(t, s)
		ping := func(id uint16, c *tenant) []byte {
			t.Helper()
			grams := h.gw.seal(h.now, packet(s.gateway.Addr(), s.outside.Addr(), icmp, upperOf(icmp, id, 0, true)))
			if len(grams) != 1 || grams[0].Remote != c.s.outside {
				t.Fatalf("%d datagrams to %v; %v", len(grams), grams, h.gw.e.Counters())
			}
			got := c.open(h.now, cross(grams, c.s, false))
			if len(got) != 1 {
				t.Fatalf("the client did not open it: %v", c.e.Counters())
			}
			return packet(s.client.Addr(), s.gateway.Addr(), icmp, upperOf(icmp, 0, binary.BigEndian.Uint16(got[0][headerLen(s == nat6)+4:]), false))
		}
		answer := func(c *tenant, p []byte) bool {
			got := h.gw.open(h.now, cross(c.seal(h.now, p), c.s, true))
			return len(got) == 1 && right6or4(got[0])
		}
		a, b := h.move(), h.move() // the policy of both is that of the first
		one := ping(1, a)
		if got := h.says(b, icmp, one[headerLen(s == nat6):]); len(got) != 0 {
			t.Error("a client answered for another")
		}
		if got := h.says(a, icmp, packet(s.client.Addr(), s.gateway.Addr(), icmp, upperOf(icmp, 0, 3, false))[headerLen(s == nat6):]); len(got) != 0 {
			t.Error("an answer to nothing was delivered")
		}
		if !answer(a, bytes.Clone(one)) || !answer(a, ping(2, a)) {
			t.Fatalf("an answer was not delivered: %v", h.gw.e.Counters())
		}
		for _, c := range []*tenant{a, b} {
			p := packet(s.client.Addr(), s.gateway.Addr(), icmp, upperOf(icmp, 1, 0, true))
			if !answer(c, p) {
				t.Errorf("a client cannot ping: %v", h.gw.e.Counters())
			}
		}
		// A client goes: the same ping goes to another, at once.
		h.gw.db.Remove(h.now, a.spiGW, false)
		if !answer(b, ping(1, b)) {
			t.Error("the other client's answer was not delivered")
		}
	}
}

// right6or4 checks the checksum of an ICMP message.
func right6or4(p []byte) bool {
	if p[0]>>4 == 6 {
		return right(p)
	}
	s := slowSum(p[20:])
	return s == 0 || s == 65535
}
