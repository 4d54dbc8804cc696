// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Who wants which policy over PF_KEY. The SPD has one policy of the same selectors; where several want it, a shunt that passes has it
// before children, the newest child before the others, and a trap or a shunt that drops while there is none (RFC 7296, Section 2.8: a
// rekey passes it on without a moment in which nobody has it). One change is made at a time, so that the other side has it of whom
// this side thinks.

package daemon

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// first is who has the policy; nil: nobody.
func first(users []claimant) claimant {
	var has claimant
	for _, u := range users {
		if has == nil || u.class() <= has.class() { // later is newer
			has = u
		}
	}
	return has
}

// claim has who want policies, in this order.
func (k *keyed) claim(who claimant, list []keyedPolicy) error {
	k.spd.Lock()
	defer k.spd.Unlock()
	for _, x := range list {
		k.mu.Lock()
		k.policies[x] = append(slices.DeleteFunc(k.policies[x], func(o claimant) bool { return o == who }), who)
		mine := first(k.policies[x]) == who
		m := x.message(who)
		k.mu.Unlock()
		if !mine {
			continue
		}
		if _, err := k.request(m); err != nil {
			return notInForce(x, err)
		}
	}
	return nil
}

// reclaim says once more what who has of policies: its addresses are others now.
func (k *keyed) reclaim(who claimant, list []keyedPolicy) error {
	k.spd.Lock()
	defer k.spd.Unlock()
	var errs []error
	for _, x := range list {
		k.mu.Lock()
		mine := first(k.policies[x]) == who
		m := x.message(who)
		k.mu.Unlock()
		if mine {
			if _, err := k.request(m); err != nil {
				errs = append(errs, notInForce(x, err))
			}
		}
	}
	return errors.Join(errs...)
}

// disclaim has who want policies no more: the next one has them then.
func (k *keyed) disclaim(who claimant, list []keyedPolicy) {
	k.pass(who, list, func(users []claimant) []claimant {
		return slices.DeleteFunc(users, func(o claimant) bool { return o == who })
	})
}

// yield lets all others who want policies go before who.
func (k *keyed) yield(who claimant, list []keyedPolicy) {
	k.pass(who, list, func(users []claimant) []claimant {
		if i := slices.Index(users, who); i > 0 {
			copy(users[1:], users[:i])
			users[0] = who
		}
		return users
	})
}

// pass changes who want policies, and says of whom those are now that who had and has no more, or that they are nobody's; then it does not
// matter if they are gone already.
func (k *keyed) pass(who claimant, list []keyedPolicy, change func([]claimant) []claimant) {
	k.spd.Lock()
	defer k.spd.Unlock()
	for _, x := range list {
		k.mu.Lock()
		users := k.policies[x]
		had := first(users) == who
		users = change(users)
		next := first(users)
		k.policies[x] = users
		if next == nil {
			delete(k.policies, x)
		}
		m := x.message(next)
		k.mu.Unlock()
		if !had || next == who {
			continue
		}
		if _, err := k.request(m); err != nil && !errors.Is(err, errNoService) && next != nil {
			k.opts.Log.Error("a policy could not be handed over", "reason", err.Error())
		}
	}
}

// addPolicies puts the policies of a pair in force, inbound ones first.
func (k *keyed) addPolicies(p *keyedPair, c *ike.ChildSA) error {
	remote := c.TSRemote
	if p.carries != nil && c.Encap { // the engine gives ports to whoever is in UDP
		remote = anyPort(remote)
	}
	in, err := policiesOf(c.TSLocal, remote, pfkey.DirIn)
	if err != nil {
		return err
	}
	out, err := policiesOf(c.TSLocal, remote, pfkey.DirOut)
	if err != nil {
		return err
	}
	k.mu.Lock()
	p.in, p.out = in, out
	k.mu.Unlock()
	return k.claim(p, slices.Concat(in, out))
}

// movePolicies follows another endpoint.
func (k *keyed) movePolicies(p *keyedPair) error {
	if p.mode == ike.ModeTransport {
		return nil
	}
	k.mu.Lock()
	list := slices.Concat(p.in, p.out)
	k.mu.Unlock()
	return k.reclaim(p, list)
}

// dropPolicies takes a pair's policies back. One that only is not to send any more keeps those of what comes in, behind all others that want
// them: who sends is to be heard.
func (k *keyed) dropPolicies(p *keyedPair, onlyOut bool) {
	k.mu.Lock()
	list, in := p.out, p.in
	p.out = nil
	if !onlyOut {
		list, in = slices.Concat(list, p.in), nil
		p.in = nil
	}
	k.mu.Unlock()
	k.disclaim(p, list)
	k.yield(p, in)
}

