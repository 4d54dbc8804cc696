// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Packets from and to peers without UDP in transport mode: see clients_raw.go. What is in them is the peer's, or this host's own.

package dataplane

// strangers reports whether there are clients in UDP at an address, other than that one: an ICMP error of a peer without UDP may be about
// any.
func (t *clients) strangers(now int64, k slot, who owner) bool {
	sh := t.shard(k.remote)
	if sh.people.Load() == 0 {
		return false
	}
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for other, c := range sh.clients[k.addrOf()] {
		if other != who && c.lives(now) {
			return true
		}
	}
	return false
}

// lone lets a packet pass that came without UDP, unless it would pass for one of a client in UDP at that address.
func (in *Inbound) lone(p []byte) bool {
	k, _, ok := sideOf(p, &in.in, false)
	if ok && in.memo.knows(in.now, &k) {
		return true
	}
	w := in.who()
	if !ok {
		return !in.e.nats.strangers(in.now, k, w.owner())
	}
	h := home{pair: w.pair}
	// Who may write any address as its own could have ports noted of very many.
	if c := &in.chain; h.pair == nil && c.authentic() && !c.layers[0].SA.Source().Remote.Addr().IsUnspecified() {
		h.proto, h.local = c.layers[0].SA.Proto(), in.fix.dst
	}
	return in.e.nats.raw(in.now, k, w.owner(), h, &in.memo)
}

// authentic reports whether there is an SA in it by which the peer has proved that it sent the packet: IPComp proves nothing.
func (c *chain) authentic() bool {
	for i := range c.layers[:c.n] {
		if r := c.layers[i].SA; r != nil && r.Proto() != protoIPComp {
			return true
		}
	}
	return false
}

// lone notes that this host speaks to a peer without UDP; false: the port is a client's in UDP by now.
func (o *Outbound) lone(p []byte, g *group) bool {
	k, _, ok := sideOf(p, &o.in, true)
	if !ok || o.memo.knows(o.now, &k) {
		return true
	}
	if g.pair != nil {
		return o.e.nats.raw(o.now, k, who{pair: g.pair}.owner(), home{pair: g.pair}, &o.memo)
	}
	return o.e.nats.raw(o.now, k, owner{}, home{proto: g.out.Proto(), local: o.in.flow.Local.Addr(k.v6)}, &o.memo)
}

// strange reports whether the bundle in hand seals for a client in UDP what is a flow of the peer without UDP at its address: a policy names
// the SAs of both, and the newest is taken of packets of which it is not known whose they are.
func (o *Outbound) strange(p []byte) bool {
	b := &o.bundle
	if ep := b.SAs[b.N-1].Endpoint(); !ep.UDP() || b.SAs[0].Pair() != nil || levelOf(b, b.N-1) >= 0 {
		return false
	}
	k, _, ok := sideOf(p, &o.in, true)
	return ok && o.e.nats.isRaw(o.now, k)
}
