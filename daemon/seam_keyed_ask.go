// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The questions of the seam as SADB messages (RFC 2367, Section 3.1; NATT.md, Section 2.5): SAs, from
// GETSPI to DELETE. Peers choose the outbound SPIs: a pair has the outbound SA that it has added, and touches no other.

package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// errStays: RefusalUnsupported.
var errStays = errors.New("a child in transport mode is bound to its addresses")

// Ask implements ipsec.
func (k *keyed) Ask(now time.Time, unique uint64, q ike.Question) ike.Answer {
	switch q := q.(type) {
	case ike.Reserve:
		return k.reserve(unique, q)
	case ike.Install:
		return k.install(q.Child)
	case ike.Promote:
		if p := k.pair(q.SPIIn); p != nil {
			return installed(k.promote(p))
		}
		return ike.Failed{Err: sadb.ErrUnknown}
	case ike.Move:
		if p := k.pair(q.SPIIn); p != nil {
			return moved(k.move(p, q.Path))
		}
		return ike.Failed{Err: sadb.ErrUnknown}
	case ike.Remove:
		return ike.Removed{Final: k.remove(now, q.SPIIn, q.OnlyOut)}
	case ike.Query:
		if p := k.pair(q.SPIIn); p != nil {
			return k.count(now, p)
		}
		return ike.Failed{Err: sadb.ErrUnknown}
	}
	return ike.Failed{Err: fmt.Errorf("question %T is not the seam's", q)}
}

func (k *keyed) pair(spiIn uint32) *keyedPair {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pairs.in[spiIn]
}

func (k *keyed) reserve(unique uint64, q ike.Reserve) ike.Answer {
	if q.Local.Zone() != "" || q.Remote.Zone() != "" {
		return ike.Failed{Refusal: ike.RefusalUnsupported, Err: fmt.Errorf("%w: %s and %s: a link-local address and its interface; use another, or --ipsec engine", errNotSaid, q.Local, q.Remote)}
	}
	p := &keyedPair{pair: pair{unique: unique}, ah: q.AH, mode: q.Mode, reqid: q.Reqid}
	if p.reqid == 0 && q.Initiated {
		p.reqid = k.trapped(q.Connection, q.Child)
	}
	if p.reqid == 0 && q.Mode == ike.ModeTransport && !q.IPComp { // which SA of IPComp is whose nobody knows there
		p.reqid = k.sharedReqid()
	}
	if err := k.useReqid(&p.reqid); err != nil {
		return installed(err)
	}
	p.at[keyedIn] = sadb.Endpoint{Local: netip.AddrPortFrom(q.Local.Unmap(), 0), Remote: netip.AddrPortFrom(q.Remote.Unmap(), 0)}
	a, err := k.request(&pfkey.Message{
		Header: pfkey.Header{Type: pfkey.TypeGetSPI, SAType: satype(q.AH)}, Src: addressOf(q.Remote), Dst: addressOf(q.Local),
		SPIRange: &pfkey.SPIRange{Min: 1 << 24, Max: 1<<32 - 1}, SA2: &pfkey.SA2{Mode: pfkey.ModeAny, Reqid: p.reqid}, // UPDATE says which
	})
	if err != nil || a.SA == nil {
		k.mu.Lock()
		k.leaveReqid(p.reqid)
		k.mu.Unlock()
		return ike.Failed{Refusal: ike.RefusalTemporary, Err: errors.Join(errors.New("no SPI"), err)}
	}
	p.spiIn = a.SA.SPI
	k.mu.Lock()
	k.pairs.add(p)
	k.mu.Unlock()
	return ike.Reserved{SPI: p.spiIn, Reqid: p.reqid, ChildID: k.next.Add(1)}
}

