// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// ICMP errors from and to clients behind NATs (RFC 5508, Sections 4.2 and 5; RFC 4301, Section 6): the packet that one quotes has the
// addresses and the port that its reader had in it. What a client quotes is the client's to write; it counts only where it is
// a packet that this host could have sent to that very client: within the selectors of the SA that it came by, and of a flow of that client's.
// It never has this host believe anything of the address that the client shares with others: no redirect, and no MTU.

package dataplane

import (
	"encoding/binary"
	"net/netip"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

// quotedLeast is what is quoted of an upper layer at least: RFC 792.
const quotedLeast = 8

// quote is the packet that an ICMP error carries.
type quote struct {
	at    int // where it begins in the packet
	upper int // where its upper layer does
	side  int // where the octets of the slot are; 0: nowhere
	slot  slot
	flow  sadb.Flow // as this host sees it, but for addresses
	// local and remote are the addresses that it has.
	local, remote sadb.IP
}

// read reads what the error p quotes: a packet that the peer sent (theirs), or that this host did. False: not enough to tell whose
// it was, or none that transport mode carries.
func (q *quote) read(p []byte, in *inner, theirs bool) bool {
	*q = quote{at: in.upper + icmpHeader}
	if in.n < q.at+1 {
		return false
	}
	b := p[q.at:in.n]
	h, v6 := ipv4Header, in.flow.V6
	if v6 {
		h = ipv6Header
	} else {
		h = int(b[0]&15) * 4
	}
	if len(b) < h+quotedLeast || h < headerLen(v6) || b[0]>>4 == 6 != v6 || b[0]>>4 == 4 == v6 {
		return false
	}
	var src, dst sadb.IP
	f := &q.flow
	f.V6 = v6
	if v6 {
		f.Proto = b[6]
		src = sadb.IP{Hi: binary.BigEndian.Uint64(b[8:]), Lo: binary.BigEndian.Uint64(b[16:])}
		dst = sadb.IP{Hi: binary.BigEndian.Uint64(b[24:]), Lo: binary.BigEndian.Uint64(b[32:])}
		if n, v := extension(b[h:], f.Proto, true); n != 0 || v != good {
			return false
		}
	} else {
		f.Proto = b[9]
		src, dst = sadb.IP{Lo: uint64(binary.BigEndian.Uint32(b[12:]))}, sadb.IP{Lo: uint64(binary.BigEndian.Uint32(b[16:]))}
		if binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return false
		}
	}
	q.upper, q.local, q.remote = q.at+h, src, dst
	if theirs {
		q.local, q.remote = dst, src
	}
	q.ports(b[h:], theirs)
	f.Local, f.Remote = q.local, q.remote
	q.slot = slot{remote: q.remote, proto: f.Proto, v6: v6}
	var ok bool
	q.slot.port, q.side, q.slot.kind, ok = sideAt(b[h:], f.Proto, !theirs)
	if q.side >= 0 {
		q.side += q.upper
	} else {
		q.side = 0
	}
	return ok
}

// ports reads what the flow has of them.
func (q *quote) ports(up []byte, theirs bool) {
	f := &q.flow
	src, dst := binary.BigEndian.Uint16(up), binary.BigEndian.Uint16(up[2:])
	switch f.Proto {
	case protoICMP, protoICMPv6:
		dst = src // RFC 4301, Section 4.4.1.1
	case protoTCP, protoUDP, protoUDPLite, protoDCCP, protoSCTP:
	default:
		return
	}
	f.Ports, f.LocalPort, f.RemotePort = sadb.HavePorts, src, dst
	if theirs {
		f.LocalPort, f.RemotePort = dst, src
	}
}

// rewrite puts other addresses and another port into the quoted packet, and repairs the checksums: those of the quoted packet, as far as
// they are quoted, and that of the error p.
func (q *quote) rewrite(p []byte, in *inner, src, dst netip.Addr, port uint16) {
	b := p[q.at:in.n]
	whole := uint32(^fold(sum(b, 0)))
	at, n := 12, 4
	if in.flow.V6 {
		at, n = 8, 16
	}
	addresses := b[at : at+2*n]
	before := ^fold(sum(addresses, 0))
	putAddr(addresses, src)
	putAddr(addresses[n:], dst)
	d := wordDelta(before, ^fold(sum(addresses, 0)))
	if !in.flow.V6 {
		d.repair(b, 0, 10)
	}
	check, pseudo := sumAt(q.flow.Proto)
	if !pseudo {
		check, d = sumICMP, 0
	}
	if q.side > 0 {
		field := p[q.side : q.side+2]
		d = d.plus(wordDelta(binary.BigEndian.Uint16(field), port))
		binary.BigEndian.PutUint16(field, port)
	}
	if pseudo || q.flow.Proto == protoICMP {
		d.repair(p[q.upper:in.n], q.flow.Proto, check)
	}
	// The quoted packet begins at an even octet of the error.
	wordDelta(uint16(whole), ^fold(sum(b, 0))).repair(p[in.upper:in.n], protoICMP, sumICMP)
}

