// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What SAs of PF_KEY cost each other: the same as scale_test.go measures, with two single SAs and two policies for each client.

package dataplane

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// keyedWorld is a gateway, b, with n clients as a key daemon of PF_KEY has them, and a, which has what all of them send with.
func keyedWorld(t testing.TB, n int) (*world, []netip.Addr) {
	t.Helper()
	w := newWorld(t, gcm, nil)
	k := key(20)
	addrs := make([]netip.Addr, n)
	for i := range n {
		addrs[i] = warrior(i)
		w.client(t, addrs[i], 1<<20+2*uint32(i), sadb.SA{Suite: gcm, Key: k})
	}
	return w, addrs
}

// client gives the gateway the two SAs and the two policies of one client, whose first SPI is spi, and a what the client has for sending.
func (w *world) client(t testing.TB, addr netip.Addr, spi uint32, up sadb.SA) {
	t.Helper()
	up.Proto, up.SPI, up.Src, up.Dst, up.Encap, up.SrcPort, up.DstPort = sadb.ProtoESP, spi, addr, outerA.Addr(), natt.NonESP, 4500, 4500
	up.Mode, up.Window, up.CopyDF, up.CopyECN, up.Owner = sadb.Tunnel, 64, true, true, 1
	down := up
	down.SPI, down.Src, down.Dst = spi+1, up.Dst, up.Src
	w.keyed(t, w.a, sadb.Out, addr, up)
	w.keyed(t, w.b, sadb.In, addr, up)
	w.keyed(t, w.b, sadb.Out, addr, down)
}

// keyed adds an SA and its policy.
func (w *world) keyed(t testing.TB, h *end, dir sadb.Dir, addr netip.Addr, sa sadb.SA) {
	t.Helper()
	if err := h.db.AddSA(w.now, sa); err != nil {
		t.Fatal(err)
	}
	_, err := h.db.SPDAdd(w.now, sadb.SPDEntry{Dir: dir, Action: sadb.Protect, Local: everything(false), Remote: host(addr),
		Templates: []sadb.Template{{Proto: sadb.ProtoESP, Mode: sadb.Tunnel, Src: sa.Src, Dst: sa.Dst}}})
	if err != nil {
		t.Fatal(err)
	}
}

// begin sends a packet to each client and has one from each: SAs of PF_KEY take their keys up with the first.
func (w *world) begin(t testing.TB, addrs []netip.Addr) {
	t.Helper()
	for _, addr := range addrs {
		p := ipv4(addr.String(), addr.String(), protoUDP, udpOf(5000, 6000, 36))
		if len(w.b.seal(w.now, p)) != 1 || len(w.b.open(w.now, arrive(w.a.seal(w.now, p)))) != 1 {
			t.Fatal(addr, w.a.e.Counters(), w.b.e.Counters())
		}
	}
}

func BenchmarkSealAmongSingles(b *testing.B) {
	for _, n := range warriorCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, addrs := keyedWorld(b, n)
			w.begin(b, addrs)
			sealAmong(b, w.now, w.b, addrs)
		})
	}
}

func BenchmarkOpenAmongSingles(b *testing.B) {
	for _, n := range warriorCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, addrs := keyedWorld(b, n)
			w.begin(b, addrs)
			openAmong(b, w.now, w.a, w.b, addrs)
		})
	}
}
