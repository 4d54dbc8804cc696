// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Policies as PF_KEY says them (KAME's X_SPD messages; NATT.md, Section 2.5), into the words of the database and back.

package keysock

import (
	"net/netip"
	"slices"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// policy is one policy: what was said of it that the database does not need.
type policy struct {
	id         sadb.PolicyID
	sel        selectors
	src, dst   pfkey.Address
	policy     pfkey.Policy // without requests
	requests   []pfkey.Request
	hard, soft *pfkey.Lifetime
}

// selectors name a policy: no two have the same.
type selectors struct {
	dir           sadb.Dir
	local, remote sadb.Selector
}

// sayable: the BSDs have no policies for what is passed on.
func (p *policy) sayable(d pfkey.Dialect) bool { return d == pfkey.Linux || p.sel.dir != sadb.Forward }

// policyTable finds policies by number.
type policyTable struct {
	byID   map[sadb.PolicyID]*policy
	unique reqids // of the policies that are there
}

func newPolicyTable() policyTable {
	return policyTable{byID: map[sadb.PolicyID]*policy{}, unique: newReqids()}
}

// add puts a policy in the place of the one with its number.
func (t *policyTable) add(p *policy) {
	t.remove(p.id)
	t.byID[p.id] = p
}

func (t *policyTable) remove(id sadb.PolicyID) {
	if p := t.byID[id]; p != nil {
		t.unique.leave(p.requests)
		delete(t.byID, id)
	}
}

func (t *policyTable) clear() {
	clear(t.byID)
	clear(t.unique.used)
	t.unique.shortUsed = 0 // where the last ones were stays
}

// ids are the numbers of what the dialect can say, the oldest first.
func (t *policyTable) ids(d pfkey.Dialect) []sadb.PolicyID {
	ids := make([]sadb.PolicyID, 0, len(t.byID))
	for id, p := range t.byID {
		if p.sayable(d) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// policyOf reads direction and selectors, which ADD, UPDATE and DELETE have.
func policyOf(d pfkey.Dialect, m *pfkey.Message) (*policy, error) {
	if _, _, err := addresses(m); err != nil || m.Policy == nil {
		return nil, pfkey.EINVAL
	}
	p := &policy{src: *m.Src, dst: *m.Dst, policy: *m.Policy, hard: m.LifetimeHard, soft: m.LifetimeSoft}
	p.policy.Requests = nil
	switch dir := m.Policy.Dir; {
	case dir == pfkey.DirIn || dir == pfkey.DirOut || dir == pfkey.DirFwd && d == pfkey.Linux:
		p.sel.dir = sadb.Dir(dir)
	default:
		return nil, pfkey.EINVAL
	}
	proto := m.Dst.Proto // both have the same in the BSDs, and Linux believes this one
	p.src.Proto = proto
	src, err := selector(m.Src, proto)
	if err != nil {
		return nil, err
	}
	dst, err := selector(m.Dst, proto)
	if err != nil {
		return nil, err
	}
	if src.Proto == protoICMP || src.Proto == protoICMPv6 {
		if err = typeAndCode(&src, &dst, m.Src.Port, m.Dst.Port); err != nil {
			return nil, err
		}
	}
	if p.sel.local, p.sel.remote = src, dst; p.sel.dir != sadb.Out {
		p.sel.local, p.sel.remote = dst, src
	}
	return p, nil
}

const (
	protoICMP, protoICMPv6 = 1, 58
	maxPort                = 1<<16 - 1
)

// selector is an address with its prefix, protocol and port; 0 and 255 are any protocol, 0 any port.
func selector(a *pfkey.Address, proto uint8) (sadb.Selector, error) {
	if int(a.PrefixLen) > a.Addr.BitLen() {
		return sadb.Selector{}, pfkey.EINVAL
	}
	if proto == protoAny {
		proto = 0
	}
	prefix := netip.PrefixFrom(a.Addr, int(a.PrefixLen)).Masked()
	s := sadb.Selector{From: prefix.Addr(), To: lastOf(prefix), Proto: proto, PortTo: maxPort}
	if a.Port != 0 {
		s.PortFrom, s.PortTo = a.Port, a.Port
	}
	return s, nil
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// typeAndCode: of ICMP the source's port is the type and the destination's the code (setkey, Linux). A type of zero with no code is
// any, for it cannot be told from one.
//
// Deviation: in Linux a type or code that no packet has is a policy for nothing. It is a mistake, and refused.
func typeAndCode(src, dst *sadb.Selector, icmpType, code uint16) error {
	src.PortFrom, src.PortTo, dst.PortFrom, dst.PortTo = 0, maxPort, 0, maxPort
	if icmpType > 255 || code > 255 {
		return pfkey.EINVAL
	}
	if icmpType == 0 && code == 0 {
		return nil
	}
	from, to := icmpType<<8, icmpType<<8|255
	if code != 0 {
		from, to = icmpType<<8|code, icmpType<<8|code
	}
	src.PortFrom, src.PortTo, dst.PortFrom, dst.PortTo = from, to, from, to
	return nil
}

// entry is the policy for the database.
func (p *policy) entry(d pfkey.Dialect, owner uint64, requests []pfkey.Request) (sadb.SPDEntry, error) {
	e := sadb.SPDEntry{Dir: p.sel.dir, Priority: p.policy.Priority, Local: p.sel.local, Remote: p.sel.remote, Owner: owner}
	switch p.policy.Type {
	case pfkey.PolicyDiscard:
		e.Action = sadb.Discard
	case pfkey.PolicyNone:
		e.Action = sadb.Bypass
	case pfkey.PolicyIPsec:
		e.Action = sadb.Protect
		if err := p.templates(d, requests, &e); err != nil {
			return e, err
		}
	default:
		return e, pfkey.EINVAL // entrust and bypass are policies of a socket
	}
	if l := p.hard; l != nil {
		e.HardTime, e.HardIdle = seconds(l.AddTime), seconds(l.UseTime)
	}
	if l := p.soft; l != nil {
		e.SoftTime, e.SoftIdle = seconds(l.AddTime), seconds(l.UseTime)
	}
	return e, nil
}

// templates reads the requests of a policy.
//
// Deviation: in Linux a policy without requests lets everything out in the clear. Who wants that says "none".
func (p *policy) templates(d pfkey.Dialect, requests []pfkey.Request, e *sadb.SPDEntry) error {
	if len(requests) == 0 || len(requests) > sadb.MaxTemplates {
		return pfkey.EINVAL
	}
	for _, r := range requests {
		t, err := template(d, &r)
		if err != nil {
			return err
		}
		e.Templates = append(e.Templates, t)
		r.Reqid = t.Reqid
		p.requests = append(p.requests, r)
	}
	return nil
}

// template reads one request. The reqid counts with level unique only, in every kernel; one that is missing is given later.
func template(d pfkey.Dialect, r *pfkey.Request) (sadb.Template, error) {
	var t sadb.Template
	if r.Proto != sadb.ProtoESP && r.Proto != sadb.ProtoAH && r.Proto != sadb.ProtoIPComp {
		if d == pfkey.Linux {
			return t, pfkey.EINVAL
		}
		return t, pfkey.EPROTONOSUPPORT
	}
	t.Proto, t.Level = uint8(r.Proto), sadb.Level(r.Level)
	switch r.Mode {
	case pfkey.ModeTransport:
		t.Mode = sadb.Transport
	case pfkey.ModeTunnel:
		t.Mode = sadb.Tunnel
		if t.Src, t.Dst = r.Src.Addr, r.Dst.Addr; !t.Src.IsValid() || t.Src.Is4() != t.Dst.Is4() {
			return t, pfkey.EINVAL
		}
	default:
		return t, pfkey.EINVAL
	}
	switch {
	case r.Level > pfkey.LevelUnique:
		return t, pfkey.EINVAL
	case r.Level == pfkey.LevelUnique && r.Reqid <= manualReqidMax:
		t.Reqid = r.Reqid
	}
	return t, nil
}

// policyMessage shows a policy: GET, DUMP, and in Linux every answer. Nil: it is gone.
func (s *Server) policyMessage(p *policy, d pfkey.Dialect, h pfkey.Header) *pfkey.Message {
	info, ok := s.db.SPDLookup(p.id)
	if !ok {
		return nil
	}
	return p.message(d, h, &info)
}

func (p *policy) message(d pfkey.Dialect, h pfkey.Header, info *sadb.SPDInfo) *pfkey.Message {
	h.SAType, h.Errno = pfkey.SATypeUnspec, pfkey.OK
	src, dst := p.src, p.dst
	m := &pfkey.Message{Header: h, Src: &src, Dst: &dst, Policy: p.shown(d, info)}
	current := &pfkey.Lifetime{AddTime: epoch(info.Added), UseTime: epoch(info.LastUsed)}
	if d == pfkey.Linux {
		m.Src.Proto, m.Dst.Proto = anyAsAny(src.Proto), anyAsAny(src.Proto)
		m.LifetimeHard, m.LifetimeSoft, m.LifetimeCurrent = orZero(p.hard), orZero(p.soft), current
		return m
	}
	if p.hard != nil && p.hard.AddTime != 0 {
		m.LifetimeCurrent, m.LifetimeHard = current, p.hard
	}
	return m
}

// anyAsAny: Linux shows protocol 0 as 255.
func anyAsAny(proto uint8) uint8 {
	if proto == 0 {
		return protoAny
	}
	return proto
}

func orZero(l *pfkey.Lifetime) *pfkey.Lifetime {
	if l == nil {
		return &pfkey.Lifetime{}
	}
	c := *l
	return &c
}

// shown is the policy's extension, with the reqids that the database picked. Linux knows of a request only whether it must be met, and
// has no addresses in transport mode.
func (p *policy) shown(d pfkey.Dialect, info *sadb.SPDInfo) *pfkey.Policy {
	x := p.policy
	x.ID = uint32(p.id)
	if d == pfkey.Linux {
		x.Scope = 0
	}
	for i, r := range p.requests {
		if i < len(info.Templates) {
			t := &info.Templates[i]
			r.Reqid = t.Reqid
			if t.Mode == sadb.Tunnel {
				r.Src.Addr, r.Dst.Addr = t.Src, t.Dst
			}
		}
		if d == pfkey.Linux {
			linuxRequest(&r)
		}
		x.Requests = append(x.Requests, r)
	}
	return &x
}

func linuxRequest(r *pfkey.Request) {
	switch {
	case r.Level == pfkey.LevelUse:
	case r.Reqid != 0:
		r.Level = pfkey.LevelUnique
	default:
		r.Level = pfkey.LevelRequire
	}
	if r.Mode != pfkey.ModeTunnel {
		r.Src, r.Dst = pfkey.Sockaddr{}, pfkey.Sockaddr{}
	}
	r.Src.Port, r.Dst.Port = 0, 0
}

// protocol tells a key daemon of the BSDs which upper protocol and ports the policy is for.
func (p *policy) protocol(m *pfkey.Message) {
	if p.src.Proto != 6 && p.src.Proto != 17 { // TCP and UDP, as FreeBSD has it
		m.Src.Proto, m.Dst.Proto = protoAny, protoAny
		return
	}
	m.Src.Proto, m.Dst.Proto, m.Src.Port, m.Dst.Port = p.src.Proto, p.src.Proto, p.src.Port, p.dst.Port
}
