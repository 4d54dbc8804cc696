// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Policies of the SPD as what they change of the host: routes into the device, and the packet filter's guard. They are a privileged
// client's; the number of those that become rules is bounded by package firewall.

package keyhost

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/daemon/host"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/firewall"
	wire "github.com/natterjack/natterjack/wire/pfkey"
)

const (
	// atOnce is how many policies are compared at every request; with more, syncPause lies between two comparisons, which cost
	// time for each of them.
	atOnce    = 512
	syncPause = 100 * time.Millisecond
	// holdPause lies between two tries to put what the host has refused in force.
	holdPause = 5 * time.Second
	// lastPriority is that of the entries that let others pass: nothing comes after them.
	lastPriority = 1<<32 - 1
	// passOwner is the owner of these entries.
	passOwner = 1<<64 - 1
)

// policies follows the SPD. All but close is called on the goroutine that owns the key server.
type policies struct {
	o     ServerOptions
	keys  func(time.Time, sadb.Notice) []wire.Delivery
	later func() // has sync run, on the owner's goroutine, with due set

	generation uint64
	synced     bool
	next       uint32
	held       map[host.KeyPolicy]uint32 // without their numbers
	refused    map[host.KeyPolicy]bool   // wanted, and not in force outside of the engine
	pass       [2]sadb.PolicyID

	timer *time.Timer // nil: nothing waits
	at    time.Time   // when it rings
	due   bool        // it has rung
	retry time.Time   // when what was refused is tried again
}

func newPolicies(o ServerOptions) *policies {
	return &policies{o: o, held: map[host.KeyPolicy]uint32{}, refused: map[host.KeyPolicy]bool{}}
}

// sync makes the host what the SPD says now.
func (p *policies) sync() {
	generation, rang, now := p.o.DB.Generation(), p.due, time.Now()
	if rang {
		p.due, p.timer = false, nil
	}
	again := len(p.refused) > 0 && !now.Before(p.retry)
	if p.synced && generation == p.generation && !again {
		p.waitForRetry(now)
		return
	}
	if len(p.held) > atOnce && !rang {
		p.wait(now.Add(syncPause))
		return
	}
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.passOthers()
	p.generation, p.synced = p.o.DB.Generation(), true
	if p.o.Host == nil {
		return
	}
	list := p.o.DB.SPDList()
	want := make(map[host.KeyPolicy]bool, len(list))
	for i := range list {
		if k, ok := keyPolicy(&list[i], list); ok {
			want[k] = true
		}
	}
	for k := range want {
		if _, ok := p.held[k]; !ok && (again || !p.refused[k]) {
			_ = p.hold(k) // which notes it
		}
	}
	for k := range p.refused {
		if !want[k] {
			delete(p.refused, k)
		}
	}
	if again || p.retry.Before(now) {
		p.retry = now.Add(holdPause)
	}
	p.waitForRetry(now)
	for k, id := range p.held {
		if want[k] {
			continue
		}
		delete(p.held, k)
		if err := p.o.Host.DropPolicy(id); err != nil {
			p.o.Log.Error("a change of the host could not be taken back; `natterjack cleanup` tries again", "reason", err)
		}
	}
}

// waitForRetry has sync run when what was refused is to be tried again, if there is any.
func (p *policies) waitForRetry(now time.Time) {
	if len(p.refused) > 0 {
		p.wait(p.retry)
	}
}

// wait has sync run at an instant, or before.
func (p *policies) wait(at time.Time) {
	if p.timer != nil {
		if !at.Before(p.at) {
			return
		}
		p.timer.Stop()
	}
	p.at, p.timer = at, time.AfterFunc(time.Until(at), p.later)
}

// enforce puts an entry of the SPD in force now, whose client is told if the host refuses it, and takes it back then
// (wire.PrivateHost). Until it does the entry is tried again like any other.
func (p *policies) enforce(now time.Time, id sadb.PolicyID) error {
	e, ok := p.o.DB.SPDLookup(id)
	if !ok || p.o.Host == nil || e.Action == sadb.Bypass { // without which nothing is in the clear that should not be
		return nil
	}
	k, ok := keyPolicy(&e, nil)
	if _, held := p.held[k]; held || !ok {
		return nil
	}
	err := p.hold(k)
	if err != nil && p.retry.Before(now) {
		p.retry = now.Add(holdPause)
	}
	return err
}

