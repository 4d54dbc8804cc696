// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Transport mode: RFC 4303, Section 3.1.1; RFC 3948, Sections 3.1.2 and 3.2. What is sent loses its IP header, what is received gets
// one anew, with the addresses that the datagram had outside; then the SA's selectors decide, as in tunnel mode. Sources of
// datagrams are anybody's to write, and only the one that the SA's peer has is taken. Whole datagrams only: who fragments is asked to
// make them smaller (RFC 4303, Section 3.3.4).

package dataplane

import (
	"encoding/binary"
	"net/netip"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	// hopLimit of a header that is made anew: RFC 1700's default.
	hopLimit = 64
	// chunkSize of the memory for packets that are made anew, and maxChunks of it: the largest batch fills nine.
	chunkSize = 1 << 20
	maxChunks = 16
)

// chunks is memory for the packets of one batch.
type chunks struct {
	list [][]byte
	at   int // in use
	off  int // of list[at]
}

func (c *chunks) begin() { c.at, c.off = 0, 0 }

// take returns n octets, at most chunkSize; nil: the batch has had enough. Its capacity is n.
func (c *chunks) take(n int) []byte {
	if c.at < len(c.list) && c.off+n > chunkSize {
		c.at, c.off = c.at+1, 0
	}
	if c.at == len(c.list) {
		if c.at == maxChunks {
			return nil
		}
		c.list = append(c.list, make([]byte, chunkSize))
	}
	b := c.list[c.at][c.off : c.off+n : c.off+n]
	c.off += n
	return b
}

// shrink gives back the last n octets taken.
func (c *chunks) shrink(n int) { c.off -= n }

// header writes the IP header of a packet from src to dst with n octets behind it, and returns its length.
func header(b []byte, src, dst netip.Addr, next, tos uint8, n int) int {
	if src.Is4() {
		h := b[:ipv4Header]
		clear(h)
		h[0], h[1], h[6], h[8], h[9] = 0x45, tos, 0x40, hopLimit, next
		binary.BigEndian.PutUint16(h[2:], uint16(ipv4Header+n))
		s, d := src.As4(), dst.As4()
		copy(h[12:], s[:])
		copy(h[16:], d[:])
		binary.BigEndian.PutUint16(h[10:], fold(sum(h, 0)))
		return ipv4Header
	}
	h := b[:ipv6Header]
	clear(h[:8])
	h[0], h[1], h[6], h[7] = 0x60|tos>>4, tos<<4, next, hopLimit
	binary.BigEndian.PutUint16(h[4:], uint16(n))
	s, d := src.As16(), dst.As16()
	copy(h[8:], s[:])
	copy(h[24:], d[:])
	return ipv6Header
}

// movable is the address that this host knows the peer of a pair by: one behind a NAT, which may give it another. The packets of such a
// peer have the address that it was found at, as those of a tunnel have, and its checksums are repaired for that. False: its
// address is where it is.
func movable(pair *sadb.Pair, ep *sadb.Endpoint) (netip.Addr, bool) {
	if pair == nil || !ep.UDP() {
		return netip.Addr{}, false
	}
	if _, orig := pair.Orig(); !orig.IsValid() {
		return netip.Addr{}, false
	}
	a, ok := pair.Host()
	return a, ok && a.Is4() == ep.Remote.Addr().Is4()
}

func headerLen(v6 bool) int {
	if v6 {
		return ipv6Header
	}
	return ipv4Header
}

// transportable says why a packet cannot go in transport mode on the endpoint; zero: it can. movable: the peer's address is that of its
// selectors, wherever it is.
func transportable(in *inner, ep *sadb.Endpoint, movable bool) Counter {
	f := &in.flow
	switch {
	case in.fragment:
		return OutFragment
	case in.outside:
		// Deviation: options and extension headers that RFC 4303 leaves in front of ESP cannot be given to a socket.
		return OutOptions
	case in.next == protoIPv4 || in.next == protoIPv6:
		return OutSelectors // the peer would take it for tunnel mode
	case f.V6 != ep.Remote.Addr().Is6() || !movable && f.Remote.Addr(f.V6) != ep.Remote.Addr():
		return OutSelectors
	}
	if l := ep.Local.Addr(); !l.IsUnspecified() && f.Local.Addr(f.V6) != l {
		return OutSelectors
	}
	return OutSealed
}
