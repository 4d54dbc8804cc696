// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Random bundles of up to six SAs, also in UDP, also with optional ones that have no SA: what goes in comes out, or is refused for a reason that the
// bundle shows. What fits a path, and what is said of it. Nothing is allocated.

package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

// refusedUDP: with UDP around the outermost, AH under the same header is refused, and what is not ESP outside has none.
func refusedUDP(b []sadb.Template) bool {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i].Proto == sadb.ProtoAH {
			return true
		}
		if b[i].Mode == tn {
			return false
		}
	}
	return false
}

// TestBundlesIdentity: out and in again is the identity.
func TestBundlesIdentity(t *testing.T) {
	duos := map[bool]*duo{false: newDuo(t, plain), true: newDuo(t, plain6)}
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "v6")
		d := duos[v6]
		d.wiped()
		b := rapid.SliceOfN(rapid.SampledFrom(kinds()), 1, sadb.MaxTemplates).Draw(t, "bundle")
		absent := rapid.IntRange(0, 2*len(b)).Draw(t, "absent")
		for i := range b {
			b[i].Reqid = uint32(i + 1)
			if i == absent && i > 0 {
				b[i].Level = sadb.Use
			}
		}
		udp := b[len(b)-1].Proto == sadb.ProtoESP && absent != len(b)-1 && rapid.Bool().Draw(t, "udp")
		src, dst := d.sites(b)
		var there []sadb.Template
		for i, x := range b {
			if i != absent || i == 0 {
				d.reqid, d.udp = uint32(i+1), udp && i == len(b)-1
				d.sa(x.Proto, x.Mode, uint32(0x1000+16*i))
				there = append(there, x)
			}
		}
		d.reqid, d.udp = 0, false
		d.policy(host(src), host(dst), b...)
		n := rapid.IntRange(0, 700).Draw(t, "octets")
		payload := random(n)
		if rapid.Bool().Draw(t, "compressible") {
			payload = bytes.Repeat([]byte{7}, n)
		}
		p := relength(packet(src, dst, 17, append(udpOf(5000, 1701, 0), payload...)), n)
		before := d.a.e.Counters()[OutBundle]
		sent := d.a.sealed(d.now, bytes.Clone(p))
		switch {
		case bareOutside(there) || udp && refusedUDP(there):
			if len(sent.Datagrams) != 0 || d.a.e.Counters()[OutBundle] != before+1 {
				t.Fatalf("%s: sent", nameOf(there))
			}
			return
		case len(sent.Bypass) == 1: // nothing but IPComp, and nothing won
			if !bytes.Equal(sent.Bypass[0], p) {
				t.Fatalf("%s: in the clear", nameOf(there))
			}
			for _, x := range there {
				if x.Proto != sadb.ProtoIPComp {
					t.Fatalf("%s: in the clear", nameOf(there))
				}
			}
			return
		case len(sent.Datagrams) != 1 || sent.Datagrams[0].Raw() == udp:
			t.Fatalf("%s, udp %v: %d datagrams; %v", nameOf(there), udp, len(sent.Datagrams), d.a.e.Counters())
		}
		got := d.b.open(d.now, d.cross(apart(sent.Datagrams), true))
		if len(got) != 1 || !sameInner(got[0], p) {
			t.Fatalf("%s, udp %v: %d packets; %v", nameOf(there), udp, len(got), d.b.e.Counters())
		}
	})
}

// TestBundleSizes: the largest packet that is sent fills the path and no more, for every bundle without IPComp, and the next one is said to be too big
// with the size that fits.
func TestBundleSizes(t *testing.T) {
	for _, s := range []seen{plain, plain6} {
		d := newDuo(t, s)
		for _, b := range bundles(3) {
			if bytes.ContainsRune([]byte(nameOf(b)), 'C') { // IPComp
				continue
			}
			d.wiped()
			src, dst := d.sites(b)
			d.install(b, src, dst)
			fits, said := 0, 0
			for n := 1500; n > 1100 && fits == 0; n -= 4 {
				sent := d.a.sealed(d.now, d.sized(src, dst, n))
				switch {
				case len(sent.Datagrams) == 1 && !sent.Datagrams[0].Fragment:
					fits = n
					total := sent.Datagrams[0].N
					if !sent.Datagrams[0].Whole {
						total += headerLen(s == plain6)
					}
					if total > 1500 || total < 1500-32 {
						t.Errorf("%s: %d octets outside", nameOf(b), total)
					}
				case len(sent.Replies) == 1:
					said = saidOf(sent.Replies[0][Headroom:])
				}
			}
			if s == plain6 { // no IPv6 packet of 1,280 octets or less is refused
				fits, said = max(fits, minV6), max(said, minV6)
			}
			if fits == 0 || said < fits || said >= fits+4 {
				t.Errorf("%s: %d octets fit, %d are said to", nameOf(b), fits, said)
			}
		}
	}
}

