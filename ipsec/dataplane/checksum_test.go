// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// slowSum is the Internet checksum of RFC 1071, word by word, by another way than the code's.
func slowSum(parts ...[]byte) uint16 {
	all := bytes.Join(parts, nil)
	if len(all)%2 == 1 {
		all = append(all, 0)
	}
	n := 0
	for i := 0; i < len(all); i += 2 {
		n = (n + int(all[i])*256 + int(all[i+1])) % 65535
	}
	return uint16(65535 - n)
}

// pseudo4 is the pseudo-header of RFC 768.
func pseudo4(src, dst string, proto uint8, n int) []byte {
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	return append(append(append([]byte{}, s[:]...), d[:]...), 0, proto, byte(n>>8), byte(n))
}

// TestChecksumVector: UDP 1701 to 1701, payload 01020304, from 192.168.0.27 to 203.0.113.10: f1b7; after the NAT's
// 198.51.100.5 it must be 8842.
func TestChecksumVector(t *testing.T) {
	datagram := []byte{0x06, 0xa5, 0x06, 0xa5, 0, 12, 0, 0, 1, 2, 3, 4}
	if got := slowSum(pseudo4("192.168.0.27", "203.0.113.10", 17, 12), datagram); got != 0xf1b7 {
		t.Fatalf("the oracle says %04x", got)
	}
	datagram[6], datagram[7] = 0xf1, 0xb7
	inside, outside := netip.MustParseAddr("192.168.0.27"), netip.MustParseAddr("198.51.100.5")
	deltaOf(inside, outside).repair(datagram, 17, 6)
	if got := binary.BigEndian.Uint16(datagram[6:]); got != 0x8842 {
		t.Errorf("%04x, expected 8842", got)
	}
	deltaOf(outside, inside).repair(datagram, 17, 6)
	if got := binary.BigEndian.Uint16(datagram[6:]); got != 0xf1b7 {
		t.Errorf("%04x on the way back, expected f1b7", got)
	}
	// Made anew it is the same.
	p := ipv4("198.51.100.5", "203.0.113.10", 17, datagram)
	var in inner
	if parse(p, false, &in) != good {
		t.Fatal("not parsed")
	}
	recompute(p, &in)
	if got := binary.BigEndian.Uint16(p[26:]); got != 0x8842 {
		t.Errorf("%04x made anew, expected 8842", got)
	}
}

func TestChecksumZeroIsNone(t *testing.T) {
	datagram := []byte{0x06, 0xa5, 0x06, 0xa5, 0, 8, 0, 0}
	deltaOf(netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("198.51.100.5")).repair(datagram, 17, 6)
	if datagram[6]|datagram[7] != 0 {
		t.Error("a datagram without a checksum got one")
	}
	p := ipv4("198.51.100.5", "203.0.113.10", 17, datagram)
	var in inner
	parse(p, false, &in)
	recompute(p, &in)
	if p[26]|p[27] != 0 {
		t.Error("a datagram without a checksum got one anew")
	}
	// A sum that comes out as zero is written as ffff; TCP has no such rule.
	for proto, want := range map[uint8]uint16{17: 0xffff, 6: 0} {
		b := make([]byte, 20)
		at, _ := sumAt(proto)
		binary.BigEndian.PutUint16(b[at:], 0x1234)
		wordDelta(0, 0x1234).repair(b, proto, at)
		if got := binary.BigEndian.Uint16(b[at:]); got != want {
			t.Errorf("protocol %d: %04x, expected %04x", proto, got, want)
		}
	}
}

// TestChecksumOffsets is typed from the headers' documents.
func TestChecksumOffsets(t *testing.T) {
	for proto, want := range map[uint8]int{6: 16, 17: 6, 58: 2, 1: -1, 132: -1, 136: -1, 33: -1, 47: -1, 50: -1} {
		at, pseudo := sumAt(proto)
		if !pseudo {
			at = -1
		}
		if at != want {
			t.Errorf("protocol %d: offset %d, expected %d", proto, at, want)
		}
	}
}

// TestIncrementalIsFull: for any addresses and octets the incremental repair is what a new computation makes.
func TestIncrementalIsFull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "v6")
		proto := rapid.SampledFrom([]uint8{6, 17, 58}).Draw(t, "proto")
		addr := func(name string) netip.Addr {
			n := 4
			if v6 {
				n = 16
			}
			a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, name))
			return a
		}
		src, dst, natSrc, natDst := addr("src"), addr("dst"), addr("nat src"), addr("nat dst")
		upper := rapid.SliceOfN(rapid.Byte(), 20, 80).Draw(t, "octets")
		at, _ := sumAt(proto)
		full := func(src, dst netip.Addr) uint16 {
			upper[at], upper[at+1] = 0, 0
			s := slowSum(src.AsSlice(), dst.AsSlice(), []byte{0, 0, byte(len(upper) >> 8), byte(len(upper)), 0, 0, 0, proto}, upper)
			if s == 0 && proto == 17 {
				s = 0xffff
			}
			return s
		}
		want := full(natSrc, natDst)
		binary.BigEndian.PutUint16(upper[at:], full(src, dst))
		deltaOf(src, natSrc).plus(deltaOf(dst, natDst)).repair(upper, proto, at)
		got := binary.BigEndian.Uint16(upper[at:])
		if got != want && !(got|want == 0xffff && got&want == 0) { // the two zeros of ones' complement
			t.Fatalf("%04x, expected %04x", got, want)
		}
	})
}

// TestRecomputedZero: a checksum that is made anew and comes out as zero is written as 0xffff: zero means that there is none (RFC 768).
func TestRecomputedZero(t *testing.T) {
	p := ipv4("10.1.0.5", "10.2.0.7", protoUDP, udpOf(1, 2, 2))
	p[26] = 1 // there is one, whatever it is
	var in inner
	if parse(p, false, &in) != good || in.fragment {
		t.Fatal("no packet")
	}
	recompute(p, &in)
	copy(p[28:30], p[26:28]) // now the rest sums up to what leaves nothing
	recompute(p, &in)
	if p[26] != 0xff || p[27] != 0xff {
		t.Errorf("checksum %x", p[26:28])
	}
}

// TestAtomicFragment: RFC 6946: a fragment header around a whole packet makes none of it.
func TestAtomicFragment(t *testing.T) {
	var in inner
	p := ipv6(inner5, inner7, protoFragment, append([]byte{protoUDP, 0, 0, 0, 0, 0, 0, 1}, udpOf(1, 2, 8)...))
	if parse(p, false, &in) != good || in.fragment || in.flow.RemotePort != 1 {
		t.Errorf("%+v", in)
	}
}
