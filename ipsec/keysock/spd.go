// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The verbs of KAME's SPD: X_SPDADD, UPDATE, SETIDX, DELETE, DELETE2, GET and FLUSH, and the end of a policy (NATT.md, Section 2.5).

package keysock

import (
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// spdAdd is X_SPDADD and X_SPDSETIDX, which refuse selectors that are there, and X_SPDUPDATE, which replaces the policy and keeps its
// number (in FreeBSD it gets a new one).
func (s *Server) spdAdd(now time.Time, c *client, m *pfkey.Message) error {
	p, err := policyOf(c.codec.Dialect, m)
	if err != nil {
		return err
	}
	e, err := p.entry(c.codec.Dialect, c.owner, m.Policy.Requests)
	if err != nil {
		return err
	}
	put := s.db.SPDAdd
	if m.Type == pfkey.TypeSPDUpdate {
		put = s.db.SPDUpdate
	}
	if len(s.policies.byID) >= s.config.Policies && s.namedPolicy(p) == nil {
		return pfkey.ENOBUFS
	}
	if err = s.policies.unique.give(c.codec.Dialect, p.requests, e.Templates); err != nil {
		return err
	}
	if p.id, err = put(now, e); err != nil {
		s.policies.unique.leave(p.requests)
		return errnoOf(err)
	}
	s.policies.add(p)
	info, ok := s.db.SPDLookup(p.id)
	if !ok {
		return pfkey.ENOENT
	}
	if c.strict && s.config.Enforce != nil && s.config.Enforce(now, p.id) != nil { // which says why in its log
		s.sendPolicy(c, m, p, &info, func(o *client) bool { return o != c })
		return pfkey.ErrnoHost
	}
	s.sendPolicy(c, m, p, &info, toAll)
	return nil
}

// sendPolicy answers: Linux with the policy as it is, the BSDs with the request, its number and reqids filled in.
func (s *Server) sendPolicy(c *client, m *pfkey.Message, p *policy, info *sadb.SPDInfo, to func(*client) bool) {
	h := m.Header
	if h.Type == pfkey.TypeSPDSetIdx && c.codec.Dialect == pfkey.Linux {
		h.Type = pfkey.TypeSPDAdd
	}
	s.send(func(d pfkey.Dialect, _ bool) *pfkey.Message {
		a := p.message(d, h, info)
		if a.Type == pfkey.TypeSPDDelete && d != pfkey.Linux {
			a.Policy.Requests, a.LifetimeCurrent, a.LifetimeHard = nil, nil, nil
			if d == c.codec.Dialect { // a reqid of Linux's may be too large
				a.Policy.Requests = m.Policy.Requests
			}
		}
		if d != pfkey.Linux {
			a.LifetimeCurrent, a.LifetimeHard = nil, m.LifetimeHard
			a.Order = []pfkey.ExtType{pfkey.ExtPolicy, pfkey.ExtLifetimeHard, pfkey.ExtAddressSrc, pfkey.ExtAddressDst}
		}
		return a
	}, to)
}

// spdDelete is X_SPDDELETE: by selectors. What is not there is ENOENT in Linux and EINVAL in the BSDs.
func (s *Server) spdDelete(_ time.Time, c *client, m *pfkey.Message) error {
	named, err := policyOf(c.codec.Dialect, m)
	if err != nil {
		return err
	}
	if c.codec.Dialect != pfkey.Linux && named.policy.Type > pfkey.PolicyIPsec {
		return pfkey.EINVAL
	}
	p := s.namedPolicy(named)
	if p == nil {
		return absent(c)
	}
	info, err := s.drops(p)
	if err != nil {
		return err
	}
	s.sendPolicy(c, m, p, &info, toAll)
	return nil
}

// namedPolicy is the one with these selectors; nil: there is none.
func (s *Server) namedPolicy(named *policy) *policy {
	id, ok := s.db.SPDFind(named.sel.dir, named.sel.local, named.sel.remote)
	if !ok {
		return nil
	}
	return s.policies.byID[id]
}

func absent(c *client) error {
	if c.codec.Dialect == pfkey.Linux {
		return pfkey.ENOENT
	}
	return pfkey.EINVAL
}

// drops deletes a policy.
func (s *Server) drops(p *policy) (sadb.SPDInfo, error) {
	info, err := s.db.SPDDelete(p.id)
	s.policies.remove(p.id)
	return info, errnoOf(err)
}

// spdByID is X_SPDGET and X_SPDDELETE2.
func (s *Server) spdByID(_ time.Time, c *client, m *pfkey.Message) error {
	if m.Policy == nil {
		return pfkey.EINVAL
	}
	p := s.policies.byID[sadb.PolicyID(m.Policy.ID)]
	if m.Type == pfkey.TypeSPDGet && (p == nil || !p.sayable(c.codec.Dialect)) {
		return pfkey.ENOENT
	}
	if p == nil {
		return absent(c)
	}
	if m.Type == pfkey.TypeSPDGet {
		if _, ok := s.db.SPDLookup(p.id); !ok {
			return pfkey.ENOENT
		}
		s.send(func(d pfkey.Dialect, _ bool) *pfkey.Message { return s.policyMessage(p, d, m.Header) }, toOne(c))
		return nil
	}
	info, err := s.drops(p)
	if err != nil {
		return err
	}
	s.send(func(d pfkey.Dialect, _ bool) *pfkey.Message {
		switch {
		case d == pfkey.Linux:
			return p.message(d, m.Header, &info)
		case d == c.codec.Dialect:
			return &pfkey.Message{Header: m.Header, Policy: m.Policy}
		}
		x := p.policy
		x.ID = uint32(p.id)
		return &pfkey.Message{Header: m.Header, Policy: &x}
	}, toAll)
	return nil
}

// spdFlush is X_SPDFLUSH: the policies of PF_KEY. Those of IKE stay.
func (s *Server) spdFlush(_ time.Time, c *client, m *pfkey.Message) error {
	if c.codec.Dialect != pfkey.Linux && len(m.Order) != 0 {
		return pfkey.EINVAL
	}
	n := s.db.SPDFlush()
	s.policies.clear()
	s.flushed(c, m, n)
	return nil
}

// policyExpired is X_SPDEXPIRE, to whoever is registered in a BSD. Linux is silent.
func (s *Server) policyExpired(n *sadb.Notice) {
	p := s.policies.byID[n.SPD.ID]
	if p == nil {
		return
	}
	if _, ok := s.db.SPDLookup(p.id); !ok {
		s.policies.remove(p.id)
	}
	s.send(func(d pfkey.Dialect, _ bool) *pfkey.Message {
		if d == pfkey.Linux {
			return nil
		}
		m := p.message(d, pfkey.Header{Type: pfkey.TypeSPDExpire}, n.SPD)
		m.LifetimeCurrent = &pfkey.Lifetime{AddTime: epoch(n.SPD.Added), UseTime: epoch(n.SPD.LastUsed)}
		m.LifetimeHard, m.LifetimeSoft = orZero(p.hard), nil
		if !n.Hard {
			m.LifetimeHard, m.LifetimeSoft = nil, orZero(p.soft)
		}
		m.Order = []pfkey.ExtType{pfkey.ExtLifetimeCurrent, pfkey.ExtLifetimeHard, pfkey.ExtLifetimeSoft, pfkey.ExtAddressSrc, pfkey.ExtAddressDst, pfkey.ExtPolicy}
		return m
	}, toAnyRegistered)
}
