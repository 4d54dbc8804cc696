// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Hostile cases in transport mode, AH and the other modes of encapsulation: what an authenticated peer, or anybody, may send.

package dataplane

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// peers is a client and a gateway in transport mode whose client seals what a test likes.
type peers struct {
	t          testing.TB
	now        time.Time
	client, gw *end
	s          seen
	mode       natt.Mode
}

func newPeers(t testing.TB, s seen, mode natt.Mode, change func(c, g *sadb.Child)) *peers {
	p := &peers{t: t, now: time.Unix(1_800_000_000, 0), s: s, mode: mode}
	p.client, p.gw = newEnd(t, p.now, Config{}), newEnd(t, p.now, Config{})
	join(t, p.now, p.client, p.gw, s, mode, change)
	return p
}

// says seals any payload with any next header on the client's SA, and has the gateway open it.
func (p *peers) says(next uint8, payload []byte) [][]byte {
	pair := p.client.db.Inbound(p.client.spi)
	buf := make([]byte, pair.Size(len(payload))+64)
	n := copy(buf[pair.Head():], payload)
	pair.BeginSeal(p.client.db.Clock(p.now))
	size, err := pair.Seal(buf, n, next)
	pair.EndSeal()
	if err != nil {
		p.t.Fatal(err)
	}
	b := append(natt.AppendMarker(nil, p.mode, natt.ESP), buf[:size]...)
	return p.gw.open(p.now, cross([]Datagram{{Buf: b, N: len(b), Encap: p.mode}}, p.s, true))
}

// alive expects an ordinary packet to pass.
func (p *peers) alive() {
	p.t.Helper()
	u := packet(p.s.client.Addr(), p.s.gateway.Addr(), 17, udpOf(7, 9, 4))
	if got := p.gw.open(p.now, cross(p.client.seal(p.now, u), p.s, true)); len(got) != 1 {
		p.t.Errorf("nothing passes any more: %v", p.gw.e.Counters())
	}
}

// TestT080Transport: ESP of 0 to 80 octets in each mode of encapsulation; what is authentic and not for transport mode.
func TestT080Transport(t *testing.T) {
	for _, mode := range []natt.Mode{natt.Raw, natt.NonESP, natt.NonIKE} {
		p := newPeers(t, plain, mode, nil)
		for n := range 80 {
			b := make([]byte, n)
			if n >= 4 {
				binary.BigEndian.PutUint32(b, p.gw.spi)
			}
			b = append(natt.AppendMarker(nil, mode, natt.ESP), b...)
			if got := p.gw.open(p.now, cross([]Datagram{{Buf: b, N: len(b), Encap: mode}}, plain, true)); len(got) != 0 {
				t.Errorf("%s: %d octets were delivered", mode, n)
			}
		}
		p.alive()
	}
	p := newPeers(t, plain, natt.NonESP, nil)
	inside := packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 8))
	for _, c := range []struct {
		next uint8
		body []byte
		why  Counter
	}{
		{59, nil, InDummies}, {59, make([]byte, 64), InDummies},
		{4, inside, InNextHeader}, // transport mode is no tunnel, whatever is inside
		{41, ipv6("2001:db8::1", "2001:db8::2", 17, udpOf(1, 2, 8)), InNextHeader},
		{50, make([]byte, 64), InNextHeader}, {51, make([]byte, 64), InNextHeader},
		{108, make([]byte, 64), InCompression},
		{17, udpOf(1, 2, 0)[:7], InMalformed}, {6, make([]byte, 19), InMalformed}, {17, nil, InMalformed},
		{255, []byte{1}, InOpened}, {253, nil, InOpened},
	} {
		before := p.gw.e.Counters()[c.why]
		got := p.says(c.next, c.body)
		if len(got) != 0 != (c.why == InOpened) || p.gw.e.Counters()[c.why] != before+1 {
			t.Errorf("next header %d: %d packets; %v", c.next, len(got), p.gw.e.Counters())
		}
	}
	p.alive()
}

