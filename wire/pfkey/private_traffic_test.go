// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pfkey

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// traffic is what an L2TP gateway grants, and a range of IPv6 beside it.
func traffic() *Traffic {
	span := func(from, to string, proto uint8, lo, hi uint16) TrafficSpan {
		return TrafficSpan{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), Proto: proto, PortFrom: lo, PortTo: hi}
	}
	return &Traffic{Local: []TrafficSpan{span("192.0.2.1", "192.0.2.1", 17, 1701, 1701)},
		Remote: []TrafficSpan{span("198.51.100.1", "198.51.100.1", 17, 0, 65535), span("2001:db8::1", "2001:db8::f", 0, 0, 65535)}}
}

// TestPrivateTraffic: an SA's traffic as octets and back, in a whole message, in either order; every strict prefix is refused.
func TestPrivateTraffic(t *testing.T) {
	want, equal := traffic(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		c := Codec{Dialect: FreeBSD, Order: order}
		o, err := c.PrivateTraffic(want)
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Append(nil, &Message{Header: Header{Type: TypeAdd, SAType: SATypeESP}, SA: &SA{SPI: 0x1001}, KMPrivate: o})
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Traffic(m.KMPrivate)
		if diff := cmp.Diff(want, got, equal); err != nil || diff != "" {
			t.Errorf("%v: %v %s", order, err, diff)
		}
		for n := privateLen; n < len(o.Data); n++ {
			if got, err := c.Traffic(&Opaque{Data: o.Data[:n]}); err == nil {
				t.Errorf("%d of %d octets are %v", n, len(o.Data), got)
			}
		}
	}
	c := Codec{Dialect: FreeBSD}
	for _, o := range []*Opaque{nil, {}, c.Private(PrivateMoves | PrivateNames)} {
		if got, err := c.Traffic(o); got != nil || err != nil {
			t.Errorf("%v says %v, %v", o, got, err)
		}
	}
}

// TestPrivateTrafficRefused: what is no traffic, by who says it and by who hears it.
func TestPrivateTrafficRefused(t *testing.T) {
	c := Codec{Dialect: FreeBSD}
	for name, change := range map[string]func(*Traffic){
		"no local":    func(x *Traffic) { x.Local = nil },
		"too many":    func(x *Traffic) { x.Remote = slices.Repeat(x.Remote, MaxTraffic) },
		"backwards":   func(x *Traffic) { x.Local[0].From = netip.MustParseAddr("192.0.2.2") },
		"ports":       func(x *Traffic) { x.Local[0].PortTo = 1 },
		"families":    func(x *Traffic) { x.Local[0].To = netip.MustParseAddr("2001:db8::1") },
		"no address":  func(x *Traffic) { x.Local[0].To = netip.Addr{} },
		"IPv4 in six": func(x *Traffic) { x.Local[0].From = netip.MustParseAddr("::ffff:192.0.2.1") },
		"a zone":      func(x *Traffic) { x.Remote[1].From = x.Remote[1].From.WithZone("eth0") },
	} {
		x := traffic()
		if change(x); x.valid() {
			t.Errorf("%s is valid", name)
		}
		if _, err := c.PrivateTraffic(x); err == nil {
			t.Errorf("%s can be said", name)
		}
	}
	for name, change := range map[string]func(b []byte){
		"a family":       func(b []byte) { b[privateLen+trafficHead+37] = 5 },
		"reserved":       func(b []byte) { b[privateLen+trafficHead+39] = 1 },
		"reserved ahead": func(b []byte) { b[privateLen+7] = 1 },
		"more remotes":   func(b []byte) { b[privateLen+2]++ },
		"behind IPv4":    func(b []byte) { b[privateLen+trafficHead+4] = 1 },
		"a moved one":    func(b []byte) { b[privateLen]++; b[privateLen+2] -= 3 },
	} {
		o, _ := c.PrivateTraffic(traffic())
		change(o.Data)
		if got, err := c.Traffic(o); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FuzzPrivateTraffic: what is accepted is written again as it was, and refused in every other length.
func FuzzPrivateTraffic(f *testing.F) {
	c := Codec{Dialect: FreeBSD}
	o, _ := c.PrivateTraffic(traffic())
	f.Add(o.Data[privateLen:])
	f.Fuzz(func(t *testing.T, b []byte) {
		o := c.Private(PrivateTraffic)
		o.Data = append(o.Data, b...)
		got, err := c.Traffic(o)
		if err != nil {
			return
		}
		if len(got.Local) > MaxTraffic || len(got.Remote) > MaxTraffic {
			t.Fatalf("%d and %d selectors", len(got.Local), len(got.Remote))
		}
		again, err := c.PrivateTraffic(got)
		if err != nil || !bytes.Equal(again.Data, o.Data) {
			t.Fatalf("%x became %x (%v)", o.Data, again.Data, err)
		}
		if _, err := c.Traffic(&Opaque{Data: o.Data[:len(o.Data)-1]}); err == nil {
			t.Fatal("a prefix is accepted")
		}
	})
}
