// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The verbs of the seam on pairs of SAs: Install, Promote, Move, Remove, Query (PF_KEY's UPDATE and ADD, GET and DELETE).
// The daemon calls them with what an authenticated exchange agreed on; all of it is checked again here.

package sadb

import (
	"fmt"
	"time"
)

// Install makes the reserved SPIIn and the outbound SA usable, with the child's policies. After a failure nothing of it
// is left and the reservation is released.
func (db *DB) Install(now time.Time, c Child) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	at := db.Clock(now)
	l := db.larval[db.slots.Load().index(c.SPIIn)]
	if l == nil || l.spi != c.SPIIn {
		return ErrReservation
	}
	if l.bundle.reqid != c.Reqid {
		db.releaseLarval(l, at)
		return fmt.Errorf("reqid: %d, expected %d as reserved", c.Reqid, l.bundle.reqid)
	}
	p, err := db.pair(at, &c, l.bundle)
	if err != nil {
		db.releaseLarval(l, at)
		return err
	}
	if err := db.childPolicies(p, c.NoPolicies); err != nil {
		db.releaseLarval(l, at)
		return err
	}
	// Nothing fails from here on. The pair takes over the reservation's reference to the bundle.
	db.timers.stop(&l.timer)
	delete(db.larval, db.slots.Load().index(c.SPIIn))
	p.settle(c.Endpoint)
	db.linkOut(p)
	db.live++
	db.pairs.Store(int64(db.live))
	db.room(1)
	p.schedule(at)
	db.answer(p.bundle)
	p.bundle.join(p)
	db.slots.Load().at(p.spiIn).Store(p)
	return nil
}

// pair makes a pair that nobody sees yet.
func (db *DB) pair(at int64, c *Child, b *bundle) (*Pair, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Limits.SoftUse, c.Limits.HardUse = 0, 0
	p := &Pair{
		bundle: b, reqid: c.Reqid, spiIn: c.SPIIn, spiOut: c.SPIOut,
		whose: c.Peer, cpiIn: c.CPIIn, cpiOut: c.CPIOut,
	}
	if c.OrigLocal.IsValid() || c.OrigRemote.IsValid() {
		p.rare().orig = origins{c.OrigLocal, c.OrigRemote}
	}
	p.core.db, p.core.pair, p.proto, p.mode, p.suite, p.added = db, p, c.Proto, c.Mode, c.Suite, at
	p.standby = c.Standby
	p.bounds, p.CopyDF, p.CopyECN, p.DSCP = boundsOf(at, c.Limits), c.CopyDF, c.CopyECN, c.DSCP
	p.lim, p.timer = &p.bounds, &p.clock
	p.note.who = &p.core
	p.Sender.core, p.Receiver.core, p.Receiver.spi = &p.core, &p.core, c.SPIIn
	p.sequenced()
	if err := p.choose(c); err != nil {
		return nil, err
	}
	if err := p.makeSealer(c); err != nil {
		return nil, fmt.Errorf("outbound SA: %w", err)
	}
	if err := p.makeOpener(c); err != nil {
		return nil, fmt.Errorf("inbound SA: %w", err)
	}
	p.sealer.See(db.view)
	p.opn.See(db.view)
	return p, nil
}

// choose compiles the selectors.
func (p *Pair) choose(c *Child) error {
	local, err := compileSelectors(c.TSLocal)
	if err != nil {
		return err
	}
	remote, err := compileSelectors(c.TSRemote)
	if err != nil {
		return err
	}
	if len(local) == 1 && len(remote) == 1 {
		p.local[0], p.remote[0] = local[0], remote[0]
	} else {
		p.several, p.rare().local, p.rare().remote = true, local, remote
	}
	return nil
}

func (p *Pair) makeSealer(c *Child) error {
	if c.Proto == ProtoAH {
		return p.Sender.makeAH(c.Suite, c.IntegOut, false)
	}
	return p.sealer.Init(c.SPIOut, c.Suite, c.KeyOut, c.IntegOut, p.db.rand)
}

func (p *Pair) makeOpener(c *Child) error {
	if c.Proto == ProtoAH {
		return p.Receiver.makeAH(c.Suite, c.IntegIn, c.Window)
	}
	return p.opn.Init(c.SPIIn, c.Suite, c.KeyIn, c.IntegIn, c.Window)
}

// check refuses what no pair can be, and fills in what zero means.
func (c *Child) check() error {
	if c.Proto == 0 {
		c.Proto = ProtoESP
	}
	if c.Mode == AnyMode {
		c.Mode = Tunnel
	}
	switch {
	case c.Proto != ProtoESP && c.Proto != ProtoAH:
		return fmt.Errorf("protocol: %d, expected %d (ESP) or %d (AH)", c.Proto, ProtoESP, ProtoAH)
	case c.Mode > Tunnel:
		return fmt.Errorf("mode: %d, expected transport or tunnel", c.Mode)
	case c.Proto == ProtoAH && (c.Suite.Encr != 0 || !c.KeyIn.IsZero() || !c.KeyOut.IsZero()):
		return fmt.Errorf("encryption %v: AH encrypts nothing", c.Suite.Encr)
	case c.Proto == ProtoAH && c.Endpoint.UDP():
		return fmt.Errorf("encapsulation %v: AH does not travel in UDP", c.Endpoint.Encap)
	}
	return c.Endpoint.check()
}