// putAddr writes an address of the family that b has.
func putAddr(b []byte, a netip.Addr) {
	if a.Is4() {
		x := a.As4()
		copy(b, x[:])
		return
	}
	x := a.As16()
	copy(b, x[:])
}

// tells reports whether an error of this host's goes to a client. Redirects are of a link, and source quenches obsolete (RFC 6633).
func tells(proto, kind uint8) bool {
	if proto == protoICMPv6 {
		return kind >= unreachableV6 && kind <= parameterProblemV6
	}
	return kind == unreachable || kind == timeExceeded || kind == parameterProblem
}

// narrows reports whether an error is about the MTU of a path.
func narrows(proto uint8, p []byte) bool {
	if proto == protoICMPv6 {
		return p[0] == tooBigTypeV6
	}
	return p[0] == unreachable && p[1] == needFragment
}

// hear has the error p of a client be one that this host understands; false: it is about nothing of the client's.
func (in *Inbound) hear(p []byte) bool {
	i, f, q := &in.in, &in.fix, &in.quote
	proto := i.flow.Proto
	if !tells(proto, p[i.upper]) || !q.read(p, i, false) || !f.quotes(q) {
		return false
	}
	q.flow.Local, q.flow.Remote, q.slot.remote = i.flow.Local, i.flow.Remote, i.flow.Remote
	if ok, _ := in.covers(&q.flow); !ok {
		return false
	}
	port, ok := in.e.nats.seen(in.now, q.slot, in.who())
	// A path is kept by address: of one that is shared, or may be, a client says nothing. See also movable.
	if !ok || narrows(proto, p[i.upper:]) && (f.behind || !in.e.nats.alone(q.slot)) {
		return false
	}
	q.rewrite(p, i, f.dst, f.src, port)
	return true
}

// quotes reports whether a quoted packet has the addresses that this host's packets have, here or at the peer: who translates what it
// sends quotes the first. Where an address was changed and nobody has said from what, any will do.
func (f *fix) quotes(q *quote) bool {
	is := func(a sadb.IP, here, there netip.Addr) bool {
		v6 := q.flow.V6
		return f.full || a.Addr(v6) == here || a.Addr(v6) == there
	}
	return is(q.local, f.dst, f.origDst) && is(q.remote, f.src, f.origSrc)
}

// about finds the client whose packet the error p of this host's is about, into o.to, and has it take the way of that packet's answers
// (RFC 4301, Section 6.2); false: the client is gone.
func (o *Outbound) about(p []byte) bool {
	in, q := &o.in, &o.quote
	if !tells(in.flow.Proto, p[in.upper]) || !q.read(p, in, true) || q.remote != in.flow.Remote {
		return true // address refuses it where there may be others
	}
	to, gone := o.e.nats.leave(o.now, q.slot)
	if !to.known {
		return !gone
	}
	to.error = true
	o.to, o.told = to, in.flow
	if q.flow.Proto == protoTCP || q.flow.Proto == protoUDP {
		q.flow.RemotePort = to.own
	}
	in.flow = q.flow
	return true
}

// retell has the quoted packet be as the client sent it.
func (o *Outbound) retell(p []byte) {
	q := &o.quote
	local, remote := netip.Addr{}, netip.Addr{}
	if o.to.pair != nil {
		local, remote = o.to.pair.Orig()
	} else {
		remote, local = o.to.rcv.Orig()
	}
	v6 := q.flow.V6
	if !remote.IsValid() || remote.Is6() != v6 {
		remote = q.remote.Addr(v6)
	}
	if !local.IsValid() || local.Is6() != v6 {
		local = q.local.Addr(v6)
	}
	q.rewrite(p, &o.in, remote, local, o.to.own)
}
