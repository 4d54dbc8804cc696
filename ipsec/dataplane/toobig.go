// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Packets that do not fit the path: ICMP for those that must not be fragmented (RFC 1191, RFC 4443; RFC 4301, Section 8.2), and
// fragments made before ESP for those that may (RFC 4301, Section 5.1: stateless, on the cleartext side). The UDP datagram
// around is never a fragment. The packets are those of the inner side, and untrusted.

package dataplane

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	// maxReplies of one batch: an answer for each of a few flows is enough, all of them come again.
	maxReplies = 32
	// quoteV4 and quoteV6 bound the whole message: RFC 1812, Section 4.3.2.3; RFC 4443, Section 2.4 (c).
	quoteV4 = 576
	quoteV6 = 1280

	icmpHeader = 8
	// minV6: every IPv6 link carries it, and no ICMP may say less (RFC 8200, Section 5).
	minV6 = 1280
)

// large decides about a packet that is larger than most; false: it was dropped.
func (o *Outbound) large(g *group, p []byte, it *item, most int) bool {
	in := &o.in
	if in.flow.V6 && in.n <= minV6 && in.n <= maxRunOctets-esp.MaxOverhead {
		it.fragment = true
		return true
	}
	// RFC 4303, Section 3.3.4: transport mode has whole datagrams, and fragments are made behind it: they are avoided.
	if !in.flow.V6 && g.tunnel && (!in.df || !g.sas.SAs[0].CopyDF) {
		it.split = true
		return true
	}
	if len(o.sent.Replies) == maxReplies || !mayAnswer(p, in) {
		o.n[OutTooBigQuiet]++
		return false
	}
	o.n[OutTooBig]++
	buf := o.replies[len(o.sent.Replies)][:]
	o.sent.Replies = append(o.sent.Replies, tooBig(buf, p, in, most))
	return false
}

// mayAnswer: RFC 1122, Section 3.2.2; RFC 4443, Section 2.4 (e): never about an ICMP error, a fragment but the first, or a
// packet whose source is no single host.
func mayAnswer(p []byte, in *inner) bool {
	if in.fragment && !in.first {
		return false
	}
	if in.flow.V6 {
		return p[8] != 0xff && in.flow.Local != sadb.IP{} && !(in.flow.Proto == protoICMPv6 && p[in.upper] < 128)
	}
	src, dst := p[12], p[16]
	if src == 0 || src >= 224 || dst >= 224 {
		return false
	}
	if in.flow.Proto != protoICMP {
		return true
	}
	switch p[in.upper] {
	case 0, 8, 13, 14: // queries
		return true
	}
	return false
}

// tooBig writes behind Headroom octets of buf the message that p, which is larger than mtu, is too big. It comes from
// the address that p was going to: this host's own inner address is the caller's secret.
func tooBig(buf, p []byte, in *inner, mtu int) []byte {
	m := buf[Headroom:]
	if in.flow.V6 {
		return buf[:Headroom+tooBigV6(m, p[:in.n], max(mtu, minV6))]
	}
	return buf[:Headroom+tooBigV4(m, p[:in.n], mtu)]
}

func tooBigV4(m, p []byte, mtu int) int {
	quoted := copy(m[ipv4Header+icmpHeader:quoteV4], p)
	n := ipv4Header + icmpHeader + quoted
	h := m[:ipv4Header]
	clear(m[:ipv4Header+icmpHeader])
	h[0], h[8], h[9] = 0x45, 64, protoICMP
	binary.BigEndian.PutUint16(h[2:], uint16(n))
	copy(h[12:16], p[16:20])
	copy(h[16:20], p[12:16])
	binary.BigEndian.PutUint16(h[10:], fold(sum(h, 0)))
	icmp := m[ipv4Header:n]
	icmp[0], icmp[1] = 3, 4 // destination unreachable, fragmentation needed and DF set
	binary.BigEndian.PutUint16(icmp[6:], uint16(mtu))
	binary.BigEndian.PutUint16(icmp[2:], fold(sum(icmp, 0)))
	return n
}

