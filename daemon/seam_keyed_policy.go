// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The policies of children as X_SPDUPDATE (NATT.md, Section 2.5). A policy of PF_KEY has one prefix and one port, or any, on each
// side; where two children want the same one the newer has it. Selectors were negotiated and lie in the configured ones.

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
	anyProto = 255
	// maxKeyedPolicies bounds those of one child in each direction.
	maxKeyedPolicies = 1024
)

// keyedPolicy names a policy: its selectors, seen from this host.
type keyedPolicy struct {
	dir           pfkey.Dir
	local, remote netip.Prefix
	proto         uint8
	lport, rport  uint16 // zero: any
}

// policiesOf are the policies of a child in one direction.
func policiesOf(c *ike.ChildSA, dir pfkey.Dir) ([]keyedPolicy, error) {
	var list []keyedPolicy
	for _, l := range c.TSLocal {
		for _, r := range c.TSRemote {
			if l.From.BitLen() != r.From.BitLen() || l.Proto != r.Proto && l.Proto != 0 && r.Proto != 0 {
				continue
			}
			lport, ok1 := onePort(l)
			rport, ok2 := onePort(r)
			if !ok1 || !ok2 {
				return nil, fmt.Errorf("%w: PF_KEY has one port or all of them, not %s === %s", sadb.ErrSelectors, SelectorText(l), SelectorText(r))
			}
			proto := max(l.Proto, r.Proto)
			if proto == 0 {
				proto = anyProto
			}
			for _, lp := range route.Prefixes(l.From, l.To) {
				for _, rp := range route.Prefixes(r.From, r.To) {
					list = append(list, keyedPolicy{dir, lp, rp, proto, lport, rport})
				}
			}
			if len(list) > maxKeyedPolicies {
				return nil, fmt.Errorf("%w: more than %d policies", sadb.ErrSelectors, maxKeyedPolicies)
			}
		}
	}
	if len(list) == 0 {
		return nil, sadb.ErrSelectors
	}
	return list, nil
}

func onePort(s ike.Selector) (uint16, bool) {
	switch {
	case s.PortFrom == 0 && s.PortTo == 0xffff:
		return 0, true
	case s.PortFrom == s.PortTo && s.PortFrom != 0 && s.Proto != 1 && s.Proto != 58:
		return s.PortFrom, true
	}
	return 0, false
}

// message is the request about a policy of a pair; requests are the SAs that it wants.
func (x keyedPolicy) message(t pfkey.Type, p *keyedPair) *pfkey.Message {
	end := func(a netip.Prefix, port uint16) *pfkey.Address {
		return &pfkey.Address{Proto: x.proto, PrefixLen: uint8(a.Bits()), Sockaddr: pfkey.Addressed(netip.AddrPortFrom(a.Addr(), port))}
	}
	m := &pfkey.Message{Header: pfkey.Header{Type: t}, Src: end(x.local, x.lport), Dst: end(x.remote, x.rport),
		Policy: &pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: x.dir}}
	from, to := p.at.Local, p.at.Remote
	if x.dir == pfkey.DirIn {
		m.Src, m.Dst, from, to = m.Dst, m.Src, to, from
	}
	if t == pfkey.TypeSPDDelete {
		return m
	}
	r := pfkey.Request{Proto: uint16(satype(p.ah).Proto()), Mode: modeOf(p.mode), Level: pfkey.LevelUnique, Reqid: p.reqid}
	if p.mode != ike.ModeTransport {
		r.Src, r.Dst = pfkey.Addressed(netip.AddrPortFrom(from.Addr(), 0)), pfkey.Addressed(netip.AddrPortFrom(to.Addr(), 0))
	}
	m.Policy.Requests = []pfkey.Request{r}
	return m
}

// addPolicies puts the policies of a pair in force, inbound ones first.
func (k *keyed) addPolicies(p *keyedPair, c *ike.ChildSA) error {
	in, err := policiesOf(c, pfkey.DirIn)
	if err != nil {
		return err
	}
	out, err := policiesOf(c, pfkey.DirOut)
	if err != nil {
		return err
	}
	for _, x := range append(in, out...) {
		if _, err := k.request(x.message(pfkey.TypeSPDUpdate, p)); err != nil {
			return err
		}
		k.mu.Lock()
		k.policies[x] = append(k.policies[x], p)
		if x.dir == pfkey.DirIn {
			p.in = append(p.in, x)
		} else {
			p.out = append(p.out, x)
		}
		k.mu.Unlock()
	}
	return nil
}

// movePolicies follows another endpoint, where the pair is the newest user.
func (k *keyed) movePolicies(p *keyedPair) error {
	k.mu.Lock()
	var list []keyedPolicy
	for _, x := range slices.Concat(p.in, p.out) {
		if users := k.policies[x]; len(users) > 0 && users[len(users)-1] == p && p.mode != ike.ModeTransport {
			list = append(list, x)
		}
	}
	k.mu.Unlock()
	var errs []error
	for _, x := range list {
		_, err := k.request(x.message(pfkey.TypeSPDUpdate, p))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// dropPolicies takes a pair's policies back: the next newest user has them then.
func (k *keyed) dropPolicies(p *keyedPair, onlyOut bool) {
	k.mu.Lock()
	list := p.out
	p.out = nil
	if !onlyOut {
		list = append(list, p.in...)
		p.in = nil
	}
	type change struct {
		x    keyedPolicy
		user *keyedPair // nil: none is left
	}
	var changes []change
	for _, x := range list {
		users := k.policies[x]
		newest := len(users) > 0 && users[len(users)-1] == p
		users = slices.DeleteFunc(users, func(o *keyedPair) bool { return o == p })
		switch {
		case len(users) == 0:
			delete(k.policies, x)
			changes = append(changes, change{x, nil})
		default:
			k.policies[x] = users
			if newest {
				changes = append(changes, change{x, users[len(users)-1]})
			}
		}
	}
	k.mu.Unlock()
	for _, c := range changes {
		m := c.x.message(pfkey.TypeSPDDelete, p)
		if c.user != nil {
			m = c.x.message(pfkey.TypeSPDUpdate, c.user)
		}
		if _, err := k.request(m); err != nil && !errors.Is(err, errNoService) && c.user != nil {
			k.opts.Log.Error("a policy could not be handed over", "reason", err.Error())
		}
	}
}
