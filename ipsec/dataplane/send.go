// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Sealing what was sorted: RFC 4303, Section 3.3. Packets of one SA are sealed in their order, one behind the other, so that those of
// one size leave as one send (UDP_SEGMENT). They are this host's own, or routed through it.

package dataplane

// seal seals the packets of one group, with its outbound half taken once.
func (o *Outbound) seal(g *group) {
	g.firstGram = len(o.sent.Datagrams)
	if g.layered {
		o.sealLayers(g)
		return
	}
	g.out.BeginSeal(o.now)
	for i := g.first; i != noItem; i = o.items[i].next {
		it := &o.items[i]
		if it.split {
			o.sealFragments(g, it)
		} else {
			o.sealOne(g, it)
		}
	}
	g.out.EndSeal()
}

func (o *Outbound) sealFragments(g *group, it *item) {
	if !o.split.begin(it.p, &inner{n: len(it.p)}, g.most) {
		o.n[OutTooBigQuiet]++
		return
	}
	o.n[OutFragmented]++
	head := g.marker + g.out.Head()
	for o.room(g, g.most) {
		n := o.split.next(o.arena[o.off+head:])
		if n == 0 {
			return
		}
		if !o.sealed(g, it, n) {
			return
		}
	}
}

func (o *Outbound) sealOne(g *group, it *item) {
	body := it.p[it.body:]
	if !o.room(g, len(body)) {
		return
	}
	copy(o.arena[o.off+g.marker+g.out.Head():], body)
	o.sealed(g, it, len(body))
}

// room makes sure that one more datagram fits the batch.
func (o *Outbound) room(g *group, n int) bool { return o.space(g.marker + g.out.Size(n)) }

// space makes sure that one more datagram of size octets fits the batch.
func (o *Outbound) space(size int) bool {
	if len(o.sent.Datagrams) < maxDatagrams {
		if o.off+size <= len(o.arena) {
			return true
		}
		if len(o.arena) < arenaSize { // once; what was sealed stays where it is
			o.arena, o.off = make([]byte, arenaSize), 0
			return true
		}
	}
	o.n[OutNoRoom]++
	return false
}

// sealed seals the n octets that lie in place and puts the result behind the run in hand, or begins another.
func (o *Outbound) sealed(g *group, it *item, n int) bool {
	size, err := g.out.Seal(o.arena[o.off+g.marker:], n, it.proto)
	if err != nil {
		o.n[OutExhausted]++
		return false
	}
	if g.marker > 0 {
		clear(o.arena[o.off : o.off+g.marker])
		size += g.marker
	}
	o.emit(g, it, n, size, protoESP)
	return true
}

// emit puts the datagram of size octets that lies at o.off behind the run in hand, or begins another.
func (o *Outbound) emit(g *group, it *item, n, size int, proto uint8) {
	o.n[OutSealed]++
	o.n[OutSealedOctets] += uint64(n)
	o.n[OutDatagrams]++
	if k := len(o.sent.Datagrams); k > g.firstGram && o.extend(&o.sent.Datagrams[k-1], it, size) {
		o.off += size
		return
	}
	o.runAt = o.off
	o.sent.Datagrams = append(o.sent.Datagrams, Datagram{
		Buf: o.arena[o.off : o.off+size], N: size, SegSize: size, Remote: g.ep.Remote, Local: g.ep.Local,
		TOS: it.tos, Encap: g.ep.Encap, Proto: proto, Fragment: it.fragment,
	})
	o.off += size
}

// extend puts the datagram behind d into d's run if it may: sizes are equal but for the last, which is shorter.
func (o *Outbound) extend(d *Datagram, it *item, size int) bool {
	if o.runAt+d.N != o.off || d.Raw() || d.Fragment || it.fragment || d.TOS != it.tos || size > d.SegSize || d.N%d.SegSize != 0 ||
		d.N+size > maxRunOctets || d.N/d.SegSize == maxRun {
		return false
	}
	d.N += size
	d.Buf = o.arena[o.runAt : o.runAt+d.N]
	return true
}
