// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Fuzz targets: whatever is on the inner side, whatever arrives, whatever an authenticated peer seals.

package dataplane

import (
	"bytes"
	"testing"

	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/wire/natt"
)

func seeds() [][]byte {
	return [][]byte{
		tcp4(20, 1, 0x10), syn(1460, []byte{1}), df(tcp4(1400, 1, 2)),
		ipv4("10.1.0.5", "10.2.0.7", protoICMP, []byte{8, 0, 0, 0, 0, 0, 0, 0}),
		ipv6("2001:db8:1::5", "2001:db8:2::7", protoDstOpts, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udpOf(1, 2, 8)...)),
		ipv6("2001:db8:1::5", "2001:db8:2::7", protoFragment, append([]byte{17, 0, 0, 9, 0, 0, 0, 1}, udpOf(1, 2, 8)...)),
		{0x45}, {},
	}
}

// FuzzParse: what is accepted lies inside the packet, and every strict prefix is refused.
func FuzzParse(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, p []byte, out bool) {
		var in inner
		if parse(p, out, &in) != good {
			return
		}
		if in.n > len(p) || in.n < ipv4Header || in.upper > in.n || in.upper == 0 && !in.fragment {
			t.Fatalf("%+v of %d octets", in, len(p))
		}
		var other inner
		for n := range in.n {
			if parse(p[:n], out, &other) == good {
				t.Fatalf("a prefix of %d octets is accepted", n)
			}
		}
		q := bytes.Clone(p)
		clampMSS(q, &in, 1000)
		if mayAnswer(q, &in) {
			var buf [Headroom + quoteV6]byte
			if r := tooBig(buf[:], q, &in, 1300); parse(r[Headroom:], !out, &other) != good || other.n != len(r)-Headroom {
				t.Fatalf("ICMP %x", r)
			}
		}
		if p[0]>>4 == 4 {
			var s splitter
			var frag [65535 + 64]byte
			total := 0
			for ok := s.begin(q, &in, 576); ok; {
				n := s.next(frag[:])
				if n == 0 {
					break
				}
				h := int(frag[0]&15) * 4
				if n > 576 || n <= h {
					t.Fatalf("a fragment of %d octets", n)
				}
				total += n - h
			}
			if want := in.n - int(p[0]&15)*4; total != want {
				t.Fatalf("%d of %d octets in fragments", total, want)
			}
		}
	})
}

// FuzzSeal: any inner packet.
func FuzzSeal(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	w := newWorld(f, gcm, nil)
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > maxPacket {
			return
		}
		before := w.b.e.Counters()[InOpened]
		grams := w.a.seal(w.now, p)
		w.b.in.Open(w.now, arrive(grams)) // one by one
		if got := w.b.e.Counters()[InOpened] - before; int(got) != len(grams) {
			t.Fatalf("%d datagrams, %d packets; %v", len(grams), got, w.b.e.Counters())
		}
	})
}

// FuzzOpen: any datagram from anybody: nothing is delivered.
func FuzzOpen(f *testing.F) {
	w := newWorld(f, gcm, nil)
	f.Add(w.fromPeer(esp.NextHeaderNone, nil).Buf, uint8(0), false)
	f.Add([]byte{0xff}, uint8(1), false)
	f.Fuzz(func(t *testing.T, b []byte, seg uint8, raw bool) {
		encap := natt.NonESP
		if raw {
			encap = natt.Raw
		}
		if got := w.b.in.Open(w.now, []Datagram{{Buf: b, N: len(b), SegSize: int(seg), Encap: encap, Remote: outerA, Local: outerB}}); len(got.Packets) != 0 {
			t.Fatal("delivered")
		}
	})
}

// FuzzPeer: any payload an authenticated peer seals: what is delivered has its addresses.
func FuzzPeer(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s, uint8(4))
		f.Add(s, uint8(41))
	}
	w := newWorld(f, gcm, nil)
	f.Fuzz(func(t *testing.T, p []byte, next uint8) {
		if len(p) > maxPacket {
			return
		}
		w.t = t
		got := w.b.open(w.now, []Datagram{w.fromPeer(next, p)})
		for _, q := range got {
			v4 := q[0]>>4 == 4 && bytes.HasPrefix(q[12:], []byte{10, 1}) && bytes.HasPrefix(q[16:], []byte{10, 2})
			v6 := q[0]>>4 == 6 && bytes.HasPrefix(q[8:], []byte{0x20, 1, 0x0d, 0xb8, 0, 1}) && bytes.HasPrefix(q[24:], []byte{0x20, 1, 0x0d, 0xb8, 0, 2})
			if !v4 && !v6 || len(q) > len(p) {
				t.Fatalf("delivered %x", q)
			}
		}
	})
}
