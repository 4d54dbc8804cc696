// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// ACQUIRE (RFC 2367, Section 3.1.6): a packet needs an SA that is not there. The database says so once for each need until an SA with that
// sequence number is there, a key daemon says that there will be none, or 30 s have passed; packets wait there meanwhile, a bounded few.

package keysock

import (
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// acquireFailed is SADB_ACQUIRE from a client: a bare header with the number of an ACQUIRE and an errno. It has no answer.
//
// Deviation: FreeBSD passes a whole ACQUIRE on to the key daemons; Linux, and this server, refuse it.
func (s *Server) acquireFailed(_ time.Time, _ *client, m *pfkey.Message) error {
	if len(m.Order) != 0 {
		return pfkey.EOPNOTSUPP
	}
	if m.Seq != 0 && m.Errno != pfkey.OK {
		s.db.SPDAcquireFailed(m.Seq)
	}
	return nil
}

// acquire is SADB_ACQUIRE to the key daemons. With nobody to hear it the packets need not wait.
func (s *Server) acquire(n *sadb.Notice) {
	t := n.Template
	p := s.policies.byID[n.Policy]
	satype := pfkey.SATypeOf(t.Proto)
	if p == nil || !s.anybody(toRegistered(satype)) {
		s.db.SPDAcquireFailed(n.Seq)
		return
	}
	s.send(func(d pfkey.Dialect, _ bool) *pfkey.Message {
		m := &pfkey.Message{
			Header: pfkey.Header{Type: pfkey.TypeAcquire, SAType: satype, Seq: n.Seq},
			Src:    address(t.Src), Dst: address(t.Dst),
			Policy: &pfkey.Policy{Type: p.policy.Type, Dir: p.policy.Dir, ID: uint32(p.id), Priority: p.policy.Priority},
			Order:  []pfkey.ExtType{pfkey.ExtAddressSrc, pfkey.ExtAddressDst, pfkey.ExtPolicy, pfkey.ExtSA2, pfkey.ExtProposal},
		}
		m.Proposal = proposal(d, t.Proto)
		if d != pfkey.Linux {
			p.protocol(m)
			if t.Reqid != 0 {
				m.SA2 = &pfkey.SA2{Mode: pfkey.Mode(t.Mode), Reqid: t.Reqid}
			}
		}
		return m
	}, toRegistered(satype))
}

func (s *Server) anybody(want func(*client) bool) bool {
	for _, c := range s.order {
		if want(c) {
			return true
		}
	}
	return false
}

// What the BSDs propose: FreeBSD's lifetimes, and no combinations that RFC 8221 does not recommend.
const (
	proposedWindow         = 32
	proposedHard, softPart = 86400, 80 // seconds, percent
)

// proposal is SADB_EXT_PROPOSAL: algorithms in the BSDs, an empty list in Linux. Key daemons take them from their configuration.
func proposal(d pfkey.Dialect, proto uint8) *pfkey.Proposal {
	p := &pfkey.Proposal{Replay: proposedWindow}
	if d == pfkey.Linux || proto == sadb.ProtoIPComp {
		return p
	}
	list := supported(d, pfkey.Header{})
	for _, e := range list.SupportedEncrypt {
		if proto == sadb.ProtoESP && proposable(d, pfkey.EncryptAlg(e.ID)) {
			p.Combs = append(p.Combs, comb(0, pfkey.Supported{}, e))
		}
	}
	for _, a := range list.SupportedAuth {
		integ, ok := d.Integ(pfkey.AuthAlg(a.ID), int(a.MinBits))
		if !ok || integ.Weak() {
			continue
		}
		if proto == sadb.ProtoAH {
			p.Combs = append(p.Combs, comb(pfkey.AuthAlg(a.ID), a, pfkey.Supported{}))
			continue
		}
		for _, e := range list.SupportedEncrypt {
			if integ.KnownESP() && blockMode(d, pfkey.EncryptAlg(e.ID)) {
				p.Combs = append(p.Combs, comb(pfkey.AuthAlg(a.ID), a, e))
			}
		}
	}
	return p
}

// proposable: an AEAD; blockMode: a cipher that needs an algorithm of integrity beside it.
func proposable(d pfkey.Dialect, n pfkey.EncryptAlg) bool {
	for _, e := range encrs() {
		if k, ok := d.Encrypt(e); ok && k == n {
			return e.AEAD() && e.Encrypts()
		}
	}
	return false
}

func blockMode(d pfkey.Dialect, n pfkey.EncryptAlg) bool {
	for _, e := range encrs() {
		if k, ok := d.Encrypt(e); ok && k == n {
			return !e.AEAD() && e.Encrypts() && !e.Weak()
		}
	}
	return false
}

func comb(a pfkey.AuthAlg, auth, encrypt pfkey.Supported) pfkey.Comb {
	return pfkey.Comb{
		Auth: a, Encrypt: pfkey.EncryptAlg(encrypt.ID), AuthMinBits: auth.MinBits, AuthMaxBits: auth.MaxBits,
		EncryptMinBits: encrypt.MinBits, EncryptMaxBits: encrypt.MaxBits,
		HardAddTime: proposedHard, SoftAddTime: proposedHard * softPart / 100,
	}
}
