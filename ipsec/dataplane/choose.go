// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Which SAs a packet gets: those of its policy (RFC 4301, Section 5.1), or those of the client behind a NAT to whose port it is sent
// (clients.go). What a packet says of itself is the inner side's.

package dataplane

import "github.com/natterjack/natterjack/ipsec/sadb"

// choose finds the group of a packet's SAs; nil: there are none, and what becomes of the packet is done.
func (o *Outbound) choose(p []byte, c *cached) *group {
	pair := o.to.pair
	if pair == nil && !o.to.known { // a client of single SAs has no pair: that is another's at its address
		pair = c.match.Sending()
	}
	if pair == nil {
		if pair = o.resolve(p, c); pair == nil {
			if o.bundle.N == 0 {
				return nil
			}
			return o.group()
		}
	}
	if c.pair != pair && !c.match.Inside(pair) {
		switch ok, hidden := pair.Contains(&o.in.flow); {
		case hidden:
			o.n[OutFragmentPorts]++
			return nil
		case !ok:
			o.n[OutSelectors]++
			return nil
		}
		c.pair = pair
	}
	if n := o.nGroup; n > 0 && o.groups[n-1].pair == pair { // mostly the last one
		return &o.groups[n-1]
	}
	at := pair.SPIIn() % groupSlots
	for o.found[at] != 0 {
		if g := &o.groups[o.found[at]-1]; g.pair == pair {
			return g
		}
		at = (at + 1) % groupSlots
	}
	// Where the group will have it: among many SAs nearly every packet begins one.
	b := &o.groups[o.nGroup].sas
	b.N, b.SAs[0], b.Modes[0] = 1, pair.Out(), pair.Mode()
	g := o.begun()
	if g != nil {
		o.found[at] = uint8(o.nGroup)
	}
	return g
}

// maxLooks is how often a packet's SAs are looked for where they come in the very moment in which it is to be held, or are changed
// in place by their owner.
const maxLooks = 4

// resolve finds the SAs of a policy with templates, into o.bundle, or the pair that has come meanwhile. Neither: what becomes of the
// packet is done.
func (o *Outbound) resolve(p []byte, c *cached) *sadb.Pair {
	for range maxLooks {
		switch r := o.look(p, c); {
		case r == sadb.Sealed:
			pair := o.bundle.SAs[0].Pair()
			if pair != nil { // the packet must lie in its selectors, whenever it came
				o.bundle.N = 0
			}
			o.to.found()
			return pair
		case r == sadb.Clear:
			o.bundle.N = 0
			o.clear(p, c)
			return nil
		}
		o.bundle.N = 0
		if o.to.known {
			o.e.nats.missed(o.now, o.in.flow.Remote, o.to.client) // its client's SA has ended: it waits for no other
			break
		}
		if !o.hold(p, c) {
			return nil
		}
	}
	o.n[OutNoSA]++
	return nil
}

// look looks for the SAs of a packet: of single SAs only those in UDP to the client fit; where it is no client's packet, to.peer is not
// valid and all do, but for flows of a peer without UDP. A client whose SAs have ended may be there without UDP now; in UDP is nobody but
// another.
func (o *Outbound) look(p []byte, c *cached) sadb.Resolution {
	r := c.match.ResolvePeer(o.now, &o.in.flow, &o.bundle, o.to.peer)
	if r == sadb.Missing && o.to.rcv != nil && o.to.rcv.Ended() || r == sadb.Sealed && !o.to.known && o.e.nats.raws.Load() && o.strange(p) {
		r = c.match.ResolveRaw(o.now, &o.in.flow, &o.bundle)
	}
	return r
}

// group finds the group of the bundle in hand.
func (o *Outbound) group() *group {
	out := o.bundle.SAs[o.bundle.N-1]
	if n := o.nGroup; n > 0 && o.groups[n-1].sas == o.bundle {
		return &o.groups[n-1]
	}
	at := out.SPI() % groupSlots
	for o.found[at] != 0 {
		if g := &o.groups[o.found[at]-1]; g.out == out && g.sas == o.bundle {
			return g
		}
		at = (at + 1) % groupSlots
	}
	o.groups[o.nGroup].sas = o.bundle
	g := o.begun()
	if g != nil {
		o.found[at] = uint8(o.nGroup)
	}
	return g
}

// begun begins the next group, whose SAs are in it already; nil: they are not served.
func (o *Outbound) begun() *group {
	g := &o.groups[o.nGroup]
	sas := &g.sas
	if !served(sas) {
		o.n[OutBundle]++
		return nil
	}
	o.nGroup++
	// Field by field: among many SAs nearly every packet begins one.
	g.first, g.last, g.tunnel, g.layered = noItem, noItem, sas.Modes[0] != sadb.Transport, layered(sas)
	g.out, g.pair, g.flat = sas.SAs[sas.N-1], sas.SAs[0].Pair(), levelOf(sas, sas.N-1) < 0
	g.ep, g.measured = g.out.At(), false
	g.marker, g.movable = g.ep.Encap.Overhead(), false
	if !g.tunnel {
		g.bottom = sas.SAs[0].At()
		_, g.movable = movable(g.pair, g.ep)
	}
	return g
}

// address gives the packet the port that the client has, or notes that this host speaks to it first; false: that port is not this
// SA's.
func (o *Outbound) address(p []byte, g *group) bool {
	if o.to.known {
		switch {
		case o.to.error:
			o.retell(p)
		case o.to.at > 0:
			setSide(p, &o.in, o.to.at, o.to.own)
		}
		return true
	}
	// In UDP the peer may be one of many behind its address, whatever it says of its own: a peer that denies its NAT must not get the
	// ports of the others.
	if !g.ep.UDP() {
		return o.lone(p, g)
	}
	k, _, ok := sideOf(p, &o.in, true)
	return ok && (g.pair == nil || o.e.nats.claim(o.now, k, g.pair))
}

// target finds the client behind a NAT that a packet is for, into o.to, and has the flow be the client's own: policies and selectors
// know no other. False: it is a client's that is gone.
func (o *Outbound) target(p []byte) bool {
	in := &o.in
	o.to = target{}
	if in.upper == 0 || in.fragment {
		return true
	}
	if (in.flow.Proto == protoICMP || in.flow.Proto == protoICMPv6) && isError(in.flow.Proto, p[in.upper]) {
		return o.about(p)
	}
	k, at, told := sideOf(p, in, true)
	if !told {
		return true // address refuses it where there may be others
	}
	to, gone := o.e.nats.leave(o.now, k)
	if to.known && at > 0 && (k.proto == protoTCP || k.proto == protoUDP) {
		in.flow.RemotePort = to.own
	}
	o.to, o.to.at = to, at
	return !gone
}
