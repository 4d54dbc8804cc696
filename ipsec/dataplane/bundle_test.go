// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Every bundle of up to three SAs, between two hosts, both ways, in both families: what it looks like outside, and that it comes back as it was.

package dataplane

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	tr, tn = sadb.Transport, sadb.Tunnel
)

// kinds are the six templates, without addresses.
func kinds() (list []sadb.Template) {
	for _, proto := range []uint8{sadb.ProtoESP, sadb.ProtoAH, sadb.ProtoIPComp} {
		for _, mode := range []sadb.Mode{tr, tn} {
			list = append(list, tmpl(proto, mode, sadb.Require))
		}
	}
	return list
}

// bundles are all lists of one to most templates, the innermost first. Each has a reqid of its own, by which its SA is found.
func bundles(most int) (out [][]sadb.Template) {
	from := [][]sadb.Template{nil}
	for range most {
		var next [][]sadb.Template
		for _, b := range from {
			for _, k := range kinds() {
				k.Reqid = uint32(len(b) + 1)
				next = append(next, append(append([]sadb.Template{}, b...), k))
			}
		}
		out, from = append(out, next...), next
	}
	return out
}

func nameOf(b []sadb.Template) string {
	s := ""
	for _, x := range b {
		s += fmt.Sprintf("%s %s, ", map[uint8]string{50: "ESP", 51: "AH", 108: "IPComp"}[x.Proto], x.Mode)
	}
	return s[:len(s)-2]
}

// bareOutside: IPComp in tunnel mode with neither ESP nor AH around it, which is refused.
func bareOutside(b []sadb.Template) bool {
	for i := len(b) - 1; i >= 0 && b[i].Proto == sadb.ProtoIPComp; i-- {
		if b[i].Mode == tn {
			return true
		}
	}
	return false
}

// wiped takes all SAs and policies from both hosts.
func (d *duo) wiped() {
	for _, h := range []*end{d.a, d.b} {
		h.db.FlushSAs(d.now, 0)
		h.db.SPDFlush()
	}
	for range 2 { // found, and then the ports that there were have rested: what comes next may have the same
		d.now = d.now.Add(time.Duration(flowRest + tickPause))
		d.a.e.Tick(d.now)
		d.b.e.Tick(d.now)
	}
}

// install gives both hosts the SAs and policies of a bundle.
func (d *duo) install(b []sadb.Template, src, dst netip.Addr) {
	d.t.Helper()
	for i, x := range b {
		d.reqid = uint32(i + 1)
		d.sa(x.Proto, x.Mode, uint32(0x1000+16*i))
	}
	d.reqid = 0
	d.policy(host(src), host(dst), b...)
}

// sites are the addresses between which a bundle carries: the hosts' own, or such behind them.
func (d *duo) sites(b []sadb.Template) (src, dst netip.Addr) {
	switch {
	case b[0].Mode == tr:
		return d.s.client.Addr(), d.s.gateway.Addr()
	case d.s == plain6:
		return netip.MustParseAddr("2001:db8:1:1::5"), netip.MustParseAddr("2001:db8:2:1::7")
	}
	return netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("10.2.0.7")
}

// outer is the protocol outside that a packet has, and whether it is certain: IPComp that has something to win is there, and otherwise not.
func outer(b []sadb.Template, compressible bool) (proto uint8, sure bool) {
	proto, sure = 17, true
	squeezed, sealed := false, false
	for _, x := range b {
		switch {
		case x.Proto != sadb.ProtoIPComp:
			proto = x.Proto
			sealed = sealed || x.Proto == sadb.ProtoESP
			compressible = compressible && !sealed
		case squeezed || len(b) == 3 && !compressible && !sealed:
			sure = false // what was compressed once, with new headers, or nothing but headers
		case compressible:
			proto, squeezed = sadb.ProtoIPComp, true
		}
	}
	return proto, sure
}

