// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// ACQUIRE (RFC 2367, Section 3.1.6): a packet needs an SA that is not there. The database says so once for each need until an SA with that
// sequence number is there, a key daemon says that there will be none, or 30 s have passed; packets wait there meanwhile, a bounded few.

package keysock

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// acquireFailed is SADB_ACQUIRE from a client: a bare header with the number of an ACQUIRE and an errno. It has no answer.
//
// Deviation: FreeBSD passes a whole ACQUIRE on to the key daemons; Linux, and this server, refuse it.
func (s *Server) acquireFailed(now time.Time, _ *client, m *pfkey.Message) error {
	if len(m.Order) != 0 {
		return pfkey.EOPNOTSUPP
	}
	if m.Seq != 0 && m.Errno != pfkey.OK {
		s.acquires.failed(now, m.Seq)
		s.db.SPDAcquireFailed(m.Seq)
	}
	return nil
}

const (
	// maxAcquires bounds what is remembered of ACQUIREs: more than the database has unanswered at once.
	maxAcquires = 1024
	// acquireRest is how long nothing is asked for after a failure: a daemon that fails at once is not asked for each packet.
	//
	// Deviation: FreeBSD waits for ten packets more or 20 s, Linux does not listen to failures and asks after 30 s. Who tries again, as TCP
	// does after a second, would find the peer that is back only then.
	acquireRest = time.Second
)

// need is what an ACQUIRE asks for.
type need struct {
	policy   sadb.PolicyID
	src, dst netip.Addr
}

// acquires are the last ones.
type acquires map[need]*acquire

type acquire struct {
	seq    uint32
	failed time.Time // zero: it has not
}

// resting reports whether it is too early to ask again.
func (a acquires) resting(now time.Time, k need) bool {
	last := a[k]
	return last != nil && !last.failed.IsZero() && now.Sub(last.failed) < acquireRest
}

// asked notes an ACQUIRE, and forgets some other where there are too many: the worst that follows is one more.
func (a acquires) asked(k need, seq uint32) {
	for old := range a {
		if len(a) < maxAcquires {
			break
		}
		delete(a, old)
	}
	a[k] = &acquire{seq: seq}
}

func (a acquires) failed(now time.Time, seq uint32) {
	for _, last := range a {
		if last.seq == seq {
			last.failed = now
		}
	}
}

// acquire is SADB_ACQUIRE to the key daemons. With nobody to hear it, and just after a failure, the packets need not wait.
func (s *Server) acquire(now time.Time, n *sadb.Notice) {
	t := n.Template
	p := s.policies.byID[n.Policy]
	satype := pfkey.SATypeOf(t.Proto)
	k := need{n.Policy, t.Src, t.Dst}
	if p == nil || !s.anybody(toRegistered(satype)) || s.acquires.resting(now, k) {
		s.db.SPDAcquireFailed(n.Seq)
		return
	}
	s.acquires.asked(k, n.Seq)
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

// proposal is SADB_EXT_PROPOSAL: algorithms in the BSDs, an empty list in Linux, and of IPComp none there. Key daemons take them from their configuration.
func proposal(d pfkey.Dialect, proto uint8) *pfkey.Proposal {
	p := &pfkey.Proposal{Replay: proposedWindow}
	switch {
	case d == pfkey.Linux && proto == sadb.ProtoIPComp:
		return nil // Linux proposes nothing here
	case d == pfkey.Linux || proto == sadb.ProtoIPComp:
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
