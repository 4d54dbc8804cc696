// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Transport mode between a client, which may be behind a NAT, and a gateway.

package dataplane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// seen is how the two ends of an association see each other.
type seen struct {
	client  netip.AddrPort // as the client sees itself
	outside netip.AddrPort // as the gateway sees the client
	gateway netip.AddrPort
}

// keys are those of the two directions.
type keys struct{ up, down secret.Key }

// join installs a pair of SAs in transport mode between a client and a gateway. change may be nil.
func join(t testing.TB, now time.Time, client, gw *end, s seen, mode natt.Mode, change func(c, g *sadb.Child)) {
	t.Helper()
	joinAs(t, now, client, gw, s, mode, [2]uint32{}, change)
}

// joinAs is join under reqids that exist: a rekey.
func joinAs(t testing.TB, now time.Time, client, gw *end, s seen, mode natt.Mode, reqids [2]uint32, change func(c, g *sadb.Child)) {
	t.Helper()
	client.reserve(now, reqids[0])
	gw.reserve(now, reqids[1])
	k := keys{key(20), key(20)}
	base := sadb.Child{Suite: gcm, Mode: sadb.Transport, Window: 64, CopyDF: true}
	c, g := base, base
	one := func(a netip.Addr) []sadb.Selector { return []sadb.Selector{{From: a, To: a, PortTo: 65535}} }
	c.Reqid, c.SPIIn, c.SPIOut, c.KeyIn, c.KeyOut = client.reqid, client.spi, gw.spi, k.down, k.up
	g.Reqid, g.SPIIn, g.SPIOut, g.KeyIn, g.KeyOut = gw.reqid, gw.spi, client.spi, k.up, k.down
	c.Endpoint = sadb.Endpoint{Local: s.client, Remote: s.gateway, Encap: mode}
	g.Endpoint = sadb.Endpoint{Local: s.gateway, Remote: s.outside, Encap: mode}
	c.TSLocal, c.TSRemote = one(s.client.Addr()), one(s.gateway.Addr())
	g.TSLocal, g.TSRemote = one(s.gateway.Addr()), one(s.outside.Addr())
	if s.client != s.outside {
		// RFC 7296, Section 2.23.1: each end knows what the other had in its checksums.
		c.OrigLocal = s.outside.Addr()
		g.OrigRemote = s.client.Addr()
	}
	if change != nil {
		change(&c, &g)
	}
	if err := client.db.Install(now, c); err != nil {
		t.Fatal(err)
	}
	if err := gw.db.Install(now, g); err != nil {
		t.Fatal(err)
	}
}

// cross turns what the client sent into what the gateway gets, and the other way.
func cross(list []Datagram, s seen, up bool) []Datagram {
	out := make([]Datagram, len(list))
	for i, d := range list {
		d.Buf = bytes.Clone(d.Buf)
		if up {
			d.Remote, d.Local = s.outside, s.gateway
		} else {
			d.Remote, d.Local = s.gateway, s.client
		}
		if d.Raw() {
			d.Remote, d.Local = netip.AddrPortFrom(d.Remote.Addr(), 0), netip.AddrPortFrom(d.Local.Addr(), 0)
		}
		out[i] = d
	}
	return out
}

var (
	natted = seen{netip.MustParseAddrPort("10.1.0.2:4500"), netip.MustParseAddrPort("203.0.113.5:31007"), netip.MustParseAddrPort("198.51.100.2:4500")}
	plain  = seen{netip.MustParseAddrPort("192.0.2.1:4500"), netip.MustParseAddrPort("192.0.2.1:4500"), netip.MustParseAddrPort("198.51.100.2:4500")}
	plain6 = seen{netip.MustParseAddrPort("[2001:db8:1::1]:4500"), netip.MustParseAddrPort("[2001:db8:1::1]:4500"), netip.MustParseAddrPort("[2001:db8:2::2]:4500")}
	nat6   = seen{netip.MustParseAddrPort("[fd00::2]:4500"), netip.MustParseAddrPort("[2001:db8:9::5]:31007"), netip.MustParseAddrPort("[2001:db8:2::2]:4500")}
)

