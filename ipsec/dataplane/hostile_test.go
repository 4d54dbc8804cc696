// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The cases of HOSTILE sections G and H that reach the engine. After each the tunnel still carries packets.

package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// alive sends a packet each way.
func (w *world) alive() {
	w.t.Helper()
	p, q := tcp4(100, 7, 0x10), ipv4("10.2.0.7", "10.1.0.5", protoUDP, udpOf(1, 2, 33))
	if got := w.b.open(w.now, arrive(w.a.seal(w.now, p))); len(got) != 1 || !bytes.Equal(got[0], p) {
		w.t.Errorf("not alive: a to b: %d packets; %v %v", len(got), w.a.e.Counters(), w.b.e.Counters())
	}
	if got := w.a.open(w.now, arrive(w.b.seal(w.now, q))); len(got) != 1 || !bytes.Equal(got[0], q) {
		w.t.Errorf("not alive: b to a: %d packets", len(got))
	}
}

// fromPeer seals any payload with any next header on b's SA as b's peer would, whatever its own engine would say.
func (w *world) fromPeer(next uint8, payload []byte) Datagram {
	w.t.Helper()
	p := w.a.db.Inbound(w.a.spi)
	buf := make([]byte, p.Size(len(payload)))
	copy(buf[p.Head():], payload)
	p.BeginSeal(w.a.db.Clock(w.now))
	n, err := p.Seal(buf, len(payload), next)
	p.EndSeal()
	if err != nil {
		w.t.Fatal(err)
	}
	return Datagram{Buf: buf, N: n, Remote: outerA, Local: outerB, Encap: natt.NonESP}
}

