// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the data plane saw, told to the key daemons that are registered for it: ACQUIRE, EXPIRE, NEW_MAPPING (RFC 2367, Sections 3.1.6 and
// 3.1.8; NATT.md, Section 1.6) and X_SPDEXPIRE. Addresses in them come from authentic packets.

package keysock

import (
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// Notice takes one notice that is about a single SA or a policy of PF_KEY (n.SA or n.SPD is set, or n.Policy and n.Seq), and returns what
// is to be delivered of it. Notices of IKE's pairs are not the server's and ignored.
func (s *Server) Notice(now time.Time, n sadb.Notice) []Delivery {
	s.out = nil
	if n.SA != nil {
		defer (&shown{SAInfo: *n.SA}).wipe() // the notice's copies
	}
	switch {
	case n.Kind == sadb.Acquire && n.Seq != 0:
		s.acquire(now, &n)
	case n.Kind == sadb.PolicyExpire && n.SPD != nil:
		s.policyExpired(&n)
	case n.SA == nil:
	case n.Kind == sadb.Expire:
		s.expired(n.SA, n.Hard)
	case n.Kind == sadb.NewMapping:
		s.newMapping(&n)
	case n.Kind == sadb.Larval:
		s.larvalGone(n.SA)
	}
	return s.taken()
}

// entryOf is the server's entry of an SA in a notice. A hard limit may be told when the client has put another SA in its place.
func (s *Server) entryOf(sa *sadb.SAInfo) *entry { return s.sas.byID[sa.ID()] }

// expired is SADB_EXPIRE. At a hard limit the SA is gone from the database already.
func (s *Server) expired(sa *sadb.SAInfo, hard bool) {
	v := &shown{SAInfo: *sa, e: s.entryOf(sa)}
	if hard {
		s.drop(v.e)
	}
	s.send(v.expire(hard), toRegistered(pfkey.SATypeOf(sa.Proto)))
}

// drop forgets an SA that the database does not have any more.
func (s *Server) drop(e *entry) {
	if e == nil {
		return
	}
	if _, ok := s.db.LookupSA(e.id); !ok {
		s.sas.remove(e)
	}
}

// larvalGone: a reservation was not completed. Linux tells of it as of a hard limit, the BSDs do not.
func (s *Server) larvalGone(sa *sadb.SAInfo) {
	v := &shown{SAInfo: *sa, e: s.entryOf(sa)}
	s.drop(v.e)
	s.send(func(d pfkey.Dialect, keys bool) *pfkey.Message {
		if d != pfkey.Linux {
			return nil
		}
		return v.expire(true)(d, keys)
	}, toRegistered(pfkey.SATypeOf(sa.Proto)))
}

// newMapping is SADB_X_NAT_T_NEW_MAPPING: the peer of an inbound SA was heard at another endpoint. SRC is its old address, DST its new
// one; the SPI is this host's. FreeBSD's kernel has no such message: clients of its dialect get NetBSD's.
func (s *Server) newMapping(n *sadb.Notice) {
	seq := n.SA.Seq
	oldPort, newPort := n.From.Port(), n.To.Port()
	s.send(same(&pfkey.Message{
		Header: pfkey.Header{Type: pfkey.TypeNewMapping, SAType: pfkey.SATypeOf(n.SA.Proto), Seq: seq},
		SA:     &pfkey.SA{SPI: n.SA.SPI},
		Src:    address(n.From.Addr()), NATSrcPort: &oldPort,
		Dst: address(n.To.Addr()), NATDstPort: &newPort,
	}), toRegistered(pfkey.SATypeOf(n.SA.Proto)))
}
