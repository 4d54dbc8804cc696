// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Peers at one address, some in UDP and some not: RFC 3948, Section 5.2.

package sadb

import (
	"net/netip"
	"testing"
)

// TestRawIsNoPeers: an SA without UDP, though it be the newest, seals nothing for a peer that is known by its UDP; where the last template
// has no SA and needs none, neither. For a peer that has no more in UDP those of others are none.
func TestRawIsNoPeers(t *testing.T) {
	for _, templates := range [][]Template{
		{{Proto: ProtoESP, Mode: Transport}},
		{{Proto: ProtoESP, Mode: Transport}, {Proto: ProtoAH, Mode: Transport, Level: Use}},
	} {
		db := newDB(t, 0)
		addEntry(t, db, SPDEntry{Dir: Out, Action: Protect, Local: sel("192.0.2.1/32"), Remote: sel("198.51.100.2/32"), Templates: templates})
		raw, udp := outSA(0x1002), outSA(0x1001)
		raw.Encap, raw.SrcPort, raw.DstPort, raw.Mode, udp.Mode = 0, 0, 0, Transport, Transport
		addSA(t, db, udp)
		addSA(t, db, raw)
		f := flow(local.Addr().String(), peer.Addr().String(), 17, 1701, 1701)
		m, _ := db.Match(&f)
		var b Bundle
		if len(templates) == 1 && (m.ResolvePeer(5, &f, &b, peer) != Sealed || b.SAs[0].SPI() != 0x1001) {
			t.Errorf("the peer in UDP: %+v", b)
		}
		if r := m.ResolvePeer(5, &f, &b, netip.AddrPortFrom(peer.Addr(), 9)); r != Missing || b.N != 0 {
			t.Errorf("%d templates: another peer in UDP: %v, %+v", len(templates), r, b)
		}
		udp.SPI = 0x1003
		addSA(t, db, udp)
		if m.ResolveRaw(5, &f, &b) != Sealed || b.SAs[0].SPI() != 0x1002 {
			t.Errorf("without UDP: %+v", b)
		}
	}
}
