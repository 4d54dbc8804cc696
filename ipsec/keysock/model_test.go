// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The slow model: lists, and the rules of NATT.md 1.6 and 2.5 written down a second time, without a look at the server. It says for
// each request which errnos would be right (several, where several things are wrong) and who hears what.

package keysock_test

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/natterjack/natterjack/wire/pfkey"
)

type mSA struct {
	proto      uint8
	spi        uint32
	src, dst   netip.Addr
	owner      int
	larval     bool
	mode       pfkey.Mode
	reqid      uint32
	natt       uint8
	material   string // algorithms and keys
	born       time.Time
	soft, hard time.Duration
	softTold   bool
}

type mPolicy struct {
	dir      pfkey.Dir
	src, dst netip.Prefix
	id       uint32
	hard     time.Duration
	born     time.Time
	requests int
}

type mClient struct {
	dialect    pfkey.Dialect
	privileged bool
	registered map[pfkey.SAType]bool
	promisc    bool
	names      bool // said that its SAs have RFC 4301's
}

type model struct {
	clients   []*mClient
	sas       []*mSA
	policies  []*mPolicy
	now       time.Time
	perDst    bool
	larvalMax int
	heard     map[int][]string // since the last question
}

func word(t pfkey.Type, e pfkey.Errno) string { return fmt.Sprintf("%d/%d", t, e) }

// tell is a message to those who want it. What a promiscuous client overhears beside it is not the model's business.
func (m *model) tell(w string, want func(i int, c *mClient) bool) {
	for i, c := range m.clients {
		if want(i, c) {
			m.heard[i] = append(m.heard[i], w)
		}
	}
}

func everybody(int, *mClient) bool { return true }

// withForward: the BSDs hear of no policy for what is passed on.
func withForward(p *mPolicy) func(int, *mClient) bool {
	return func(_ int, c *mClient) bool { return p.dir != pfkey.DirFwd || c.dialect == pfkey.Linux }
}

func only(n int) func(int, *mClient) bool { return func(i int, _ *mClient) bool { return i == n } }

func registered(t pfkey.SAType) func(int, *mClient) bool {
	return func(_ int, c *mClient) bool { return c.registered[t] }
}

// live are the SAs that a request may mean.
func (m *model) find(ok func(*mSA) bool) *mSA {
	for _, s := range m.sas {
		if ok(s) {
			return s
		}
	}
	return nil
}

func (m *model) drop(gone func(*mSA) bool) int {
	n := len(m.sas)
	m.sas = slices.DeleteFunc(m.sas, gone)
	return n - len(m.sas)
}

