// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// UPDATE (RFC 2367, Section 3.1.2), where the kernels differ most (NATT.md, Section 1.6): of a reservation it brings the keys, of an SA
// with keys it changes lifetimes, addresses and NAT-T. Counters, window and sealer of an SA stay what they are: a second counter
// under one key would repeat a nonce (NATT.md, Section 2.7).

package keysock

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// update is SADB_UPDATE.
func (s *Server) update(now time.Time, c *client, m *pfkey.Message) error {
	r, err := parseSA(c, m)
	if err != nil {
		return err
	}
	if c.codec.Dialect == pfkey.FreeBSD {
		return s.updateFreeBSD(now, c, m, r)
	}
	if err = algorithmsOf(c.codec.Dialect, m, &r.SA); err != nil {
		return err
	}
	e, err := s.named(c, m)
	if err != nil {
		return err
	}
	if e.larval() {
		return s.complete(now, c, m, r, e)
	}
	return s.updateMature(now, c, m, r, e)
}

// complete gives a reservation its keys.
func (s *Server) complete(now time.Time, c *client, m *pfkey.Message, r *request, e *entry) error {
	if err := s.db.CompleteSA(now, r.SA); err != nil {
		return errnoOf(err)
	}
	e.settle()
	s.sas.give(r.owner)
	s.sas.take(e.owner)
	e.src, e.owner, e.flags, e.lifetimes, e.proxy = r.src, r.owner, r.flags, r.lifetimes, r.proxy
	return s.announce(c, m, e)
}

// updateMature is Linux's and NetBSD's UPDATE of an SA with keys, which must be its keys.
//
// Deviation: Linux ignores other keys without a word, NetBSD puts them in the SA's place. Neither is what a key daemon means that
// renews a lifetime, and new keys have an SPI of their own (RFC 4301, Section 4.1): EINVAL.
func (s *Server) updateMature(now time.Time, c *client, m *pfkey.Message, r *request, e *entry) error {
	v, err := s.view(e)
	if err != nil {
		return err
	}
	defer v.wipe()
	if v.Suite != r.Suite || !v.Key.Equal(r.Key) || !v.Integ.Equal(r.Integ) {
		return pfkey.EINVAL
	}
	if (v.Encap != natt.Raw) != r.natt || r.natt && v.Encap != r.Encap {
		return pfkey.EINVAL // an SA does not go in and out of UDP
	}
	change := sadb.Change{Limits: &r.Limits}
	if r.natt {
		src, dst := v.meant(r)
		change.Endpoint = v.unless(&sadb.SAEndpoint{
			Src: src, Dst: dst, Encap: r.Encap, SrcPort: r.SrcPort, DstPort: r.DstPort, OrigSrc: r.OrigSrc, OrigDst: r.OrigDst,
		})
	}
	if err = s.db.UpdateSA(now, e.id, change); err != nil {
		return errnoOf(err)
	}
	if at := change.Endpoint; at != nil {
		s.sas.rename(e, at.Src, at.Dst)
	}
	e.lifetimes = r.lifetimes
	return s.announce(c, m, e)
}

// meant are the addresses that a request means without saying new ones: its own, where it has the SA by its name, and where it has gone
// to with its peer, where it is named by that.
func (v *shown) meant(r *request) (src, dst netip.Addr) {
	if v.e.id == r.id && v.e.src == r.src {
		return v.Src, v.Dst
	}
	from, to := v.ends()
	return from.Addr(), to.Addr()
}

// unless is an endpoint, or what the owner called the one where the SA is, if that is the same: it has gone there with its peer, and keeps
// its name, as the others of that peer do; they follow together.
func (v *shown) unless(at *sadb.SAEndpoint) *sadb.SAEndpoint {
	from, to := v.ends()
	is := sadb.SAEndpoint{Src: from.Addr(), Dst: to.Addr(), Encap: v.Encap, SrcPort: from.Port(), DstPort: to.Port(), OrigSrc: at.OrigSrc, OrigDst: at.OrigDst}
	if *at != is {
		return at
	}
	is.Src, is.Dst, is.SrcPort, is.DstPort = v.Src, v.Dst, v.SrcPort, v.DstPort
	return &is
}

