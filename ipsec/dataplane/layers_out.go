// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Bundles, outbound: RFC 4301, Section 5.1, as the SPD orders them; RFC 4302, Section 3.3 (AH around a packet whose IP header is made here, since
// it is authenticated); RFC 3173, Section 2.2 (compression first, and no header where nothing is won). Each packet gets its
// layers in memory of its own and leaves as a datagram. Packets are this host's own or routed through it.

package dataplane

import (
	"encoding/binary"

	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/ipcomp"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// layersHead is what all layers may put in front of a payload, and ESP behind it: an IPv6 header, AH, ESP, IPComp.
	layersHead = ipv6Header + ah.MaxOverhead + natt.NonIKEMarkerLen + esp.MaxOverhead + ipcomp.HeaderLen
	layersSize = layersHead + maxPacket + esp.MaxOverhead
	// maxCompressors: a compressor takes more than a megabyte; with all of them busy packets go uncompressed.
	maxCompressors = 4
)

// layers is the memory in which a packet gets its layers.
type layers struct {
	buf, other []byte // made when first needed
	id         uint16
}

// compression is the CPI that a pair compresses under; zero: it does not.
func compression(pair *sadb.Pair) uint16 {
	if pair == nil {
		return 0
	}
	_, cpi := pair.CPI()
	return cpi
}

// layered reports whether it takes more than one ESP SA.
func layered(b *sadb.Bundle) bool {
	return b.N > 1 || b.SAs[0].Proto() != sadb.ProtoESP || compression(b.SAs[0].Pair()) != 0
}

// served reports whether the order of a bundle can be sealed: from inside to outside IPComp, ESP, AH, each once; only the
// innermost may be in tunnel mode, and AH has no UDP around it and knows its own address. IPComp alone is not served: what comes by it
// is nobody's, and it would be decompressed for anybody.
func served(b *sadb.Bundle) bool {
	last := 4
	for i, s := range b.SAs[:b.N] {
		r := rank(s.Proto())
		if r == 0 || r >= last || i > 0 && b.Modes[i] != sadb.Transport {
			return false
		}
		last = r
	}
	out := b.SAs[b.N-1]
	switch out.Proto() {
	case sadb.ProtoESP:
		return true
	case sadb.ProtoAH:
		ep := out.Endpoint()
		return !ep.UDP() && !ep.Local.Addr().IsUnspecified()
	}
	return false
}

// most is the largest inner packet, in tunnel mode, or payload, in transport mode, whose outer packet fits mtu octets.
func (e *Engine) most(b *sadb.Bundle, ep *sadb.Endpoint, mtu int) int {
	if b.N == 1 {
		return b.SAs[0].InnerAt(mtu)
	}
	room := mtu - around(ep)
	for i := b.N - 1; i >= 0; i-- {
		own := b.SAs[i].Endpoint() // an inner layer may be without UDP
		room = b.SAs[i].InnerAt(room + around(&own))
	}
	return room
}

// around is what IP, UDP and a marker take.
func around(ep *sadb.Endpoint) int {
	n := headerLen(ep.Remote.Addr().Is6())
	if ep.UDP() {
		n += udpHeader + ep.Encap.Overhead()
	}
	return n
}

// mostOf is most for a pair now.
func (e *Engine) mostOf(pair *sadb.Pair, now int64) int {
	b := sadb.Bundle{N: 1}
	b.SAs[0] = pair.Out()
	ep := pair.Endpoint()
	return e.most(&b, &ep, pair.PathMTU(now))
}

// sealLayers seals the packets of a group that has several layers.
func (o *Outbound) sealLayers(g *group) {
	l := &o.layers
	if l.buf == nil {
		l.buf, l.other = make([]byte, layersSize), make([]byte, layersSize)
	}
	for i := g.first; i != noItem; i = o.items[i].next {
		it := &o.items[i]
		if !it.split {
			o.wrap(g, it, copy(l.buf[layersHead:], it.p[it.body:]))
			continue
		}
		if !o.split.begin(it.p, &inner{n: len(it.p)}, g.most) {
			o.n[OutTooBigQuiet]++
			continue
		}
		o.n[OutFragmented]++
		for n := o.split.next(l.buf[layersHead:]); n > 0; n = o.split.next(l.buf[layersHead:]) {
			if !o.wrap(g, it, n) {
				break
			}
		}
	}
}

// wrap gives the n octets at layersHead their layers and sends the result; false: an SA is at its end, or the batch is full.
func (o *Outbound) wrap(g *group, it *item, n int) bool {
	if !o.space(n + layersHead) {
		return false
	}
	w := wrapping{l: &o.layers, at: layersHead, n: n, next: it.proto, tos: it.tos}
	if cpi := compression(g.pair); cpi != 0 {
		w.compress(func(dst, src []byte) (int, bool) { return o.e.codec.Compress(dst, src, cpi, w.next) })
	}
	for _, s := range g.sas.SAs[:g.sas.N] {
		s.BeginSeal(o.now)
		ok := w.add(o.e, s, &g.ep)
		s.EndSeal()
		if !ok {
			o.n[OutExhausted]++
			return false
		}
	}
	clear(o.arena[o.off : o.off+g.marker])
	at := o.off + g.marker
	copy(o.arena[at:], w.l.buf[w.at:w.at+w.n])
	o.emit(g, it, n, g.marker+w.n, w.next)
	return true
}

// wrapping is a packet that is getting its layers: l.buf[at:][:n], of protocol next.
type wrapping struct {
	l     *layers
	at, n int
	next  uint8
	tos   uint8
}

// compress puts f's result in the place of the payload, if there is one.
func (w *wrapping) compress(f func(dst, src []byte) (int, bool)) {
	l := w.l
	if n, ok := f(l.other[layersHead:], l.buf[w.at:w.at+w.n]); ok {
		l.buf, l.other = l.other, l.buf
		w.at, w.n, w.next = layersHead, n, protoIPComp
	}
}

// add puts the layer of one SA around; false: the SA is at its end.
func (w *wrapping) add(e *Engine, s *sadb.Sender, ep *sadb.Endpoint) bool {
	l := w.l
	switch s.Proto() {
	case sadb.ProtoIPComp:
		w.compress(func(dst, src []byte) (int, bool) { return s.Compress(e.codec, dst, src, w.next) })
		return true
	case sadb.ProtoESP:
		at := w.at - s.Head()
		n, err := s.Seal(l.buf[at:], w.n, w.next)
		w.at, w.n, w.next = at, n, protoESP
		return err == nil
	}
	v6 := ep.Remote.Addr().Is6()
	size := s.AHLen(v6)
	h := headerLen(v6)
	at := w.at - size - h
	pkt := l.buf[at : w.at+w.n]
	header(pkt, ep.Local.Addr(), ep.Remote.Addr(), protoAH, w.tos, len(pkt)-h)
	if !v6 {
		l.identify(pkt)
	}
	err := s.SealAH(pkt, h, w.next)
	w.at, w.n, w.next = at, len(pkt), protoAH
	return err == nil
}

// identify gives an IPv4 header an identification: AH covers it, and a system that is given zero puts in its own.
func (l *layers) identify(h []byte) {
	if l.id++; l.id == 0 {
		l.id = 1
	}
	binary.BigEndian.PutUint16(h[4:], l.id)
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], fold(sum(h[:ipv4Header], 0)))
}