// packet makes an IP packet with a right checksum.
func packet(src, dst netip.Addr, proto uint8, upper []byte) []byte {
	var p []byte
	if src.Is4() {
		p = ipv4(src.String(), dst.String(), proto, upper)
	} else {
		p = ipv6(src.String(), dst.String(), proto, upper)
	}
	var in inner
	if parse(p, true, &in) != good {
		panic("packet: malformed")
	}
	if at, ok := sumAt(in.flow.Proto); ok {
		u := p[in.upper:]
		u[at], u[at+1] = 0, 0
		s := slowSum(src.AsSlice(), dst.AsSlice(), []byte{0, 0, byte(len(u) >> 8), byte(len(u)), 0, 0, 0, in.flow.Proto}, u)
		binary.BigEndian.PutUint16(u[at:], s)
	}
	return p
}

// right reports whether the checksum of the layer above IP is.
func right(p []byte) bool {
	var in inner
	if parse(p, true, &in) != good {
		return false
	}
	u := p[in.upper:in.n]
	a, b := in.flow.Local.Addr(in.flow.V6).AsSlice(), in.flow.Remote.Addr(in.flow.V6).AsSlice()
	s := slowSum(a, b, []byte{0, 0, byte(len(u) >> 8), byte(len(u)), 0, 0, 0, in.flow.Proto}, u)
	return s == 0 || s == 65535
}

func TestTransportBothWays(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		name string
		s    seen
		mode natt.Mode
		head string // what is in front of the SPI, in hex
	}{
		{"v4 raw", plain, natt.Raw, ""}, {"v4 udp", plain, natt.NonESP, ""}, {"v4 non-ike", plain, natt.NonIKE, "0000000000000000"},
		{"v4 nat", natted, natt.NonESP, ""}, {"v4 nat non-ike", natted, natt.NonIKE, "0000000000000000"},
		{"v6 raw", plain6, natt.Raw, ""}, {"v6 udp", plain6, natt.NonESP, ""}, {"v6 nat", nat6, natt.NonESP, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, gw := newEnd(t, now, Config{}), newEnd(t, now, Config{})
			join(t, now, client, gw, c.s, c.mode, nil)
			icmp := uint8(protoICMP)
			echo, reply := []byte{8, 0, 0, 0, 0, 7, 0, 1, 9}, []byte{0, 0, 0, 0, 0, 7, 0, 1, 9}
			if c.s.client.Addr().Is6() {
				icmp, echo[0], reply[0] = protoICMPv6, 128, 129
			}
			for i, x := range []struct {
				proto uint8
				up    []byte
				down  []byte
			}{
				{17, append(udpOf(1701, 1701, 3), 0)[:11], udpOf(1701, 1701, 100)},
				{6, tcpOf(40000, 22, 1, 0x10), append(tcpOf(22, 40000, 1, 0x10), 1, 2, 3)},
				{icmp, echo, reply},
			} {
				sent := packet(c.s.client.Addr(), c.s.gateway.Addr(), x.proto, x.up)
				grams := client.seal(now, bytes.Clone(sent))
				if len(grams) != 1 {
					t.Fatalf("%d: %d datagrams; %v", i, len(grams), client.e.Counters())
				}
				d := grams[0]
				if got := fmt.Sprintf("%x", d.Buf[:len(c.head)/2]); got != c.head || binary.BigEndian.Uint32(d.Buf[len(c.head)/2:]) != gw.spi {
					t.Errorf("%d: the datagram begins with %x", i, d.Buf[:16])
				}
				if d.Encap != c.mode || d.Remote != c.s.gateway || d.Local != c.s.client {
					t.Errorf("%d: sent %v from %s to %s", i, d.Encap, d.Local, d.Remote)
				}
				got := gw.open(now, cross(grams, c.s, true))
				if len(got) != 1 {
					t.Fatalf("%d: %d packets; %v", i, len(got), gw.e.Counters())
				}
				want := packet(c.s.outside.Addr(), c.s.gateway.Addr(), x.proto, x.up)
				want[:6][4], want[:6][5] = got[0][4], got[0][5]
				same(t, got[0], want)
				back := packet(c.s.gateway.Addr(), c.s.outside.Addr(), x.proto, x.down)
				answer := client.open(now, cross(gw.seal(now, bytes.Clone(back)), c.s, false))
				if len(answer) != 1 {
					t.Fatalf("%d: %d packets back; %v %v", i, len(answer), gw.e.Counters(), client.e.Counters())
				}
				same(t, answer[0], packet(c.s.gateway.Addr(), c.s.client.Addr(), x.proto, x.down))
			}
		})
	}
}

