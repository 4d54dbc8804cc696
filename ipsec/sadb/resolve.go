// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Templates and packets that are sent: which SAs seal a packet (RFC 4301, Section 5.1). Packets are anybody's on the inner side.
// Nothing is allocated.

package sadb

import "net/netip"

// lack is a template that has no SA, with the addresses that it would have.
type lack struct {
	at       int
	src, dst IP
	v6       bool
}

// Resolve finds the SAs that the policy of a packet wants. It also notes the policy's use. It allocates nothing.
func (m *Match) Resolve(now int64, f *Flow, b *Bundle) Resolution {
	return m.resolve(now, f, b, whose{})
}

// ResolvePeer is Resolve for a packet that belongs to one of several peers behind one NAT (RFC 3948, Section 5.2): only
// SAs in UDP to peer fit around it, since one without UDP may be of another at that address. It looks through them all.
func (m *Match) ResolvePeer(now int64, f *Flow, b *Bundle, peer netip.AddrPort) Resolution {
	return m.resolve(now, f, b, whose{peer: peer})
}

// ResolveRaw is Resolve for a packet to a peer that has no SA in UDP any more: those that there are, are of others.
func (m *Match) ResolveRaw(now int64, f *Flow, b *Bundle) Resolution {
	return m.resolve(now, f, b, whose{raw: true})
}

func (m *Match) resolve(now int64, f *Flow, b *Bundle, w whose) Resolution {
	b.N, b.Inside = 0, false
	if m.policy == nil {
		p := m.Sending()
		if p == nil || w != (whose{}) { // a pair is IKE's: of no peer of single SAs
			return Missing
		}
		b.add(&p.Sender, p.mode)
		b.Inside = m.Inside(p)
		return Sealed
	}
	m.policy.entry.use(now)
	var l lack
	r := m.policy.resolve(f, b, &l, w)
	if r != Missing && l.at >= 0 {
		m.policy.ask(now, f, &l)
	}
	return r
}

func (b *Bundle) add(s *Sender, m Mode) {
	b.SAs[b.N], b.Modes[b.N] = s, m
	b.N++
}

// Inside reports whether the policy that the packet met has just the selectors of a pair of its reqid: Contains would say yes.
func (m *Match) Inside(p *Pair) bool {
	return m.child != nil && m.child == p.policy
}

// resolve finds the SAs, and the first template without one (at -1: all have theirs), which need not be required.
func (p *policy) resolve(f *Flow, b *Bundle, l *lack, w whose) Resolution {
	b.N, l.at, w.flow = 0, -1, f
	at := lack{src: f.Local, dst: f.Remote, v6: f.V6}
	for i := range p.entry.templates {
		t := &p.entry.templates[i]
		around := at
		if t.Mode == Tunnel {
			around = lack{src: t.set.key.src, dst: t.set.key.dst, v6: t.set.key.v6}
		}
		w.inner = i < len(p.entry.templates)-1
		if s := t.sender(p.db, &around, w); s != nil {
			b.add(s, t.Mode)
			at = around
			continue
		}
		if l.at < 0 {
			*l = around
			l.at = i
		}
		if t.Level != Use {
			*l = around
			l.at, b.N = i, 0
			return Missing
		}
	}
	if b.N == 0 {
		return Clear
	}
	if w.inner = false; !w.fits(b.SAs[b.N-1].core) { // the last template need not have an SA
		b.N = 0
		return Missing
	}
	return Sealed
}

// sender is the SA of a template between two addresses; nil: there is none.
func (t *template) sender(db *DB, at *lack, w whose) *Sender {
	st := t.set
	if st == nil {
		st = db.findSet(setKey{src: at.src, dst: at.dst, v6: at.v6, proto: t.Proto, reqid: t.Reqid})
		if st == nil {
			return nil
		}
	}
	s := st.pick(t.Mode)
	if s != nil && !w.fits(&s.core) {
		s = st.pickFit(t.Mode, w)
	}
	if s == nil {
		return nil
	}
	return s.asSender()
}