func tooBigV6(m, p []byte, mtu int) int {
	quoted := copy(m[ipv6Header+icmpHeader:quoteV6], p)
	n := ipv6Header + icmpHeader + quoted
	clear(m[:ipv6Header+icmpHeader])
	m[0], m[6], m[7] = 0x60, protoICMPv6, 64
	binary.BigEndian.PutUint16(m[4:], uint16(n-ipv6Header))
	copy(m[8:24], p[24:40])
	copy(m[24:40], p[8:24])
	icmp := m[ipv6Header:n]
	icmp[0] = 2 // packet too big
	binary.BigEndian.PutUint32(icmp[4:], uint32(mtu))
	s := sum(m[8:40], uint32(n-ipv6Header)+protoICMPv6)
	binary.BigEndian.PutUint16(icmp[2:], fold(sum(icmp, s)))
	return n
}

// splitter cuts an IPv4 packet into fragments: RFC 791, Section 3.2.
type splitter struct {
	p       []byte // the packet, in.n octets
	header  int
	at      int // octets of payload handed out
	most    int
	options [40]byte // those that every fragment has
	optLen  int
	ids     *atomic.Uint32 // identifications given to packets that have none
	id      uint16         // this one's; 0: its own
}

// begin prepares for fragments of at most most octets; false: not even eight octets would fit one.
func (s *splitter) begin(p []byte, in *inner, most int) bool {
	s.p, s.header, s.at, s.most = p[:in.n], int(p[0]&15)*4, 0, most
	s.optLen = copied(s.options[:], p[ipv4Header:s.header])
	s.id = 0
	if p[6]&0x40 != 0 && p[4]|p[5] == 0 && s.ids != nil {
		// RFC 6864, Section 4.1: with DF the field may be the same in every packet; fragments of two would be joined.
		s.id = uint16(s.ids.Add(1)%0xffff) + 1
	}
	return most >= s.header+8
}

// copied collects the options that are copied into every fragment, padded to words.
func copied(dst, opts []byte) int {
	n := 0
	for len(opts) > 0 && opts[0] != 0 {
		size := 1
		if opts[0] != 1 {
			if len(opts) < 2 || int(opts[1]) < 2 || int(opts[1]) > len(opts) {
				break
			}
			size = int(opts[1])
		}
		if opts[0]&0x80 != 0 {
			n += copy(dst[n:], opts[:size])
		}
		opts = opts[size:]
	}
	for n%4 != 0 {
		dst[n] = 0
		n++
	}
	return n
}

// next writes the next fragment into dst and returns its size; 0: there is none.
func (s *splitter) next(dst []byte) int {
	left := len(s.p) - s.header - s.at
	if left <= 0 {
		return 0
	}
	header := s.header
	copy(dst, s.p[:ipv4Header])
	if s.at == 0 {
		copy(dst[ipv4Header:], s.p[ipv4Header:s.header])
	} else {
		header = ipv4Header + copy(dst[ipv4Header:], s.options[:s.optLen])
	}
	n := left
	field := binary.BigEndian.Uint16(s.p[6:])
	more := field & 0x2000
	if header+left > s.most {
		n, more = (s.most-header)&^7, 0x2000
	}
	copy(dst[header:], s.p[s.header+s.at:][:n])
	if s.id != 0 {
		binary.BigEndian.PutUint16(dst[4:], s.id)
	}
	dst[0] = 0x40 | uint8(header/4)
	binary.BigEndian.PutUint16(dst[2:], uint16(header+n))
	// DF, where it was set and not to be honoured, is cleared: a fragment with it makes no sense further on.
	binary.BigEndian.PutUint16(dst[6:], field&0x1fff+uint16(s.at/8)|more)
	dst[10], dst[11] = 0, 0
	binary.BigEndian.PutUint16(dst[10:], fold(sum(dst[:header], 0)))
	s.at += n
	return header + n
}
