// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Bundles, outbound: RFC 4301, Section 5.1, as the SPD orders them, each layer around what the one before it has made: in transport mode behind
// the IP header that is there, in tunnel mode behind another one; RFC 4302, Section 3.3 (AH covers a header, which is made here for it);
// RFC 3173, Section 2.2 (no IPComp header where nothing is won). Each packet gets its layers in memory of its own and leaves as a
// datagram. Packets are this host's own or routed through it. No packet meets a policy twice here, so that no tunnel can be routed
// into itself for ever; datagrams that come back to their own policy are dropped (parse.go, loops).

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
	// layerHead is what one layer may put in front of a payload: an IPv6 header, and the largest of the three.
	layerHead = ipv6Header + max(ah.MaxOverhead, esp.MaxOverhead, ipcomp.HeaderLen)
	// layersHead is what all of a bundle may, and ESP behind it; layersSize holds the largest packet with them.
	layersHead = sadb.MaxTemplates*layerHead + natt.NonIKEMarkerLen
	layersSize = layersHead + maxPacket + sadb.MaxTemplates*esp.MaxOverhead
	// maxCompressors: a compressor takes more than a megabyte; with all of them busy packets go uncompressed.
	maxCompressors = 4
)

// layers is the memory in which a packet gets its layers.
type layers struct {
	buf, other []byte // made when first needed
	id         uint16
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
	w := wrapping{l: &o.layers, at: layersHead, n: n, next: it.proto, tos: it.inner}
	if !g.flat {
		w.own = it.p[:it.body]
	}
	if cpi := compression(g.pair); cpi != 0 {
		w.compress(func(dst, src []byte) (int, bool) { return o.e.codec.Compress(dst, src, cpi, w.next) })
	}
	for i, s := range g.sas.SAs[:g.sas.N] {
		w.under(s, g.sas.Modes[i] == sadb.Tunnel, i == 0)
		s.BeginSeal(o.now)
		ok := w.add(o.e, s)
		s.EndSeal()
		if !ok {
			o.n[OutExhausted]++
			return false
		}
	}
	if !protected(w.next) && g.flat { // RFC 3173, Section 2.2: it goes as it is
		o.n[OutBypassed]++
		o.sent.Bypass = append(o.sent.Bypass, it.p)
		return true
	}
	o.leave(g, it, n, &w)
	return true
}

// leave sends a packet that has all its layers.
func (o *Outbound) leave(g *group, it *item, n int, w *wrapping) {
	// AH has covered the header, which leaves as it is then; in IPv6 the system makes the same one.
	whole := w.next == protoAH || w.covered && !w.ep.Remote.Addr().Is6()
	if whole {
		w.header(w.next)
	}
	clear(o.arena[o.off : o.off+g.marker])
	copy(o.arena[o.off+g.marker:], w.l.buf[w.at:w.at+w.n])
	it.tos = w.tos
	o.emit(g, it, n, g.marker+w.n, w.next)
	if whole {
		o.sent.Datagrams[len(o.sent.Datagrams)-1].Whole = true
	}
}

// wrapping is a packet that is getting its layers: l.buf[at:][:n], of protocol next, behind an IP header that is not there yet.
type wrapping struct {
	l     *layers
	at, n int
	next  uint8
	tos   uint8
	// own is the packet's own header; nil: none, the header is one from and to ep.
	own []byte
	ep  sadb.Endpoint
	// covered: AH has covered the header; ident is its identification then (IPv4).
	covered bool
	ident   uint16
}

// under begins the layer of an SA: in tunnel mode what there is so far becomes a packet, and another header is around it.
func (w *wrapping) under(s *sadb.Sender, tunnel, first bool) {
	switch {
	case !tunnel && !first:
		return
	case !tunnel:
		w.ep = s.Endpoint()
		return
	case !first:
		v6 := w.ep.Remote.Addr().Is6()
		w.header(w.next)
		if w.next = protoIPv4; v6 {
			w.next = protoIPv6
		}
	}
	w.own, w.covered, w.ident, w.ep = nil, false, 0, s.Endpoint()
	w.tos = outerTOS(w.tos, s)
}

// header puts the IP header in front of what is of protocol next.
func (w *wrapping) header(next uint8) {
	v6 := w.ep.Remote.Addr().Is6()
	h := headerLen(v6)
	w.at, w.n = w.at-h, w.n+h
	p := w.l.buf[w.at : w.at+w.n]
	switch {
	case len(w.own) == h:
		copy(p, w.own)
		retell(p, h, next)
	default:
		header(p, w.ep.Local.Addr(), w.ep.Remote.Addr(), next, w.tos, w.n-h)
		if !v6 && w.ident != 0 {
			identify(p, w.ident)
		}
	}
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
func (w *wrapping) add(e *Engine, s *sadb.Sender) bool {
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
	if w.ident == 0 {
		w.ident = l.draw()
	}
	next := w.next
	size := s.AHLen(w.ep.Remote.Addr().Is6())
	w.at, w.n, w.next, w.covered = w.at-size, w.n+size, protoAH, true
	w.header(protoAH)
	h := headerLen(w.ep.Remote.Addr().Is6())
	err := s.SealAH(l.buf[w.at:w.at+w.n], h, next)
	w.at, w.n = w.at+h, w.n-h
	return err == nil
}

// draw is the next identification: AH covers it, and a system that is given zero puts in its own.
func (l *layers) draw() uint16 {
	if l.id++; l.id == 0 {
		l.id = 1
	}
	return l.id
}

// identify gives an IPv4 header an identification.
func identify(h []byte, id uint16) {
	binary.BigEndian.PutUint16(h[4:], id)
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], fold(sum(h[:ipv4Header], 0)))
}
