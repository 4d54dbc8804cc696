// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Sizes: the MSS clamp, fragments made before ESP, ICMP, paths that shrink and paths with a hole.

package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

// lower has the path of a's pair carry mtu octets, as a router of the path would say it.
func (w *world) lower(mtu int) {
	w.t.Helper()
	d := w.a.seal(w.now, tcp4(1, 1, 0x10))
	if !w.a.db.PathEvent(w.now, outerB, d[0].Buf[:8], mtu, false) {
		w.t.Fatal("the path event was not believed")
	}
}

func outerSize(d Datagram) int { return d.N + 28 }

func TestMSSClamp(t *testing.T) {
	w := newWorld(t, gcm, nil)
	w.lower(1400)
	most := w.a.db.Inbound(w.a.spi).MaxInner(w.a.db.Clock(w.now))
	if most != 1400-20-8-8-8-16-2 {
		t.Fatalf("largest inner packet %d", most)
	}
	for name, before := range map[string][]byte{"first": nil, "odd offset": {1}, "after others": {4, 2, 3, 3, 7, 1}} {
		got := w.b.open(w.now, arrive(w.a.seal(w.now, syn(1460, before))))
		if len(got) != 1 || !tcpSumGood(got[0]) {
			t.Fatalf("%s: %d packets, or a wrong checksum", name, len(got))
		}
		at := 40 + len(before)
		if mss := binary.BigEndian.Uint16(got[0][at+2:]); int(mss) != most-40 {
			t.Errorf("%s: MSS %d, expected %d", name, mss, most-40)
		}
	}
	w.a.count(OutClamped, 3)
	// Inbound: b's SYN to a is lowered by a, whose path is the narrow one.
	back := syn(1460, nil)
	copy(back[12:16], []byte{10, 2, 0, 7})
	copy(back[16:20], []byte{10, 1, 0, 5})
	got := w.a.open(w.now, arrive(w.b.seal(w.now, back)))
	if mss := binary.BigEndian.Uint16(got[0][42:]); int(mss) != most-40 || !tcpSumGood(got[0]) {
		t.Errorf("inbound MSS %d", mss)
	}
	// Left alone: small ones, packets that are no SYN, broken options.
	for name, p := range map[string][]byte{
		"small": syn(500, nil), "no SYN": tcp4(20, 1, 0x10),
		"option of length 0":    syn(1460, []byte{9, 0}),
		"option too long":       syn(1460, []byte{9, 200}),
		"end before it":         syn(1460, []byte{0}),
		"data offset too long":  func() []byte { p := syn(1460, nil); p[32] = 0xf0; return p }(),
		"data offset too short": func() []byte { p := syn(1460, nil); p[32] = 0x10; return p }(),
	} {
		got := w.b.open(w.now, arrive(w.a.seal(w.now, p)))
		if len(got) != 1 || !bytes.Equal(got[0], p) {
			t.Errorf("%s: changed", name)
		}
	}
	off := newWorld(t, gcm, nil)
	off.a.e.clamp = false
	p := syn(9000, nil)
	if got := off.b.open(off.now, arrive(off.a.seal(off.now, p))); len(got) != 1 || !bytes.Equal(got[0], syn(1500-28-8-8-16-2-40, nil)) {
		t.Error("b did not clamp what a let pass")
	}
}

