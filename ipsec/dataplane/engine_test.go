// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Packets through both engines, and what a batch becomes.

package dataplane

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

func suites() map[string]suite.ESP {
	return map[string]suite.ESP{
		"aes128gcm":         {Encr: suite.EncrAESGCM16, EncrBits: 128},
		"aes256gcm-esn":     {Encr: suite.EncrAESGCM16, EncrBits: 256, ESN: true},
		"chacha20poly1305":  {Encr: suite.EncrChaCha20Poly1305},
		"aes128-sha1":       {Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA196},
		"aes128-sha256-esn": {Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128, ESN: true},
		"aes192-sha384":     {Encr: suite.EncrAESCBC, EncrBits: 192, Integ: suite.IntegHMACSHA2384192},
		"aes256-sha512":     {Encr: suite.EncrAESCBC, EncrBits: 256, Integ: suite.IntegHMACSHA2512256},
	}
}

func TestBothWays(t *testing.T) {
	for name, s := range suites() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s, nil)
			var packets [][]byte
			for _, n := range []int{0, 1, 2, 3, 15, 16, 17, 700, 1300} {
				packets = append(packets, ipv4("10.1.0.5", "10.2.0.7", protoUDP, udpOf(5, 6, n)))
				packets = append(packets, ipv6("2001:db8:1::5", "2001:db8:2::7", protoUDP, udpOf(5, 6, n)))
			}
			grams := w.a.seal(w.now, packets...)
			for _, d := range grams {
				if d.Remote != outerB || d.Local != outerA || d.Raw() {
					t.Errorf("datagram from %v to %v", d.Local, d.Remote)
				}
			}
			got := w.b.open(w.now, arrive(grams))
			if len(got) != len(packets) {
				t.Fatalf("%d packets of %d; %v", len(got), len(packets), w.b.e.Counters())
			}
			for i := range got {
				if !bytes.Equal(got[i], packets[i]) {
					t.Errorf("packet %d changed", i)
				}
			}
			back := ipv4("10.2.0.7", "10.1.0.5", protoUDP, udpOf(6, 5, 100))
			if got := w.a.open(w.now, arrive(w.b.seal(w.now, back))); len(got) != 1 || !bytes.Equal(got[0], back) {
				t.Errorf("the way back: %d packets", len(got))
			}
			u, ok := w.a.db.Query(w.a.spi)
			if !ok || u.PacketsOut != 18 || u.PacketsIn != 1 || u.BytesIn != uint64(len(back)) || !u.LastIn.Equal(w.now) || !u.DataOut.Equal(w.now) {
				t.Errorf("usage %+v", u)
			}
		})
	}
}

// TestRuns: packets of one SA leave as one run, equal sizes, the last shorter; other SAs in between do not tear it.
func TestRuns(t *testing.T) {
	w := newWorld(t, gcm, nil)
	var packets [][]byte
	for i := range 40 {
		packets = append(packets, tcp4(1300, uint32(i*1300), 0x10))
	}
	packets = append(packets, tcp4(10, 40*1300, 0x18), tcp4(10, 40*1300+10, 0x18), tcp4(20, 40*1300+20, 0x18))
	sent := w.a.sealed(w.now, packets...)
	if n := len(sent.Datagrams); n != 3 {
		t.Fatalf("%d sends, expected 3", n)
	}
	d := sent.Datagrams[0]
	if d.N != 40*d.SegSize+len(apart(sent.Datagrams)[40].Buf) {
		t.Errorf("the first run has %d octets of segments of %d", d.N, d.SegSize)
	}
	list := append([]Datagram(nil), sent.Datagrams...)
	if got := w.b.open(w.now, arrive(list)); len(got) != 43 {
		t.Errorf("%d packets arrived", len(got))
	}
	if n := w.a.e.Counters()[OutDatagrams]; n != 43 {
		t.Errorf("%d datagrams counted", n)
	}
}

// TestJoinable: what a device may append to a packet never reaches into another one.
func TestJoinable(t *testing.T) {
	w := newWorld(t, gcm, nil)
	var packets [][]byte
	for i := range 30 {
		p := tcp4(1000, uint32(i*1000), 0x10)
		if i%3 == 2 {
			p = ipv4("10.1.0.9", "10.2.0.7", protoUDP, udpOf(7, 8, 1000))
		}
		packets = append(packets, p)
	}
	sent := w.a.sealed(w.now, packets...)
	grams := arrive(append([]Datagram(nil), sent.Datagrams...))
	got := w.b.in.Open(w.now, grams)
	if len(got.Packets) != 30 {
		t.Fatalf("%d packets", len(got.Packets))
	}
	roomy := 0
	for i, p := range got.Packets {
		if cap(p) > 2*len(p) {
			roomy++
		}
		rest := p[len(p):cap(p)]
		for k := range rest {
			rest[k] = 0xee
		}
		for k := range p[:Headroom] {
			p[k] = 0xee
		}
		if !bytes.Equal(p[Headroom:], packets[i]) {
			t.Errorf("packet %d is not what was sent", i)
		}
	}
	for i, p := range got.Packets {
		if !bytes.Equal(p[Headroom:], packets[i]) {
			t.Errorf("packet %d was reached from another", i)
		}
	}
	if roomy != 2 {
		t.Errorf("%d packets have room to join others, expected the first of each flow", roomy)
	}
}

