// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Peers that send without UDP from the address of a NAT at which clients in UDP are: none of them is taken for one of those.

package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// bare is datagrams as they come without UDP.
func bare(list []Datagram) []Datagram {
	for i := range list {
		d := &list[i]
		d.Encap, d.Proto = natt.Raw, protoESP
		d.Remote, d.Local = netip.AddrPortFrom(d.Remote.Addr(), 0), netip.AddrPortFrom(d.Local.Addr(), 0)
	}
	return list
}

// TestUDPClientWithoutUDP: a client has its own port, and says nothing of the flows of others, also in what it sends without UDP.
func TestUDPClientWithoutUDP(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	v, m := h.move(), h.move()
	if port := h.up(v, protoUDP, 1701); port != 1701 {
		t.Fatalf("port %d", port)
	}
	client, gateway := natted.client.Addr(), natted.gateway.Addr()
	got := h.gw.open(h.now, bare(cross(m.seal(h.now, packet(client, gateway, protoUDP, udpOf(1701, 1701, 4))), m.s, true)))
	if len(got) != 1 {
		t.Fatalf("%d packets: %v", len(got), h.gw.e.Counters())
	}
	if port := binary.BigEndian.Uint16(got[0][20:]); port == 1701 || !right(got[0]) {
		t.Errorf("port %d, checksum right: %t", port, right(got[0]))
	}
	quoted := packet(gateway, client, protoUDP, udpOf(1701, 1701, 8))
	for _, kind := range [][2]uint8{{redirect, 1}, {unreachable, needFragment}} {
		p := complaint(client, gateway, kind[0], kind[1], 600, quoted)
		if got := h.gw.open(h.now, bare(cross(h.writes(m, protoICMP, p[20:]), m.s, true))); len(got) != 0 {
			t.Errorf("type %d was delivered", kind[0])
		}
	}
	h.gw.count(InNoPort, 2)
}

// TestRawPeerAmongClients: a peer that has no UDP has no port of a client that lives, and says nothing of clients' flows; otherwise it has
// what it had, and everything where no client lives.
func TestRawPeerAmongClients(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	gateway, outside := natted.gateway.Addr(), natted.outside.Addr()
	m := newEnd(t, h.now, Config{})
	at := seen{natted.outside, natted.outside, natted.gateway}
	sa := sadb.SA{Proto: sadb.ProtoESP, SPI: 0x1000, Src: outside, Dst: gateway, Mode: sadb.Transport, Suite: gcm, Key: key(20), Owner: 1}
	tell := func(db *sadb.DB, dir sadb.Dir, local, remote netip.Addr) {
		if err := db.AddSA(h.now, sa); err != nil {
			t.Fatal(err)
		}
		if _, err := db.SPDAdd(h.now, sadb.SPDEntry{Dir: dir, Action: sadb.Protect, Local: host(local), Remote: host(remote),
			Templates: []sadb.Template{tmpl(sadb.ProtoESP, sadb.Transport, sadb.Require)}}); err != nil {
			t.Fatal(err)
		}
	}
	tell(h.gw.db, sadb.In, gateway, outside)
	tell(m.db, sadb.Out, outside, gateway)
	comes := func(p []byte) bool {
		t.Helper()
		grams := m.seal(h.now, p)
		if len(grams) != 1 || !grams[0].Raw() {
			t.Fatalf("%d datagrams: %v", len(grams), m.e.Counters())
		}
		return len(h.gw.open(h.now, cross(grams, at, true))) == 1
	}
	says := func(port uint16) bool { return comes(packet(outside, gateway, protoUDP, udpOf(port, 1701, 4))) }
	complains := func() bool {
		return comes(complaint(outside, gateway, unreachable, 3, 0, packet(gateway, outside, protoUDP, udpOf(1701, 1701, 8))))
	}
	if !says(1702) || !complains() {
		t.Fatalf("alone it is not heard: %v", h.gw.e.Counters())
	}
	v := h.move()
	if port := h.up(v, protoUDP, 1701); port != 1701 {
		t.Fatalf("port %d", port)
	}
	if says(1701) {
		t.Error("it has the port of a client")
	}
	if complains() {
		t.Error("it complains about the packets of a client")
	}
	h.gw.count(InNoPort, 2)
	if !says(1702) {
		t.Error("it has no port of its own")
	}
	h.gw.db.Remove(h.now, v.spiGW, false)
	if !says(1701) || !complains() {
		t.Errorf("it is not heard after the client's end: %v", h.gw.e.Counters())
	}
}
