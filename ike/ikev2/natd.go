// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// NAT detection (RFC 7296, Section 2.23). The hashes arrive unauthenticated in IKE_SA_INIT; AUTH covers the message, so
// that a forged one is caught later, and until then the worst it does is UDP encapsulation that was not needed.

package ikev2

import (
	"crypto/sha1"
	"encoding/binary"
	"net/netip"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// natHash is SHA-1(SPIi | SPIr | IP | Port). SHA-1 is what RFC 7296 fixes here, and nothing secret
// depends on it.
func natHash(spiI, spiR uint64, a netip.AddrPort) []byte {
	b := make([]byte, 0, 34)
	b = binary.BigEndian.AppendUint64(b, spiI)
	b = binary.BigEndian.AppendUint64(b, spiR)
	b = append(b, a.Addr().Unmap().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, a.Port())
	h := sha1.Sum(b)
	return h[:]
}

// natNotifies are the two notifies of a message that is sent by path. With forced set the source hash is one that no
// address has, so that the peer sees a NAT and both sides encapsulate (encap = yes).
func natNotifies(spiI, spiR uint64, path ike.Path, forced bool) []ikev2msg.Payload {
	source := natHash(spiI, spiR, path.Local)
	if forced {
		source = natHash(spiI, spiR, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	}
	return []ikev2msg.Payload{
		&ikev2msg.Notify{Notify: ikev2msg.NATDetectionSourceIP, Data: source},
		&ikev2msg.Notify{Notify: ikev2msg.NATDetectionDestinationIP, Data: natHash(spiI, spiR, path.Remote)},
	}
}

// natDetect compares the hashes of a received message with what this host saw. local: this host is behind a NAT (its
// address is not the one the peer sent to); remote: the peer is. A side that sent none supports no NAT traversal:
// supported is then false and nothing is behind a NAT. There may be several source hashes (RFC 7296, Section 2.23).
func natDetect(payloads []ikev2msg.Payload, spiI, spiR uint64, path ike.Path) (local, remote, supported bool) {
	source, destination := natHash(spiI, spiR, path.Remote), natHash(spiI, spiR, path.Local)
	var sources, destinations int
	local, remote = true, true
	for _, p := range payloads {
		n, ok := p.(*ikev2msg.Notify)
		if !ok {
			continue
		}
		switch n.Notify {
		case ikev2msg.NATDetectionSourceIP:
			sources++
			if string(n.Data) == string(source) {
				remote = false
			}
		case ikev2msg.NATDetectionDestinationIP:
			destinations++
			if string(n.Data) == string(destination) {
				local = false
			}
		}
	}
	if sources == 0 || destinations == 0 {
		return false, false, false
	}
	return local, remote, true
}

// forcesEncap reports whether this host, as initiator, makes the peer see a NAT: because it was told to, or because its data
// plane cannot receive ESP that is not in UDP.
func (sa *SA) forcesEncap() bool { return sa.conn.Encap || !sa.env.RawESP }

// detectNAT evaluates the hashes and reports the finding.
func (sa *SA) detectNAT(m *ikev2msg.Message, path ike.Path) {
	local, peer, _ := natDetect(m.Payloads, m.SPIi, m.SPIr, path)
	sa.natLocal, sa.natPeer = local, peer
	sa.report(ike.Event{Kind: ike.EventNAT, NATLocal: local, NATRemote: peer})
}