// sized is a packet of n octets that must not be fragmented.
func (d *duo) sized(src, dst netip.Addr, n int) []byte {
	h := headerLen(dst.Is6())
	p := relength(packet(src, dst, 17, udpOf(5000, 1701, n-h-8)), n-h-8)
	if !dst.Is6() {
		df(p)
	}
	return p
}

// saidOf is the size in an ICMP message.
func saidOf(p []byte) int {
	if p[0]>>4 == 6 {
		return int(binary.BigEndian.Uint32(p[44:]))
	}
	return int(binary.BigEndian.Uint16(p[26:]))
}

// TestNestedPath: a router behind the near gateway says that the far tunnel's packets are too large: the message comes back through the near tunnel,
// and the traveller's next large packet is answered with what fits both.
func TestNestedPath(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		s := newSite(t, v6)
		s.tunnel(s.near, s.nearAddr, 0x1000)
		s.tunnel(s.far, s.farAddr, 0x2000)
		s.both(s.h, s.hAddr, s.src, s.dst, s.farAddr, s.nearAddr)
		s.both(s.h, s.hAddr, s.hAddr, s.nearAddr, s.nearAddr) // for the router's own messages
		s.both(s.near, s.nearAddr, s.nearAddr, s.hAddr, s.hAddr)
		s.both(s.near, s.nearAddr, s.farAddr, s.hAddr, s.hAddr)
		got := s.near.open(s.now, fromWire(carried(t, s.h.seal(s.now, s.sized(s.src, s.dst, 1300)), s.hAddr, s.nearAddr)))
		if len(got) != 1 {
			t.Fatalf("%v", s.near.e.Counters())
		}
		icmp := append([]byte{3, 4, 0, 0, 0, 0, 1300 >> 8, 1300 & 0xff}, got[0][:48]...)
		kind := uint8(protoICMP)
		if v6 {
			icmp = append([]byte{2, 0, 0, 0, 0, 0, 1300 >> 8, 1300 & 0xff}, got[0][:48]...)
			kind = protoICMPv6
		}
		msg := packet(s.nearAddr, s.hAddr, kind, icmp)
		if got = s.h.open(s.now, fromWire(carried(t, s.near.seal(s.now, msg), s.nearAddr, s.hAddr))); len(got) != 1 {
			t.Fatalf("the message: %v", s.h.e.Counters())
		}
		sent := s.h.sealed(s.now, s.sized(s.src, s.dst, 1300))
		if len(sent.Datagrams) != 0 || len(sent.Replies) != 1 {
			t.Fatalf("v6 %v: %d datagrams, %d replies", v6, len(sent.Datagrams), len(sent.Replies))
		}
		if n := saidOf(sent.Replies[0][Headroom:]); v6 && n != minV6 || !v6 && (n < 1200 || n >= 1260) {
			t.Errorf("v6 %v: %d octets are said to fit", v6, n)
		}
	}
}

// TestTunnelInsideOptional: a tunnel that came without IPComp may be that of the template further in, though an optional one with the same ends
// lies around it and has no SA.
func TestTunnelInsideOptional(t *testing.T) {
	d := newDuo(t, plain)
	b := []sadb.Template{{Proto: sadb.ProtoIPComp, Mode: tn, Level: sadb.Require}, {Proto: sadb.ProtoIPComp, Mode: tn, Level: sadb.Use}, {Proto: sadb.ProtoESP, Mode: tr, Level: sadb.Require}}
	src, dst := d.sites(b)
	for i := range b {
		b[i].Reqid = uint32(i + 1)
		if i != 1 {
			d.reqid = uint32(i + 1)
			d.sa(b[i].Proto, b[i].Mode, uint32(0x1000+16*i))
		}
	}
	d.reqid = 0
	d.policy(host(src), host(dst), b...)
	p := relength(packet(src, dst, 17, append(udpOf(5000, 1701, 0), random(400)...)), 400)
	got := d.b.open(d.now, d.cross(apart(d.a.sealed(d.now, bytes.Clone(p)).Datagrams), true))
	if len(got) != 1 || !sameInner(got[0], p) {
		t.Errorf("%d packets; %v", len(got), d.b.e.Counters())
	}
}
