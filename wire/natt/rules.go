// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// By whose rules a port tells datagrams apart: what the UDP_ENCAP socket option of several systems drops, takes as ESP and
// hands up (RFC 3948, Section 2; draft-ietf-ipsec-udp-encaps-00 for the non-IKE marker). A key daemon written for one of them finds
// the same here. Every octet is attacker controlled; a verdict depends on the mode, the length and the first octets alone.

package natt

import "encoding/binary"

// Rules are those of a system.
type Rules uint8

const (
	// Strict is our own: anything that is neither IKE nor ESP nor a keepalive is dropped, and IKE loses its marker.
	Strict Rules = iota
	// Linux: UDP_ENCAP 2 alone, the non-ESP marker. One octet 0xff is dropped, SPI and more than a header is ESP, and everything
	// else is the daemon's, its marker left in place. NON_IKE is refused since 2024 (ENOPROTOOPT).
	Linux
	// LinuxNonIKE is Linux before 2024: the non-IKE marker too (UDP_ENCAP 1).
	LinuxNonIKE
	// FreeBSD8 is FreeBSD 8 to 10: as LinuxNonIKE.
	FreeBSD8
	// FreeBSD11 is FreeBSD since 11: the non-ESP marker alone (1 is EINVAL). Nothing is dropped, keepalives are the daemon's too,
	// and whatever has room for an ESP header and an SPI is ESP.
	FreeBSD11
	// NetBSD: as LinuxNonIKE.
	NetBSD
	numRules
)

// String is a word for logs.
func (r Rules) String() string {
	switch r {
	case Strict:
		return "strict"
	case Linux:
		return "linux"
	case LinuxNonIKE:
		return "linux-non-ike"
	case FreeBSD8:
		return "freebsd8"
	case FreeBSD11:
		return "freebsd11"
	case NetBSD:
		return "netbsd"
	}
	return "?"
}

// Allow says whether the system lets a port have the mode. No system has CiscoUDP in its socket option; by its rules such a
// port is ours: Strict's verdict.
func (r Rules) Allow(m Mode) bool {
	switch m {
	case Raw, NonESP, CiscoUDP:
		return r < numRules
	case NonIKE:
		return r < numRules && r != Linux && r != FreeBSD11
	}
	return false
}

// KeepMarker says whether IKE is handed up with the marker left in place.
func (r Rules) KeepMarker() bool { return r != Strict }

// Verdict says what the datagram b is on a port of mode m, and returns what is to be handed on of it, always its end: ESP without
// a marker; IKE without under Strict, and as it arrived by a system's rules. What a system does not allow (Allow) is dropped
// whole. It allocates nothing.
func (r Rules) Verdict(m Mode, b []byte) (Verdict, []byte) {
	if !r.Allow(m) {
		return Drop, nil
	}
	if r == Strict || m == CiscoUDP {
		return Classify(m, b)
	}
	if m == Raw {
		return IKE, b // no option is set: the system looks at nothing
	}
	if r == FreeBSD11 {
		if len(b) < minESP || binary.BigEndian.Uint32(b) == 0 {
			return IKE, b
		}
		return ESP, b
	}
	if len(b) == 1 && b[0] == KeepaliveOctet {
		return Keepalive, nil
	}
	if m == NonIKE {
		if len(b) > NonIKEMarkerLen+minESP && binary.BigEndian.Uint64(b) == 0 {
			return ESP, b[NonIKEMarkerLen:]
		}
		return IKE, b
	}
	if len(b) > minESP && binary.BigEndian.Uint32(b) != 0 {
		return ESP, b
	}
	return IKE, b
}

// StripMarker takes the marker off a datagram that a system's port handed up as IKE; false: it is too short to have one, or does
// not begin with it, and is no IKE message.
func StripMarker(m Mode, b []byte) ([]byte, bool) {
	if m != NonESP {
		return b, true
	}
	if len(b) < NonESPMarkerLen || binary.BigEndian.Uint32(b) != 0 {
		return nil, false
	}
	return b[NonESPMarkerLen:], true
}

// Overhead is how many octets go between the UDP header and an ESP packet on a port of the mode.
func (m Mode) Overhead() int {
	if m == NonIKE {
		return NonIKEMarkerLen
	}
	return 0
}
