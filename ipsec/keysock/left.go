// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a key daemon that crashed has left (pfkey.PrivateFresh): kernels keep it until somebody flushes, and so does this server
// until the daemon, or another of its kind, is back. SAs and policies of others stay.

package keysock

import (
	"time"

	"github.com/natterjack/natterjack/wire/pfkey"
)

// maxTold bounds what is told of it: more than a queue holds would be lost anyway, and 100,000 SAs have as many messages for each client.
const maxTold = 1024

// removeLeft removes it, and tells everybody as DELETE and X_SPDDELETE do, of the first that go.
func (s *Server) removeLeft(now time.Time) {
	if len(s.left) == 0 {
		return
	}
	told := 0
	tell := func(m maker) {
		if told++; told <= maxTold {
			s.send(m, toAll)
		}
	}
	for _, id := range s.policies.ids(pfkey.Linux) {
		if info, ok := s.db.SPDLookup(id); ok && s.left[info.Owner] {
			s.removeLeftPolicy(s.policies.byID[id], tell)
		}
	}
	for _, ref := range s.db.SAs(0, false) {
		info, ok := ref.Info()
		if !ok {
			continue
		}
		(&shown{SAInfo: info}).wipe() // only the name is wanted
		if e := s.sas.byID[info.ID()]; e != nil && s.left[info.Owner] {
			s.removeLeftSA(now, e, tell)
		}
	}
	clear(s.left)
}

func (s *Server) removeLeftPolicy(p *policy, tell func(maker)) {
	info, err := s.drops(p)
	if err != nil {
		return
	}
	tell(func(d pfkey.Dialect, _ bool) *pfkey.Message {
		if !p.sayable(d) {
			return nil
		}
		return p.message(d, pfkey.Header{Type: pfkey.TypeSPDDelete}, &info)
	})
}

func (s *Server) removeLeftSA(now time.Time, e *entry, tell func(maker)) {
	info, err := s.db.DeleteSA(now, e.id)
	if err != nil {
		return
	}
	v := &shown{SAInfo: info, e: e}
	defer v.wipe()
	s.sas.remove(e)
	tell(func(d pfkey.Dialect, _ bool) *pfkey.Message {
		a := v.message(d, pfkey.Header{Type: pfkey.TypeDelete, SAType: pfkey.SATypeOf(e.id.Proto)}, false)
		a.SA.State = pfkey.StateDead
		return a
	})
}