// TestBundlesOfThree: the table of all bundles. 256 of 258 orders and modes make sense to one who wrote them; what cannot be sent is refused.
func TestBundlesOfThree(t *testing.T) {
	for _, s := range []seen{plain, plain6} {
		d := newDuo(t, s)
		refused := 0
		for _, b := range bundles(3) {
			d.wiped()
			src, dst := d.sites(b)
			d.install(b, src, dst)
			if bareOutside(b) {
				refused++
				before := d.a.e.Counters()[OutBundle]
				if grams := d.a.seal(d.now, packet(src, dst, 17, udpOf(1, 2, 200))); len(grams) != 0 || d.a.e.Counters()[OutBundle] != before+1 {
					t.Errorf("%s: %d datagrams", nameOf(b), len(grams))
				}
				continue
			}
			for i, payload := range [][]byte{bytes.Repeat([]byte("compressible "), 60), random(780), random(20)} {
				for _, up := range []bool{true, false} {
					d.through(b, up, i == 0, relength(packet(src, dst, 17, append(udpOf(5000, 1701, 0), payload...)), len(payload)))
				}
			}
		}
		if refused != 1+(6+1)+(36+6+1) {
			t.Errorf("%d are refused", refused)
		}
	}
}

// through sends a packet by a bundle in one direction.
func (d *duo) through(b []sadb.Template, up, compressible bool, p []byte) {
	t := d.t
	t.Helper()
	from, to := d.a, d.b
	if !up {
		from, to, p = d.b, d.a, turned(p)
	}
	want, sure := outer(b, compressible)
	before := from.e.Counters()
	sent := from.sealed(d.now, bytes.Clone(p))
	grams := apart(sent.Datagrams)
	if want == 17 {
		if len(grams) != 0 || len(sent.Bypass) != 1 || !bytes.Equal(sent.Bypass[0], p) {
			t.Fatalf("%s: what is not made shorter: %d datagrams, %d as they were", nameOf(b), len(grams), len(sent.Bypass))
		}
		return
	}
	if len(grams) != 1 {
		t.Fatalf("%s, up %v: %d datagrams; %v, before %v", nameOf(b), up, len(grams), from.e.Counters(), before)
	}
	if sure && (grams[0].Proto != want || !grams[0].Raw()) {
		t.Errorf("%s: protocol %d outside, expected %d", nameOf(b), grams[0].Proto, want)
	}
	g := d.cross(grams, up)
	got := to.open(d.now, g)
	if len(got) != 1 {
		t.Fatalf("%s, up %v: %d packets; %v", nameOf(b), up, len(got), to.e.Counters())
	}
	if !sameInner(got[0], p) {
		t.Fatalf("%s, up %v:\ngot  %x\nwant %x", nameOf(b), up, got[0], p)
	}
	if slices.ContainsFunc(b, func(x sadb.Template) bool { return x.Proto != sadb.ProtoIPComp }) {
		if again := to.open(d.now, d.cross(grams, up)); len(again) != 0 {
			t.Errorf("%s: delivered twice", nameOf(b))
		}
	}
}

// sameInner compares packets but for what a header made anew does not keep.
func sameInner(got, want []byte) bool {
	var a, b inner
	return parse(got, false, &a) == good && parse(want, false, &b) == good && a.n == len(got) && a.flow == b.flow && a.tos == b.tos &&
		bytes.Equal(got[a.body:], want[b.body:]) && (got[0]>>4 == 6 || fold(sum(got[:a.body], 0)) == 0)
}

// turned is the packet of the other direction.
func turned(p []byte) []byte {
	q := bytes.Clone(p)
	if q[0]>>4 == 6 {
		copy(q[8:24], p[24:40])
		copy(q[24:40], p[8:24])
	} else {
		copy(q[12:16], p[16:20])
		copy(q[16:20], p[12:16])
	}
	return q
}

// unwhole has a datagram that left with its header arrive as a raw socket delivers it.
func unwhole(d Datagram) Datagram {
	if !d.Whole || d.Proto == protoAH {
		d.Whole = false
		return d
	}
	if d.Buf[0]>>4 != 4 || d.Buf[9] != d.Proto || int(binary.BigEndian.Uint16(d.Buf[2:])) != d.N || fold(sum(d.Buf[:20], 0)) != 0 {
		panic(fmt.Sprintf("header %x", d.Buf[:20]))
	}
	d.Ident = binary.BigEndian.Uint16(d.Buf[4:])
	d.Buf, d.N, d.Whole = d.Buf[20:], d.N-20, false
	return d
}