// TestTooBig: DF and IPv6: ICMP to the sender, who is told what fits; quoting him.
func TestTooBig(t *testing.T) {
	w := newWorld(t, gcm, nil)
	w.lower(1400)
	most := w.a.db.Inbound(w.a.spi).MaxInner(w.a.db.Clock(w.now))
	big := df(tcp4(most-39, 1, 0x10))
	s := w.a.sealed(w.now, big)
	if len(s.Datagrams) != 0 || len(s.Replies) != 1 {
		t.Fatalf("%d datagrams, %d replies", len(s.Datagrams), len(s.Replies))
	}
	r := s.Replies[0][Headroom:]
	var in inner
	if parse(r, false, &in) != good || in.n != len(r) || len(r) > 576 || r[20] != 3 || r[21] != 4 || int(binary.BigEndian.Uint16(r[26:])) != most ||
		!bytes.Equal(r[12:16], big[16:20]) || !bytes.Equal(r[16:20], big[12:16]) || !bytes.Equal(r[28:], big[:len(r)-28]) ||
		fold(sum(r[:20], 0)) != 0 || fold(sum(r[20:], 0)) != 0 {
		t.Errorf("ICMP %x", r)
	}
	six := ipv6("2001:db8:1::5", "2001:db8:2::7", protoUDP, udpOf(1, 2, most))
	s = w.a.sealed(w.now, six)
	if len(s.Replies) != 1 {
		t.Fatal("no ICMPv6")
	}
	r = s.Replies[0][Headroom:]
	pseudo := sum(r[8:40], uint32(len(r)-40)+protoICMPv6)
	if parse(r, false, &in) != good || len(r) > 1280 || r[40] != 2 || int(binary.BigEndian.Uint32(r[44:])) != most || fold(sum(r[40:], pseudo)) != 0 {
		t.Errorf("ICMPv6 %x", r)
	}
	w.a.count(OutTooBig, 2)
	// Nobody is answered about an ICMP error, a later fragment, or for a source that is no host.
	echo := make([]byte, most)
	echo[0] = 8
	unreachable := make([]byte, most)
	unreachable[0] = 3
	late := df(ipv4("10.1.0.5", "10.2.0.7", protoUDP, make([]byte, most)))
	binary.BigEndian.PutUint16(late[6:], 0x4000|100)
	for name, c := range map[string]struct {
		p    []byte
		want int
	}{
		"echo request":   {df(ipv4("10.1.0.5", "10.2.0.7", protoICMP, echo)), 1},
		"unreachable":    {df(ipv4("10.1.0.5", "10.2.0.7", protoICMP, unreachable)), 0},
		"later fragment": {late, 0},
	} {
		if s := w.a.sealed(w.now, c.p); len(s.Replies) != c.want || len(s.Datagrams) != 0 {
			t.Errorf("%s: %d replies, %d datagrams", name, len(s.Replies), len(s.Datagrams))
		}
	}
	// A batch answers a few at most.
	var many [][]byte
	for range 100 {
		many = append(many, big)
	}
	if s := w.a.sealed(w.now, many...); len(s.Replies) != maxReplies {
		t.Errorf("%d replies", len(s.Replies))
	}
}

// TestT076SmallPath: IPv6 packets of up to 1280 octets travel also where their datagram must be fragmented; larger ones are told 1280.
func TestT076SmallPath(t *testing.T) {
	w := newWorld(t, gcm, nil)
	w.lower(1280)
	d := w.a.seal(w.now, ipv6("2001:db8:1::5", "2001:db8:2::7", protoUDP, udpOf(1, 2, 1280-48)))
	if len(d) != 1 || !d[0].Fragment {
		t.Errorf("%d datagrams", len(d))
	}
	s := w.a.sealed(w.now, ipv6("2001:db8:1::5", "2001:db8:2::7", protoUDP, udpOf(1, 2, 1281-48)))
	if len(s.Replies) != 1 || binary.BigEndian.Uint32(s.Replies[0][Headroom+44:]) != 1280 {
		t.Error("no ICMPv6 with 1280")
	}
}

// reassemble puts fragments together.
func reassemble(t *testing.T, frags [][]byte) []byte {
	t.Helper()
	var whole []byte
	next, header := 0, 0
	for i, f := range frags {
		h := int(f[0]&15) * 4
		if fold(sum(f[:h], 0)) != 0 {
			t.Errorf("fragment %d: header checksum", i)
		}
		off := int(binary.BigEndian.Uint16(f[6:])&0x1fff) * 8
		more := f[6]&0x20 != 0
		if off != next || more != (i < len(frags)-1) || f[6]&0x40 != 0 {
			t.Errorf("fragment %d: offset %d expected %d, more %v", i, off, next, more)
		}
		if i == 0 {
			whole, header = append(whole, f...), h
		} else {
			whole = append(whole, f[h:]...)
		}
		next += len(f) - h
	}
	binary.BigEndian.PutUint16(whole[2:], uint16(len(whole)))
	whole[6], whole[7], whole[10], whole[11] = 0, 0, 0, 0
	binary.BigEndian.PutUint16(whole[10:], fold(sum(whole[:header], 0)))
	return whole
}