// check refuses an endpoint that nothing could be sent to.
func (e *Endpoint) check() error {
	l, r := e.Local.Addr(), e.Remote.Addr()
	if !l.IsValid() || !r.IsValid() || l.Is4() != r.Is4() || l.Is4In6() || r.Is4In6() || r.IsUnspecified() {
		return ErrEndpoint
	}
	if e.UDP() && (e.Local.Port() == 0 || e.Remote.Port() == 0) {
		return ErrEndpoint
	}
	return nil
}

func (db *DB) live1(spiIn uint32) (*Pair, error) {
	p := db.Inbound(spiIn)
	if p == nil || p.state.Load()&(stateDead|stateOutClosed) != 0 {
		return nil, ErrUnknown
	}
	return p, nil
}

// Promote has the pair seal for its reqid from now on.
func (db *DB) Promote(_ time.Time, spiIn uint32) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	p, err := db.live1(spiIn)
	if err != nil {
		return err
	}
	p.bundle.promote(p)
	return nil
}

// Move swaps the endpoint of a pair in place; keys, counters and window stay. It is never refused for a live pair.
// If the newest authenticated packet came from elsewhere than the endpoint that the notice named (somebody raced it,
// HOSTILE T-069), another NewMapping follows at once.
func (db *DB) Move(_ time.Time, spiIn uint32, to Endpoint) error {
	if err := to.check(); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	p := db.Inbound(spiIn)
	if p == nil {
		return ErrUnknown
	}
	old := p.endpoint.Load()
	at := db.placeAt(to)
	p.moved(&at)
	db.leave(old)
	return nil
}

// Remove ends a pair, or releases a reservation, and returns what it had counted. Idempotent. With onlyOut the inbound
// SA goes on receiving. The pair's policies go with its outbound half unless another pair of the reqid uses them.
func (db *DB) Remove(now time.Time, spiIn uint32, onlyOut bool) Usage {
	db.mu.Lock()
	defer db.mu.Unlock()
	at := db.Clock(now)
	if l := db.larval[db.slots.Load().index(spiIn)]; l != nil && l.spi == spiIn {
		db.releaseLarval(l, at)
		return Usage{}
	}
	p := db.Inbound(spiIn)
	if p == nil {
		return Usage{}
	}
	if p.state.Load()&stateOutClosed == 0 {
		p.closeState(stateOutClosed)
		db.unlinkOut(p)
		p.bundle.part(p)
		db.dropChildPolicies(p)
	}
	if onlyOut {
		return p.usage()
	}
	p.closeState(stateInClosed)
	db.slots.Load().at(spiIn).Store(nil)
	db.timers.stop(p.timer)
	db.retire(spiIn, at)
	db.live--
	db.pairs.Store(int64(db.live))
	db.leave(p.endpoint.Load())
	db.removals.Add(1)
	db.room(-1)
	db.unref(p.bundle)
	// Both halves are waited for, so that the usage is final and no packet is sealed after the answer.
	p.Sender.mu.Lock()
	defer p.Sender.mu.Unlock()
	p.Receiver.mu.Lock()
	defer p.Receiver.mu.Unlock()
	return db.usage(&p.Sender.count, &p.Receiver.count)
}

// linkOut and unlinkOut have a pair found by its outbound SPI, which peers chose and may have in common.
func (db *DB) linkOut(p *Pair) {
	p.nextOut = db.out[p.spiOut]
	db.out[p.spiOut] = p
}

func (db *DB) unlinkOut(p *Pair) {
	at := db.out[p.spiOut]
	if at == p {
		if p.nextOut == nil {
			delete(db.out, p.spiOut)
		} else {
			db.out[p.spiOut] = p.nextOut
		}
		return
	}
	for ; at != nil; at = at.nextOut {
		if at.nextOut == p {
			at.nextOut = p.nextOut
			return
		}
	}
}

// Query returns the counters of a pair.
func (db *DB) Query(spiIn uint32) (Usage, bool) {
	p := db.Inbound(spiIn)
	if p == nil {
		return Usage{}, false
	}
	return p.usage(), true
}

// List calls f for every pair until it returns false.
func (db *DB) List(f func(Info) bool) {
	t := db.slots.Load()
	for i := range t.pairs {
		if p := t.pairs[i].Load(); p != nil && !f(p.info()) {
			return
		}
	}
}