// hold implements ipsec. Policies out alone are said: what comes in by a trap's SAs is in their children's policies, and what comes in the
// clear the host's packet filter judges.
func (k *keyed) hold(p *standing) error {
	list, err := policiesOf(p.local, p.remote, pfkey.DirOut)
	if err != nil {
		return err
	}
	if p.action == sadb.Protect {
		if err := k.useReqid(&p.reqid); err != nil {
			return err
		}
	}
	k.mu.Lock()
	p.list = list
	k.standing = append(k.standing, p)
	k.mu.Unlock()
	if err = k.claim(p, list); err != nil {
		k.drop(p)
	}
	return err
}

// drop implements ipsec.
func (k *keyed) drop(p *standing) {
	k.mu.Lock()
	k.standing = slices.DeleteFunc(k.standing, func(o *standing) bool { return o == p })
	if p.action == sadb.Protect {
		k.leaveReqid(p.reqid)
	}
	k.mu.Unlock()
	k.disclaim(p, p.list)
}

// holdAgain says all standing policies to a service that has none.
func (k *keyed) holdAgain() {
	k.mu.Lock()
	list := slices.Clone(k.standing)
	k.mu.Unlock()
	for _, p := range list {
		if err := k.claim(p, p.list); err != nil {
			k.opts.Log.Error("a policy is not in force", "policy", p.name, "reason", err.Error())
		}
	}
}

// acquired is told of an ACQUIRE. One for a child's own SAs is left alone: they come, or the child goes.
func (k *keyed) acquired(m *pfkey.Message) {
	if m.SA2 == nil || m.SA2.Reqid == 0 {
		return
	}
	reqid := m.SA2.Reqid
	k.mu.Lock()
	if !slices.ContainsFunc(k.standing, func(p *standing) bool { return p.action == sadb.Protect && p.reqid == reqid }) {
		k.mu.Unlock()
		return
	}
	if len(k.acquires) >= maxAcquires {
		clear(k.acquires) // what waits is dropped in time
	}
	k.acquires[m.Seq] = reqid
	k.mu.Unlock()
	k.loops.Go(func() { k.asked(reqid) }) // it may ask this side, whose answers are read here
}

// acquireFailed implements ipsec: the ACQUIREs for a reqid are answered with a failure, which ends them (RFC 2367, Section 3.1.6).
func (k *keyed) acquireFailed(reqid uint32) {
	k.mu.Lock()
	var list []uint32
	for seq, id := range k.acquires {
		if id == reqid {
			delete(k.acquires, seq)
			list = append(list, seq)
		}
	}
	k.mu.Unlock()
	for _, seq := range list {
		k.tell(&pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeAcquire, SAType: pfkey.SATypeESP, Seq: seq, Errno: pfkey.ESRCH}})
	}
}

const (
	// maxAcquires bounds those that are not answered: the engine has as many.
	maxAcquires = 256
	// maxManualReqid is the largest reqid that KAME leaves to key daemons.
	maxManualReqid = 0x3fff
)

// useReqid counts one more user of a reqid, and draws one that nobody has where it is zero.
func (k *keyed) useReqid(id *uint32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if *id == 0 {
		drawn, err := k.drawReqid()
		if err != nil {
			return err
		}
		*id = drawn
	}
	k.reqids[*id]++
	return nil
}

// sharedReqid is that of all children in transport mode without IPComp, whose SAs say what they carry; zero: the other side does not know of that, or there
// is none left. It is drawn once.
func (k *keyed) sharedReqid() uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shared == 0 && k.tellsSAs {
		drawn, err := k.drawReqid()
		if err != nil {
			return 0
		}
		k.shared = drawn
		k.reqids[drawn]++
	}
	if !k.tellsSAs {
		return 0
	}
	return k.shared
}

// leaveReqid counts one user less. The caller holds mu.
func (k *keyed) leaveReqid(id uint32) {
	if k.reqids[id]--; k.reqids[id] <= 0 {
		delete(k.reqids, id)
	}
}

// drawReqid is one that nobody has. The caller holds mu.
func (k *keyed) drawReqid() (uint32, error) {
	if k.reqid == 0 {
		var b [2]byte
		if _, err := rand.Read(b[:]); err != nil {
			return 0, err
		}
		k.reqid = uint32(binary.BigEndian.Uint16(b[:])) % maxManualReqid
	}
	for range maxManualReqid {
		if k.reqid = k.reqid%maxManualReqid + 1; k.reqids[k.reqid] == 0 {
			return k.reqid, nil
		}
	}
	return 0, sadb.ErrNoSPI
}