// TestT080AH: AH of 0 to 80 octets in a right IP header; every octet of a right packet that is not a router's to change.
func TestT080AH(t *testing.T) {
	for _, s := range []seen{plain, plain6} {
		k, l := key(32), key(32)
		p := newPeers(t, s, natt.Raw, func(x, y *sadb.Child) {
			for _, z := range []*sadb.Child{x, y} {
				z.Proto, z.Suite, z.KeyIn, z.KeyOut = sadb.ProtoAH, hmac256, secret.Key{}, secret.Key{}
			}
			x.IntegIn, x.IntegOut, y.IntegIn, y.IntegOut = k, l, l, k
		})
		good := p.client.seal(p.now, packet(s.client.Addr(), s.gateway.Addr(), 17, udpOf(7, 9, 20)))
		h := headerLen(s == plain6)
		for n := range good[0].N {
			b := bytes.Clone(good[0].Buf[:n])
			if n >= h { // a shorter packet, and a length that says so
				if s == plain6 {
					binary.BigEndian.PutUint16(b[4:], uint16(n-h))
				} else {
					binary.BigEndian.PutUint16(b[2:], uint16(n))
				}
			}
			if got := p.gw.open(p.now, cross([]Datagram{{Buf: b, N: n, Proto: 51}}, s, true)); len(got) != 0 {
				t.Errorf("%d octets of %d were delivered", n, good[0].N)
			}
		}
		for i := range good[0].N {
			if s == plain && (i == 1 || i == 6 || i == 7 || i == 8 || i == 10 || i == 11) || s == plain6 && (i < 4 || i == 7) {
				continue // RFC 4302, Section 3.3.3.1: mutable
			}
			b := bytes.Clone(good[0].Buf[:good[0].N])
			b[i] ^= 0x10
			if got := p.gw.open(p.now, cross([]Datagram{{Buf: b, N: len(b), Proto: 51}}, s, true)); len(got) != 0 {
				t.Errorf("delivered with octet %d changed", i)
			}
		}
		// T-082: the packet itself still opens, once.
		if n := len(p.gw.open(p.now, cross(append(good, good[0], good[0]), s, true))); n != 1 {
			t.Errorf("delivered %d times", n)
		}
		p.alive()
	}
}

// TestT081Reflected: what this host sent does not open here, by SPI or by being sent back.
func TestT081Reflected(t *testing.T) {
	for _, s := range []seen{plain, plain6} {
		d := newDuo(t, s)
		d.sa(50, sadb.Transport, 0x1000)
		d.policy(host(s.client.Addr()), host(s.gateway.Addr()), tmpl(50, sadb.Transport, sadb.Require))
		grams := d.a.seal(d.now, packet(s.client.Addr(), s.gateway.Addr(), 17, udpOf(1, 2, 8)))
		if len(grams) != 1 {
			t.Fatal("not sealed")
		}
		for _, to := range []netip.Addr{s.client.Addr(), s.gateway.Addr()} {
			back := []Datagram{{Buf: bytes.Clone(grams[0].Buf), N: grams[0].N, Remote: netip.AddrPortFrom(s.gateway.Addr(), 0), Local: netip.AddrPortFrom(to, 0)}}
			if got := d.a.open(d.now, back); len(got) != 0 {
				t.Errorf("a packet of ours opened at %s", to)
			}
		}
	}
	p := newPeers(t, plain, natt.NonESP, nil)
	grams := p.client.seal(p.now, packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 8)))
	if got := p.client.open(p.now, cross(grams, plain, false)); len(got) != 0 {
		t.Error("a pair's packet opened where it was sealed")
	}
	p.client.count(InUnknownSPI, 1)
}

// TestSourceIsThePeers: in transport mode the source of the datagram becomes the packet's, so it must be the peer's own.
func TestSourceIsThePeers(t *testing.T) {
	for _, raw := range []bool{true, false} {
		mode := natt.NonESP
		if raw {
			mode = natt.Raw
		}
		p := newPeers(t, plain, mode, func(_, g *sadb.Child) { g.TSRemote = []sadb.Selector{everything(false)} })
		grams := cross(p.client.seal(p.now, packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 8))), plain, true)
		grams[0].Remote = netip.MustParseAddrPort("203.0.113.99:4500")
		if got := p.gw.open(p.now, grams); len(got) != 0 {
			t.Errorf("raw %v: delivered from another's address", raw)
		}
		p.gw.count(InSelectors, 1)
		p.alive()
	}
}

// TestT086Transport: lengths of the upper layer that lie, and the largest payload there can be.
func TestT086Transport(t *testing.T) {
	p := newPeers(t, plain, natt.NonESP, nil)
	u := udpOf(1, 2, 8)
	binary.BigEndian.PutUint16(u[4:], 9000)
	if got := p.says(17, u); len(got) != 1 || len(got[0]) != 20+len(u) {
		t.Errorf("a UDP length that lies: %d packets", len(got)) // the host's stack judges it; nothing is read behind the payload
	}
	for _, c := range []struct {
		n  int
		ok bool
	}{{65515, true}, {65516, false}, {65535, false}} {
		if got := p.says(200, make([]byte, c.n)); (len(got) == 1) != c.ok {
			t.Errorf("%d octets: %d packets; %v", c.n, len(got), p.gw.e.Counters())
		}
	}
	p.alive()
}

