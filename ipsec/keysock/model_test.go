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

// faults of the parts that GETSPI, ADD, UPDATE, GET and DELETE have.
func faults(r *pfkey.Message, needSA bool) (wrong []pfkey.Errno) {
	if r.Src == nil || r.Dst == nil || protoOf(r.SAType) == 0 || needSA && r.SA == nil {
		wrong = append(wrong, pfkey.EINVAL)
	}
	if r.SAType == 0 && (r.Type == pfkey.TypeAdd || r.Type == pfkey.TypeUpdate) {
		wrong = append(wrong, pfkey.EPROTONOSUPPORT)
	}
	return wrong
}

func (m *model) getSPI(i int, c *mClient, r *pfkey.Message) []pfkey.Errno {
	wrong := faults(r, false)
	mode, reqid, bad := modeReqid(c, r)
	least, most := uint32(0x100), uint32(0x0fffffff)
	if r.SPIRange != nil {
		least, most = max(r.SPIRange.Min, 256), r.SPIRange.Max
	}
	if r.SAType == 9 {
		if c.dialect == pfkey.Linux && r.SPIRange != nil && most > 0xffff {
			bad = true
		}
		least, most = min(least, 0xffff), min(most, 0xffff)
	}
	if bad || least > most {
		wrong = append(wrong, pfkey.EINVAL)
	}
	if len(wrong) > 0 {
		return wrong
	}
	larvals := 0
	for _, s := range m.sas {
		if s.larval && s.owner == i {
			larvals++
		}
	}
	if larvals >= m.larvalMax {
		return []pfkey.Errno{pfkey.ENOBUFS}
	}
	free := 0
	for spi := least; spi <= most && free == 0; spi++ {
		if !m.taken(c, protoOf(r.SAType), spi, r.Dst.Addr) {
			free++
		}
	}
	if free == 0 && c.dialect == pfkey.Linux {
		return []pfkey.Errno{pfkey.ENOENT}
	}
	if free == 0 {
		return []pfkey.Errno{pfkey.EEXIST}
	}
	// Which one it was, the answer says.
	m.sas = append(m.sas, &mSA{proto: protoOf(r.SAType), src: r.Src.Addr, dst: r.Dst.Addr, owner: i, larval: true, mode: mode, reqid: reqid, born: m.now})
	m.tell(word(r.Type, 0), only(i))
	return nil
}

// taken: FreeBSD knows an SPI once; the database once for a protocol, or for a protocol and a destination.
func (m *model) taken(c *mClient, proto uint8, spi uint32, dst netip.Addr) bool {
	return m.find(func(s *mSA) bool {
		return s.spi == spi && (c.dialect == pfkey.FreeBSD || s.proto == proto && (!m.perDst || s.dst == dst))
	}) != nil
}

func modeReqid(c *mClient, r *pfkey.Message) (mode pfkey.Mode, reqid uint32, bad bool) {
	if r.SA2 != nil {
		mode, reqid = r.SA2.Mode, r.SA2.Reqid
	}
	if c.dialect == pfkey.Linux && mode == 0 {
		mode = 1
	}
	return mode, reqid, mode > 2
}

// asked reads what ADD and UPDATE have in common.
func (m *model) asked(i int, c *mClient, r *pfkey.Message) (*mSA, []pfkey.Errno) {
	wrong := faults(r, true)
	s := &mSA{owner: i, born: m.now, proto: protoOf(r.SAType)}
	var bad bool
	s.mode, s.reqid, bad = modeReqid(c, r)
	if bad || (r.LifetimeHard == nil) != (r.LifetimeSoft == nil) {
		wrong = append(wrong, pfkey.EINVAL)
	}
	if r.LifetimeHard != nil && r.LifetimeSoft != nil {
		s.hard, s.soft = time.Duration(r.LifetimeHard.AddTime)*time.Second, time.Duration(r.LifetimeSoft.AddTime)*time.Second
	}
	var e pfkey.Errno
	if s.natt, e = nattOf(c, r); e != 0 {
		wrong = append(wrong, e)
	}
	if r.SA != nil && r.Src != nil && r.Dst != nil {
		s.spi, s.src, s.dst = r.SA.SPI, r.Src.Addr, r.Dst.Addr
		if s.proto == 108 && (s.spi == 0 || s.spi > 0xffff) || s.proto != 108 && s.spi < 256 {
			wrong = append(wrong, pfkey.EINVAL)
		}
	}
	return s, wrong
}

