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
	id, ok := s.db.SPDFind(named.sel.dir, named.sel.local, named.sel.remote)
	p := s.policies.byID[id]
	info, found := s.db.SPDLookup(id)
	if !ok || !found || p == nil || info.Action != sadb.Protect {
		return pfkey.ENOENT
	}
	e := info.SPDEntry
	e.Templates = append([]sadb.Template(nil), e.Templates...)
	if !moveTemplates(e.Templates, steps) {
		return pfkey.ENOENT
	}
	moved, err := s.matching(steps)
	if err != nil {
		return err
	}
	for sa, to := range moved {
		if err = s.moveSA(now, sa, to); err != nil {
			return err
		}
	}
	if _, err = s.db.SPDUpdate(now, e); err != nil {
		return errnoOf(err)
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
			from.Src.Addr.Is4() != from.Dst.Addr.Is4() || to.Src.Addr.Is4() != to.Dst.Addr.Is4() || to.Dst.Addr.IsUnspecified() {
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

// matching are the SAs that the steps name. EEXIST: one would take the name of another.
func (s *Server) matching(steps []step) (map[*entry]*pfkey.Request, error) {
	moved := map[*entry]*pfkey.Request{}
	for _, st := range steps {
		for id, e := range s.sas.byID {
			if uint16(id.Proto) != st.from.Proto || id.Dst != st.from.Dst.Addr || e.src != st.from.Src.Addr || e.larval() {
				continue
			}
			v, err := s.view(e)
			if err == nil {
				v.wipe()
			}
			if err != nil || pfkey.Mode(v.Mode) != st.from.Mode || st.from.Reqid != 0 && st.from.Reqid != v.Reqid {
				continue
			}
			to := sadb.SAID{Proto: id.Proto, SPI: id.SPI, Dst: st.to.Dst.Addr}
			if o := s.sas.byID[to]; o != nil && o != e {
				return nil, pfkey.EEXIST
			}
			moved[e] = st.to
		}
	}
	return moved, nil
}

func (s *Server) moveSA(now time.Time, e *entry, to *pfkey.Request) error {
	v, err := s.view(e)
	if err != nil {
		return err
	}
	v.wipe()
	at := &sadb.SAEndpoint{
		Src: to.Src.Addr, Dst: to.Dst.Addr, Encap: v.Encap, SrcPort: v.SrcPort, DstPort: v.DstPort, OrigSrc: v.OrigSrc, OrigDst: v.OrigDst,
	}
	if err = s.db.UpdateSA(now, e.id, sadb.Change{Endpoint: at}); err != nil {
		return errnoOf(err)
	}
	s.sas.rename(e, at.Src, at.Dst)
	return nil
}