// step carries out a request: the errnos that would be right, empty for success. told: what everybody hears then.
func (m *model) step(i int, r *pfkey.Message) (wrong []pfkey.Errno) {
	c := m.clients[i]
	if !c.privileged && r.Type != pfkey.TypeGet && r.Type != pfkey.TypeDump && r.Type != pfkey.TypeSPDGet && r.Type != pfkey.TypeSPDDump {
		return []pfkey.Errno{pfkey.EPERM}
	}
	linux := c.dialect == pfkey.Linux
	if wrong = m.common(c, r); len(wrong) > 0 {
		return wrong
	}
	switch r.Type {
	case pfkey.TypeGetSPI:
		return m.getSPI(i, c, r)
	case pfkey.TypeAdd:
		return m.add(i, c, r)
	case pfkey.TypeUpdate:
		return m.update(i, c, r)
	case pfkey.TypeGet, pfkey.TypeDelete:
		return m.getDelete(i, c, r)
	case pfkey.TypeFlush:
		p := protoOf(r.SAType)
		if p == 0 && r.SAType != 0 {
			return []pfkey.Errno{pfkey.EINVAL}
		}
		n := m.drop(func(s *mSA) bool { return p == 0 || s.proto == p })
		m.flushed(i, linux, r, n)
	case pfkey.TypeSPDFlush:
		if !linux && (r.Src != nil || r.Dst != nil || r.Policy != nil || r.LifetimeHard != nil) {
			return []pfkey.Errno{pfkey.EINVAL}
		}
		n := len(m.policies)
		m.policies = nil
		m.flushed(i, linux, r, n)
	case pfkey.TypeRegister:
		if linux && r.SAType > 9 || r.SAType > 11 {
			return []pfkey.Errno{pfkey.EINVAL}
		}
		if r.SAType != 0 && c.registered[r.SAType] {
			return []pfkey.Errno{pfkey.EEXIST}
		}
		if r.SAType != 0 {
			c.registered[r.SAType] = true
		}
		c.names = c.names || r.KMPrivate != nil
		m.tell(word(r.Type, 0), func(j int, o *mClient) bool { return j == i || o.registered[r.SAType] })
	case pfkey.TypePromisc:
		if r.SAType > 1 {
			return []pfkey.Errno{pfkey.EINVAL}
		}
		c.promisc = r.SAType == 1
		m.tell(word(r.Type, 0), everybody)
	case pfkey.TypeAcquire:
		if r.SA != nil {
			return []pfkey.Errno{pfkey.EOPNOTSUPP}
		}
	case pfkey.TypeSPDAdd, pfkey.TypeSPDUpdate, pfkey.TypeSPDSetIdx, pfkey.TypeSPDDelete, pfkey.TypeSPDGet, pfkey.TypeSPDDelete2:
		return m.spd(i, c, r)
	default:
		if linux {
			return []pfkey.Errno{pfkey.EOPNOTSUPP}
		}
		return []pfkey.Errno{pfkey.EINVAL}
	}
	return nil
}

func (m *model) flushed(i int, linux bool, r *pfkey.Message, n int) {
	if linux {
		m.tell(word(r.Type, 0), only(i))
	}
	if !linux || n > 0 {
		m.tell(word(r.Type, 0), everybody)
	}
}

func protoOf(t pfkey.SAType) uint8 {
	return map[pfkey.SAType]uint8{2: 51, 3: 50, 9: 108}[t]
}

// common is what the BSDs look at first.
func (m *model) common(c *mClient, r *pfkey.Message) (wrong []pfkey.Errno) {
	if c.dialect == pfkey.Linux {
		return nil
	}
	spd := r.Type >= 13 && r.Type <= 22
	switch r.SAType {
	case 0:
		if r.Type <= 6 || r.Type == 8 {
			wrong = append(wrong, pfkey.EINVAL)
		}
	case 2, 3, 9:
		if spd && r.Type != pfkey.TypeSPDDump {
			wrong = append(wrong, pfkey.EINVAL)
		}
	case 5, 6, 7, 8, 11:
		wrong = append(wrong, pfkey.EOPNOTSUPP)
	default:
		if r.SAType != 1 || r.Type != pfkey.TypePromisc && r.Type != pfkey.TypeSPDDump {
			wrong = append(wrong, pfkey.EINVAL)
		}
	}
	return wrong
}