// same compares addresses, protocol and everything above IP.
func same(t *testing.T, got, want []byte) {
	t.Helper()
	var a, b inner
	if parse(got, false, &a) != good || parse(want, false, &b) != good || a.n != len(got) {
		t.Fatalf("not an IP packet: %x", got)
	}
	if a.flow != b.flow || !bytes.Equal(got[a.body:], want[b.body:]) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	if got[0]>>4 == 4 && fold(sum(got[:20], 0)) != 0 {
		t.Errorf("header checksum: %x", got[:20])
	}
	if _, ok := sumAt(a.flow.Proto); ok && !right(got) {
		t.Errorf("checksum: %x", got)
	}
}

// TestOriginalUnknown: without NAT-OA the checksum is made anew; one that is none stays none.
func TestOriginalUnknown(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	client, gw := newEnd(t, now, Config{}), newEnd(t, now, Config{})
	join(t, now, client, gw, natted, natt.NonESP, func(c, g *sadb.Child) {
		c.OrigLocal, g.OrigRemote = netip.Addr{}, netip.Addr{}
	})
	for _, proto := range []uint8{17, 6} {
		up := udpOf(1701, 1701, 5)
		if proto == 6 {
			up = tcpOf(1701, 1701, 7, 2)
		}
		sent := packet(natted.client.Addr(), natted.gateway.Addr(), proto, up)
		got := gw.open(now, cross(client.seal(now, sent), natted, true))
		if len(got) != 1 || !right(got[0]) {
			t.Errorf("protocol %d: %x; %v", proto, got, gw.e.Counters())
		}
	}
	none := ipv4("10.1.0.2", "198.51.100.2", 17, udpOf(1701, 1701, 5))
	if got := gw.open(now, cross(client.seal(now, none), natted, true)); len(got) != 1 || got[0][26]|got[0][27] != 0 {
		t.Errorf("a datagram without a checksum: %x", got)
	}
}

// TestWrongChecksumStaysWrong: what is repaired incrementally does not become right.
func TestWrongChecksumStaysWrong(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	client, gw := newEnd(t, now, Config{}), newEnd(t, now, Config{})
	join(t, now, client, gw, natted, natt.NonESP, nil)
	sent := packet(natted.client.Addr(), natted.gateway.Addr(), 17, udpOf(1701, 1701, 5))
	sent[26] ^= 1
	if got := gw.open(now, cross(client.seal(now, sent), natted, true)); len(got) != 1 || right(got[0]) {
		t.Errorf("%x", got)
	}
}

// TestTransportRefusals: what transport mode cannot carry is counted and goes nowhere.
func TestTransportRefusals(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	client, gw := newEnd(t, now, Config{}), newEnd(t, now, Config{})
	join(t, now, client, gw, plain, natt.NonESP, nil)
	six, gw6 := newEnd(t, now, Config{}), newEnd(t, now, Config{})
	join(t, now, six, gw6, plain6, natt.Raw, nil)
	fragment := packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 16))
	fragment[6] |= 0x20
	options := append([]byte{}, packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 16))...)
	options = append(append(append([]byte{}, options[:20]...), 0x94, 4, 0, 0), options[20:]...)
	options[0], options[3] = 0x46, byte(len(options))
	ext := func(next uint8, body ...byte) []byte {
		return ipv6("2001:db8:1::1", "2001:db8:2::2", next, append(body, udpOf(1, 2, 8)...))
	}
	for _, c := range []struct {
		name string
		h    *end
		p    []byte
		why  Counter
	}{
		{"fragment", client, fragment, OutFragment}, {"IPv4 options", client, options, OutOptions},
		{"IP in IP", client, ipv4("192.0.2.1", "198.51.100.2", 4, fragment), OutSelectors},
		{"hop-by-hop", six, ext(0, 17, 0, 1, 4, 0, 0, 0, 0), OutOptions},
		{"routing", six, ext(43, 17, 0, 4, 0, 0, 0, 0, 0), OutOptions},
		{"IPv6 fragment", six, ext(44, 17, 0, 0, 9, 0, 0, 0, 1), OutFragment},
	} {
		before := c.h.e.Counters()[c.why]
		if d := c.h.seal(now, c.p); len(d) != 0 || c.h.e.Counters()[c.why] != before+1 {
			t.Errorf("%s: %d datagrams; %v", c.name, len(d), c.h.e.Counters())
		}
	}
	// Destination options may be behind ESP.
	got := gw6.open(now, cross(six.seal(now, ext(60, 17, 0, 1, 4, 0, 0, 0, 0)), plain6, true))
	if len(got) != 1 || got[0][6] != 60 {
		t.Errorf("destination options: %x; %v", got, gw6.e.Counters())
	}
}

