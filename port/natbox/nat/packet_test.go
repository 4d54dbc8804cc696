// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package nat

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// datagram builds a packet with right checksums.
func datagram(src, dst netip.AddrPort, payload []byte) []byte {
	u := make([]byte, headerUDP, headerUDP+len(payload))
	put(u, src.Port())
	put(u[2:], dst.Port())
	put(u[4:], uint16(headerUDP+len(payload)))
	u = append(u, payload...)
	put(u[6:], checksum(pseudoOf(src.Addr(), dst.Addr(), len(u)), u))
	var ip []byte
	if src.Addr().Is4() {
		n := header4 + len(u)
		ip = append([]byte{0x45, 0, byte(n >> 8), byte(n), 0, 9, 0x40, 0, 63, protoUDP, 0, 0}, src.Addr().AsSlice()...)
		ip = append(ip, dst.Addr().AsSlice()...)
		put(ip[10:], checksum(0, ip))
	} else {
		ip = append([]byte{0x60, 0, 0, 0, byte(len(u) >> 8), byte(len(u)), protoUDP, 63}, src.Addr().AsSlice()...)
		ip = append(ip, dst.Addr().AsSlice()...)
	}
	return append(ip, u...)
}

func pseudoOf(src, dst netip.Addr, n int) sum {
	var s sum
	s.add(src.AsSlice())
	s.add(dst.AsSlice())
	return s + sum(n) + protoUDP
}

func TestRewrite(t *testing.T) {
	for _, c := range []struct{ src, dst, newSrc, newDst string }{
		{"10.0.0.2:4500", "198.51.100.1:4500", "192.0.2.1:31337", "198.51.100.1:4500"},
		{"198.51.100.1:4500", "192.0.2.1:31337", "198.51.100.1:4500", "10.0.0.2:500"},
		{"[fd00::2]:4500", "[2001:db8::1]:4500", "[2001:db8:ffff::9]:1", "[2001:db8::1]:4500"},
	} {
		for _, payload := range [][]byte{nil, {0xff}, bytes.Repeat([]byte("ab"), 700)} {
			b := datagram(ap(c.src), ap(c.dst), payload)
			p, err := ParseUDP(b)
			if err != nil || p.Src != ap(c.src) || p.Dst != ap(c.dst) || !bytes.Equal(p.Payload, payload) {
				t.Fatalf("%s: %v, %v", c.src, p, err)
			}
			if err := Rewrite(b, ap(c.newSrc), ap(c.newDst)); err != nil {
				t.Fatal(err)
			}
			if want := datagram(ap(c.newSrc), ap(c.newDst), payload); !bytes.Equal(b, want) {
				t.Errorf("%s -> %s:\n%x\n%x", c.src, c.newSrc, b, want)
			}
			for n := range len(b) {
				if _, err := ParseUDP(b[:n]); err == nil {
					t.Fatalf("%s: a prefix of %d octets of %d was accepted", c.src, n, len(b))
				}
			}
		}
	}
}

func TestNotUDP(t *testing.T) {
	good := datagram(host, gate, []byte("x"))
	for i, change := range []func(b []byte){
		func(b []byte) { b[9] = 6 }, func(b []byte) { b[6] = 0x20 }, func(b []byte) { b[7] = 1 }, func(b []byte) { b[0] = 0x55 },
		func(b []byte) { b[0] = 0x44 }, func(b []byte) { b[25] = 200 }, func(b []byte) { b[25] = 7 },
	} {
		b := bytes.Clone(good)
		change(b)
		if _, err := ParseUDP(b); err == nil {
			t.Errorf("change %d was accepted", i)
		}
	}
	if err := Rewrite(good, ap("[::1]:1"), gate); err == nil {
		t.Error("an IPv6 endpoint in an IPv4 packet")
	}
	none := bytes.Clone(good)
	none[26], none[27] = 0, 0
	if err := Rewrite(none, remote, gate); err != nil || none[26]|none[27] != 0 {
		t.Errorf("no checksum became %x, %v", none[26:28], err)
	}
}

func TestAppendTooBig(t *testing.T) {
	for _, c := range []struct {
		src, dst netip.AddrPort
		router   string
		hl       int
	}{{host, gate, "10.0.0.1", header4}, {ap("[fd00::2]:1"), ap("[fd01::2]:2"), "fd00::1", header6}} {
		b := datagram(c.src, c.dst, make([]byte, 1600))
		got, err := AppendTooBig(nil, b, netip.MustParseAddr(c.router), 1300)
		if err != nil {
			t.Fatal(err)
		}
		var s sum
		if c.hl == header4 {
			if checksum(0, got[:header4]) != 0 || int(binary.BigEndian.Uint16(got[2:])) != len(got) || len(got) > 576 {
				t.Errorf("IPv4 header: %x", got[:header4])
			}
		} else {
			s.add(got[8:header6])
			s += sum(len(got)-header6) + protoICMPv6
			if len(got) > 1280 {
				t.Errorf("%d octets", len(got))
			}
		}
		if checksum(s, got[c.hl:]) != 0 || binary.BigEndian.Uint16(got[c.hl+6:]) != 1300 || !bytes.HasPrefix(b, got[c.hl+8:]) {
			t.Errorf("ICMP: %x", got[c.hl:c.hl+8])
		}
	}
	if _, err := AppendTooBig(nil, []byte{0x45}, gate.Addr(), 1300); err == nil {
		t.Error("half a packet")
	}
}

func FuzzParseUDP(f *testing.F) {
	f.Add(datagram(host, gate, []byte("payload")))
	f.Add(datagram(ap("[fd00::2]:4500"), ap("[2001:db8::1]:4500"), []byte{0xff}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseUDP(b)
		if err != nil {
			return
		}
		// The same endpoints change nothing, other ones and back neither, but for the two forms of a zero sum.
		was := bytes.Clone(b)
		if err := Rewrite(b, p.Src, p.Dst); err != nil {
			t.Fatal(err)
		}
		back, err := ParseUDP(b)
		if err != nil || back.Src != p.Src || back.Dst != p.Dst || !bytes.Equal(back.Payload, p.Payload) || len(b) != len(was) {
			t.Fatalf("%v became %v, %v", p, back, err)
		}
	})
}