// TestPreFragmentation: IPv4 without DF is cut before ESP; no outer packet is larger than the path.
func TestPreFragmentation(t *testing.T) {
	for _, mtu := range []int{576, 1000, 1280, 1400} {
		w := newWorld(t, gcm, nil)
		w.lower(mtu)
		for _, n := range []int{600, 1400, 9000, 65000} {
			p := ipv4("10.1.0.5", "10.2.0.7", protoUDP, udpOf(1, 2, n))
			for i := range p[28:] {
				p[28+i] = byte(i * 7)
			}
			grams := w.a.seal(w.now, p)
			for _, d := range grams {
				if outerSize(d) > mtu || d.Fragment {
					t.Errorf("MTU %d, packet of %d: outer packet of %d", mtu, n, outerSize(d))
				}
			}
			got := w.b.open(w.now, arrive(grams))
			if len(got) != len(grams) || len(got) == 0 {
				t.Fatalf("MTU %d, packet of %d: %d datagrams, %d packets", mtu, n, len(grams), len(got))
			}
			if whole := reassemble(t, got); !bytes.Equal(whole, p) {
				t.Errorf("MTU %d: packet of %d octets is not put together again: %d", mtu, n, len(whole))
			}
		}
	}
}

func TestFragmentsOfFragmentsAndOptions(t *testing.T) {
	w := newWorld(t, gcm, nil)
	w.lower(576)
	// One option that is copied (0x94) and one that is not (7), padded.
	p := ipv4("10.1.0.5", "10.2.0.7", protoUDP, udpOf(1, 2, 1200))
	opts := []byte{0x94, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0}
	p = append(p[:20:20], append(opts, p[20:]...)...)
	p[0] = 0x48
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[6:], 0x2000|80) // itself a fragment, in the middle
	got := w.b.open(w.now, arrive(w.a.seal(w.now, p)))
	if len(got) < 3 {
		t.Fatalf("%d fragments", len(got))
	}
	next := 80 * 8
	for i, f := range got {
		h := int(f[0]&15) * 4
		if want := map[bool]int{true: 32, false: 24}[i == 0]; h != want {
			t.Errorf("fragment %d: header of %d", i, h)
		}
		if off := int(binary.BigEndian.Uint16(f[6:])&0x1fff) * 8; off != next || f[6]&0x20 == 0 {
			t.Errorf("fragment %d: offset %d, more %v", i, off, f[6]&0x20 != 0)
		}
		if i > 0 && !bytes.Equal(f[20:24], opts[:4]) {
			t.Errorf("fragment %d: options %x", i, f[20:h])
		}
		next += len(f) - h
	}
}

// TestNoCopyDF: without copy_df a packet with DF is fragmented like others.
func TestNoCopyDF(t *testing.T) {
	w := newWorld(t, gcm, func(a, b *sadb.Child) { a.CopyDF = false })
	w.lower(1000)
	p := df(ipv4("10.1.0.5", "10.2.0.7", protoUDP, udpOf(1, 2, 1400)))
	s := w.a.sealed(w.now, p)
	if len(s.Replies) != 0 || len(apart(s.Datagrams)) != 2 {
		t.Errorf("%d replies, %d datagrams", len(s.Replies), len(s.Datagrams))
	}
	// RFC 6864: with DF all packets may have one identification; their fragments must not.
	seen := map[uint16]int{}
	for range 3 {
		for _, f := range w.b.open(w.now, arrive(w.a.seal(w.now, p))) {
			if fold(sum(f[:20], 0)) != 0 {
				t.Error("header checksum")
			}
			seen[binary.BigEndian.Uint16(f[4:])]++
		}
	}
	if len(seen) != 3 || seen[0] != 0 {
		t.Errorf("identifications of the fragments of three packets: %v", seen)
	}
	p[5] = 77
	for _, f := range w.b.open(w.now, arrive(w.a.seal(w.now, df(p)))) {
		if f[5] != 77 {
			t.Error("a packet lost its identification")
		}
	}
}