func TestT071Keepalives(t *testing.T) {
	w := newWorld(t, gcm, nil)
	stranger := netip.MustParseAddrPort("203.0.113.9:9")
	list := make([]Datagram, 0, 64)
	for _, b := range [][]byte{{0xff}, {0x00}, {0, 0, 0, 0, 0xff}} {
		for _, from := range []netip.AddrPort{outerA, stranger} {
			list = append(list, Datagram{Buf: b, N: len(b), Remote: from, Local: outerB, Encap: natt.NonESP})
		}
	}
	bad := Datagram{Buf: []byte{0xff, 0xff}, N: 2, Remote: outerA, Local: outerB, Encap: natt.NonESP}
	if n := testing.AllocsPerRun(100, func() {
		if got := w.b.in.Open(w.now, list); len(got.Packets)+len(got.IKE) != 0 {
			t.Fatal("a keepalive was delivered")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	w.b.count(InKeepalives, 101*6)
	w.b.in.Open(w.now, []Datagram{bad})
	w.b.count(InNotESP, 1)
	if u, _ := w.b.db.Query(w.b.spi); !u.LastIn.IsZero() {
		t.Error("a keepalive is a sign of life")
	}
	if w.b.db.Pending() {
		t.Error("a keepalive made a notice")
	}
	w.alive()
}

func TestT070IKEIsNotESP(t *testing.T) {
	w := newWorld(t, gcm, nil)
	ike := append(make([]byte, 4), bytes.Repeat([]byte{7}, 28)...)
	got := w.b.in.Open(w.now, []Datagram{
		{Buf: ike, N: len(ike), Remote: outerA, Local: outerB, Encap: natt.NonESP},
		{Buf: ike[:31], N: 31, Remote: outerA, Local: outerB, Encap: natt.NonESP},
		{Buf: []byte{0, 0, 0, 1, 0, 0, 0, 1}, N: 8, Remote: outerA, Local: outerB, Encap: natt.NonESP},
	})
	if len(got.IKE) != 1 || !bytes.Equal(got.IKE[0].Bytes, ike[4:]) || got.IKE[0].Remote != outerA || got.IKE[0].Local != outerB {
		t.Errorf("IKE: %+v", got.IKE)
	}
	w.b.count(InNotESP, 1)
	w.b.count(InUnknownSPI, 1)
	w.alive()
}

func TestT080Shapes(t *testing.T) {
	for name, s := range suites() {
		w := newWorld(t, s, nil)
		var list []Datagram
		for n := 2; n < 70; n++ {
			b := make([]byte, n)
			if n >= 4 {
				binary.BigEndian.PutUint32(b, w.b.spi)
			}
			if n >= 8 {
				b[7] = 1
			}
			list = append(list, Datagram{Buf: b, N: n, Remote: outerA, Local: outerB, Encap: natt.NonESP})
		}
		list = append(list, w.fromPeer(0, []byte("x")), w.fromPeer(255, nil), w.fromPeer(50, nil), w.fromPeer(esp.NextHeaderNone, []byte("junk")))
		if got := w.b.open(w.now, list); len(got) != 0 {
			t.Errorf("%s: %d delivered", name, len(got))
		}
		w.b.count(InNextHeader, 3)
		w.b.count(InDummies, 1)
		c := w.b.e.Counters()
		if c[InShort]+c[InICV]+c[InNotESP] != 68 {
			t.Errorf("%s: %v", name, c)
		}
		w.alive()
	}
}

func TestT081SPIs(t *testing.T) {
	w := newWorld(t, gcm, nil)
	good := w.fromPeer(esp.NextHeaderIPv4, tcp4(10, 1, 0x10))
	other := newWorld(t, gcm, nil)
	for _, spi := range []uint32{1, 255, 0x12345678, w.a.spi, other.b.spi, w.b.spi ^ 1<<31} {
		d := good
		d.Buf = bytes.Clone(good.Buf)
		binary.BigEndian.PutUint32(d.Buf, spi)
		if got := w.b.in.Open(w.now, []Datagram{d}); len(got.Packets)+len(got.IKE) != 0 {
			t.Errorf("SPI %#x delivered", spi)
		}
	}
	c := w.b.e.Counters()
	if c[InUnknownSPI]+c[InICV] != 6 {
		t.Errorf("counters %v", c)
	}
	w.alive()
}

func TestT082Replay(t *testing.T) {
	w := newWorld(t, gcm, nil)
	d := w.fromPeer(esp.NextHeaderIPv4, tcp4(10, 1, 0x10))
	delivered := 0
	for range 1000 {
		x := d
		x.Buf = bytes.Clone(d.Buf)
		delivered += len(w.b.open(w.now, []Datagram{x}))
	}
	if delivered != 1 {
		t.Errorf("delivered %d times", delivered)
	}
	w.b.count(InReplay, 999)
	w.alive()
}

func TestT084LastNumber(t *testing.T) {
	w := newWorld(t, gcm, func(a, _ *sadb.Child) { a.Limits.HardPackets = 2 })
	for range 5 {
		w.a.seal(w.now, tcp4(1, 1, 0x10))
	}
	w.a.count(OutSealed, 2)
	w.a.count(OutExhausted, 3) // dropped: not sent in clear, not held
	w.a.count(OutBypassed, 0)
	if s := w.a.sealed(w.now, tcp4(1, 1, 0x10)); len(s.Bypass)+len(s.Datagrams) != 0 {
		t.Error("something left")
	}
}

func TestT086InnerLengths(t *testing.T) {
	w := newWorld(t, gcm, nil)
	good := tcp4(100, 1, 0x10)
	six := ipv6("2001:db8:1::5", "2001:db8:2::7", protoUDP, udpOf(1, 2, 10))
	change := func(p []byte, at int, v ...byte) []byte {
		q := bytes.Clone(p)
		copy(q[at:], v)
		return q
	}
	jumbo := ipv6("2001:db8:1::5", "2001:db8:2::7", protoHopByHop, append([]byte{protoUDP, 0, 0xc2, 4, 0, 1, 0, 0}, udpOf(1, 2, 10)...))
	jumbo[4], jumbo[5] = 0, 0
	for name, c := range map[string]struct {
		next uint8
		p    []byte
		want Counter
	}{
		"empty":                      {4, nil, InMalformed},
		"one octet":                  {4, []byte{0x45}, InMalformed},
		"version 0":                  {4, change(good, 0, 0x05), InMalformed},
		"version 5":                  {4, change(good, 0, 0x55), InMalformed},
		"version 15":                 {4, change(good, 0, 0xf5), InMalformed},
		"IPv6 in next header IPv4":   {4, six, InMalformed},
		"IPv4 in next header IPv6":   {41, good, InMalformed},
		"header length 16":           {4, change(good, 0, 0x44), InMalformed},
		"header beyond the packet":   {4, change(change(good[:20], 2, 0, 20), 0, 0x4f), InMalformed},
		"total length 0":             {4, change(good, 2, 0, 0), InMalformed},
		"total length above payload": {4, change(good, 2, 0, 141), InTruncated},
		"total length 65535":         {4, change(good, 2, 0xff, 0xff), InTruncated},
		"IPv6 length above payload":  {41, change(six, 4, 0xff, 0xff), InTruncated},
		"IPv6 of 39 octets":          {41, six[:39], InMalformed},
		"jumbogram":                  {41, jumbo, InMalformed},
		"TCP header cut off":         {4, change(good[:39], 2, 0, 39), InMalformed},
		"UDP header cut off":         {4, ipv4("10.1.0.5", "10.2.0.7", protoUDP, []byte{0, 1, 0}), InMalformed},
	} {
		before := w.b.e.Counters()[c.want]
		if got := w.b.open(w.now, []Datagram{w.fromPeer(c.next, c.p)}); len(got) != 0 {
			t.Errorf("%s: delivered %x", name, got[0])
		}
		if w.b.e.Counters()[c.want] != before+1 {
			t.Errorf("%s: not counted under %d; %v", name, c.want, w.b.e.Counters())
		}
	}
	// Traffic flow padding: what is behind the inner length never goes on.
	for _, pad := range []int{1, 100, 60000} {
		for next, p := range map[uint8][]byte{4: good, 41: six} {
			got := w.b.open(w.now, []Datagram{w.fromPeer(next, append(bytes.Clone(p), bytes.Repeat([]byte{0xaa}, pad)...))})
			if len(got) != 1 || !bytes.Equal(got[0], p) {
				t.Errorf("%d octets of padding: %d packets", pad, len(got))
			}
		}
	}
	w.b.count(InTrimmed, 6)
	w.alive()
}

func TestT087Fragments(t *testing.T) {
	ports := func(a, b *sadb.Child) {
		for _, c := range []*sadb.Child{a, b} {
			for i := range c.TSRemote {
				c.TSLocal[i].Proto, c.TSRemote[i].Proto = protoUDP, protoUDP
			}
		}
		for i := range a.TSRemote {
			a.TSRemote[i].PortFrom, a.TSRemote[i].PortTo = 53, 53
			b.TSLocal[i].PortFrom, b.TSLocal[i].PortTo = 53, 53
		}
	}
	fragment := func(offset int, more bool, payload int, proto uint8) []byte {
		p := ipv4("10.1.0.5", "10.2.0.7", proto, make([]byte, payload))
		if offset == 0 && payload >= 8 {
			copy(p[20:], udpOf(1000, 53, 0))
		}
		binary.BigEndian.PutUint16(p[6:], uint16(offset/8))
		if more {
			p[6] |= 0x20
		}
		return p
	}
	t.Run("ports", func(t *testing.T) {
		w := newWorld(t, gcm, ports)
		for _, first := range []bool{true, false} {
			p := fragment(map[bool]int{true: 0, false: 64}[first], first, 64, protoUDP)
			if n := len(w.a.seal(w.now, p)); (n == 1) != first {
				t.Errorf("first %v: %d sealed", first, n)
			}
			if n := len(w.b.open(w.now, []Datagram{w.fromPeer(4, p)})); (n == 1) != first {
				t.Errorf("first %v: %d delivered", first, n)
			}
		}
		w.a.count(OutFragmentPorts, 1)
		w.b.count(InFragmentPorts, 1)
	})
	t.Run("any port", func(t *testing.T) {
		w := newWorld(t, gcm, nil)
		for name, c := range map[string]struct {
			p  []byte
			ok bool
		}{
			"first":                     {fragment(0, true, 64, protoUDP), true},
			"last":                      {fragment(64, false, 64, protoUDP), true},
			"of a protocol without any": {fragment(64, false, 64, 47), true},
			"beyond 64 KiB":             {fragment(65528, false, 64, protoUDP), false},
			"over the TCP flags":        {fragment(8, false, 64, protoTCP), false},
			"tiny first TCP":            {fragment(0, true, 8, protoTCP), false},
			"tiny first UDP":            {fragment(0, true, 0, protoUDP), false},
		} {
			if n := len(w.b.open(w.now, []Datagram{w.fromPeer(4, c.p)})); (n == 1) != c.ok {
				t.Errorf("%s: %d delivered", name, n)
			}
			if n := len(w.a.seal(w.now, c.p)); (n == 1) != c.ok {
				t.Errorf("%s: %d sealed", name, n)
			}
		}
		six := func(offset int, proto uint8, n int) []byte {
			h := make([]byte, 8+n)
			h[0] = proto
			binary.BigEndian.PutUint16(h[2:], uint16(offset))
			return ipv6("2001:db8:1::5", "2001:db8:2::7", protoFragment, h)
		}
		for name, c := range map[string]struct {
			p  []byte
			ok bool
		}{
			"IPv6 last":               {six(64, protoUDP, 16), true},
			"IPv6 atomic":             {six(0, protoUDP, 8), true},
			"IPv6 beyond 64 KiB":      {six(65528, protoUDP, 16), false},
			"IPv6 over the TCP flags": {six(8, protoTCP, 16), false},
		} {
			if n := len(w.b.open(w.now, []Datagram{w.fromPeer(41, c.p)})); (n == 1) != c.ok {
				t.Errorf("%s: %d delivered", name, n)
			}
		}
		w.alive()
	})
	t.Run("bypass", func(t *testing.T) {
		w := newWorld(t, gcm, ports)
		// A pass policy for the rest must not let out what port 53 might have been.
		if _, err := w.a.db.AddPolicy(sadb.Policy{Action: sadb.Bypass, Local: []sadb.Selector{everything(false)}, Remote: []sadb.Selector{selector("10.9.0.0/16")}}); err != nil {
			t.Fatal(err)
		}
		s := w.a.sealed(w.now, fragment(64, false, 64, protoUDP))
		if len(s.Bypass)+len(s.Datagrams) != 0 {
			t.Error("a fragment left")
		}
	})
}

func TestT088Extensions(t *testing.T) {
	w := newWorld(t, gcm, nil)
	chain := func(n int, kind uint8, last []byte, lastKind uint8) []byte {
		var b []byte
		for i := range n {
			next := kind
			if i == n-1 {
				next = lastKind
			}
			b = append(b, next, 0, 1, 4, 0, 0, 0, 0)
		}
		first := kind
		if n == 0 {
			first = lastKind
		}
		return ipv6("2001:db8:1::5", "2001:db8:2::7", first, append(b, last...))
	}
	udp := udpOf(1, 2, 8)
	ah := append([]byte{protoUDP, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, make([]byte, 12)...)
	for name, c := range map[string]struct {
		p  []byte
		ok bool
	}{
		"none":                        {chain(0, 0, udp, protoUDP), true},
		"eight destination options":   {chain(8, protoDstOpts, udp, protoUDP), true},
		"nine":                        {chain(9, protoDstOpts, udp, protoUDP), false},
		"hop-by-hop × 100":            {chain(100, protoHopByHop, udp, protoUDP), false},
		"hop-by-hop first":            {chain(1, protoHopByHop, udp, protoUDP), true},
		"hop-by-hop second":           {ipv6("2001:db8:1::5", "2001:db8:2::7", protoDstOpts, append([]byte{0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0}, udp...)), false},
		"AH inside":                   {ipv6("2001:db8:1::5", "2001:db8:2::7", protoAH, append(ah, udp...)), true},
		"mobility header cut off":     {ipv6("2001:db8:1::5", "2001:db8:2::7", protoMobility, []byte{59, 0, 5, 0}), false},
		"routing header 0":            {ipv6("2001:db8:1::5", "2001:db8:2::7", protoRouting, append([]byte{17, 0, 0, 1, 0, 0, 0, 0}, udp...)), false},
		"routing header 4":            {ipv6("2001:db8:1::5", "2001:db8:2::7", protoRouting, append([]byte{17, 0, 4, 1, 0, 0, 0, 0}, udp...)), true},
		"extension beyond the packet": {ipv6("2001:db8:1::5", "2001:db8:2::7", protoDstOpts, []byte{17, 200, 0, 0, 0, 0, 0, 0}), false},
		"extension of four octets":    {ipv6("2001:db8:1::5", "2001:db8:2::7", protoDstOpts, []byte{17, 0, 0, 0}), false},
		"fragment header cut off":     {ipv6("2001:db8:1::5", "2001:db8:2::7", protoFragment, []byte{17, 0, 0}), false},
		"no next header":              {ipv6("2001:db8:1::5", "2001:db8:2::7", 59, nil), true},
	} {
		if n := len(w.b.open(w.now, []Datagram{w.fromPeer(41, c.p)})); (n == 1) != c.ok {
			t.Errorf("%s: %d delivered", name, n)
		}
	}
	w.alive()
}

// TestInboundSelectors: RFC 4301, Section 5.2: the peer speaks for its own selectors only.
func TestInboundSelectors(t *testing.T) {
	w := newWorld(t, gcm, nil)
	for _, p := range [][]byte{
		ipv4("10.3.0.5", "10.2.0.7", protoUDP, udpOf(1, 2, 3)),
		ipv4("10.1.0.5", "10.3.0.7", protoUDP, udpOf(1, 2, 3)),
		ipv4("10.2.0.7", "10.1.0.5", protoUDP, udpOf(1, 2, 3)),
		ipv4("127.0.0.1", "127.0.0.1", protoUDP, udpOf(1, 2, 3)),
	} {
		if got := w.b.open(w.now, []Datagram{w.fromPeer(4, p)}); len(got) != 0 {
			t.Errorf("delivered %x", p[12:20])
		}
	}
	v4mapped := ipv6("::ffff:10.1.0.5", "::ffff:10.2.0.7", protoUDP, udpOf(1, 2, 3))
	w.b.open(w.now, []Datagram{w.fromPeer(41, v4mapped)})
	w.b.count(InSelectors, 5)
	w.alive()
}

// TestT090Hard: after a hard limit traffic is dropped, not leaked, in both directions.
func TestT090Hard(t *testing.T) {
	w := newWorld(t, gcm, func(a, b *sadb.Child) { b.Limits.HardTime = time.Minute })
	w.alive()
	w.now = w.now.Add(2 * time.Minute)
	d := w.a.seal(w.now, tcp4(1, 1, 0x10))
	if len(w.b.open(w.now, arrive(d))) != 0 {
		t.Error("delivered after the hard limit")
	}
	w.b.count(InExpired, 1)
	if s := w.b.sealed(w.now, ipv4("10.2.0.7", "10.1.0.5", protoUDP, udpOf(1, 2, 3))); len(s.Datagrams)+len(s.Bypass) != 0 {
		t.Error("left after the hard limit")
	}
	w.b.count(OutExhausted, 1)
}

// TestT092Recursion: the tunnel's own datagrams, routed into it, end there.
func TestT092Recursion(t *testing.T) {
	w := newWorld(t, gcm, func(a, b *sadb.Child) {
		a.TSLocal, a.TSRemote = []sadb.Selector{everything(false)}, []sadb.Selector{everything(false)}
		b.TSLocal, b.TSRemote = a.TSLocal, a.TSRemote
	})
	own := ipv4("192.0.2.1", "198.51.100.2", protoUDP, udpOf(4500, 4500, 100))
	if n := len(w.a.seal(w.now, own)); n != 0 {
		t.Error("ESP in itself")
	}
	w.a.count(OutLoop, 1)
	// Another program's traffic to the gateway's own address is ordinary traffic.
	if n := len(w.a.seal(w.now, ipv4("192.0.2.1", "198.51.100.2", protoUDP, udpOf(4500, 53, 100)))); n != 1 {
		t.Error("host-to-host traffic was dropped")
	}
	// From inside, packets to the gateway's IKE port are inner packets like others: they come out as packets, not as IKE.
	inside := ipv4("10.1.0.5", "10.2.0.7", protoUDP, append(udpOf(500, 4500, 0), make([]byte, 64)...))
	got := w.b.in.Open(w.now, []Datagram{w.fromPeer(4, inside)})
	if len(got.IKE) != 0 || len(got.Packets) != 1 {
		t.Error("an inner packet was taken for IKE")
	}
}

// TestT093Buffers: the engine changes no octet of a buffer but where it says so.
func TestT093Buffers(t *testing.T) {
	w := newWorld(t, gcm, nil)
	p := tcp4(500, 1, 0x10)
	buf := append(bytes.Repeat([]byte{0x77}, Headroom), p...)
	buf = append(buf, bytes.Repeat([]byte{0x77}, 100)...)
	before := bytes.Clone(buf)
	// The same slice three times in one batch, and again afterwards.
	for range 2 {
		sent := w.a.out.Seal(w.now, [][]byte{buf, buf, buf}, []int{len(p), len(p), len(p)}, Headroom)
		list := arrive(apart(sent.Datagrams))
		if len(list) != 3 || bytes.Equal(list[0].Buf, list[1].Buf) {
			t.Error("the same slice was not sealed three times")
		}
		for _, q := range w.b.open(w.now, list) {
			if !bytes.Equal(q, p) {
				t.Error("changed on its way")
			}
		}
	}
	if !bytes.Equal(before, buf) {
		t.Error("Seal wrote into the caller's buffer")
	}
	// What is not opened stays as it was: unknown SPIs, replays, IKE.
	d := w.fromPeer(4, p)
	x := bytes.Clone(d.Buf)
	w.b.open(w.now, []Datagram{{Buf: bytes.Clone(x), N: len(x), Remote: outerA, Local: outerB, Encap: natt.NonESP}})
	for _, y := range [][]byte{x, append([]byte{9, 9, 9, 9}, x[4:]...), append(make([]byte, 4), x[4:]...)} {
		was := bytes.Clone(y)
		w.b.in.Open(w.now, []Datagram{{Buf: y, N: len(y), Remote: outerA, Local: outerB, Encap: natt.NonESP}})
		if !bytes.Equal(was, y) {
			t.Errorf("Open wrote into a datagram that it did not open: %x", was[:8])
		}
	}
}

// TestT094IPComp: where nobody has agreed on it, it is not opened.
func TestT094IPComp(t *testing.T) {
	w := newWorld(t, gcm, nil)
	if got := w.b.open(w.now, []Datagram{w.fromPeer(108, []byte{4, 0, 0, 2, 1, 2, 3, 4})}); len(got) != 0 {
		t.Error("delivered")
	}
	w.b.count(InCompression, 1)
	w.alive()
}

func TestT095ECNTable(t *testing.T) {
	const ect0, drop = 2, 0xff
	// RFC 6040, Figure 4: rows inner, columns outer: Not-ECT, ECT(1), ECT(0), CE in the order of their values.
	table := map[uint8][4]uint8{
		notECT: {notECT, notECT, notECT, drop},
		ect1:   {ect1, ect1, ect1, ce},
		ect0:   {ect0, ect1, ect0, ce},
		ce:     {ce, ce, ce, ce},
	}
	w := newWorld(t, gcm, nil)
	off := newWorld(t, gcm, func(a, b *sadb.Child) { a.CopyECN, b.CopyECN = false, false })
	for inner, row := range table {
		for outer, want := range row {
			for _, v6 := range []bool{false, true} {
				p := tcp4(20, 1, 0x10)
				if v6 {
					p = ipv6("2001:db8:1::5", "2001:db8:2::7", protoUDP, udpOf(1, 2, 3))
				}
				setTOS(p, 0xb8|inner) // EF
				d := w.a.seal(w.now, p)
				if d[0].TOS != 0xb8|inner {
					t.Errorf("inner %d: outer TOS %#x", inner, d[0].TOS)
				}
				in := arrive(d)
				in[0].TOS = uint8(outer)
				got := w.b.open(w.now, in)
				if want == drop {
					if len(got) != 0 {
						t.Errorf("inner %d, outer %d: delivered", inner, outer)
					}
					continue
				}
				if len(got) != 1 || tosOf(got[0]) != 0xb8|want || !v6 && fold(sum(got[0][:20], 0)) != 0 {
					t.Errorf("inner %d, outer %d: %x, expected %d", inner, outer, got, want)
				}
				d = off.a.seal(off.now, p)
				if d[0].TOS != 0xb8 {
					t.Errorf("without copy_ecn: outer TOS %#x", d[0].TOS)
				}
				in = arrive(d)
				in[0].TOS = ce
				if got := off.b.open(off.now, in); len(got) != 1 || tosOf(got[0]) != 0xb8|inner {
					t.Errorf("without copy_ecn: inner changed")
				}
			}
		}
	}
	if w.b.e.Counters()[InECN] != 2 {
		t.Errorf("%d dropped for ECN", w.b.e.Counters()[InECN])
	}
}

func tosOf(p []byte) uint8 {
	if p[0]>>4 == 6 {
		return p[0]<<4 | p[1]>>4
	}
	return p[1]
}

// TestT095DSCPAndTTL: DSCP by option; the inner TTL is the host's business on both ends and is not touched.
func TestT095DSCPAndTTL(t *testing.T) {
	for mode, want := range map[sadb.DSCP][2]uint8{
		sadb.DSCPOut: {0x28, 0x28}, sadb.DSCPIn: {0, 0x50}, sadb.DSCPBoth: {0x28, 0x50}, sadb.DSCPNone: {0, 0x28},
	} {
		w := newWorld(t, gcm, func(a, b *sadb.Child) { a.DSCP, b.DSCP = mode, mode })
		p := tcp4(20, 1, 0x10)
		setTOS(p, 0x28)
		p[8] = 1 // TTL
		d := arrive(w.a.seal(w.now, p))
		out := d[0].TOS
		d[0].TOS = 0x50
		got := w.b.open(w.now, d)
		if len(got) != 1 || out != want[0] || got[0][1] != want[1] || got[0][8] != 1 {
			t.Errorf("mode %d: outer %#x, inner %#x", mode, out, got[0][1])
		}
	}
}

func TestT089Flips(t *testing.T) {
	for name, s := range suites() {
		w := newWorld(t, s, nil)
		d := w.fromPeer(4, tcp4(30, 1, 0x10))
		for bit := 32; bit < d.N*8; bit++ { // the SPI's own bits find another SA or none
			x := d
			x.Buf = bytes.Clone(d.Buf)
			x.Buf[bit/8] ^= 1 << (bit % 8)
			if len(w.b.open(w.now, []Datagram{x})) != 0 {
				t.Fatalf("%s: bit %d can be changed", name, bit)
			}
		}
		w.alive()
	}
}