func (m *model) spd(i int, c *mClient, r *pfkey.Message) []pfkey.Errno {
	absent := pfkey.EINVAL
	if c.dialect == pfkey.Linux || r.Type == pfkey.TypeSPDGet {
		absent = pfkey.ENOENT
	}
	if r.Policy == nil {
		return []pfkey.Errno{pfkey.EINVAL}
	}
	if r.Type == pfkey.TypeSPDGet || r.Type == pfkey.TypeSPDDelete2 {
		at := slices.IndexFunc(m.policies, func(p *mPolicy) bool { return p.id == r.Policy.ID })
		if at < 0 {
			return []pfkey.Errno{absent}
		}
		p := m.policies[at]
		if r.Type == pfkey.TypeSPDGet {
			if !withForward(p)(i, c) {
				return []pfkey.Errno{absent}
			}
			m.tell(word(r.Type, 0), only(i))
			return nil
		}
		m.policies = slices.Delete(m.policies, at, at+1)
		m.tell(word(r.Type, 0), func(j int, o *mClient) bool {
			return withForward(p)(j, o) || c.dialect != pfkey.Linux && o.dialect == c.dialect
		})
		return nil
	}
	if r.Src == nil || r.Dst == nil {
		return []pfkey.Errno{pfkey.EINVAL}
	}
	p := &mPolicy{dir: r.Policy.Dir, src: r.Src.Prefix().Masked(), dst: r.Dst.Prefix().Masked(), born: m.now, requests: len(r.Policy.Requests)}
	at := slices.IndexFunc(m.policies, func(o *mPolicy) bool { return o.dir == p.dir && o.src == p.src && o.dst == p.dst })
	if r.Type == pfkey.TypeSPDDelete {
		if at < 0 {
			return []pfkey.Errno{absent}
		}
		m.policies = slices.Delete(m.policies, at, at+1)
		m.tell(word(r.Type, 0), withForward(p))
		return nil
	}
	if r.Policy.Type > pfkey.PolicyIPsec || r.Policy.Type == pfkey.PolicyIPsec && (p.requests == 0 || p.requests > 6) {
		return []pfkey.Errno{pfkey.EINVAL}
	}
	if at >= 0 && r.Type != pfkey.TypeSPDUpdate {
		return []pfkey.Errno{pfkey.EEXIST}
	}
	if r.LifetimeHard != nil {
		p.hard = time.Duration(r.LifetimeHard.AddTime) * time.Second
	}
	if at >= 0 {
		p.id = m.policies[at].id
		m.policies[at] = p
	} else {
		m.policies = append(m.policies, p)
	}
	t := r.Type
	if t == pfkey.TypeSPDSetIdx && c.dialect == pfkey.Linux {
		t = pfkey.TypeSPDAdd
	}
	m.tell(word(t, 0), withForward(p))
	return nil
}

// pass lets time pass to the next instant at which the database looks.
func (m *model) pass(now time.Time) {
	m.now = now
	for _, s := range slices.Clone(m.sas) {
		age := now.Sub(s.born)
		t := map[uint8]pfkey.SAType{50: 3, 51: 2, 108: 9}[s.proto]
		switch {
		case s.larval && age >= 30*time.Second:
			m.drop(func(o *mSA) bool { return o == s })
			m.tell(word(pfkey.TypeExpire, 0), func(_ int, c *mClient) bool { return c.dialect == pfkey.Linux && c.registered[t] })
		case s.larval:
		case s.hard > 0 && age >= s.hard:
			m.drop(func(o *mSA) bool { return o == s })
			m.tell(word(pfkey.TypeExpire, 0), registered(t))
		case s.soft > 0 && age >= s.soft && !s.softTold:
			s.softTold = true
			m.tell(word(pfkey.TypeExpire, 0), registered(t))
		}
	}
	for _, p := range slices.Clone(m.policies) {
		if p.hard > 0 && now.Sub(p.born) >= p.hard {
			m.policies = slices.DeleteFunc(m.policies, func(o *mPolicy) bool { return o == p })
			for i, c := range m.clients {
				if c.dialect != pfkey.Linux && len(c.registered) > 0 && p.dir != pfkey.DirFwd {
					m.heard[i] = append(m.heard[i], word(pfkey.TypeSPDExpire, 0))
				}
			}
		}
	}
}

// table is the SAD as text.
func (m *model) table() string {
	var lines []string
	for _, s := range m.sas {
		state := pfkey.StateMature
		if s.larval {
			state = pfkey.StateLarval
		} else if s.softTold {
			state = pfkey.StateDying
		}
		lines = append(lines, fmt.Sprintf("%d %#x %v>%v %v natt %d reqid %d", s.proto, s.spi, s.src, s.dst, state, s.natt, s.reqid))
	}
	for _, p := range m.policies {
		lines = append(lines, fmt.Sprintf("%v %v>%v id %d requests %d", p.dir, p.src, p.dst, p.id, p.requests))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
