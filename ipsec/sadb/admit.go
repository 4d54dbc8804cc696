// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Templates and packets that were received: whether one that was opened came by the SAs that its policy names, in their order (RFC
// 4301, Section 5.2). Everything of the packet is the peer's, whose SAs are believed as far as the policy names them and no further: no
// layer that is required is missing, and none is there that the policy does not have. Nothing is allocated.

package sadb

import "net/netip"

// Layer is one layer that a packet came by.
type Layer struct {
	// SA opened it. Nil: IP in IP without an SA, which is what IPComp in tunnel mode leaves where compression would have won nothing
	// (RFC 3173, Section 2.2).
	SA *Receiver
	// Src and Dst are the addresses of the IP header that it lay under.
	Src, Dst netip.Addr
	// Tunnel: an IP packet was inside, and not a payload.
	Tunnel bool
}

// CheckIn says whether a packet may be delivered that came by layers, the outermost first; empty: it came in the clear. f is the packet
// as it would be delivered. Only single SAs stand in layers: a pair has its selectors (Contains). The first policy In decides;
// where there is none, the first one Forward.
func (db *DB) CheckIn(now int64, f *Flow, layers []Layer) Verdict {
	r := db.spd.Load()
	for _, c := range [2]class{classIn, classForward} {
		if !r.used[c] {
			continue
		}
		p, hidden := r.first(c, f)
		switch {
		case hidden:
			return PortsHidden
		case p == nil:
			continue
		}
		p.entry.use(now)
		if p.admits(layers) && carried(layers, f) {
			p.letIn(layers)
			return Accepted
		}
		return Rejected
	}
	return NoEntry
}

// letIn notes at the outermost SA which policy Warm shall read for what comes by it next.
func (p *policy) letIn(layers []Layer) {
	if len(layers) == 0 || layers[0].SA == nil {
		return
	}
	if s := layers[0].SA.single; s != nil && s.met.Load() != p {
		s.met.Store(p)
	}
}

// admits reports whether a packet that came by layers is as the policy wants it.
func (p *policy) admits(layers []Layer) bool {
	switch p.action {
	case Discard:
		return false
	case Bypass:
		// What needs no protection may have had some, end to end; but not come out of a tunnel, whose peer would then speak for
		// every address that is let through.
		for i := range layers {
			if l := &layers[i]; l.Tunnel || l.SA == nil || l.SA.mode == Tunnel {
				return false
			}
		}
		return true
	}
	if len(layers) > MaxTemplates {
		return false // as many as there can be templates, and the search below is bounded
	}
	return admit(p.entry.templates, layers, nil)
}

// admit matches layers with templates, the outermost of both first. Each layer is one of a template, in order, and no template is left
// that requires one. bare, if not nil, is the layer around, in transport mode, in which an IP packet was found that no template has
// accounted for yet. Where a template need not be met all ways are tried: three to the power of MaxTemplates steps at most, and one for
// each template where the first way is right, as it mostly is.
func admit(templates []template, layers []Layer, bare *Layer) bool {
	if len(templates) == 0 {
		return len(layers) == 0 && bare == nil
	}
	t, rest := &templates[len(templates)-1], templates[:len(templates)-1]
	if bare == nil && len(layers) > 0 && t.fits(&layers[0]) {
		var within *Layer
		if t.Mode == Transport && layers[0].Tunnel {
			within = &layers[0]
		}
		if admit(rest, layers[1:], within) {
			return true
		}
	}
	// RFC 3173, Section 2.2: what compression would not have made shorter comes without IPComp, whatever the level: but out of the
	// tunnel whose ends the template has, where there is one. IPComp has no peer of its own to show.
	if t.Proto == ProtoIPComp {
		switch {
		case t.Mode == Transport:
			return admit(rest, layers, bare)
		case bare != nil && t.between(bare) && admit(rest, layers, nil):
			return true // or the tunnel is that of a template further in, and this one has no SA
		}
	}
	return t.Level == Use && admit(rest, layers, bare)
}

// between reports whether a layer lay between the template's ends.
func (t *template) between(l *Layer) bool { return l.Src == t.Src && l.Dst == t.Dst }

// fits reports whether a layer is one of the template. In transport mode its addresses are those of the header in front, which nobody has
// authenticated where it is the outermost one: they must be the SA's, or who has an SA in transport mode would write another peer's and
// send what comes out of that one's tunnel.
func (t *template) fits(l *Layer) bool {
	r := l.SA
	switch {
	case r == nil:
		return t.Proto == ProtoIPComp && t.Mode == Tunnel && t.between(l)
	case r.single == nil || r.proto != t.Proto || r.mode != AnyMode && r.mode != t.Mode || t.Mode == Tunnel && !l.Tunnel:
		return false
	}
	sa := r.single.sa.Load()
	if t.Reqid != 0 && t.Reqid != sa.reqid {
		return false
	}
	src, dst := sa.at.Local.Addr(), sa.at.Remote.Addr()
	if t.Mode == Transport {
		return dst == l.Dst && r.ComesFrom(l.Src)
	}
	return dst == t.Dst && (src == t.Src || src.IsUnspecified())
}
