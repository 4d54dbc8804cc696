// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Notices in words (RFC 2367, Sections 3.1.6 and 3.1.8, and the new mapping of Linux): what the data plane tells the key
// daemons. Addresses in them come from datagrams that were authentic, packets in them from the inner side.

package sadb

import "net/netip"

// NoticeKind says what a Notice is.
type NoticeKind uint8

const (
	// Acquire: a packet met a protect policy (Reqid) that has no SA. Packet is its tuple. Told once until a child of that
	// Reqid is installed, AcquireFailed, or 30 s have passed. With Policy and Seq set it is an SPDEntry whose Template has
	// no SA; the answer is an SA that fits, or SPDAcquireFailed.
	Acquire NoticeKind = iota + 1
	// Expire: the pair SPIIn, or the single SA, reached a limit. With Hard set it is unusable from now on; a pair stays
	// listed until Remove, a single SA is gone. The daemon answers a soft one with a rekey.
	Expire
	// NewMapping: the newest authenticated packet on SPIIn came from the endpoint To while the pair sends to From.
	// Local is the address it arrived at. Nothing has moved yet: Move does. Of a single SA: it came from To instead of
	// From, and what the owner sent to From goes to To already unless SetFollow says otherwise.
	NewMapping
	// FirstUse: the first authenticated packet arrived on SPIIn. If the pair was standby it sends from now on.
	FirstUse
	// Larval: the reservation SPIIn, or of a single SA, has not been installed within 30 s and is gone.
	Larval
	// PolicyExpire: an SPDEntry reached a limit; with Hard set it is gone.
	PolicyExpire
)

// String is a word for logs.
func (k NoticeKind) String() string {
	switch k {
	case Acquire:
		return "acquire"
	case Expire:
		return "expire"
	case NewMapping:
		return "new mapping"
	case FirstUse:
		return "first use"
	case Larval:
		return "reservation expired"
	case PolicyExpire:
		return "policy expired"
	}
	return "?"
}

// Notice is what the data plane saw. See NoticeKind for the fields that a kind uses.
type Notice struct {
	Kind            NoticeKind
	Reqid           uint32
	SPIIn           uint32
	Hard            bool
	From, To, Local netip.AddrPort
	Packet          Tuple
	// SA is set, and SPIIn is not, where the notice is about a single SA: as it was when the notice was fetched.
	SA *SAInfo
	// Policy, Template (with both addresses) and Seq: see Acquire. Seq counts from 1.
	Policy   PolicyID
	Template Template
	Seq      uint32
	// SPD is set for PolicyExpire.
	SPD *SPDInfo
}

// Tuple is the selector fields of a packet, seen from this host.
type Tuple struct {
	Local, Remote         netip.Addr
	Proto                 uint8
	LocalPort, RemotePort uint16
	// HasPorts is false for fragments but the first, and for protocols without ports.
	HasPorts bool
}
