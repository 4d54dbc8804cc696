// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The questions of the seam as SADB messages (RFC 2367, Section 3.1; NATT.md, Section 2.5): SAs. Keys are in messages only, which
// are wiped when they were sent.

package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

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
			return installed(k.move(p, q.Path))
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

func satype(ah bool) pfkey.SAType {
	if ah {
		return pfkey.SATypeAH
	}
	return pfkey.SATypeESP
}

func modeOf(m ike.Mode) pfkey.Mode {
	if m == ike.ModeTransport {
		return pfkey.ModeTransport
	}
	return pfkey.ModeTunnel
}

func addressOf(a netip.Addr) *pfkey.Address {
	a = a.Unmap()
	return &pfkey.Address{PrefixLen: uint8(a.BitLen()), Sockaddr: pfkey.Addressed(netip.AddrPortFrom(a, 0))}
}

func (k *keyed) reserve(unique uint64, q ike.Reserve) ike.Answer {
	p := &keyedPair{pair: pair{unique: unique}, ah: q.AH, mode: q.Mode, reqid: q.Reqid}
	if p.reqid == 0 {
		p.reqid = k.trapped(q.Connection, q.Child)
	}
	if err := k.useReqid(&p.reqid); err != nil {
		return installed(err)
	}
	p.at.Local, p.at.Remote = netip.AddrPortFrom(q.Local.Unmap(), 0), netip.AddrPortFrom(q.Remote.Unmap(), 0)
	a, err := k.request(&pfkey.Message{
		Header: pfkey.Header{Type: pfkey.TypeGetSPI, SAType: satype(q.AH)}, Src: addressOf(q.Remote), Dst: addressOf(q.Local),
		SPIRange: &pfkey.SPIRange{Min: 1 << 24, Max: 1<<32 - 1}, SA2: &pfkey.SA2{Mode: modeOf(q.Mode), Reqid: p.reqid},
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
	if p == nil {
		return installed(sadb.ErrReservation)
	}
	k.mu.Lock()
	p.spiOut, p.mode, p.at = c.SPIOut, c.Mode, endpoint(c.Path, c.Encap)
	k.mu.Unlock()
	err := k.addSAs(p, &c)
	if err == nil && !c.Config.NoPolicies {
		err = k.addPolicies(p, &c)
	}
	if err != nil {
		k.dropPolicies(p, false) // also where the service has gone meanwhile, and the pair with it
		k.remove(time.Now(), c.SPIIn, false)
		return installed(err)
	}
	return ike.Installed{}
}

func (k *keyed) addSAs(p *keyedPair, c *ike.ChildSA) error {
	if c.Config == nil {
		return errors.New("child: no configuration")
	}
	if err := expressible(c); err != nil {
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
	defer wipeMessage(in)
	out, err := saMessage(p, c, limits, false)
	if err != nil {
		return err
	}
	if _, err = k.request(in); err != nil {
		wipeMessage(out)
		return err
	}
	if c.Standby && k.sends(c.Replaces) {
		k.mu.Lock()
		p.held, p.replaces = out, c.Replaces
		k.mu.Unlock()
		return nil
	}
	defer wipeMessage(out)
	_, err = k.request(out)
	return err
}

// expressible refuses what PF_KEY has no words for.
func expressible(c *ike.ChildSA) error {
	switch {
	case c.CPIIn != 0:
		return errors.New("IPComp is not built over PF_KEY: set ipcomp = no")
	case !c.Config.CopyDF:
		return errors.New("copy_df = no is not built over PF_KEY: leave it out, or use --ipsec engine")
	case !c.Config.CopyECN:
		return errors.New("copy_ecn = no is not built over PF_KEY: leave it out, or use --ipsec engine")
	case c.Config.CopyDSCP != ike.CopyDSCPOut:
		return errors.New("copy_dscp other than out is not built over PF_KEY: leave it out, or use --ipsec engine")
	}
	return nil
}

// sends reports whether a pair is still sent on.
func (k *keyed) sends(spiIn uint32) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pairs.in[spiIn]
	return p != nil && !p.noOut && p.spiOut != 0
}

// saMessage is the UPDATE of the inbound or the ADD of the outbound SA.
func saMessage(p *keyedPair, c *ike.ChildSA, limits sadb.Limits, inbound bool) (*pfkey.Message, error) {
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeAdd, SAType: satype(c.AH)}, SA2: &pfkey.SA2{Mode: modeOf(c.Mode), Reqid: p.reqid}}
	spi, key, integ, from, to := c.SPIOut, c.KeyOut, c.IntegOut, p.at.Local, p.at.Remote
	origFrom, origTo := c.OrigLocal, c.OrigRemote
	if inbound {
		m.Type = pfkey.TypeUpdate
		spi, key, integ, from, to = c.SPIIn, c.KeyIn, c.IntegIn, to, from
		origFrom, origTo = origTo, origFrom
	}
	m.Src, m.Dst = addressOf(from.Addr()), addressOf(to.Addr())
	m.SA = &pfkey.SA{SPI: spi, State: pfkey.StateMature}
	window := uint32(max(minWindow, c.Config.ReplayWindow))
	m.SA.Replay, m.SAReplay = uint8(min(window/8, 255)), &window
	if c.Suite.ESN {
		m.SA.Flags |= pfkey.SAFlagESN
	}
	var err error
	if m.SA.Auth, m.SA.Encrypt, err = algorithms(suiteOf(*c)); err != nil {
		return nil, err
	}
	if integ.Len() > 0 {
		copied := integ.Clone()
		m.KeyAuth = &copied
	}
	if key.Len() > 0 {
		copied := key.Clone()
		m.KeyEncrypt = &copied
	}
	nattOf(m, p.at, from, to)
	if origFrom.IsValid() {
		m.NATOAi = addressOf(origFrom)
	}
	if origTo.IsValid() {
		m.NATOAr = addressOf(origTo)
	}
	lifetimes(m, limits)
	return m, nil
}