func TestRawAndUDP(t *testing.T) {
	w := newWorld(t, gcm, func(a, b *sadb.Child) { a.Endpoint.Encap, b.Endpoint.Encap = natt.Raw, natt.Raw })
	grams := w.a.seal(w.now, tcp4(10, 0, 0x10), tcp4(10, 10, 0x10))
	if len(grams) != 2 || !grams[0].Raw() {
		t.Fatalf("%d datagrams, raw %v", len(grams), grams[0].Raw())
	}
	// RFC 7296, Section 2.23: ESP in UDP is processed also where no NAT was found.
	in := arrive(grams)
	in[1].Encap, in[1].Remote = natt.NonESP, netip.AddrPortFrom(outerA.Addr(), 9999)
	if got := w.b.open(w.now, in); len(got) != 2 {
		t.Errorf("%d packets", len(got))
	}
	if w.b.db.Notices(make([]sadb.Notice, 4)) != 1 { // FirstUse alone: nothing to follow
		t.Error("an SA without UDP followed its peer")
	}
}

func TestProbe(t *testing.T) {
	w := newWorld(t, gcm, nil)
	d, ok := w.a.e.Probe(w.now, w.a.spi, make([]byte, 128))
	if !ok || d.Remote != outerB {
		t.Fatal("no probe")
	}
	if got := w.b.open(w.now, arrive([]Datagram{d})); len(got) != 0 {
		t.Error("a dummy was delivered")
	}
	w.b.count(InDummies, 1)
	u, _ := w.b.db.Query(w.b.spi)
	if u.LastIn.IsZero() || !u.DataIn.IsZero() || u.PacketsIn != 0 {
		t.Errorf("usage after a dummy: %+v", u)
	}
	if _, ok := w.a.e.Probe(w.now, 4711, make([]byte, 128)); ok {
		t.Error("a probe on no SA")
	}
	if _, ok := w.a.e.Probe(w.now, w.a.spi, make([]byte, 10)); ok {
		t.Error("a probe in ten octets")
	}
}

// TestPolicies: bypass before protect, discard last, nothing for strangers.
func TestPolicies(t *testing.T) {
	w := newWorld(t, gcm, nil)
	all := []sadb.Selector{everything(false)}
	dns := everything(false)
	dns.Proto, dns.PortFrom, dns.PortTo = protoUDP, 53, 53
	pass, err := w.a.db.AddPolicy(sadb.Policy{Action: sadb.Bypass, Local: all, Remote: []sadb.Selector{dns}})
	if err != nil {
		t.Fatal(err)
	}
	drop, err := w.a.db.AddPolicy(sadb.Policy{Action: sadb.Discard, Local: all, Remote: all})
	if err != nil {
		t.Fatal(err)
	}
	send := func(dst string, port uint16) *Sent {
		return w.a.sealed(w.now, ipv4("10.1.0.5", dst, protoUDP, udpOf(99, port, 10)))
	}
	if s := send("10.2.0.7", 53); len(s.Bypass) != 1 || len(s.Datagrams) != 0 {
		t.Error("port 53 is not passed")
	}
	if s := send("10.2.0.7", 54); len(s.Datagrams) != 1 {
		t.Error("port 54 is not protected")
	}
	send("10.3.0.7", 54)
	w.a.count(OutDiscarded, 1)
	w.a.db.RemovePolicy(drop)
	w.a.db.RemovePolicy(pass)
	send("10.3.0.7", 54)
	w.a.count(OutNoPolicy, 1)
	if s := send("10.2.0.7", 53); len(s.Datagrams) != 1 {
		t.Error("port 53 is not protected after all")
	}
}

// TestT063Hold: packets wait for their SA, a bounded few, and leave with it.
func TestT063Hold(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	w := &world{t: t, now: now, a: newEnd(t, now, Config{}), b: newEnd(t, now, Config{})}
	w.a.reqid = w.a.db.NewReqid()
	if _, err := w.a.db.AddPolicy(sadb.Policy{Action: sadb.Protect, Reqid: w.a.reqid, Local: []sadb.Selector{everything(false)},
		Remote: []sadb.Selector{selector("10.2.0.0/16")}}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		w.a.seal(now, tcp4(100, uint32(i), 0x10))
	}
	w.a.count(OutHeld, 100)
	w.a.count(OutNoSA, 36)
	var n [4]sadb.Notice
	if k := w.a.db.Notices(n[:]); k != 1 || n[0].Kind != sadb.Acquire || n[0].Reqid != w.a.reqid || n[0].Packet.Remote != netip.MustParseAddr("10.2.0.7") {
		t.Fatalf("%d notices, %+v", k, n[0])
	}
	if s := w.a.out.Release(now); len(s.Datagrams) != 0 {
		t.Error("released without an SA")
	}
	w.child(gcm, nil)
	got := w.b.open(now, arrive(apart(w.a.out.Release(now).Datagrams)))
	if len(got) != 64 || !bytes.Equal(got[0], tcp4(100, 36, 0x10)) {
		t.Errorf("%d packets released", len(got))
	}
	if s := w.a.out.Release(now); len(s.Datagrams) != 0 {
		t.Error("released twice")
	}
}