// TestAnothersTunnel: an SA in transport mode belongs to the peer whose address it has. One who writes another's into the header outside,
// which nothing authenticates, has no part in the tunnel inside that the policy gives the other, compressed or not.
func TestAnothersTunnel(t *testing.T) {
	gateway, friend, thief := plain.gateway.Addr(), plain.client.Addr(), netip.MustParseAddr("203.0.113.77")
	site, behind := netip.MustParseAddr("10.2.0.7"), netip.MustParseAddr("10.1.0.5")
	p := packet(behind, site, 17, append(udpOf(5000, 1701, 0), bytes.Repeat([]byte("x"), 400)...))
	for _, compressed := range []bool{false, true} {
		for _, c := range []struct{ has, writes netip.Addr }{{friend, friend}, {thief, friend}, {thief, thief}} {
			d := newDuo(t, plain)
			k := key(20)
			for _, sa := range []sadb.SA{
				{Proto: sadb.ProtoESP, SPI: 0x1000, Src: c.has, Dst: gateway, Mode: tr, Suite: gcm, Key: k},
				{Proto: sadb.ProtoIPComp, SPI: 0x3000, Src: friend, Dst: gateway, Mode: tn},
			} {
				if err := d.b.db.AddSA(d.now, sa); err != nil {
					t.Fatal(err)
				}
			}
			tunnel := tmpl(sadb.ProtoIPComp, tn, sadb.Use)
			tunnel.Src, tunnel.Dst = friend, gateway
			if _, err := d.b.db.SPDAdd(d.now, sadb.SPDEntry{Dir: sadb.In, Action: sadb.Protect, Local: host(site), Remote: host(behind),
				Templates: []sadb.Template{tunnel, tmpl(sadb.ProtoESP, tr, sadb.Require)}}); err != nil {
				t.Fatal(err)
			}
			s, err := esp.NewSealer(0x1000, gcm, k, secret.Key{}, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 2048)
			n, next := copy(buf[s.Head():], p), uint8(protoIPv4)
			if compressed {
				var ok bool
				if n, ok = d.a.e.codec.Compress(buf[s.Head():], p, 0x3000, protoIPv4); !ok {
					t.Fatal("not compressed")
				}
				next = protoIPComp
			}
			size, err := s.Seal(buf, n, next)
			if err != nil {
				t.Fatal(err)
			}
			got := d.b.open(d.now, []Datagram{{Buf: buf[:size], N: size, Remote: netip.AddrPortFrom(c.writes, 0), Local: netip.AddrPortFrom(gateway, 0)}})
			if want := c.has == friend; len(got) == 1 != want {
				t.Errorf("compressed %v, an SA of %v, %v outside: %d packets", compressed, c.has, c.writes, len(got))
			}
		}
	}
}

// TestDirectionOfIPComp: a peer that knows the CPI of an SA that this host has not used yet, and has a tunnel to put the packet into, does not
// make it one that opens.
func TestDirectionOfIPComp(t *testing.T) {
	d := newDuo(t, plain)
	d.sa(sadb.ProtoIPComp, tr, 0x3000)
	d.sa(sadb.ProtoESP, tr, 0x1000)
	ours, theirs := plain.client.Addr(), plain.gateway.Addr()
	d.policy(host(ours), host(theirs), tmpl(sadb.ProtoIPComp, tr, sadb.Require), tmpl(sadb.ProtoESP, tr, sadb.Require))
	r := d.a.db.Within(sadb.ProtoIPComp, 0x3000, ours, theirs)
	if r == nil {
		t.Fatal("the SA is not found")
	}
	b, out := make([]byte, 2048), make([]byte, 4096)
	n, ok := d.a.e.codec.Compress(b, make([]byte, 500), 0x3000, 17)
	if !ok {
		t.Fatal("not compressed")
	}
	r.BeginOpen(1)
	_, _, err := r.Decompress(d.a.e.codec, out, b[:n])
	r.EndOpen()
	if err != nil {
		t.Fatal(err)
	}
	p := relength(packet(ours, theirs, 17, append(udpOf(1, 2, 0), make([]byte, 500)...)), 500)
	if got := d.b.open(d.now, d.cross(d.a.seal(d.now, p), true)); len(got) != 1 {
		t.Errorf("%d packets; %v", len(got), d.a.e.Counters())
	}
}