// updateFreeBSD: the SPI finds the SA, its owner alone may change it, and what the request says of it must be true.
func (s *Server) updateFreeBSD(now time.Time, c *client, m *pfkey.Message, r *request) error {
	e := s.ours(c, r)
	if e == nil {
		return pfkey.EINVAL
	}
	v, err := s.view(e)
	if err != nil {
		return err
	}
	defer v.wipe()
	if !s.names(r, e) || r.Reqid != 0 && r.Reqid != v.Reqid || v.Mode != sadb.AnyMode && v.Mode != r.Mode {
		return pfkey.ESRCH
	}
	if e.larval() {
		if err = algorithmsOf(c.codec.Dialect, m, &r.SA); err != nil {
			return err
		}
		if r.Reqid == 0 {
			r.Reqid = v.Reqid
		}
		return s.complete(now, c, m, r, e)
	}
	if m.KeyEncrypt != nil || m.KeyAuth != nil {
		return pfkey.EINVAL
	}
	return s.changeFreeBSD(now, c, m, r, v)
}

// ours finds an owner's SA by its name, by where it has gone to with its peer, or by its SPI alone, which is nobody else's but that of who said
// pfkey.PrivateNames; nil: it has none. What is found by less than all that the request says is not what it says.
func (s *Server) ours(c *client, r *request) *entry {
	e := s.sas.byID[r.id]
	if e != nil && e.owner == c.owner && e.src == r.src {
		return e
	}
	var first *entry
	for o := s.sas.bySPI[r.id.SPI]; o != nil; o = o.next {
		if o.owner != c.owner {
			continue
		}
		if s.names(r, o) {
			return o
		}
		if first == nil {
			first = o
		}
	}
	switch {
	case e != nil && e.owner == c.owner:
		return e
	case e != nil || c.names:
		return nil
	}
	return first
}

// names reports whether what a request says of an SA is true: as its owner named it, or as it is shown.
func (s *Server) names(r *request, e *entry) bool {
	return e.id == r.id && e.src == r.src || s.isAt(e, r.id.Proto, r.src, r.id.Dst)
}

// changeFreeBSD changes lifetimes, where there are some, and addresses: by X_NEW_ADDRESS, by NAT-T extensions, and where the SA has NAT-T
// already one of the two must be there.
func (s *Server) changeFreeBSD(now time.Time, c *client, m *pfkey.Message, r *request, v *shown) error {
	var change sadb.Change
	if r.lifetimes {
		change.Limits = &r.Limits
	}
	moved := m.NewSrc != nil || m.NewDst != nil
	if !moved && !r.natt && (m.NATType != nil || v.Encap != natt.Raw) {
		return pfkey.EINVAL
	}
	if moved || r.natt {
		at, err := newEndpoint(c.codec.Dialect, m, r, v)
		if err != nil {
			return err
		}
		if change.Endpoint = at; !moved {
			change.Endpoint = v.unless(at)
		}
	}
	e := v.e
	if err := s.db.UpdateSA(now, e.id, change); err != nil {
		return errnoOf(err)
	}
	if at := change.Endpoint; at != nil {
		s.sas.rename(e, at.Src, at.Dst)
	}
	e.lifetimes = e.lifetimes || r.lifetimes
	return s.announce(c, m, e)
}

// newEndpoint is the SA's addresses as the request wants them. Without NAT-T extensions it has no NAT-T afterwards.
func newEndpoint(d pfkey.Dialect, m *pfkey.Message, r *request, v *shown) (*sadb.SAEndpoint, error) {
	sa := sadb.SA{Proto: v.Proto, Mode: v.Mode}
	sa.Src, sa.Dst = v.meant(r)
	if m.NewSrc != nil {
		sa.Src = m.NewSrc.Addr
	}
	if m.NewDst != nil {
		sa.Dst = m.NewDst.Addr
	}
	if !sa.Src.IsValid() || sa.Src.Is4() != sa.Dst.Is4() || sa.Dst.IsUnspecified() {
		return nil, pfkey.EINVAL
	}
	if _, err := nat(d, m, &sa); err != nil {
		return nil, err
	}
	return &sadb.SAEndpoint{
		Src: sa.Src, Dst: sa.Dst, Encap: sa.Encap, SrcPort: sa.SrcPort, DstPort: sa.DstPort, OrigSrc: sa.OrigSrc, OrigDst: sa.OrigDst,
	}, nil
}
