// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// UPDATE (RFC 2367, Section 3.1.2), where the kernels differ most (NATT.md, Section 1.6): of a reservation it brings the keys, of an SA
// with keys it changes lifetimes, addresses and NAT-T. Counters, window and sealer of an SA stay what they are: a second counter
// under one key would repeat a nonce (NATT.md, Section 2.7).

package keysock

import (
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
		change.Endpoint = &sadb.SAEndpoint{
			Src: v.Src, Dst: v.Dst, Encap: r.Encap, SrcPort: r.SrcPort, DstPort: r.DstPort, OrigSrc: r.OrigSrc, OrigDst: r.OrigDst,
		}
	}
	if err = s.db.UpdateSA(now, e.id, change); err != nil {
		return errnoOf(err)
	}
	e.lifetimes = r.lifetimes
	return s.announce(c, m, e)
}

// updateFreeBSD: the SPI finds the SA, its owner alone may change it, and what the request says of it must be true.
func (s *Server) updateFreeBSD(now time.Time, c *client, m *pfkey.Message, r *request) error {
	e := s.sas.byID[r.id]
	if e == nil && !c.names {
		e = s.sas.bySPI[r.id.SPI]
	}
	if e == nil {
		return pfkey.EINVAL
	}
	if e.owner != c.owner {
		return pfkey.EINVAL
	}
	v, err := s.view(e)
	if err != nil {
		return err
	}
	defer v.wipe()
	from, to := v.ends()
	same := e.id == r.id && e.src == r.src || e.id.Proto == r.id.Proto && from.Addr() == r.src && to.Addr() == r.id.Dst
	if !same || r.Reqid != 0 && r.Reqid != v.Reqid || v.Mode != sadb.AnyMode && v.Mode != r.Mode {
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
		at, err := newEndpoint(c.codec.Dialect, m, v)
		if err != nil {
			return err
		}
		change.Endpoint = at
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
func newEndpoint(d pfkey.Dialect, m *pfkey.Message, v *shown) (*sadb.SAEndpoint, error) {
	sa := sadb.SA{Proto: v.Proto, Src: v.Src, Dst: v.Dst, Mode: v.Mode}
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