// hold puts a policy in force at the host. One that the host refuses is tried again: the SPD has it all the same, and what reaches
// the engine is judged by it.
func (p *policies) hold(k host.KeyPolicy) error {
	p.next++
	numbered := k
	numbered.ID = p.next
	err := p.o.Host.HoldPolicy(numbered)
	if err == nil {
		p.held[k] = p.next
		delete(p.refused, k)
		return nil
	}
	if !p.refused[k] {
		p.refused[k] = true
		p.o.Log.Error("a policy is not in force outside of the engine: its traffic may bypass the tunnel", "local", k.Local.From.String(),
			"remote", k.Remote.From.String(), "reason", err)
	}
	return err
}

// passOthers keeps the last entries of the SPD, which a client's flush takes with the others.
func (p *policies) passOthers() {
	if !p.o.PassOthers {
		return
	}
	for i, any := range [...]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")} {
		if _, ok := p.o.DB.SPDLookup(p.pass[i]); ok && p.pass[i] != 0 {
			continue
		}
		all := sadb.Selector{From: any.Addr(), To: lastOf(any), PortTo: 65535}
		id, err := p.o.DB.SPDAdd(time.Now(), sadb.SPDEntry{Dir: sadb.Out, Action: sadb.Bypass, Priority: lastPriority, Local: all, Remote: all, Owner: passOwner})
		if err != nil {
			p.o.Log.Warn("packets that meet no policy are dropped", "reason", err) // a client has such an entry of its own
			continue
		}
		p.pass[i] = id
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		b[i] = 0xff
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// keyPolicy is what an entry changes of the host; false: nothing.
func keyPolicy(e *sadb.SPDInfo, all []sadb.SPDInfo) (k host.KeyPolicy, ok bool) {
	k.Local, k.Remote = selector(e.Local), selector(e.Remote)
	switch e.Action {
	case sadb.Protect:
		k.Action, k.Outbound, k.Optional = firewall.Protect, e.Dir == sadb.Out, true
		for _, t := range e.Templates {
			// RFC 3173, Section 2.2: what IPComp does not make shorter goes without.
			if t.Level != sadb.Use && (t.Proto != sadb.ProtoIPComp || t.Mode != sadb.Transport) {
				k.Optional = false
			}
			if t.Mode == sadb.Tunnel {
				k.OuterLocal, k.OuterRemote = t.Src, t.Dst
			}
		}
		if e.Dir != sadb.Out {
			k.OuterLocal, k.OuterRemote = netip.Addr{}, netip.Addr{}
			return k, !k.Optional
		}
		return k, true
	case sadb.Discard:
		k.Action = firewall.Discard
		return k, true
	case sadb.Bypass:
		// The packet filter lets a pass policy win over all others. Where another entry goes first, there is none.
		k.Action = firewall.Bypass
		return k, e.Owner != passOwner && !overruled(e, all)
	}
	return k, false
}

// overruled reports whether an entry that protects or discards some of the same packets goes before e.
func overruled(e *sadb.SPDInfo, all []sadb.SPDInfo) bool {
	for i := range all {
		o := &all[i]
		if o.Dir == e.Dir && o.Action != sadb.Bypass && o.Priority <= e.Priority && overlap(o.Local, e.Local) && overlap(o.Remote, e.Remote) {
			return true
		}
	}
	return false
}

func overlap(a, b sadb.Selector) bool {
	return a.From.BitLen() == b.From.BitLen() && !a.To.Less(b.From) && !b.To.Less(a.From)
}

func selector(s sadb.Selector) ike.Selector {
	return ike.Selector{From: s.From, To: s.To, Proto: s.Proto, PortFrom: s.PortFrom, PortTo: s.PortTo}
}

// close takes everything back. The owner's goroutine has ended.
func (p *policies) close() {
	if p.timer != nil {
		p.timer.Stop()
	}
	for _, id := range p.pass {
		_, _ = p.o.DB.SPDDelete(id)
	}
	if p.o.Host == nil {
		return
	}
	for k, id := range p.held {
		delete(p.held, k)
		if err := p.o.Host.DropPolicy(id); err != nil {
			p.o.Log.Error("a change of the host could not be taken back; `natterjack cleanup` tries again", "reason", err)
		}
	}
}
