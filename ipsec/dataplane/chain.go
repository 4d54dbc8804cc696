// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The SAs that a packet came by, and whether its policy has them: RFC 4301, Section 5.2. A peer chooses what it puts into what, out of the
// SAs that it has keys for; so the order is not judged while layers are opened, but the whole list at the end, by the policy of
// the packet that came out of them. Single SAs only: a pair of IKE's has its own selectors, and nothing that came by one is opened further here.

package dataplane

import "github.com/natterjack/natterjack/ipsec/sadb"

// maxLayers is how many layers are opened: no policy names more, so that what lies deeper would be refused after the work.
const maxLayers = sadb.MaxTemplates

// chain is the layers that a packet came by, the outermost first.
type chain struct {
	n      int
	layers [maxLayers]sadb.Layer
	pair   *sadb.Pair // whose SA it is; nil: single SAs
	// starts has bit k set if what was inside of the first k layers was for this host by itself: a policy of its own had them all. From
	// there it is as if it had come from outside, as RFC 4301, Appendix E has it: one policy for each tunnel. Bit 0 is always set.
	starts uint8
}

func (c *chain) begin() { c.n, c.pair, c.starts = 0, nil, 1 }

// last is the SA of the innermost layer that has one.
func (c *chain) last() *sadb.Receiver {
	for i := c.n - 1; i > 0; i-- {
		if r := c.layers[i].SA; r != nil {
			return r
		}
	}
	return c.layers[0].SA
}

// has reports whether the packet came by an SA.
func (c *chain) has(r *sadb.Receiver) bool {
	for i := range c.layers[:c.n] {
		if c.layers[i].SA == r {
			return true
		}
	}
	return false
}

// push adds the SA that has opened a layer.
func (in *Inbound) push(r *sadb.Receiver) {
	c := &in.chain
	l := &c.layers[c.n]
	l.SA, l.Tunnel = r, false
	if c.pair = r.Pair(); c.pair == nil {
		l.Src, l.Dst = in.ends()
	}
	c.n++
}

// bare adds a layer of IP in IP that no SA has made.
func (in *Inbound) bare() {
	c := &in.chain
	c.layers[c.n] = sadb.Layer{Src: in.level.src, Dst: in.level.dst}
	c.n++
}

// findInner takes the SA of a layer inside of others; false: there is none. Nothing is opened in itself (HOSTILE T-092).
func (in *Inbound) findInner(proto uint8, spi uint32) bool {
	src, dst := in.ends()
	r := in.e.db.Within(proto, spi, src, dst)
	switch {
	case r == nil:
		in.n[InUnknownSPI]++
		return false
	case in.chain.has(r):
		in.n[InNextHeader]++
		return false
	}
	in.take(r)
	return true
}

// judge asks the policy of a packet about the layers that it came by, from each start.
func (in *Inbound) judge(f *sadb.Flow) sadb.Verdict {
	c := &in.chain
	got := in.e.db.CheckIn(in.now, f, c.layers[:c.n])
	for k := 1; k < c.n && got != sadb.Accepted; k++ {
		if c.starts>>k&1 != 0 && in.e.db.CheckIn(in.now, f, c.layers[k:c.n]) == sadb.Accepted {
			return sadb.Accepted
		}
	}
	return got
}
