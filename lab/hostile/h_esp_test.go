// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section H: ESP packets and what is in them (T-080 to T-082, T-086, T-088, T-092, T-095).

package hostile

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/lab/bogus"
)

// drops is how many inbound packets the engine dropped, for any reason.
func drops(w *World) uint64 {
	var n uint64
	for name, v := range w.D.Stats().Engine.Drops {
		if name[:3] == "in-" {
			n += v
		}
	}
	return n
}

// replies counts the echo replies that come until nothing more does. A fence of a right echo says when that is.
func replies(t testing.TB, p *bogus.Peer, seq uint16) int {
	t.Helper()
	if err := p.SendInner(bogus.Echo(p.Address(), inner(), 0xfe, seq, nil)); err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		b, ok := p.Inner(pingLimit)
		if !ok {
			t.Fatalf("the echo behind does not come back")
		}
		if bogus.IsEchoReply(b, inner(), 0xfe, seq) {
			return n
		}
	}
}

// TestT080_Packets: ESP of every small size, with padding, next headers and ICVs that are wrong.
func TestT080_Packets(t *testing.T) {
	w := Open(t, Options{})
	for name, suite := range map[string]bogus.Suite{"GCM": bogus.GCM128(), "CBC": bogus.CBC256()} {
		suite.KE, suite.PRF = 0, 0
		p := w.Connect(func(c *bogus.Config) { c.ESP = suite })
		c := p.Child()
		echo := bogus.Echo(p.Address(), inner(), 1, 1, make([]byte, 20))
		full := len(c.Seal(p.Packet(c, echo)))
		before := drops(w)
		sent := uint64(0)
		send := func(change func(*bogus.Packet)) {
			k := p.Packet(c, echo)
			change(k)
			if _, err := p.SendPacket(c, k); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		for n := 8; n < full; n++ {
			send(func(k *bogus.Packet) { k.Cut = &n })
		}
		long := uint8(255)
		for _, change := range []func(*bogus.Packet){
			func(k *bogus.Packet) { k.FlipICV = true }, func(k *bogus.Packet) { k.ZeroICV = true },
			func(k *bogus.Packet) { k.PadLen = &long }, func(k *bogus.Packet) { k.BadPad, k.Pad = true, 16 },
			func(k *bogus.Packet) { k.Next = 0 }, func(k *bogus.Packet) { k.Next = 255 }, func(k *bogus.Packet) { k.Next = 50 },
			func(k *bogus.Packet) { k.Next = bogus.NextIPv6 }, func(k *bogus.Packet) { k.Inner = nil },
		} {
			send(change)
		}
		if n := replies(t, p, 1); n != 0 {
			t.Errorf("%s: %d of the malformed packets were answered", name, n)
		}
		if got := drops(w) - before; got != sent {
			t.Errorf("%s: %d packets dropped and counted, expected %d", name, got, sent)
		}
		// Dummies are dropped without a drop being counted, after the window took them.
		dummies := w.D.Stats().Engine.DummiesIn
		k := p.Packet(c, make([]byte, 100))
		k.Next = bogus.NextDummy
		b, _ := p.SendPacket(c, k)
		p.SendRaw(true, b)
		if n := replies(t, p, 2); n != 0 {
			t.Errorf("%s: a dummy was answered", name)
		}
		if n := w.D.Stats().Engine.DummiesIn - dummies; n != 1 || drops(w)-before != sent+1 {
			t.Errorf("%s: %d dummies, expected one and its replay dropped", name, n)
		}
		w.Leave(p)
	}
}

// TestT081_SPIs: SPIs that are nobody's, reserved, another peer's or the other direction's. And ours are random.
func TestT081_SPIs(t *testing.T) {
	w := Open(t, Options{})
	p, other := w.Connect(nil), w.Connect(func(c *bogus.Config) { c.ID = bogus.FQDN("other.example") })
	p.Seen()
	c := p.Child()
	for _, spi := range []uint32{1, 255, 256, 0xdeadbeef, 1<<32 - 1, c.SPIIn, other.Child().SPIOut, other.Child().SPIIn} {
		k := p.Packet(c, bogus.Echo(p.Address(), inner(), 1, 1, nil))
		k.SPI = spi
		if _, err := p.SendPacket(c, k); err != nil {
			t.Fatal(err)
		}
	}
	if n := replies(t, p, 1); n != 0 {
		t.Errorf("%d packets with an SPI that is not this child's were answered", n)
	}
	if n := other.Drain(); n != 0 {
		t.Errorf("%d packets reached another peer", n)
	}
	w.Silence(p, "ESP of an unknown SPI")
	seen := map[uint32]bool{}
	var high, low int
	for range 40 {
		n, err := p.NewChild()
		if err != nil {
			t.Fatal(err)
		}
		if n.SPIOut < 256 || seen[n.SPIOut] {
			t.Errorf("SPI %08x was given, which is reserved or was used just now", n.SPIOut)
		}
		seen[n.SPIOut] = true
		if n.SPIOut&1 == 0 {
			low++
		}
		if n.SPIOut>>31 == 0 {
			high++
		}
		if err := p.DeleteChild(n); err != nil {
			t.Fatal(err)
		}
	}
	if high == 0 || high == 40 || low == 0 || low == 40 {
		t.Errorf("of 40 SPIs %d have the highest and %d the lowest bit clear", high, low)
	}
}

// TestT082_Replay: exactly once, whatever order and how often; the window moves only after the ICV.
func TestT082_Replay(t *testing.T) {
	const window = 64
	w := Open(t, Options{Child: "replay_window = 64"})
	p := w.Connect(nil)
	c := p.Child()
	at := func(seq uint32, change func(*bogus.Packet)) []byte {
		k := p.Packet(c, bogus.Echo(p.Address(), inner(), 1, uint16(seq), nil))
		if k.Seq = seq; change != nil {
			change(k)
		}
		b, err := p.SendPacket(c, k)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	expect := func(what string, want int, fence uint32) {
		t.Helper()
		c.Seq = fence - 1
		if n := replies(t, p, uint16(fence)); n != want {
			t.Errorf("%s: %d packets delivered, expected %d", what, n, want)
		}
	}
	at(0, nil)
	expect("sequence number 0", 0, 10)
	b := at(11, nil)
	for range 1000 {
		p.SendRaw(true, b)
	}
	w.Settle()
	expect("the same packet 1,000 times", 1, 12)
	// Top is 1000; the window is 937 to 1000.
	at(1000, nil)
	for _, seq := range []uint32{1000, 1000 - window, 1000 - window + 1, 1000 - window + 1, 999, 999, 900} {
		at(seq, nil)
	}
	expect("edges of the window", 1+1+1, 1001)
	for seq := uint32(2000 + window - 1); seq >= 2000; seq-- { // reordered by W-1
		at(seq, nil)
	}
	expect("reordered by the window less one", window, 2000+window)
	at(1<<31, func(k *bogus.Packet) { k.FlipICV = true })
	at(1<<32-1, func(k *bogus.Packet) { k.ZeroICV = true })
	for seq := uint32(3000); seq < 3010; seq++ {
		at(seq, nil)
	}
	expect("after forged high numbers", 10, 3010)
	at(3011+1<<30, nil)
	at(3012, nil)
	expect("a jump with a right ICV", 1, 3012+1<<30)
}

// innerPackets are inner packets that must not be forwarded as they are.
func innerPackets(from netip.Addr) map[string][]byte {
	total := func(n uint16) *uint16 { return &n }
	echo := bogus.EchoBody(1, 7, make([]byte, 32))
	h := bogus.IPv4{From: from, To: inner(), Proto: 1, Body: echo}
	with := func(change func(*bogus.IPv4)) []byte {
		c := h
		change(&c)
		return c.Append(nil)
	}
	return map[string][]byte{
		"1 octet":                  {0x45},
		"19 octets":                h.Append(nil)[:19],
		"version 0":                with(func(h *bogus.IPv4) { h.First = 0x05 }),
		"version 5":                with(func(h *bogus.IPv4) { h.First = 0x55 }),
		"version 15":               with(func(h *bogus.IPv4) { h.First = 0xf5 }),
		"version 6 in next 4":      with(func(h *bogus.IPv4) { h.First = 0x65 }),
		"header of 4 words":        with(func(h *bogus.IPv4) { h.First = 0x44 }),
		"header of 15 words":       with(func(h *bogus.IPv4) { h.First = 0x4f; h.Body = h.Body[:8] }),
		"length 0":                 with(func(h *bogus.IPv4) { h.Total = total(0) }),
		"length 19":                with(func(h *bogus.IPv4) { h.Total = total(19) }),
		"length above the payload": with(func(h *bogus.IPv4) { h.Total = total(uint16(20 + len(echo) + 1)) }),
		"length 65535":             with(func(h *bogus.IPv4) { h.Total = total(65535) }),
		"another's source":         with(func(h *bogus.IPv4) { h.From = netip.MustParseAddr("10.30.255.254") }),
		"the gateway's source":     with(func(h *bogus.IPv4) { h.From = inner() }),
		"loopback as source":       with(func(h *bogus.IPv4) { h.From = loopback() }),
		"outside as destination":   with(func(h *bogus.IPv4) { h.To = netip.MustParseAddr("192.0.2.1") }),
		"loopback as destination":  with(func(h *bogus.IPv4) { h.To = loopback() }),
		"broadcast":                with(func(h *bogus.IPv4) { h.To = netip.MustParseAddr("255.255.255.255") }),
	}
}

// TestT086_InnerLengths: inner packets whose lengths and versions are not so, or that are outside of the selectors; trailing
// octets (TFC) are cut off.
func TestT086_InnerLengths(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	delivered := w.D.Stats().Engine.Delivered
	c := p.Child()
	for _, b := range innerPackets(p.Address()) {
		k := p.Packet(c, b)
		k.Next = bogus.NextIPv4
		if _, err := p.SendPacket(c, k); err != nil {
			t.Fatal(err)
		}
	}
	if n := replies(t, p, 1); n != 0 {
		t.Errorf("%d of the malformed inner packets were answered", n)
	}
	// The pings of the open tunnel are delivered too; all of this peer's but the fence must have been dropped.
	got := w.D.Stats().Engine.Drops
	if n := got["in-malformed"] + got["in-truncated"] + got["in-selectors"] + got["in-next-header"]; n < uint64(len(innerPackets(p.Address()))) {
		t.Errorf("%d inner packets dropped, expected %d (delivered since then: %d): %v", n, len(innerPackets(p.Address())), w.D.Stats().Engine.Delivered-delivered, got)
	}
	for _, tfc := range []int{1, 100, 1000, 60000} {
		k := p.Packet(c, bogus.Echo(p.Address(), inner(), 3, uint16(tfc), []byte("exactly this")))
		k.TFC = tfc
		if _, err := p.SendPacket(c, k); err != nil {
			t.Fatal(err)
		}
		b, ok := p.Inner(pingLimit)
		if !ok || !bogus.IsEchoReply(b, inner(), 3, uint16(tfc)) || len(b) != 20+8+12 {
			t.Errorf("%d octets of TFC: reply of %d octets (%t)", tfc, len(b), ok)
		}
	}
}

// ipv6 is an inner IPv6 packet with a chain of extension headers.
func ipv6(first uint8, chain []byte) []byte {
	b := append([]byte{0x60, 0, 0, 0}, byte(len(chain)>>8), byte(len(chain)), first, 64)
	from, to := netip.MustParseAddr("2001:db8:30::2").As16(), netip.MustParseAddr("2001:db8:20::1").As16()
	return append(append(append(b, from[:]...), to[:]...), chain...)
}

// TestT088_ExtensionHeaders: long, nested and cut chains of IPv6 extension headers: walked a bounded way and dropped.
func TestT088_ExtensionHeaders(t *testing.T) {
	w := Open(t, Options{Connection: "", Child: "remote_ts = dynamic, 2001:db8:30::/64\n local_ts = 10.20.0.0/24, 2001:db8:20::/64"})
	p := w.Connect(func(c *bogus.Config) {
		c.TSi = append(c.TSi, bogus.Net("2001:db8:30::/64"))
		c.TSr = append(c.TSr, bogus.Net("2001:db8:20::/64"))
	})
	repeat := func(kind uint8, n int) []byte {
		var b []byte
		for range n {
			b = append(b, kind, 0, 1, 4, 0, 0, 0, 0)
		}
		return append(b, make([]byte, 8)...)
	}
	chains := map[string][]byte{
		"hop-by-hop x 100":          ipv6(0, repeat(0, 100)),
		"destination x 100":         ipv6(60, repeat(60, 100)),
		"length 255 of nothing":     ipv6(60, []byte{17, 255, 0, 0, 0, 0, 0, 0}),
		"options of length 0":       ipv6(0, []byte{59, 0, 5, 0, 5, 0, 5, 0}),
		"AH inside":                 ipv6(51, append([]byte{58, 4, 0, 0}, make([]byte, 40)...)),
		"AH of length 0":            ipv6(51, []byte{58, 0, 0, 0, 0, 0, 0, 0}),
		"routing header 0":          ipv6(43, append([]byte{58, 2, 0, 1, 0, 0, 0, 0}, make([]byte, 24)...)),
		"fragment of 8 octets":      ipv6(44, []byte{17, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8}),
		"fragment in a fragment":    ipv6(44, []byte{44, 0, 0, 0, 0, 0, 0, 9, 17, 0, 0, 0, 0, 0, 0, 9}),
		"fragment cut":              ipv6(44, []byte{17, 0, 0}),
		"chain that is cut":         ipv6(60, []byte{60}),
		"no next header, with more": ipv6(59, make([]byte, 100)),
		"jumbo":                     ipv6(0, []byte{59, 0, 0xc2, 4, 0, 1, 0, 0}),
	}
	for name, b := range chains {
		if err := p.SendInner(b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if !p.EchoThrough(p.Address(), inner(), 1, pingLimit) {
		t.Error("nothing gets through any more")
	}
}

// TestT092_InsideTheTunnel: IKE and ESP for the gateway's own ports, sent inside of the tunnel: the daemon's sockets get none
// of it, and the tunnel in itself goes nowhere.
func TestT092_InsideTheTunnel(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	q := w.Peer(nil)
	before := w.D.Stats()
	c := p.Child()
	for _, port := range []uint16{500, 4500, w.IKE.Port(), w.NATT.Port()} {
		for _, to := range []netip.Addr{inner(), loopback()} {
			for _, b := range [][]byte{initBytes(t, q), marked(initBytes(t, q)), c.Seal(p.Packet(c, bogus.Echo(p.Address(), inner(), 1, 1, nil))), {0xff}} {
				p.SendInner(bogus.UDP(netip.AddrPortFrom(p.Address(), port), netip.AddrPortFrom(to, port), b))
			}
		}
	}
	own := c.Seal(p.Packet(c, bogus.Echo(p.Address(), inner(), 1, 2, nil)))
	p.SendInner(bogus.IPv4{From: p.Address(), To: inner(), Proto: 50, Body: own}.Append(nil))
	w.Settle()
	p.Drain()
	after := w.D.Stats()
	if after.IKEIn != before.IKEIn || after.HalfOpen > 0 {
		t.Errorf("%d IKE messages from inside of the tunnel reached the daemon", after.IKEIn-before.IKEIn)
	}
	if !p.EchoThrough(p.Address(), inner(), 9, pingLimit) {
		t.Error("nothing gets through any more")
	}
}

// TestT095_TTLAndOptions: inner headers that the gateway must hand on as they are: TTL 1, DF, ECN, options. What cannot be
// seen from outside (the table of RFC 6040) is a test of ipsec/dataplane.
func TestT095_TTLAndOptions(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	for i, h := range []bogus.IPv4{{TTL: 1}, {TTL: 255}, {Flags: 0x4000}, {TOS: 0x01}, {TOS: 0x02}, {TOS: 0x03}, {TOS: 0xb8}, {Options: []byte{1, 1, 1, 0}}} {
		p.Drain()
		h.From, h.To, h.Proto, h.Body = p.Address(), inner(), 1, bogus.EchoBody(5, uint16(i), nil)
		if err := p.SendInner(h.Append(nil)); err != nil {
			t.Fatal(err)
		}
		b, ok := p.Inner(pingLimit)
		if !ok {
			t.Errorf("inner header %d: no reply", i)
			continue
		}
		if binary.BigEndian.Uint16(b[2:]) != uint16(len(b)) {
			t.Errorf("inner header %d: the reply has length %d of %d", i, binary.BigEndian.Uint16(b[2:]), len(b))
		}
	}
}
