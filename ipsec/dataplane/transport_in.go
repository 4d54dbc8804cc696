// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Transport mode, inbound: see transport.go. The payload is the peer's; where it came from is anybody's to write until it is the address
// that the SA's peer has.

package dataplane

import (
	"net/netip"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

// fix is what the packets of one SA that arrived at one place need: computed once a message.
type fix struct {
	sa       *sadb.Receiver // nil: not computed
	ok       bool           // the source is that of the SA's peer
	src, dst netip.Addr
	delta    delta
	full     bool // an original address is not known: the checksum is made anew
	shared   bool // the peer may be one of many behind its address
	behind   bool // it is known to be behind a NAT
	// origSrc and origDst are the addresses that the peer has in its packets.
	origSrc, origDst netip.Addr
}

// fixFor finds what packets of r need now.
func (in *Inbound) fixFor(r *sadb.Receiver) *fix {
	f := &in.fix
	if f.sa == r {
		return f
	}
	ep := r.Source()
	*f = fix{sa: r, src: in.arrival.From.Addr().Unmap(), dst: in.arrival.To.Addr().Unmap()}
	if !f.dst.IsValid() || f.dst.IsUnspecified() {
		f.dst = ep.Local.Addr()
	}
	if host, ok := movable(r.Pair(), &ep); ok && !in.arrival.Raw {
		f.src = host
		f.ok = f.dst.BitLen() == host.BitLen()
	}
	peer := ep.Remote.Addr()
	f.ok = f.ok || f.src.IsValid() && f.src.BitLen() == f.dst.BitLen() && (f.src == peer || peer.IsUnspecified())
	f.shared = ep.UDP() // also of what comes without UDP (RFC 7296, Section 2.23); see Outbound.address
	if !f.ok || in.arrival.Raw && !f.shared {
		return f // without UDP there is no NAT in between
	}
	src, dst := r.Orig()
	f.origSrc, f.origDst, f.behind = src, dst, src.IsValid()
	// RFC 3948, Section 3.1.2: incrementally where an original address is known; what is not said has not changed.
	f.full = !src.IsValid() && !dst.IsValid()
	if src.IsValid() && src.BitLen() == f.src.BitLen() {
		f.delta = deltaOf(src, f.src)
	}
	if dst.IsValid() && dst.BitLen() == f.dst.BitLen() {
		f.delta = f.delta.plus(deltaOf(dst, f.dst))
	}
	return f
}

// transport makes the packet whose payload is b[at:end] and delivers it.
func (in *Inbound) transport(b []byte, at, end int, next uint8) {
	f := in.fixFor(in.chain.layers[0].SA)
	if !f.ok {
		in.n[InSelectors]++
		return
	}
	h := headerLen(f.src.Is6())
	if end-at > maxPacket-h {
		in.n[InMalformed]++
		return
	}
	room := in.chunks.take(Headroom + h + end - at)
	if room == nil {
		in.n[InNoRoom]++
		return
	}
	p := room[Headroom:]
	header(p, f.src, f.dst, next, in.tos, end-at)
	copy(p[h:], b[at:end])
	i := &in.in
	if parse(p, false, i) != good {
		in.n[InMalformed]++
		return
	}
	if i.fragment || i.outside || protected(i.flow.Proto) { // what is protected once more, behind options
		in.n[InNextHeader]++
		return
	}
	complaint := f.shared && (i.flow.Proto == protoICMP || i.flow.Proto == protoICMPv6) && isError(i.flow.Proto, p[i.upper])
	if !complaint && !in.allowed() {
		return
	}
	if !f.shared && !in.lone(p) {
		in.n[InNoPort]++
		return
	}
	if f.full {
		recompute(p, i)
	} else if at, ok := sumAt(i.flow.Proto); ok {
		f.delta.repair(p[i.upper:], i.flow.Proto, at)
	}
	if complaint && !in.hear(p) || !complaint && f.shared && !in.tell(p) {
		in.n[InNoPort]++
		return
	}
	in.clampMSS(p, h)
	in.deliver(room, Headroom)
}

// who is the peer of the packet in hand.
func (in *Inbound) who() who {
	w := who{pair: in.chain.pair}
	if w.pair == nil {
		w.rcv = in.chain.layers[0].SA
	}
	return w
}

// tell gives the flow of a client a port by which this host tells it from those of others behind the same NAT.
func (in *Inbound) tell(p []byte) bool {
	k, at, ok := sideOf(p, &in.in, false)
	if !ok {
		return false
	}
	w := in.who()
	if k.kind == sideOurs && w.pair != nil {
		// It answers what this host asked, and whom it asked has been noted. Of single SAs the first that answers is noted.
		_, ok = in.e.nats.seen(in.now, k, w)
		return ok
	}
	port, ok := in.e.nats.arrive(in.now, k, w)
	if ok && k.kind == sidePort {
		setSide(p, &in.in, at, port)
		if in.in.flow.Proto == protoTCP || in.in.flow.Proto == protoUDP {
			in.in.flow.RemotePort = port
		}
	}
	return ok
}