func TestT063HoldEnds(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	h := newEnd(t, now, Config{})
	reqid := h.db.NewReqid()
	if _, err := h.db.AddPolicy(sadb.Policy{Action: sadb.Protect, Reqid: reqid, Local: []sadb.Selector{everything(false)}, Remote: []sadb.Selector{everything(false)}}); err != nil {
		t.Fatal(err)
	}
	var n [4]sadb.Notice
	big := tcp4(60000, 0, 0x10)
	for i, end := range []func(){
		func() { h.db.AcquireFailed(reqid) },
		func() { h.db.Tick(now.Add(31 * time.Second)) },
	} {
		h.seal(now, big, big, big) // 96 KiB hold one of them
		if k := h.db.Notices(n[:]); k != 1 {
			t.Errorf("round %d: %d notices", i, k)
		}
		end()
		h.count(OutNoSA, uint64(3*(i+1)))
	}
}

// TestOuterFragment: RFC 4303, Section 3.4.1: a datagram that is cut in two is no packet, in neither part.
func TestOuterFragment(t *testing.T) {
	w := newWorld(t, gcm, nil)
	d := arrive(w.a.seal(w.now, tcp4(1000, 1, 0x10)))[0]
	for cut := 1; cut < d.N; cut += 7 {
		a, b := d, d
		a.Buf, a.N = bytes.Clone(d.Buf[:cut]), cut
		b.Buf, b.N = bytes.Clone(d.Buf[cut:]), d.N-cut
		if got := w.b.open(w.now, []Datagram{a, b}); len(got) != 0 {
			t.Fatalf("cut at %d: delivered", cut)
		}
	}
	if got := w.b.open(w.now, []Datagram{d}); len(got) != 1 {
		t.Error("the whole datagram was not delivered")
	}
}

// TestTwoClients: RFC 3948, Section 5.1: two clients behind one NAT: each speaks for its own address, and gets what is for it.
func TestTwoClients(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	gw := newEnd(t, now, Config{})
	nat := outerA.Addr()
	clients := make([]*world, 2)
	for i := range clients {
		address := []string{"10.1.0.5/32", "10.1.0.6/32"}[i]
		at := netip.AddrPortFrom(nat, uint16(40000+i))
		gw.reqid = 0
		w := &world{t: t, now: now, a: newEnd(t, now, Config{}), b: gw}
		w.child(gcm, func(a, b *sadb.Child) {
			a.TSLocal, b.TSRemote = []sadb.Selector{selector(address)}, []sadb.Selector{selector(address)}
			b.Endpoint.Remote = at
		})
		clients[i] = w
	}
	for i, w := range clients {
		to := ipv4("10.2.0.7", []string{"10.1.0.5", "10.1.0.6"}[i], protoUDP, udpOf(1, 2, 3))
		d := gw.seal(now, to)
		if len(d) != 1 || d[0].Remote.Port() != uint16(40000+i) {
			t.Fatalf("client %d: %d datagrams", i, len(d))
		}
		if got := w.a.open(now, arrive(d)); len(got) != 1 || !bytes.Equal(got[0], to) {
			t.Errorf("client %d did not get its packet", i)
		}
		if got := clients[1-i].a.open(now, arrive(gw.seal(now, to))); len(got) != 0 {
			t.Errorf("the other client got the packet of client %d", i)
		}
		// The other's address, sealed with this client's keys.
		gw.spi = w.b.spi
		forged := w.fromPeer(4, ipv4([]string{"10.1.0.6", "10.1.0.5"}[i], "10.2.0.7", protoUDP, udpOf(1, 2, 3)))
		if got := gw.open(now, []Datagram{forged}); len(got) != 0 {
			t.Errorf("client %d spoke for the other", i)
		}
	}
	gw.count(InSelectors, 2)
}

// TestNoIV: with NULL encryption a packet begins closer to its datagram's beginning than a device wants room in front of it.
func TestNoIV(t *testing.T) {
	for _, integ := range []suite.Integ{suite.IntegHMACSHA196, suite.IntegHMACSHA2256128} {
		w := newWorld(t, suite.ESP{Encr: suite.EncrNULL, Integ: integ}, nil)
		w.alive()
		for _, n := range []int{0, 1, 2, 3, 4, 1000} {
			p := ipv4("10.1.0.5", "10.2.0.7", protoUDP, udpOf(1, 2, n))
			got := w.b.in.Open(w.now, arrive(w.a.seal(w.now, p)))
			if len(got.Packets) != 1 || !bytes.Equal(got.Packets[0][Headroom:], p) {
				t.Errorf("%v, %d octets: %x", integ, n, got.Packets)
			}
		}
	}
}
