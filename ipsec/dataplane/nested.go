// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What comes out of a tunnel: RFC 4301, Section 5.2, step 4; RFC 4303, Section 2.6. An IP packet whose next layer is one that an SA of this host
// opens, from the address of that SA's peer to this host's, is opened further; every other one is delivered, if its policy has
// the layers that it came by. The packets are the peer's: its header is believed as far as it finds SAs, and then the policy.

package dataplane

import (
	"encoding/binary"
	"net/netip"

	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/ipcomp"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

// maxLevelHead is the largest IP header that is kept: IPv4 with all the options it can have.
const maxLevelHead = 60

// level is the IP header that the layers in hand lie under.
type level struct {
	// known: the rest is this packet's. The outermost header is looked at only if somebody asks.
	known bool
	// nested: it came out of a tunnel.
	nested   bool
	src, dst netip.Addr
	n        int // octets of head; 0: none is in hand
	head     [maxLevelHead]byte
}

// is begins a level with a header that is at hand.
func (l *level) is(src, dst netip.Addr, head []byte) {
	l.known, l.src, l.dst, l.n = true, src, dst, 0
	if len(head) <= maxLevelHead {
		l.n = copy(l.head[:], head)
	}
}

// begin begins a packet from outside.
func (in *Inbound) begin() {
	in.chain.begin()
	in.level.known = false
	if in.level.nested {
		in.level.nested = false
		in.take(nil) // its SPI may be one of another destination's
	}
}

// ends are the addresses of the IP header that the layer in hand lies under.
func (in *Inbound) ends() (src, dst netip.Addr) {
	l := &in.level
	if !l.known {
		l.known, l.n = true, 0
		l.src, l.dst = in.arrival.From.Addr().Unmap(), in.arrival.To.Addr().Unmap()
	}
	return l.src, l.dst
}

// arrived is where the layer in hand came from. One inside of others says nothing of where the peer is outside.
func (in *Inbound) arrived() *sadb.Arrival {
	if in.chain.n == 0 {
		return &in.arrival
	}
	return &in.within
}

// inside takes the IP packet b[at:end] out of the last layer. Either its own next layer is to be opened, which it returns, or it is
// delivered or dropped, and not ok is returned.
func (in *Inbound) inside(b []byte, at, end int, v6 bool) (from, to int, next uint8, ok bool) {
	c, i := &in.chain, &in.in
	if c.pair != nil && c.pair.Mode() == sadb.Transport {
		in.n[InNextHeader]++
		return 0, 0, 0, false
	}
	switch parse(b[at:end], false, i) {
	case malformed:
		in.n[InMalformed]++
		return 0, 0, 0, false
	case truncated:
		in.n[InTruncated]++
		return 0, 0, 0, false
	}
	if i.flow.V6 != v6 {
		in.n[InMalformed]++
		return 0, 0, 0, false
	}
	if c.pair == nil {
		if c.layers[c.n-1].Tunnel { // another IP header right inside
			if c.n == maxLayers {
				in.n[InDepth]++
				return 0, 0, 0, false
			}
			in.bare()
		}
		c.layers[c.n-1].Tunnel = true
		if in.opens(b[at : at+i.n]) {
			return in.deeper(b, at)
		}
	}
	in.tunnel(b, at, end)
	return 0, 0, 0, false
}

// opens reports whether the next layer of an IP packet is one that an SA of this host opens; it is taken then. What has extension headers
// or options that would have to be kept in front is not: see transport.go.
func (in *Inbound) opens(p []byte) bool {
	i := &in.in
	if i.fragment || i.outside {
		return false
	}
	var spi uint32
	switch body := p[i.body:]; {
	case i.next == protoIPv4 || i.next == protoIPv6:
		return in.e.db.Compresses(i.flow.Remote.Addr(i.flow.V6), i.flow.Local.Addr(i.flow.V6))
	case i.next == protoESP && len(body) >= 4:
		spi = binary.BigEndian.Uint32(body)
	case i.next == protoAH:
		var ok bool
		if spi, _, ok = ah.SPI(p); !ok {
			return false
		}
	case i.next == protoIPComp:
		cpi, ok := ipcomp.CPI(body)
		if !ok {
			return false
		}
		spi = uint32(cpi)
	default:
		return false
	}
	r := in.e.db.Within(i.next, spi, i.flow.Remote.Addr(i.flow.V6), i.flow.Local.Addr(i.flow.V6))
	return r != nil
}

// deeper begins the level of the packet that parse has seen at b[at:].
func (in *Inbound) deeper(b []byte, at int) (from, to int, next uint8, ok bool) {
	c, i := &in.chain, &in.in
	tos, ok := innerTOS(i.tos, in.tos, c.last())
	if !ok {
		in.n[InECN]++
		return 0, 0, 0, false
	}
	if in.judge(&i.flow) == sadb.Accepted {
		c.starts |= 1 << c.n
	}
	in.tos = tos
	in.level.nested = true
	in.level.is(i.flow.Remote.Addr(i.flow.V6), i.flow.Local.Addr(i.flow.V6), b[at:at+i.body])
	setTOS(in.level.head[:in.level.n], tos)
	return at + i.body, at + i.n, i.next, true
}

// settle puts the IP header of the level in front of b[at:end], which is of protocol next, and returns where it begins: in place where there
// is room, otherwise in memory of the batch; nil: there is none left.
func (in *Inbound) settle(b []byte, at, end int, next uint8) (p []byte, start int) {
	l := &in.level
	src, dst := in.ends()
	h := l.n
	if h == 0 {
		h = headerLen(dst.Is6())
	}
	if end-at > maxPacket-h || src.BitLen() != dst.BitLen() {
		return nil, 0
	}
	if start = at - h; start >= Headroom {
		p = b[:end:end]
	} else {
		start = Headroom
		if p = in.chunks.take(start + h + end - at); p == nil {
			return nil, 0
		}
		copy(p[start+h:], b[at:end])
	}
	q := p[start:]
	if l.n == 0 {
		header(q, src, dst, next, in.tos, end-at)
		if !dst.Is6() {
			binary.BigEndian.PutUint16(q[4:], in.ident)
		}
		return p, start
	}
	copy(q, l.head[:l.n])
	retell(q, h, next)
	return p, start
}

// retell has the header of h octets of a packet say what is behind it now.
func retell(p []byte, h int, next uint8) {
	if p[0]>>4 == 6 {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-h))
		p[6] = next
		return
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[9] = next
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], fold(sum(p[:h], 0)))
}

// nestedPayload delivers b[at:end], which SAs in transport mode have opened in a packet that came out of a tunnel, with the header that
// packet had.
func (in *Inbound) nestedPayload(b []byte, at, end int, proto uint8) {
	p, start := in.settle(b, at, end, proto)
	if p == nil {
		in.n[InNoRoom]++
		return
	}
	i := &in.in
	if parse(p[start:], false, i) != good {
		in.n[InMalformed]++
		return
	}
	if i.fragment || i.outside || protected(i.flow.Proto) { // the last: behind options
		in.n[InNextHeader]++
		return
	}
	if in.allowed() {
		in.deliver(p, start)
	}
}