// install completes the inbound SA, adds the outbound one and the policies. After a failure nothing is left.
func (k *keyed) install(c ike.ChildSA) ike.Answer {
	p := k.pair(c.SPIIn)
	if p == nil { // the service has gone since, and with it what it had reserved
		k.released(c.SPIIn)
		return installed(sadb.ErrReservation)
	}
	k.mu.Lock()
	// The reservation has the addresses of when it was asked for; the NAT may have another for the peer since.
	at, reserved := endpoint(c.Path, c.Encap), p.at[keyedIn]
	p.spiOut, p.mode = c.SPIOut, c.Mode
	p.origLocal, p.origRemote = c.OrigLocal, c.OrigRemote
	p.at[keyedIn] = sadb.Endpoint{Encap: at.Encap, Local: netip.AddrPortFrom(reserved.Local.Addr(), at.Local.Port()),
		Remote: netip.AddrPortFrom(reserved.Remote.Addr(), at.Remote.Port())}
	p.ipcomp = c.CPIIn != 0 || c.Config != nil && c.Config.IPComp
	k.mu.Unlock()
	err := k.addSAs(p, &c, at)
	if err == nil && !c.Config.NoPolicies {
		err = k.addPolicies(p, &c)
	}
	if err != nil {
		k.dropPolicies(p, false) // also where the service has gone meanwhile, and the pair with it
		k.remove(time.Now(), c.SPIIn, false)
		return refused(err)
	}
	return ike.Installed{}
}

func (k *keyed) addSAs(p *keyedPair, c *ike.ChildSA, at sadb.Endpoint) error {
	if c.Config == nil {
		return errors.New("child: no configuration")
	}
	if err := expressible(c); err != nil {
		return err
	}
	if c.Mode == ike.ModeTransport && slices.ContainsFunc(c.TSRemote, func(s ike.Selector) bool { return s.From != at.Remote.Addr() || s.To != s.From }) {
		return fmt.Errorf("%w: transport mode is with %s alone over PF_KEY", sadb.ErrSelectors, at.Remote.Addr())
	}
	if c.Mode == ike.ModeTransport && p.at[keyedIn] != at {
		return sadb.ErrReservation // moving it would lose the original addresses
	}
	if err := k.bound(p, c, at); err != nil {
		return err
	}
	limits, err := limitsOf(*c)
	if err != nil {
		return err
	}
	in, err := saMessage(p, c, limits, true)
	if err != nil {
		return err
	}
	_, err = k.request(in)
	wipeMessage(in)
	if err == nil {
		p.moving.Lock()
		err = k.moveOrPursue(p, at, k.moveIn)
		p.moving.Unlock()
	}
	if err == nil {
		err = k.addCompression(p, keyedIn, c.CPIIn)
	}
	if err != nil {
		return err
	}
	out, err := saMessage(p, c, limits, false)
	if err != nil {
		return err
	}
	if c.Standby && k.sends(c.Replaces) {
		k.mu.Lock()
		p.held, p.replaces, p.cpiHeld = out, c.Replaces, c.CPIOut
		if old := k.pairs.in[c.Replaces]; old != nil {
			p.below = old.compresses(pfkey.DirOut)
		}
		k.mu.Unlock()
		return nil
	}
	return k.addOut(p, out, c.CPIOut)
}

// addOut adds the outbound SA of a pair, and wipes what was to be said.
func (k *keyed) addOut(p *keyedPair, out *pfkey.Message, cpi uint16) error {
	defer wipeMessage(out)
	k.mu.Lock()
	p.hasOut, p.at[keyedOut] = true, p.at[keyedIn]
	k.mu.Unlock()
	_, err := k.request(out)
	switch {
	case errors.Is(err, errNoService):
		// Whether it is there nobody knows. Deleting it could be deleting another's that has its name; so all begins anew.
		k.reset()
	case err != nil:
		k.mu.Lock()
		p.hasOut = false // what has its name, if anything has, is another's
		k.mu.Unlock()
	case cpi != 0:
		return k.addCompression(p, keyedOut, cpi)
	}
	return err
}

// sends reports whether a pair is still sent on.
func (k *keyed) sends(spiIn uint32) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pairs.in[spiIn]
	return p != nil && p.hasOut && !p.noOut
}

// promote adds the outbound SA of a pair that was on standby.
func (k *keyed) promote(p *keyedPair) error {
	p.moving.Lock()
	defer p.moving.Unlock()
	k.mu.Lock()
	m, cpi, at := p.held, p.cpiHeld, p.at[keyedIn]
	p.held = nil
	k.mu.Unlock()
	if m == nil {
		return nil
	}
	m.Src, m.Dst = addressOf(at.Local.Addr()), addressOf(at.Remote.Addr())
	nattOf(m, at, at.Local, at.Remote)
	err := k.addOut(p, m, cpi)
	k.mu.Lock()
	list, changed := p.out, p.below != p.compresses(pfkey.DirOut)
	k.mu.Unlock()
	if err == nil && changed {
		err = k.reclaim(p, list)
	}
	return err
}