// TestBlackHole: large segments vanish without a word; TCP sends one again and again; the path is lowered, and TCP is told.
func TestBlackHole(t *testing.T) {
	w := newWorld(t, gcm, nil)
	large := df(tcp4(1360, 1000, 0x10))
	small := tcp4(100, 900, 0x18)
	send := func(p []byte, after time.Duration) *Sent {
		w.now = w.now.Add(after)
		return w.a.sealed(w.now, p)
	}
	send(small, 0)
	send(large, 0)
	send(df(tcp4(1360, 1000+1360, 0x10)), 0)
	var s *Sent
	times := 0
	for _, after := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond} {
		w.now = w.now.Add(1)
		ack := w.b.seal(w.now, ipv4("10.2.0.7", "10.1.0.5", protoTCP, tcpOf(443, 40000, 1, 0x10))) // small packets pass
		w.a.open(w.now, arrive(ack))
		s = send(large, after)
		times++
		if len(s.Replies) > 0 {
			break
		}
	}
	if len(s.Replies) != 1 || times > 4 {
		t.Fatalf("after %d retransmissions: %d replies", times, len(s.Replies))
	}
	if mtu := w.a.db.Inbound(w.a.spi).PathMTU(w.a.db.Clock(w.now)); mtu != 1280 {
		t.Errorf("path MTU %d", mtu)
	}
	// A flow that makes progress, whatever it repeats, has no hole.
	w = newWorld(t, gcm, nil)
	for i := range 1000 {
		w.now = w.now.Add(10 * time.Millisecond)
		w.a.sealed(w.now, df(tcp4(1360, uint32(i*1360), 0x10)), df(tcp4(1360, uint32(i*1360), 0x10)))
	}
	if mtu := w.a.db.Inbound(w.a.spi).PathMTU(w.a.db.Clock(w.now)); mtu != 1500 {
		t.Errorf("path MTU %d of a flow that makes progress", mtu)
	}
}

// TestT075Flood: forged ICMP neither closes anything nor goes below the floor; the tunnel lives on.
func TestT075Flood(t *testing.T) {
	w := newWorld(t, gcm, nil)
	d := w.a.seal(w.now, tcp4(1, 1, 0x10))
	for i := range 100000 {
		q := []byte{byte(i), byte(i >> 8), byte(i >> 16), 1, 0, 0, 0, 1}
		w.a.db.PathEvent(w.now, outerB, q, 68, false)
	}
	if mtu := w.a.db.Inbound(w.a.spi).PathMTU(w.a.db.Clock(w.now)); mtu != 1500 {
		t.Errorf("MTU %d", mtu)
	}
	w.a.db.PathEvent(w.now, outerB, d[0].Buf[:8], 68, false)
	if mtu := w.a.db.Inbound(w.a.spi).PathMTU(w.a.db.Clock(w.now)); mtu != 576 {
		t.Errorf("MTU %d", mtu)
	}
	w.alive()
}

// TestBlackHoleSingle: SAs of PF_KEY, of which nobody knows what comes back, find the hole at the fifth repetition.
func TestBlackHoleSingle(t *testing.T) {
	d := newDuo(t, plain)
	d.sa(sadb.ProtoESP, sadb.Tunnel, 0x1000)
	inner := func(a string) sadb.Selector { return host(netip.MustParseAddr(a)) }
	d.policy(inner("10.1.0.5"), inner("10.2.0.7"), tmpl(sadb.ProtoESP, sadb.Tunnel, sadb.Require))
	large := df(tcp4(1360, 1000, 0x10))
	d.a.sealed(d.now, large)
	told := 0
	for range 8 {
		d.now = d.now.Add(400 * time.Millisecond)
		if told++; len(d.a.sealed(d.now, large).Replies) > 0 {
			break
		}
	}
	sa, _ := d.a.db.LookupSA(sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1000, Dst: plain.gateway.Addr()})
	if mtu := sa.PathMTU(d.a.db.Clock(d.now)); mtu != 1280 || told != 5 {
		t.Errorf("path MTU %d after %d retransmissions, expected 1280 after 5", mtu, told)
	}
}