func nattOf(c *mClient, r *pfkey.Message) (uint8, pfkey.Errno) {
	if r.SAType != 3 || r.NATType == nil {
		return 0, 0
	}
	if c.dialect != pfkey.Linux {
		if r.NATSrcPort == nil || r.NATDstPort == nil {
			return 0, 0
		}
		if *r.NATSrcPort == 0 || *r.NATDstPort == 0 {
			return 0, pfkey.EINVAL
		}
	}
	if *r.NATType == 2 || *r.NATType == 1 && c.dialect != pfkey.FreeBSD {
		return *r.NATType, 0
	}
	return 0, pfkey.EINVAL
}

// material is the algorithms and keys; the tests use four kinds of them.
func material(c *mClient, r *pfkey.Message) (string, []pfkey.Errno) {
	unknown := []pfkey.Errno{pfkey.EINVAL}
	if c.dialect == pfkey.Linux {
		unknown = []pfkey.Errno{pfkey.ENOSYS}
	}
	invalid := []pfkey.Errno{pfkey.EINVAL}
	if r.SA == nil {
		return "", invalid
	}
	switch r.SAType {
	case 0:
		return "", append(invalid, pfkey.EPROTONOSUPPORT)
	case 9:
		switch r.SA.Encrypt {
		case 0:
			return "", invalid
		case 2:
			return "deflate", nil
		}
		return "", unknown
	case 2:
		if r.KeyAuth == nil || r.SA.Encrypt != 0 {
			return "", invalid
		}
	default:
		if r.KeyEncrypt == nil {
			return "", invalid
		}
		if r.SA.Encrypt != 12 && r.SA.Encrypt != 20 {
			return "", unknown
		}
		if r.SA.Encrypt == 12 && r.KeyEncrypt.Len() != 16 || r.SA.Encrypt == 20 && r.KeyEncrypt.Len() != 20 {
			return "", invalid
		}
		if r.SA.Encrypt == 20 {
			if r.SA.Auth != 0 {
				return "", invalid
			}
			return fmt.Sprintf("gcm %x", r.KeyEncrypt.Bytes()), nil
		}
	}
	switch {
	case r.KeyAuth == nil || r.SA.Auth == 0:
		return "", invalid
	case r.SA.Auth != 3:
		return "", unknown
	case r.KeyAuth.Len() != 20:
		return "", invalid
	}
	text := fmt.Sprintf("%d %x", r.SA.Encrypt, r.KeyAuth.Bytes())
	if r.KeyEncrypt != nil {
		text += fmt.Sprintf(" %x", r.KeyEncrypt.Bytes())
	}
	return text, nil
}

func (m *model) add(i int, c *mClient, r *pfkey.Message) []pfkey.Errno {
	s, wrong := m.asked(i, c, r)
	text, bad := material(c, r)
	s.material = text
	wrong = append(wrong, bad...)
	if m.taken(c, s.proto, s.spi, s.dst) {
		wrong = append(wrong, pfkey.EEXIST)
	}
	if len(wrong) > 0 {
		return wrong
	}
	m.sas = append(m.sas, s)
	m.tell(word(r.Type, 0), everybody)
	return nil
}