// remove deletes a pair or a reservation and returns what it had counted. What waited for it sends from now on.
func (k *keyed) remove(now time.Time, spiIn uint32, onlyOut bool) ike.Usage {
	p := k.pair(spiIn)
	if p == nil {
		k.released(spiIn)
		return ike.Usage{}
	}
	var final ike.Usage
	if u, ok := k.count(now, p).(ike.Usage); ok {
		final = u
	}
	// First what waited sends: between the two there is no moment without an SA.
	for _, o := range k.waiters(p) {
		if err := k.promote(o); err != nil && !errors.Is(err, errNoService) {
			k.opts.Log.Error("an outbound SA could not be added: its child ends", "spi", fmt.Sprintf("%08x", o.spiOut), "reason", err.Error())
			k.notice(o.unique, ike.Expire{SPIIn: o.spiIn, Hard: true})
		}
	}
	k.stopSending(p)
	k.dropPolicies(p, onlyOut)
	if onlyOut {
		return final
	}
	p.moving.Lock()
	k.dropCompression(p, keyedIn)
	k.deleteSA(p, keyedIn)
	p.moving.Unlock()
	k.forget(spiIn)
	return final
}

// waiters are the pairs that wait for one to stop to send.
func (k *keyed) waiters(p *keyedPair) (waits []*keyedPair) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, o := range k.pairs.in {
		if o.held != nil && o.replaces == p.spiIn {
			waits = append(waits, o)
		}
	}
	return waits
}

// stopSending deletes the outbound SA of a pair.
func (k *keyed) stopSending(p *keyedPair) {
	p.moving.Lock()
	defer p.moving.Unlock()
	k.mu.Lock()
	held, hadOut := p.held, p.hasOut
	p.held, p.hasOut, p.noOut = nil, false, true
	k.mu.Unlock()
	if held != nil {
		wipeMessage(held)
	}
	k.dropCompression(p, keyedOut)
	if hadOut {
		k.deleteSA(p, keyedOut)
	}
}

// delete deletes one SA. One that is gone already (a hard lifetime) is no failure.
func (k *keyed) delete(m *pfkey.Message) {
	if _, err := k.request(m); err != nil && !errors.Is(err, pfkey.ESRCH) && !errors.Is(err, errNoService) {
		k.opts.Log.Error("an SA could not be deleted", "spi", fmt.Sprintf("%08x", m.SA.SPI), "reason", err.Error())
	}
}

// counted is what one SA has counted.
type counted struct {
	packets, octets uint64
	last            time.Time // zero: it was not used, or is not there
}

// count asks for what both SAs have counted. A count is never less than it was.
func (k *keyed) count(now time.Time, p *keyedPair) ike.Answer {
	k.mu.Lock()
	u, made := p.last, p.spiOut != 0
	k.mu.Unlock()
	if !made { // a reservation
		return u
	}
	in, out := k.get(now, p, keyedIn), k.get(now, p, keyedOut)
	k.mu.Lock()
	defer k.mu.Unlock()
	u = p.last
	if in.packets >= u.PacketsIn && !in.last.IsZero() {
		u.PacketsIn, u.BytesIn, u.LastIn = in.packets, in.octets, in.last
	}
	if out.packets >= u.PacketsOut && !out.last.IsZero() {
		u.PacketsOut, u.BytesOut, u.LastOut = out.packets, out.octets, out.last
	}
	p.last = u
	return u
}

// get asks about one SA, if it is known where that is.
func (k *keyed) get(now time.Time, p *keyedPair, sa int) counted {
	k.mu.Lock()
	m, ask := p.about(pfkey.TypeGet, sa, p.at[sa]), p.has(sa) && !p.inDoubt(sa)
	k.mu.Unlock()
	if !ask {
		return counted{}
	}
	a, err := k.request(m)
	if err != nil || a.LifetimeCurrent == nil {
		return counted{}
	}
	c := counted{packets: uint64(a.LifetimeCurrent.Allocations), octets: a.LifetimeCurrent.Bytes}
	k.mu.Lock()
	codec := k.codec
	k.mu.Unlock()
	if idle, ok := codec.IdleSince(a.KMPrivate); ok {
		c.last = now.Add(-idle)
	}
	return c
}