// nattOf adds the NAT-T extensions of an SA in UDP.
func nattOf(m *pfkey.Message, at sadb.Endpoint, from, to netip.AddrPort) {
	if !at.UDP() {
		return
	}
	kind, sport, dport := pfkey.NATTNonESP, from.Port(), to.Port()
	m.NATType, m.NATSrcPort, m.NATDstPort = &kind, &sport, &dport
}

func lifetimes(m *pfkey.Message, l sadb.Limits) {
	const most = 1<<32 - 1
	m.LifetimeHard = &pfkey.Lifetime{Allocations: uint32(min(l.HardPackets, most)), Bytes: l.HardBytes, AddTime: uint64(l.HardTime / time.Second)}
	m.LifetimeSoft = &pfkey.Lifetime{Allocations: uint32(min(l.SoftPackets, most)), Bytes: l.SoftBytes, AddTime: uint64(l.SoftTime / time.Second)}
}

func wipeMessage(m *pfkey.Message) {
	for _, key := range []*secret.Key{m.KeyAuth, m.KeyEncrypt} {
		if key != nil {
			key.Wipe()
		}
	}
}

// algorithms are the numbers of a suite in FreeBSD's dialect.
func algorithms(s suite.ESP) (a pfkey.AuthAlg, e pfkey.EncryptAlg, err error) {
	if s.Integ != suite.IntegNone {
		var ok bool
		if a, ok = pfkey.FreeBSD.Auth(s.Integ); !ok {
			return 0, 0, fmt.Errorf("PF_KEY has no number for %s", s.Integ)
		}
	}
	if s.Encr != 0 {
		var ok bool
		if e, ok = pfkey.FreeBSD.Encrypt(s.Encr); !ok {
			return 0, 0, fmt.Errorf("PF_KEY has no number for %s", s.Encr)
		}
	}
	return a, e, nil
}

// promote adds the outbound SA of a pair that was on standby.
func (k *keyed) promote(p *keyedPair) error {
	k.mu.Lock()
	m := p.held
	p.held = nil
	k.mu.Unlock()
	if m == nil {
		return nil
	}
	defer wipeMessage(m)
	p.moving.Lock()
	defer p.moving.Unlock()
	m.Src, m.Dst = addressOf(p.at.Local.Addr()), addressOf(p.at.Remote.Addr())
	nattOf(m, p.at, p.at.Local, p.at.Remote)
	_, err := k.request(m)
	return err
}

