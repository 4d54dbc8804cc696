// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Policies in PF_KEY's words (NATT.md, Section 2.5): one prefix and one port, or any, on each side. Their order is that of the engine
// in this process, as priorities. Selectors of children were negotiated and lie in the configured ones.

package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/route"
	"github.com/natterjack/natterjack/wire/pfkey"
)

const (
	// anyProto is PF_KEY's protocol of a selector for all.
	anyProto               = 255
	protoICMP, protoV6ICMP = 1, 58
	// maxKeyedPolicies bounds those of one child in each direction: a few ranges that are no prefixes, or many subnets.
	maxKeyedPolicies = 256
	// maxKeyedRules bounds those among them with a protocol, each of which is a rule of its own in the host's packet filter: a
	// peer, which may have many children, must not use up what there is room for (firewall's ruleLimit).
	maxKeyedRules = 16
)

// errNotSaid: PF_KEY has no words for it, and time does not mend that.
var errNotSaid = errors.New("PF_KEY cannot say it")

// keyedClass is the order of policies of different origin (sadb.Policy).
type keyedClass uint8

const (
	classBypass keyedClass = iota
	classChild
	classTrap
	classDiscard
)

// keyedPolicy names a policy: its selectors, seen from this host.
type keyedPolicy struct {
	dir           pfkey.Dir
	local, remote netip.Prefix
	proto         uint8
	// Zero: any. Of ICMP the first is the type, the second the code, seen from either side (setkey; Linux).
	lport, rport uint16
}

func (x keyedPolicy) icmp() bool { return x.proto == protoICMP || x.proto == protoV6ICMP }

// policiesOf are the policies of selectors in one direction.
func policiesOf(local, remote []ike.Selector, dir pfkey.Dir) ([]keyedPolicy, error) {
	var list []keyedPolicy
	for _, l := range local {
		for _, r := range remote {
			if l.Dynamic || r.Dynamic || l.From.BitLen() != r.From.BitLen() || l.Proto != r.Proto && l.Proto != 0 && r.Proto != 0 {
				continue
			}
			more, err := policiesOfPair(l, r, dir)
			if err != nil {
				return nil, err
			}
			if list = append(list, more...); len(list) > maxKeyedPolicies {
				return nil, fmt.Errorf("%w: more than %d policies", sadb.ErrSelectors, maxKeyedPolicies)
			}
		}
	}
	rules := 0
	for _, x := range list {
		if x.proto != anyProto {
			rules++
		}
	}
	switch {
	case len(list) == 0:
		return nil, sadb.ErrSelectors
	case rules > maxKeyedRules:
		return nil, fmt.Errorf("%w: %d policies with a protocol, expected at most %d: use prefixes and fewer ports, or --ipsec engine", sadb.ErrSelectors, rules, maxKeyedRules)
	}
	return list, nil
}

// policiesOfPair are the policies of one selector of each side.
func policiesOfPair(l, r ike.Selector, dir pfkey.Dir) (list []keyedPolicy, err error) {
	x := keyedPolicy{dir: dir, proto: max(l.Proto, r.Proto)}
	ok := false
	if x.proto == anyProto {
		return nil, fmt.Errorf("%w: %w: protocol %d is that of all there", sadb.ErrSelectors, errNotSaid, anyProto)
	}
	if x.icmp() {
		var none bool
		if x.lport, x.rport, none, ok = typeAndCode(l, r); none {
			return nil, nil
		}
	} else {
		var other bool
		x.lport, ok = onePort(l)
		x.rport, other = onePort(r)
		ok = ok && other
	}
	if !ok {
		return nil, fmt.Errorf("%w: %w: it has one port, or one type of ICMP, or all of them, not %s === %s", sadb.ErrSelectors, errNotSaid, SelectorText(l), SelectorText(r))
	}
	if x.proto == 0 {
		x.proto = anyProto
	}
	locals, remotes := route.Prefixes(l.From, l.To), route.Prefixes(r.From, r.To)
	if len(locals) == 0 || len(remotes) == 0 || len(locals)*len(remotes) > maxKeyedPolicies {
		return nil, fmt.Errorf("%w: %s === %s are too many prefixes", sadb.ErrSelectors, SelectorText(l), SelectorText(r))
	}
	for _, x.local = range locals {
		for _, x.remote = range remotes {
			list = append(list, x)
		}
	}
	return list, nil
}

// anyPort are the remote selectors of a peer behind a NAT as this host sees its packets: the engine gives each peer there a port of its own
// (RFC 3948, Section 5.2), and from any of them others behind that NAT could send in the clear. The peer's SAs carry what was negotiated.
func anyPort(list []ike.Selector) []ike.Selector {
	const tcp, udp = 6, 17
	list = slices.Clone(list)
	for i := range list {
		if list[i].Proto == tcp || list[i].Proto == udp {
			list[i].PortFrom, list[i].PortTo = 0, 0xffff
		}
	}
	return list
}

