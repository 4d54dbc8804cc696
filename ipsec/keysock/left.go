// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a key daemon that crashed has left (pfkey.PrivateFresh): kernels keep it until somebody flushes, and so does this server
// until the daemon, or another of its kind, is back. SAs and policies of others stay.

package keysock

import (
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// removeLeft removes it, and tells everybody as DELETE and X_SPDDELETE do.
func (s *Server) removeLeft(now time.Time) {
	if len(s.left) == 0 {
		return
	}
	for _, id := range s.policies.ids(pfkey.Linux) {
		if info, ok := s.db.SPDLookup(id); ok && s.left[info.Owner] {
			s.removeLeftPolicy(s.policies.byID[id])
		}
	}
	for _, ref := range s.db.SAs(0, false) {
		info, ok := ref.Info()
		if !ok {
			continue
		}
		(&shown{SAInfo: info}).wipe() // only the name is wanted
		if s.left[info.Owner] {
			s.removeLeftSA(now, s.sas.byID[sadb.SAID{Proto: info.Proto, SPI: info.SPI, Dst: info.Dst}])
		}
	}
	clear(s.left)
}

func (s *Server) removeLeftPolicy(p *policy) {
	info, err := s.drops(p)
	if err != nil {
		return
	}
	s.send(func(d pfkey.Dialect, _ bool) *pfkey.Message {
		if !p.sayable(d) {
			return nil
		}
		return p.message(d, pfkey.Header{Type: pfkey.TypeSPDDelete}, &info)
	}, toAll)
}

func (s *Server) removeLeftSA(now time.Time, e *entry) {
	if e == nil {
		return
	}
	info, err := s.db.DeleteSA(now, e.id)
	if err != nil {
		return
	}
	v := &shown{SAInfo: info, e: e}
	defer v.wipe()
	s.sas.remove(e)
	s.send(func(d pfkey.Dialect, _ bool) *pfkey.Message {
		a := v.message(d, pfkey.Header{Type: pfkey.TypeDelete, SAType: pfkey.SATypeOf(e.id.Proto)}, false)
		a.SA.State = pfkey.StateDead
		return a
	}, toAll)
}
