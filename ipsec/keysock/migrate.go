// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// X_MIGRATE, which Linux has (draft-ebalard-mext-pfkey-enhanced-migrate): the templates of one policy and the SAs that they name get
// other outer addresses. SAs are changed in place, sealers and counters stay (NATT.md, Section 2.7).

package keysock

import (
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// step is one pair of requests: what was, and what shall be.
type step struct{ from, to *pfkey.Request }

// migrate is X_MIGRATE. Nothing changes unless everything can.
func (s *Server) migrate(now time.Time, c *client, m *pfkey.Message) error {
	named, err := policyOf(c.codec.Dialect, m)
	if err != nil {
		return err
	}
	steps, err := stepsOf(m.Policy.Requests)
	if err != nil {
		return err
	}
	p := s.namedPolicy(named)
	if p == nil {
		return pfkey.ENOENT
	}
	info, ok := s.db.SPDLookup(p.id)
	if !ok || info.Action != sadb.Protect {
		return pfkey.ENOENT
	}
	e := info.SPDEntry
	e.Templates = append([]sadb.Template(nil), e.Templates...)
	if !moveTemplates(e.Templates, steps) {
		return pfkey.ENOENT
	}
	moves, err := s.matching(steps)
	if err != nil {
		return err
	}
	if err = s.moveAll(now, moves, e); err != nil {
		return err
	}
	s.send(same(&pfkey.Message{Header: m.Header, Src: m.Src, Dst: m.Dst, Policy: m.Policy, KMAddr: m.KMAddr}), toAll)
	return nil
}

func stepsOf(r []pfkey.Request) (steps []step, err error) {
	if len(r) == 0 || len(r)%2 != 0 || len(r)/2 > sadb.MaxTemplates {
		return nil, pfkey.EINVAL
	}
	for i := 0; i < len(r); i += 2 {
		from, to := &r[i], &r[i+1]
		if from.Proto != to.Proto || from.Mode != to.Mode || from.Reqid != to.Reqid || !from.Src.Addr.IsValid() || !to.Src.Addr.IsValid() ||
			to.Src.Addr.IsUnspecified() || to.Dst.Addr.IsUnspecified() {
			return nil, pfkey.EINVAL
		}
		steps = append(steps, step{from, to})
	}
	return steps, nil
}

// moveTemplates changes the templates; false: there is none to change.
func moveTemplates(templates []sadb.Template, steps []step) (any bool) {
	for i := range templates {
		t := &templates[i]
		for _, st := range steps {
			f := st.from
			if uint16(t.Proto) != f.Proto || pfkey.Mode(t.Mode) != f.Mode || f.Reqid != 0 && f.Reqid != t.Reqid {
				continue
			}
			if t.Mode == sadb.Tunnel && (t.Src != f.Src.Addr || t.Dst != f.Dst.Addr) {
				continue
			}
			if t.Mode == sadb.Tunnel {
				t.Src, t.Dst = st.to.Src.Addr, st.to.Dst.Addr
			}
			any = true
			break
		}
	}
	return any
}

// move is one SA's.
type move struct {
	e        *entry
	from, to sadb.SAEndpoint
}

// matching are the SAs that the steps name. EEXIST: one would take the name of another.
func (s *Server) matching(steps []step) ([]move, error) {
	var moves []move
	named := map[sadb.SAID]bool{}
	moved := map[*entry]bool{}
	for _, st := range steps {
		for id, e := range s.sas.byID {
			if uint16(id.Proto) != st.from.Proto || id.Dst != st.from.Dst.Addr || e.src != st.from.Src.Addr || e.larval() || moved[e] {
				continue
			}
			v, err := s.view(e)
			if err != nil {
				continue
			}
			v.wipe()
			if pfkey.Mode(v.Mode) != st.from.Mode || st.from.Reqid != 0 && st.from.Reqid != v.Reqid {
				continue
			}
			to := sadb.SAID{Proto: id.Proto, SPI: id.SPI, Dst: st.to.Dst.Addr}
			if _, taken := s.db.LookupSA(to); taken && to != id || named[to] {
				return nil, pfkey.EEXIST
			}
			named[to], moved[e] = true, true
			m := move{e: e, from: sadb.SAEndpoint{
				Src: v.Src, Dst: v.Dst, Encap: v.Encap, SrcPort: v.SrcPort, DstPort: v.DstPort, OrigSrc: v.OrigSrc, OrigDst: v.OrigDst,
			}}
			m.to = m.from
			m.to.Src, m.to.Dst = st.to.Src.Addr, st.to.Dst.Addr
			moves = append(moves, m)
		}
	}
	return moves, nil
}

// moveAll moves the SAs and puts the policy in the place of the one with its selectors, or does nothing.
func (s *Server) moveAll(now time.Time, moves []move, e sadb.SPDEntry) error {
	for i := range moves {
		if err := s.moveSA(now, moves[i].e, &moves[i].to); err != nil {
			s.moveBack(now, moves[:i])
			return err
		}
	}
	if _, err := s.db.SPDUpdate(now, e); err != nil {
		s.moveBack(now, moves)
		return errnoOf(err)
	}
	return nil
}

// moveBack moves SAs to where they were, which they have just left.
func (s *Server) moveBack(now time.Time, moves []move) {
	for i := range moves {
		_ = s.moveSA(now, moves[i].e, &moves[i].from)
	}
}

func (s *Server) moveSA(now time.Time, e *entry, at *sadb.SAEndpoint) error {
	if err := s.db.UpdateSA(now, e.id, sadb.Change{Endpoint: at}); err != nil {
		return errnoOf(err)
	}
	s.sas.rename(e, at.Src, at.Dst)
	return nil
}