// move swaps the endpoint of both SAs in place (UPDATE with NEW_ADDRESS), and of the policies.
func (k *keyed) move(p *keyedPair, path ike.Path) error {
	p.moving.Lock()
	defer p.moving.Unlock()
	old := p.at
	to := endpoint(path, old.UDP())
	moved := func(spi uint32, from, dest, newFrom, newDest netip.AddrPort) error {
		m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeUpdate, SAType: satype(p.ah)}, SA: &pfkey.SA{SPI: spi, State: pfkey.StateMature},
			Src: addressOf(from.Addr()), Dst: addressOf(dest.Addr()), NewSrc: addressOf(newFrom.Addr()), NewDst: addressOf(newDest.Addr()),
			SA2: &pfkey.SA2{Mode: modeOf(p.mode), Reqid: p.reqid}}
		nattOf(m, to, newFrom, newDest)
		_, err := k.request(m)
		return err
	}
	k.mu.Lock()
	sending := p.held == nil && !p.noOut
	k.mu.Unlock()
	err := moved(p.spiIn, old.Remote, old.Local, to.Remote, to.Local)
	if err == nil && sending {
		err = moved(p.spiOut, old.Local, old.Remote, to.Local, to.Remote)
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	p.at = to
	k.mu.Unlock()
	return k.movePolicies(p)
}

// remove deletes a pair or a reservation and returns what it had counted. What waited for it sends from now on.
func (k *keyed) remove(now time.Time, spiIn uint32, onlyOut bool) ike.Usage {
	p := k.pair(spiIn)
	if p == nil {
		return ike.Usage{}
	}
	final := p.last
	if p.spiOut != 0 {
		if u, ok := k.count(now, p).(ike.Usage); ok {
			final = u
		}
	}
	k.mu.Lock()
	held, hadOut := p.held, p.spiOut != 0 && !p.noOut
	p.held, p.noOut = nil, true
	var waits []*keyedPair
	for _, o := range k.pairs.in {
		if o.held != nil && o.replaces == spiIn {
			waits = append(waits, o)
		}
	}
	k.mu.Unlock()
	if held != nil {
		wipeMessage(held)
	} else if hadOut {
		k.delete(p, p.spiOut, p.at.Local, p.at.Remote)
	}
	for _, o := range waits {
		if err := k.promote(o); err != nil {
			k.opts.Log.Error("an outbound SA could not be added", "spi", fmt.Sprintf("%08x", o.spiOut), "reason", err.Error())
		}
	}
	k.dropPolicies(p, onlyOut)
	if onlyOut {
		return final
	}
	k.delete(p, p.spiIn, p.at.Remote, p.at.Local)
	k.forget(spiIn)
	return final
}

// delete deletes one SA. One that is gone already (a hard lifetime) is no failure.
func (k *keyed) delete(p *keyedPair, spi uint32, from, to netip.AddrPort) {
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeDelete, SAType: satype(p.ah)}, SA: &pfkey.SA{SPI: spi},
		Src: addressOf(from.Addr()), Dst: addressOf(to.Addr())}
	if _, err := k.request(m); err != nil && !errors.Is(err, pfkey.ESRCH) && !errors.Is(err, errNoService) {
		k.opts.Log.Error("an SA could not be deleted", "spi", fmt.Sprintf("%08x", spi), "reason", err.Error())
	}
}

// count asks for what both SAs have counted. PF_KEY says when an SA was used first; when it was used last is taken to be when a
// count was seen to have grown.
func (k *keyed) count(now time.Time, p *keyedPair) ike.Answer {
	get := func(spi uint32, from, to netip.AddrPort) *pfkey.Lifetime {
		m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeGet, SAType: satype(p.ah)}, SA: &pfkey.SA{SPI: spi},
			Src: addressOf(from.Addr()), Dst: addressOf(to.Addr())}
		if a, err := k.request(m); err == nil && a.LifetimeCurrent != nil {
			wipeMessage(a)
			return a.LifetimeCurrent
		}
		return &pfkey.Lifetime{}
	}
	k.mu.Lock()
	at, sending := p.at, p.held == nil && !p.noOut
	k.mu.Unlock()
	in, out := get(p.spiIn, at.Remote, at.Local), &pfkey.Lifetime{}
	if sending {
		out = get(p.spiOut, at.Local, at.Remote)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	u := p.last
	if uint64(in.Allocations) > u.PacketsIn {
		u.PacketsIn, u.BytesIn, u.LastIn = uint64(in.Allocations), in.Bytes, now
	}
	if uint64(out.Allocations) > u.PacketsOut {
		u.PacketsOut, u.BytesOut, u.LastOut = uint64(out.Allocations), out.Bytes, now
	}
	p.last = u
	return u
}