func (m *model) update(i int, c *mClient, r *pfkey.Message) []pfkey.Errno {
	s, wrong := m.asked(i, c, r)
	if len(wrong) > 0 {
		wrong = append(wrong, pfkey.ESRCH, pfkey.ENOSYS) // several faults: any order
		return wrong
	}
	if c.dialect == pfkey.FreeBSD {
		return m.updateFreeBSD(i, c, r, s)
	}
	text, bad := material(c, r)
	old := m.find(func(o *mSA) bool { return o.proto == s.proto && o.spi == s.spi && o.dst == s.dst })
	if old == nil {
		bad = append(bad, pfkey.ESRCH)
	}
	if len(bad) > 0 {
		return bad
	}
	s.material = text
	if old.larval {
		m.complete(old, s)
	} else {
		if old.material != s.material || old.natt != s.natt {
			return []pfkey.Errno{pfkey.EINVAL}
		}
		old.soft, old.hard, old.softTold = s.soft, s.hard, false
	}
	m.tell(word(r.Type, 0), everybody)
	return nil
}

func (m *model) complete(old, s *mSA) {
	if s.reqid == 0 {
		s.reqid = old.reqid
	}
	*old = *s
}

func (m *model) updateFreeBSD(i int, c *mClient, r *pfkey.Message, s *mSA) []pfkey.Errno {
	old := m.find(func(o *mSA) bool { return o.proto == s.proto && o.spi == s.spi && o.dst == s.dst })
	if old == nil {
		return []pfkey.Errno{pfkey.EINVAL, pfkey.ESRCH} // as the first with this SPI is another's or the client's own
	}
	if old.owner != i {
		return []pfkey.Errno{pfkey.EINVAL}
	}
	if old.src != s.src || s.reqid != 0 && s.reqid != old.reqid || old.mode != 0 && old.mode != s.mode {
		return []pfkey.Errno{pfkey.ESRCH}
	}
	if old.larval {
		text, bad := material(c, r)
		if len(bad) > 0 {
			return bad
		}
		s.material = text
		m.complete(old, s)
		m.tell(word(r.Type, 0), everybody)
		return nil
	}
	if r.KeyEncrypt != nil || r.KeyAuth != nil {
		return []pfkey.Errno{pfkey.EINVAL}
	}
	moves := r.NewSrc != nil || r.NewDst != nil
	if !moves && s.natt == 0 && (r.NATType != nil || old.natt != 0) {
		return []pfkey.Errno{pfkey.EINVAL}
	}
	src, dst := old.src, old.dst
	if r.NewSrc != nil {
		src = r.NewSrc.Addr
	}
	if r.NewDst != nil {
		dst = r.NewDst.Addr
	}
	if o := m.find(func(o *mSA) bool { return o != old && o.proto == old.proto && o.spi == old.spi && o.dst == dst }); o != nil {
		return []pfkey.Errno{pfkey.EEXIST}
	}
	if moves || s.natt != 0 {
		old.src, old.dst, old.natt = src, dst, s.natt
	}
	if r.LifetimeHard != nil {
		old.soft, old.hard, old.softTold = s.soft, s.hard, false
	}
	m.tell(word(r.Type, 0), everybody)
	return nil
}

func (m *model) getDelete(i int, c *mClient, r *pfkey.Message) []pfkey.Errno {
	if r.Type == pfkey.TypeDelete && r.SA == nil && c.dialect != pfkey.Linux {
		if wrong := faults(r, false); len(wrong) > 0 {
			return wrong
		}
		m.drop(func(s *mSA) bool {
			return !s.larval && s.proto == protoOf(r.SAType) && s.src == r.Src.Addr && s.dst == r.Dst.Addr
		})
		m.tell(word(r.Type, 0), everybody)
		return nil
	}
	if wrong := faults(r, true); len(wrong) > 0 {
		return wrong
	}
	s := m.find(func(s *mSA) bool {
		return s.proto == protoOf(r.SAType) && s.spi == r.SA.SPI && s.dst == r.Dst.Addr && (c.dialect != pfkey.FreeBSD || s.src == r.Src.Addr)
	})
	if s == nil {
		return []pfkey.Errno{pfkey.ESRCH}
	}
	if r.Type == pfkey.TypeGet {
		m.tell(word(r.Type, 0), only(i))
		return nil
	}
	m.drop(func(o *mSA) bool { return o == s })
	m.tell(word(r.Type, 0), everybody)
	return nil
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