// TestT087Transport: fragments are none of transport mode's, in either direction (RFC 4303, Sections 3.3.4 and 3.4.1).
func TestT087Transport(t *testing.T) {
	p := newPeers(t, plain6, natt.NonESP, nil)
	for _, c := range []struct {
		name string
		next uint8
		body []byte
		ok   bool
	}{
		{"first", 44, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, udpOf(1, 2, 8)...), false},
		{"later", 44, append([]byte{17, 0, 0, 0x41, 0, 0, 0, 1}, make([]byte, 16)...), false},
		{"atomic", 44, append([]byte{17, 0, 0, 0, 0, 0, 0, 1}, udpOf(1, 2, 8)...), false},
		{"behind options", 60, append(append([]byte{44, 0, 1, 4, 0, 0, 0, 0}, 17, 0, 0, 1, 0, 0, 0, 1), udpOf(1, 2, 8)...), false},
		// T-088
		{"hop-by-hop", 0, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udpOf(1, 2, 8)...), false},
		{"routing", 43, append([]byte{17, 0, 4, 0, 0, 0, 0, 0}, udpOf(1, 2, 8)...), false},
		{"routing type 0", 43, append([]byte{17, 0, 0, 0, 0, 0, 0, 0}, udpOf(1, 2, 8)...), false},
		{"options", 60, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udpOf(1, 2, 8)...), true},
		{"options × 8", 60, append(append(bytes.Repeat([]byte{60, 0, 1, 4, 0, 0, 0, 0}, 7), 17, 0, 1, 4, 0, 0, 0, 0), udpOf(1, 2, 8)...), true},
		{"options × 100", 60, append(append(bytes.Repeat([]byte{60, 0, 1, 4, 0, 0, 0, 0}, 99), 17, 0, 1, 4, 0, 0, 0, 0), udpOf(1, 2, 8)...), false},
		{"AH inside", 60, append([]byte{51, 0, 1, 4, 0, 0, 0, 0}, make([]byte, 40)...), false},
	} {
		if got := p.says(c.next, c.body); (len(got) == 1) != c.ok {
			t.Errorf("%s: %d packets; %v", c.name, len(got), p.gw.e.Counters())
		}
	}
	p.alive()
	// AH is verified on whole packets.
	d := newDuo(t, plain)
	d.sa(51, sadb.Transport, 0x2000)
	d.policy(host(plain.client.Addr()), host(plain.gateway.Addr()), tmpl(51, sadb.Transport, sadb.Require))
	grams := d.cross(d.a.seal(d.now, packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 8))), true)
	grams[0].Buf[6] |= 0x20
	if got := d.b.open(d.now, grams); len(got) != 0 {
		t.Error("a fragment with AH was delivered")
	}
}

// TestT092Transport: the tunnel's own datagrams, and those of its IKE, are not sealed in themselves.
func TestT092Transport(t *testing.T) {
	p := newPeers(t, plain, natt.NonESP, nil)
	own := packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(4500, 4500, 100))
	if d := p.client.seal(p.now, own); len(d) != 0 {
		t.Error("the tunnel's own datagram was sealed")
	}
	p.client.count(OutLoop, 1)
	p.alive()
}

// TestT093Transport: opening changes nothing but the datagram itself, and what is delivered is not the reader's memory.
func TestT093Transport(t *testing.T) {
	p := newPeers(t, natted, natt.NonESP, nil)
	grams := cross(p.client.seal(p.now, packet(natted.client.Addr(), natted.gateway.Addr(), 17, udpOf(1, 2, 200))), natted, true)
	memory := append(append(bytes.Repeat([]byte{0xa5}, 64), grams[0].Buf...), bytes.Repeat([]byte{0x5a}, 64)...)
	around := crc32.ChecksumIEEE(memory[:64]) ^ crc32.ChecksumIEEE(memory[64+grams[0].N:])
	grams[0].Buf = memory[64 : 64+grams[0].N]
	got := p.gw.in.Open(p.now, grams)
	if len(got.Packets) != 1 || crc32.ChecksumIEEE(memory[:64])^crc32.ChecksumIEEE(memory[64+grams[0].N:]) != around {
		t.Error("octets around the datagram were changed")
	}
	before := bytes.Clone(got.Packets[0])
	clear(memory)
	if !bytes.Equal(before, got.Packets[0]) {
		t.Error("what was delivered lies in the reader's buffer")
	}
	q := got.Packets[0]
	if cap(q) != len(q) {
		t.Errorf("there are %d octets behind the packet that are another's", cap(q)-len(q))
	}
}

