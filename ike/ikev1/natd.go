// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// NAT detection (RFC 3947, Section 3.2) in every version of NAT-T that ikev1msg names. The payloads are attacker controlled and
// covered by no hash of IKEv1: the worst a forged one does is UDP encapsulation that was not needed, or a NAT that is not
// seen, and then nothing passes it.

package ikev1

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// natHash is HASH(CKY-I | CKY-R | IP | Port) by the negotiated hash, in full.
func natHash(s Suite, x *phase1, a netip.AddrPort) []byte {
	return s.Hash.Digest(x.cookies(), a.Addr().Unmap().AsSlice(), binary.BigEndian.AppendUint16(nil, a.Port()))
}

// natPayloads are the two NAT-D payloads of a message that is sent by path. With forced set the source is one that no host
// has, so that the peer sees a NAT and both sides encapsulate.
func natPayloads(v ikev1msg.NATT, s Suite, x *phase1, path ike.Path, forced bool) []ikev1msg.Payload {
	from := path.Local
	if forced {
		from = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	source := &ikev1msg.NATD{Num: v.NATD, Data: natHash(s, x, from)}
	destination := &ikev1msg.NATD{Num: v.NATD, Data: natHash(s, x, path.Remote)}
	if v.SourceFirst {
		return []ikev1msg.Payload{source, destination}
	}
	return []ikev1msg.Payload{destination, source}
}

// natDetect compares the NAT-D payloads of a received message with what this host saw. local: this host is behind a NAT, as
// what the peer calls the destination is not this host; remote: the peer is, as none of the sources is where its message
// came from. Payloads of other versions' numbers are not looked at: some peers send a set for each. A peer that sent none
// supports no NAT traversal: supported is then false and nothing is behind a NAT. One that sent a single payload said only where it
// sent to: where it is itself stays in doubt, and the remote side then counts as behind a NAT, so that ESP is encapsulated.
//
// paths are how the message came, and how the ones before it did: in aggressive mode the initiator's payloads are in the message
// that floats to port 4500, and peers hash either port (charon 4500, vpnc 500).
func natDetect(v ikev1msg.NATT, payloads []ikev1msg.Payload, s Suite, x *phase1, paths ...ike.Path) (local, remote, supported bool) {
	var sent []string
	for _, p := range ikev1msg.All[*ikev1msg.NATD](payloads) {
		if p.Num == v.NATD {
			sent = append(sent, string(p.Data))
		}
	}
	if len(sent) == 0 {
		return false, false, false
	}
	destination, sources := sent[0], sent[1:]
	if v.SourceFirst && len(sources) > 0 {
		last := len(sent) - 1
		destination, sources = sent[last], sent[:last]
	}
	local, remote = true, true
	for _, path := range paths {
		if destination == string(natHash(s, x, path.Local)) {
			local = false
		}
		if slices.Contains(sources, string(natHash(s, x, path.Remote))) {
			remote = false
		}
	}
	return local, remote, true
}
