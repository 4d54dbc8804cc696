// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Templates and packets: which SAs seal a packet (RFC 4301, Section 5.1), and whether one that was opened came by those that its
// policy names (Section 5.2). Packets are anybody's on the inner side and the peer's on the other. Nothing is allocated.

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
	return m.ResolvePeer(now, f, b, netip.AddrPort{})
}

// ResolvePeer is Resolve for a packet that belongs to one of several peers behind one NAT (RFC 3948, Section 5.2): of the
// SAs in UDP only those to peer fit. It looks through them all.
func (m *Match) ResolvePeer(now int64, f *Flow, b *Bundle, peer netip.AddrPort) Resolution {
	b.N, b.Inside = 0, false
	if m.policy == nil {
		p := m.Sending()
		if p == nil {
			return Missing
		}
		b.add(&p.Sender, p.mode)
		b.Inside = m.Inside(p)
		return Sealed
	}
	m.policy.entry.use(now)
	var l lack
	r := m.policy.resolve(f, b, &l, peer)
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
	return m.child != nil && &m.child.local[0] == &p.local[0] && &m.child.remote[0] == &p.remote[0]
}

// resolve finds the SAs, and the first template without one (at -1: all have theirs), which need not be required.
func (p *policy) resolve(f *Flow, b *Bundle, l *lack, peer netip.AddrPort) Resolution {
	b.N, l.at = 0, -1
	at := lack{src: f.Local, dst: f.Remote, v6: f.V6}
	for i := range p.entry.templates {
		t := &p.entry.templates[i]
		around := at
		if t.Mode == Tunnel {
			around = lack{src: t.src, dst: t.dst, v6: t.v6}
		}
		if s := t.sender(p.db, &around, peer); s != nil {
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
	return Sealed
}

// sender is the SA of a template between two addresses; nil: there is none.
func (t *template) sender(db *DB, at *lack, peer netip.AddrPort) *Sender {
	st := t.set
	if st == nil {
		st = db.findSet(setKey{src: at.src, dst: at.dst, v6: at.v6, proto: t.Proto, reqid: t.Reqid})
		if st == nil {
			return nil
		}
	}
	s := st.pick(t.Mode)
	if s != nil && peer.IsValid() && !s.sendsTo(peer) {
		s = st.pickPeer(t.Mode, peer)
	}
	if s == nil {
		return nil
	}
	return s.asSender()
}

// CheckIn says whether a packet may be delivered that was protected by chain, the outermost SA first; empty: it came in
// the clear. f is the packet as it would be delivered. Only single SAs stand in chain: a pair has its selectors (Contains).
// The first policy In decides; where there is none, the first one Forward.
func (db *DB) CheckIn(now int64, f *Flow, chain []*Receiver) Verdict {
	return db.checkIn(now, f, chain, AnyMode)
}

// CheckInner is CheckIn of a packet of which is known whether it came out of a tunnel: an SA of any mode can carry both, and a
// packet that compression would not have made shorter (RFC 3173, Section 2.2) comes without the SA whose mode is the tunnel's.
func (db *DB) CheckInner(now int64, f *Flow, chain []*Receiver, tunnel bool) Verdict {
	if tunnel {
		return db.checkIn(now, f, chain, Tunnel)
	}
	return db.checkIn(now, f, chain, Transport)
}

func (db *DB) checkIn(now int64, f *Flow, chain []*Receiver, m Mode) Verdict {
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
		if p.admits(chain, m) {
			return Accepted
		}
		return Rejected
	}
	return NoEntry
}

// admits reports whether a packet that came by chain is as the policy wants it: each SA is one of a template, in order,
// and no template is left that requires one. m is AnyMode where it is not known whether the packet came out of a tunnel.
func (p *policy) admits(chain []*Receiver, m Mode) bool {
	switch p.action {
	case Discard:
		return false
	case Bypass:
		// What needs no protection may have had some, end to end; but not come out of a tunnel, whose peer would then speak for
		// every address that is let through.
		for _, r := range chain {
			if r.mode != Transport {
				return false
			}
		}
		return m != Tunnel
	}
	i, used := 0, AnyMode
	for at := len(p.entry.templates) - 1; at >= 0; at-- { // the outermost first
		t := &p.entry.templates[at]
		if i < len(chain) && t.fits(chain[i]) {
			i, used = i+1, t.Mode
		} else if t.Level != Use {
			return false
		}
	}
	if i != len(chain) {
		return false
	}
	if i == 0 || m == AnyMode || m == used {
		return true
	}
	// Out of a tunnel or not, as the innermost template says: the one that was used, or the first, if that is of a packet that was not
	// compressed. Then the tunnel's ends are those of the SAs that the packet did come by: IPComp has no peer of its own to show.
	first := &p.entry.templates[0]
	return first.Proto == ProtoIPComp && m == first.Mode && (m != Tunnel || first.between(chain[0]))
}

// between reports whether an SA has the template's ends.
func (t *template) between(r *Receiver) bool {
	sa := r.single.sa.Load()
	return sa.Dst == t.Dst && sa.Src == t.Src
}

// fits reports whether an SA that opened a packet is one of the template. In transport mode its addresses are the packet's, by
// the SA's own look-up.
func (t *template) fits(r *Receiver) bool {
	if r.single == nil || r.proto != t.Proto || r.mode != AnyMode && r.mode != t.Mode {
		return false
	}
	sa := r.single.sa.Load()
	if t.Reqid != 0 && t.Reqid != sa.Reqid {
		return false
	}
	return t.Mode == Transport || sa.Dst == t.Dst && (sa.Src == t.Src || sa.Src.IsUnspecified())
}
