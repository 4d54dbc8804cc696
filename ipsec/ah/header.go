// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the ICV covers of an IP header: RFC 4302, Section 3.3.3.1 and Appendix A. The header is attacker controlled when it is
// received: at most maxChain extension headers and maxHeader octets are walked, every length is checked before it is used, and the
// packet is copied, never changed.

package ah

import (
	"encoding/binary"

	"github.com/natterjack/natterjack/crypt/suite"
)

const (
	ipv4Header, ipv6Header = 20, 40
	// maxChain bounds the extension headers in front of AH: RFC 8200, Section 4.1 has four kinds there, one of them twice.
	maxChain = 8
	// maxHeader bounds the octets in front of AH. Hosts send a few dozen; one header alone could have 2,048.
	maxHeader = 512

	// Extension headers: RFC 8200, Section 4.
	hopByHop, routing, fragment, destinationOptions = 0, 43, 44, 60
)

// cover is what of a packet in front of AH the ICV covers; it belongs to one Sealer or Opener.
type cover struct {
	masked [maxHeader]byte
	zero   [32]byte // stands for the ICV: RFC 4302, Section 3.3.3.1
	high   [4]byte
}

// header finds AH and keeps the header in front of it with zeros for what may change on the way.
func (c *cover) header(pkt []byte) (at int, err error) {
	if at, err = find(pkt); err != nil {
		return 0, err
	}
	b := c.masked[:at]
	copy(b, pkt)
	if b[0]>>4 == 4 {
		return at, maskIPv4(b)
	}
	return at, maskIPv6(b)
}

// icv calculates the ICV over the masked header, AH with zeros for the ICV, the payload, and the high half of an extended sequence
// number: RFC 4302, Sections 3.3.3.1 and 3.3.3.2. iv is how many octets of AH in front of the ICV are GMAC's IV; they are covered,
// since only what Section 3.3.3.1 calls the ICV is zeroed (no other implementation of AH with GMAC was at hand to compare with).
func (c *cover) icv(mac *suite.MAC, pkt []byte, at, iv int, seq uint64, esn bool) []byte {
	icvAt := at + fixedLen + iv
	mac.Reset()
	mac.Cover(c.masked[:at])
	mac.Cover(pkt[at:icvAt])
	mac.Cover(c.zero[:mac.ICVLen()])
	mac.Cover(pkt[icvAt+mac.ICVLen():])
	if esn {
		binary.BigEndian.PutUint32(c.high[:], uint32(seq>>32))
		mac.Cover(c.high[:])
	}
	return mac.Sum(pkt[icvAt-iv : icvAt])
}

// find is where AH begins in a whole packet.
func find(pkt []byte) (at int, err error) {
	switch {
	case len(pkt) >= ipv4Header && pkt[0]>>4 == 4:
		return findIPv4(pkt)
	case len(pkt) >= ipv6Header && pkt[0]>>4 == 6:
		at, _, err = findIPv6(pkt)
		return at, err
	}
	return 0, ErrHeader
}

func findIPv4(pkt []byte) (int, error) {
	const moreFragments, offset = 0x2000, 0x1fff
	n := int(pkt[0]&0xf) * 4
	if n < ipv4Header || n > len(pkt) || int(binary.BigEndian.Uint16(pkt[2:])) != len(pkt) || pkt[9] != Proto {
		return 0, ErrHeader
	}
	if binary.BigEndian.Uint16(pkt[6:])&(moreFragments|offset) != 0 {
		return 0, ErrFragment
	}
	return n, nil
}