func onePort(s ike.Selector) (uint16, bool) {
	switch {
	case s.PortFrom == 0 && s.PortTo == 0xffff:
		return 0, true
	case s.PortFrom == s.PortTo && s.PortFrom != 0:
		return s.PortFrom, true
	}
	return 0, false
}

// typeAndCode are those that two selectors of ICMP have in common: a type with all its codes, or with one that is not zero. Type zero
// cannot be told from any, nor code zero; none: nothing is in common.
func typeAndCode(l, r ike.Selector) (kind, code uint16, none, ok bool) {
	from, to := max(l.PortFrom, r.PortFrom), min(l.PortTo, r.PortTo)
	kind, code = from>>8, from&0xff
	switch {
	case from > to:
		return 0, 0, true, false
	case from == 0 && to == 0xffff:
		return 0, 0, false, true
	case kind != 0 && code == 0 && to == from|0xff:
		return kind, 0, false, true
	case from == to && code != 0:
		return kind, code, false, true
	}
	return 0, 0, false, false
}

// priority puts policies in the engine's order (sadb.Policy): by class, then the longest remote prefix, the longest local one,
// with a protocol, with ports.
func (x keyedPolicy) priority(c keyedClass) uint32 {
	n := uint32(c)<<24 | uint32(x.remote.Addr().BitLen()-x.remote.Bits())<<16 | uint32(x.local.Addr().BitLen()-x.local.Bits())<<8
	if x.proto == anyProto {
		n |= 1 << 2
	}
	for _, port := range [...]uint16{x.lport, x.rport} {
		if port == 0 {
			n++
		}
	}
	return n
}

// claimant is who wants a policy: a pair of SAs or a standing policy. Its methods are called under keyed.mu.
type claimant interface {
	class() keyedClass
	// kind is what the policy does, requests are the SAs that it wants, the innermost first.
	kind() pfkey.PolicyType
	requests(dir pfkey.Dir) []pfkey.Request
}

func (p *keyedPair) class() keyedClass      { return classChild }
func (p *keyedPair) kind() pfkey.PolicyType { return pfkey.PolicyIPsec }
func (p *keyedPair) requests(dir pfkey.Dir) []pfkey.Request {
	level := pfkey.LevelUse // what cannot be made shorter comes as it is
	if dir == pfkey.DirOut {
		level = pfkey.LevelUnique
	}
	list := requestsOf(dir, p.reqid, p.ah, p.mode, p.at[keyedIn].Local.Addr(), p.at[keyedIn].Remote.Addr())
	if p.compresses(dir) {
		list = compressed(list, level)
	}
	return list
}

func (p *standing) class() keyedClass {
	switch p.action {
	case sadb.Bypass:
		return classBypass
	case sadb.Discard:
		return classDiscard
	}
	return classTrap
}

func (p *standing) kind() pfkey.PolicyType {
	switch p.action {
	case sadb.Bypass:
		return pfkey.PolicyNone
	case sadb.Discard:
		return pfkey.PolicyDiscard
	}
	return pfkey.PolicyIPsec
}

func (p *standing) requests(dir pfkey.Dir) []pfkey.Request {
	if p.action != sadb.Protect {
		return nil
	}
	list := requestsOf(dir, p.reqid, p.ah, p.mode, p.outLocal, p.outPeer)
	if p.ipcomp {
		list = compressed(list, pfkey.LevelUse)
	}
	return list
}

// requestsOf are the SAs of a pair.
func requestsOf(dir pfkey.Dir, reqid uint32, ah bool, mode ike.Mode, from, to netip.Addr) []pfkey.Request {
	r := pfkey.Request{Proto: uint16(satype(ah).Proto()), Mode: modeOf(mode), Level: pfkey.LevelUnique, Reqid: reqid}
	if dir == pfkey.DirIn {
		from, to = to, from
	}
	if mode != ike.ModeTransport {
		r.Src, r.Dst = pfkey.Addressed(netip.AddrPortFrom(from, 0)), pfkey.Addressed(netip.AddrPortFrom(to, 0))
	}
	return []pfkey.Request{r}
}

// message is the request about a policy; who is nil where it goes.
func (x keyedPolicy) message(who claimant) *pfkey.Message {
	end := func(a netip.Prefix, port uint16) *pfkey.Address {
		return &pfkey.Address{Proto: x.proto, PrefixLen: uint8(a.Bits()), Sockaddr: pfkey.Addressed(netip.AddrPortFrom(a.Addr(), port))}
	}
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeSPDDelete}, Src: end(x.local, x.lport), Dst: end(x.remote, x.rport),
		Policy: &pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: x.dir}}
	if x.dir == pfkey.DirIn {
		m.Src, m.Dst = m.Dst, m.Src
		if x.icmp() {
			m.Src.Port, m.Dst.Port = m.Dst.Port, m.Src.Port
		}
	}
	if who != nil {
		m.Type, m.Policy.Type, m.Policy.Priority = pfkey.TypeSPDUpdate, who.kind(), x.priority(who.class())
		m.Policy.Requests = who.requests(x.dir)
	}
	return m
}