// TestPortsOfEveryMode: one batch from several ports, each told apart by its own mode and rules.
func TestPortsOfEveryMode(t *testing.T) {
	p := newPeers(t, plain, natt.NonESP, nil)
	ike := append([]byte{1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 24)...)
	marked := append(make([]byte, 4), ike...)
	esp := p.client.seal(p.now, packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 8)))[0].Buf
	esp2 := p.client.seal(p.now, packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 8)))[0].Buf
	esp3 := p.client.seal(p.now, packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 8)))[0].Buf
	d := func(mode natt.Mode, rules natt.Rules, b []byte) Datagram {
		return Datagram{Buf: b, N: len(b), Remote: plain.outside, Local: plain.gateway, Encap: mode, Rules: rules}
	}
	got := p.gw.in.Open(p.now, []Datagram{
		d(natt.NonESP, natt.Strict, marked), d(natt.NonIKE, natt.Strict, ike), d(natt.NonESP, natt.Linux, marked),
		d(natt.NonESP, natt.FreeBSD11, []byte{0xff}), d(natt.NonESP, natt.Linux, []byte{0xff}),
		d(natt.NonESP, natt.Strict, esp), d(natt.CiscoUDP, natt.Strict, esp2), d(natt.NonIKE, natt.NetBSD, append(make([]byte, 8), esp3...)),
		d(natt.CiscoUDP, natt.Strict, []byte{0, 0, 0, 0, 0xff}),
	})
	if len(got.Packets) != 3 {
		t.Errorf("%d packets; %v", len(got.Packets), p.gw.e.Counters())
	}
	want := []struct {
		b    []byte
		mode natt.Mode
	}{{ike, natt.NonESP}, {ike, natt.NonIKE}, {marked, natt.NonESP}, {[]byte{0xff}, natt.NonESP}}
	if len(got.IKE) != len(want) {
		t.Fatalf("%d messages of IKE", len(got.IKE))
	}
	for i, w := range want {
		if !bytes.Equal(got.IKE[i].Bytes, w.b) || got.IKE[i].Encap != w.mode {
			t.Errorf("message %d: %x of %s", i, got.IKE[i].Bytes, got.IKE[i].Encap)
		}
	}
	p.gw.count(InKeepalives, 2)
}

// FuzzTransportPeer: any payload under any next header, by an authenticated peer behind a NAT: what is delivered is an IP packet from the
// peer's address to this host's, of the protocol that was said, as long as what was said, and is no tunnel's.
func FuzzTransportPeer(f *testing.F) {
	f.Add(uint8(17), udpOf(1701, 1701, 4), false)
	f.Add(uint8(6), tcpOf(1, 2, 3, 2), true)
	f.Add(uint8(60), append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udpOf(1, 2, 8)...), true)
	f.Add(uint8(58), []byte{128, 0, 0, 0, 0, 1, 0, 1}, true)
	f.Add(uint8(4), ipv4("10.1.0.2", "198.51.100.2", 17, udpOf(1, 2, 3)), false)
	f.Add(uint8(1), complaint(natted.client.Addr(), natted.gateway.Addr(), 3, 3, 0, packet(natted.gateway.Addr(), natted.client.Addr(), 17, udpOf(1701, 1701, 4)))[20:], false)
	f.Add(uint8(58), complaint(nat6.client.Addr(), nat6.gateway.Addr(), 1, 4, 0, packet(nat6.gateway.Addr(), nat6.client.Addr(), 6, tcpOf(2, 1, 3, 2)))[40:], true)
	four, six := newPeers(f, natted, natt.NonESP, nil), newPeers(f, nat6, natt.NonESP, nil)
	f.Fuzz(func(t *testing.T, next uint8, payload []byte, v6 bool) {
		if len(payload) > maxPacket {
			return
		}
		p, src, dst := four, natted.outside.Addr(), natted.gateway.Addr()
		if v6 {
			p, src, dst = six, nat6.outside.Addr(), nat6.gateway.Addr()
		}
		p.t = t
		for _, q := range p.says(next, payload) {
			var in inner
			if parse(q, false, &in) != good || in.n != len(q) || in.n != headerLen(v6)+len(payload) {
				t.Fatalf("delivered %x", q)
			}
			if in.flow.Remote.Addr(v6) != src || in.flow.Local.Addr(v6) != dst || in.next != next || in.fragment || in.outside {
				t.Fatalf("delivered %x", q)
			}
			if next == 4 || next == 41 || next == 50 || next == 51 || next == 59 || next == 108 {
				t.Fatalf("next header %d was delivered", next)
			}
		}
	})
}