// findIPv6 also returns where the field is that names AH.
func findIPv6(pkt []byte) (at, named int, err error) {
	if int(binary.BigEndian.Uint16(pkt[4:]))+ipv6Header != len(pkt) {
		return 0, 0, ErrHeader
	}
	at, named = ipv6Header, 6
	for range maxChain {
		next := pkt[named]
		switch {
		case next == Proto:
			return at, named, nil
		case next == fragment:
			return 0, 0, ErrFragment
		case next == hopByHop && at != ipv6Header: // RFC 8200, Section 4.3: only right behind the IPv6 header
			return 0, 0, ErrHeader
		case next != hopByHop && next != routing && next != destinationOptions:
			// RFC 4302, Section 3.3.3.1.2.3: whether an unknown header changes on the way cannot be known.
			return 0, 0, ErrHeader
		}
		if len(pkt)-at < 8 {
			return 0, 0, ErrHeader
		}
		n := (int(pkt[at+1]) + 1) * 8
		if n > len(pkt)-at || at+n > maxHeader {
			return 0, 0, ErrHeader
		}
		named, at = at, at+n
	}
	return 0, 0, ErrHeader
}

// lastNext is where the field is that names AH in an IPv6 packet; the packet has been walked before.
func lastNext(pkt []byte) int {
	_, named, err := findIPv6(pkt)
	if err != nil {
		panic(err)
	}
	return named
}

// maskIPv4: RFC 4302, Section 3.3.3.1.1 and Appendix A1.
func maskIPv4(b []byte) error {
	b[1] = 0            // DSCP and ECN
	b[6], b[7] = 0, 0   // flags and fragment offset
	b[8] = 0            // TTL
	b[10], b[11] = 0, 0 // checksum
	const end, noOperation = 0, 1
	for o := b[ipv4Header:]; len(o) > 0 && o[0] != end; { // what is behind the end pads the header, and is covered as it is
		if o[0] == noOperation {
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return ErrHeader
		}
		n := int(o[1])
		if unfinishedRoute(o[:n]) {
			return ErrHeader
		}
		if !immutableOption(o[0]) {
			clear(o[:n]) // RFC 4302, Section 3.3.3.1.1.2: the option as a whole
		}
		o = o[n:]
	}
	return nil
}

// immutableOption: RFC 4302, Appendix A1. Whatever is not listed there is zeroed.
func immutableOption(kind byte) bool {
	const (
		security, extendedSecurity, commercialSecurity = 130, 133, 134
		routerAlert, multiDestination                  = 148, 149
	)
	switch kind {
	case security, extendedSecurity, commercialSecurity, routerAlert, multiDestination:
		return true
	}
	return false
}

// unfinishedRoute: while a source route is under way the destination address is not the last one, which is the one that is
// covered (RFC 4302, Section 3.3.3.1.1.1). We do not predict it: such packets are not sealed, and none arrives at its end.
func unfinishedRoute(option []byte) bool {
	const loose, strict = 131, 137
	if option[0] != loose && option[0] != strict {
		return false
	}
	return len(option) < 3 || int(option[2]) <= len(option) // RFC 791, Section 3.1: the pointer is beyond the end at the end
}

// maskIPv6: RFC 4302, Section 3.3.3.1.2 and Appendix A2. The chain in b was walked by findIPv6.
func maskIPv6(b []byte) error {
	next := b[6]
	b[0], b[1], b[2], b[3] = 6<<4, 0, 0, 0 // DSCP, ECN, flow label
	b[7] = 0                               // hop limit
	for at := ipv6Header; at < len(b); {
		n := (int(b[at+1]) + 1) * 8
		h := b[at : at+n]
		switch next {
		case routing:
			// The last address and segments left are predictable: what is covered is the packet at its end. We do not predict.
			if h[3] != 0 {
				return ErrHeader
			}
		default: // hop-by-hop and destination options
			if err := maskOptions(h[2:]); err != nil {
				return err
			}
		}
		next, at = h[0], at+n
	}
	return nil
}

// maskOptions zeroes the data of options that may change on the way: RFC 8200, Section 4.2: the third bit of the type.
// Deviation: RFC 4302, Section 3.3.3.1.2.2 means destination options behind AH as well; like the kernels we cover those as they
// are: no option that may change exists for destinations.
func maskOptions(o []byte) error {
	const pad1, mayChange = 0, 0x20
	for len(o) > 0 {
		if o[0] == pad1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || int(o[1])+2 > len(o) {
			return ErrHeader
		}
		n := int(o[1]) + 2
		if o[0]&mayChange != 0 {
			clear(o[2:n])
		}
		o = o[n:]
	}
	return nil
}
