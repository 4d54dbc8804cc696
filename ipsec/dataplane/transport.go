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
	// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443) that are looked at.
	echoReply, echoRequest     = 0, 8
	echoRequestV6, echoReplyV6 = 128, 129
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

func headerLen(v6 bool) int {
	if v6 {
		return ipv6Header
	}
	return ipv4Header
}

// transportable says why a packet cannot go in transport mode on the endpoint; zero: it can.
func transportable(in *inner, ep *sadb.Endpoint) Counter {
	f := &in.flow
	switch {
	case in.fragment:
		return OutFragment
	case in.outside:
		// Deviation: options and extension headers that RFC 4303 leaves in front of ESP cannot be given to a socket.
		return OutOptions
	case in.next == protoIPv4 || in.next == protoIPv6:
		return OutSelectors // the peer would take it for tunnel mode
	case f.V6 != ep.Remote.Addr().Is6() || f.Remote.Addr(f.V6) != ep.Remote.Addr():
		return OutSelectors
	}
	if l := ep.Local.Addr(); !l.IsUnspecified() && f.Local.Addr(f.V6) != l {
		return OutSelectors
	}
	return OutSealed
}

// sideOf finds by what a flow of the peer is told from those of others behind its NAT: its port, or the identifier of an echo
// (RFC 792). at is the offset of these two octets in the packet. False: an ICMP error, which quotes a packet that only its sender knows in
// this form.
func sideOf(p []byte, in *inner, out bool) (k slot, at int, ok bool) {
	f := &in.flow
	k = slot{remote: f.Remote, proto: f.Proto, v6: f.V6}
	switch f.Proto {
	case protoTCP, protoUDP:
		k.port, at = f.RemotePort, in.upper
		if out {
			at += 2
		}
		return k, at, true
	case protoICMP, protoICMPv6:
		kind := p[in.upper]
		request, reply := uint8(echoRequest), uint8(echoReply)
		if f.Proto == protoICMPv6 {
			request, reply = echoRequestV6, echoReplyV6
		}
		theirs := !out && kind == request || out && kind == reply
		if theirs && in.n >= in.upper+icmpHeader {
			at = in.upper + 4
			k.port = binary.BigEndian.Uint16(p[at:])
			return k, at, true
		}
		if isError(f.Proto, kind) {
			return k, 0, false
		}
	}
	k.portless = true
	return k, 0, true
}

// isError: RFC 1122, Section 3.2.2; RFC 4443, Section 2.1.
func isError(proto, kind uint8) bool {
	if proto == protoICMPv6 {
		return kind < 128
	}
	switch kind {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

// setSide writes port at the offset that sideOf found, and repairs the checksum.
func setSide(p []byte, in *inner, at int, port uint16) {
	field := p[at : at+2]
	old := binary.BigEndian.Uint16(field)
	if old == port {
		return
	}
	binary.BigEndian.PutUint16(field, port)
	sum, pseudo := sumAt(in.flow.Proto)
	if !pseudo { // ICMP
		sum = sumICMP
	}
	wordDelta(old, port).repair(p[in.upper:in.n], in.flow.Proto, sum)
}
