// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// seal encrypts a message of ours into an SK payload (RFC 7296, Section 3.14; RFC 5282), or into SKF payloads where it
// would not fit a datagram of the agreed size (RFC 7383).

package ikev2

import (
	"encoding/binary"
	"net/netip"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// boxOut and boxIn make the protection of one direction from the keys; machines hold keys, not ciphers.
func (g *generation) boxOut() *suite.Box { return g.box(g.initiator) }
func (g *generation) boxIn() *suite.Box  { return g.box(!g.initiator) }

func (g *generation) box(initiators bool) *suite.Box {
	e, a := g.keys.skEr, g.keys.skAr
	if initiators {
		e, a = g.keys.skEi, g.keys.skAi
	}
	b, err := suite.NewBox(g.suite.Encr, g.suite.EncrBits, g.suite.Integ, e, a)
	if err != nil {
		panic(err) // the suite was negotiated from what is implemented, and the keys were cut for it
	}
	return b
}

// seal returns the datagrams that carry m.
func (sa *SA) seal(g *generation, m *ikev2msg.Message) [][]byte {
	first, plain := ikev2msg.AppendPayloads(nil, m.Payloads)
	box := g.boxOut()
	fixed := isakmp.HeaderLen + isakmp.GenericLen + box.IVLen() + box.ICVLen()
	room := sa.datagramRoom()
	if !sa.sendsFragments() || fixed+len(plain)+box.Align() <= room {
		return [][]byte{sa.sealOne(g, box, m, &ikev2msg.Encrypted{First: first}, plain)}
	}
	const fragmentHeader = 4
	size := (room-fixed-fragmentHeader)/box.Align()*box.Align() - 1 // the Pad Length octet
	if size < 1 || len(plain) > size*ikev2msg.MaxFragments {
		return [][]byte{sa.sealOne(g, box, m, &ikev2msg.Encrypted{First: first}, plain)}
	}
	total := (len(plain) + size - 1) / size
	var out [][]byte
	for i := 1; i <= total; i++ {
		part := plain[:min(size, len(plain))]
		plain = plain[len(part):]
		// RFC 7383, Section 2.5: only the first fragment names the first payload.
		out = append(out, sa.sealOne(g, box, m, &ikev2msg.Encrypted{First: first, Number: uint16(i), Total: uint16(total)}, part))
		first = 0
	}
	return out
}

// sealOne seals one SK or SKF payload.
func (sa *SA) sealOne(g *generation, box *suite.Box, m *ikev2msg.Message, e *ikev2msg.Encrypted, plain []byte) []byte {
	pad := 0
	if rest := (len(plain) + 1) % box.Align(); rest != 0 {
		pad = box.Align() - rest
	}
	body := make([]byte, 0, box.IVLen()+len(plain)+pad+1+box.ICVLen())
	if box.AEAD() {
		// RFC 5282, Section 3.1: never the same IV twice under a key; both directions have keys of their own.
		g.sealed++
		body = binary.BigEndian.AppendUint64(body, g.sealed)
	} else {
		body = append(body, sa.random(box.IVLen())...)
	}
	body = append(body, plain...)
	body = append(body, make([]byte, pad)...)
	body = append(body, byte(pad))
	body = append(body, make([]byte, box.ICVLen())...)
	e.Body = body
	outer := &ikev2msg.Message{Header: m.Header, Payloads: []ikev2msg.Payload{e}}
	b := outer.Append(nil)
	box.Seal(b, len(b)-len(body), nil, nil)
	return b
}

// sendsFragments reports whether long messages are split.
func (sa *SA) sendsFragments() bool {
	return sa.peerFragments && sa.conn != nil &&
		(sa.conn.Fragmentation == ike.FragmentationYes || sa.conn.Fragmentation == ike.FragmentationForce)
}

// datagramRoom is how many octets of IKE fit into one datagram on the path.
func (sa *SA) datagramRoom() int {
	const udp, marker = 8, 4
	return sa.env.FragmentSize - ipHeader(sa.path.Remote.Addr()) - udp - marker
}

func ipHeader(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 20
	}
	return 40
}