// TestTransportTooBig: with and without DF, ICMP says what fits, and that does fit.
func TestTransportTooBig(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, s := range []seen{plain, plain6} {
		for _, mode := range []natt.Mode{natt.Raw, natt.NonESP, natt.NonIKE} {
			client, gw := newEnd(t, now, Config{}), newEnd(t, now, Config{})
			join(t, now, client, gw, s, mode, nil)
			h := headerLen(s.client.Addr().Is6())
			big := packet(s.client.Addr(), s.gateway.Addr(), 17, udpOf(1, 2, 1480-h))
			sent := client.sealed(now, big)
			if len(sent.Datagrams) != 0 || len(sent.Replies) != 1 {
				t.Fatalf("%s %s: %d datagrams, %d replies", s.client, mode, len(sent.Datagrams), len(sent.Replies))
			}
			r := sent.Replies[0][Headroom:]
			mtu := int(binary.BigEndian.Uint16(r[h+6:]))
			if mtu < 1380 || mtu > 1470 {
				t.Errorf("%s %s: ICMP says %d", s.client, mode, mtu)
			}
			fits := packet(s.client.Addr(), s.gateway.Addr(), 17, udpOf(1, 2, mtu-h-8))
			grams := client.seal(now, fits)
			udp := 8
			if mode == natt.Raw {
				udp = 0
			}
			if len(grams) != 1 || grams[0].N+h+udp > 1500 || grams[0].N+h+udp < 1497 {
				t.Errorf("%s %s: what fits is %d octets outside", s.client, mode, grams[0].N+h+udp)
			}
		}
	}
}

// TestTransportTOS: there is one IP header, so the octet is the packet's own (RFC 4301, Section 5.1.2 is for tunnels).
func TestTransportTOS(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, s := range []seen{plain, plain6} {
		client, gw := newEnd(t, now, Config{}), newEnd(t, now, Config{})
		join(t, now, client, gw, s, natt.NonESP, nil)
		p := packet(s.client.Addr(), s.gateway.Addr(), 17, udpOf(1, 2, 16))
		setTOS(p, 0xb9)
		grams := client.seal(now, p)
		if grams[0].TOS != 0xb9 {
			t.Errorf("sent with %02x", grams[0].TOS)
		}
		in := cross(grams, s, true)
		in[0].TOS = 0xbb
		got := gw.open(now, in)
		var i inner
		if len(got) != 1 || parse(got[0], false, &i) != good || i.tos != 0xbb {
			t.Errorf("delivered with %02x", i.tos)
		}
	}
}

// TestTransportNoAllocation: batch in to batch out, through a NAT, with ports translated.
func TestTransportNoAllocation(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	client, gw := newEnd(t, now, Config{}), newEnd(t, now, Config{})
	join(t, now, client, gw, natted, natt.NonESP, nil)
	var bufs [][]byte
	var sizes []int
	for i := range BatchSize {
		p := packet(natted.client.Addr(), natted.gateway.Addr(), 17, udpOf(uint16(1000+i), 1701, 64))
		bufs, sizes = append(bufs, append(make([]byte, Headroom), p...)), append(sizes, len(p))
	}
	var grams [maxDatagrams]Datagram
	memory := make([]byte, 1<<20)
	down := make([][]byte, BatchSize)
	for i := range down {
		down[i] = make([]byte, Headroom+200)
	}
	run := func() {
		n := received(grams[:], memory, client.out.Seal(now, bufs, sizes, Headroom).Datagrams)
		for i := range grams[:n] {
			grams[i].Remote, grams[i].Local = natted.outside, natted.gateway
		}
		got := gw.in.Open(now, grams[:n])
		if len(got.Packets) != BatchSize {
			t.Fatalf("%d packets; %v", len(got.Packets), gw.e.Counters())
		}
		for i, p := range got.Packets { // the answer: addresses and ports exchanged
			q := down[i][Headroom:][:copy(down[i][Headroom:], p[Headroom:])]
			for j := range 4 {
				q[12+j], q[16+j] = q[16+j], q[12+j]
			}
			q[20], q[21], q[22], q[23] = q[22], q[23], q[20], q[21]
		}
		if sent := gw.out.Seal(now, down, sizes, Headroom); len(sent.Datagrams) == 0 || len(sent.Replies) != 0 {
			t.Fatalf("%v", gw.e.Counters())
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations for a batch of %d packets", n, BatchSize)
	}
}
