// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Where the SAs of a pair are over PF_KEY (their addresses are half of their names), and how they follow a peer: UPDATE with NEW_ADDRESS,
// one SA after the other, then the policies. An UPDATE that has no answer in time may or may not have been carried out. Then both places
// are kept until the other side, which works in order, has said which it is, and the pair is brought where it is wanted, or deleted, by
// and by: no other pair is touched. What is at a place is this pair's if it has its reqid; peers choose the names of outbound SAs.

package daemon

import (
	"errors"
	"fmt"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// The SAs of a pair. The first two are also the directions of keyedPair.cpi, and of any of them by its lowest bit.
const (
	keyedIn = iota
	keyedOut
	keyedCompIn // those of IPComp
	keyedCompOut
	keyedSAs // how many there are
)

// keyedPlaces is where the SAs of a pair are. keyed.mu protects it; the pair's moving is held over what changes it.
type keyedPlaces struct {
	at [keyedSAs]sadb.Endpoint
	// doubt is where an SA is if an UPDATE without an answer was carried out after all; zero: nothing is in doubt. While there is a doubt a
	// pursuit is under way.
	doubt [keyedSAs]sadb.Endpoint
	// dead: it is to be deleted as soon as it is known where it is.
	dead [keyedSAs]bool
	// wanted is where the last Move wants the pair, behind: it is not there yet, and a pursuit is under way.
	wanted  sadb.Endpoint
	behind  bool
	pursued bool
}

func (s *keyedPlaces) inDoubt(sa int) bool { return s.doubt[sa] != sadb.Endpoint{} }

// may reports whether an SA may be at a place that is so. The caller holds keyed.mu.
func (s *keyedPlaces) may(sa int, so func(sadb.Endpoint) bool) bool {
	return so(s.at[sa]) || s.inDoubt(sa) && so(s.doubt[sa])
}

// about is a message about an SA of a pair that is at a place. The caller holds keyed.mu.
func (p *keyedPair) about(t pfkey.Type, sa int, at sadb.Endpoint) *pfkey.Message {
	m := &pfkey.Message{Header: pfkey.Header{Type: t, SAType: satype(p.ah)}, SA: &pfkey.SA{SPI: p.spiOut},
		Src: addressOf(at.Local.Addr()), Dst: addressOf(at.Remote.Addr())}
	if sa%2 == keyedIn {
		m.SA.SPI, m.Src, m.Dst = p.spiIn, m.Dst, m.Src
	}
	if sa >= keyedCompIn {
		m.SAType, m.SA.SPI = pfkey.SATypeIPComp, uint32(p.cpi[sa%2])
	}
	return m
}

// has reports whether the other side has an SA of the pair. The caller holds keyed.mu.
func (p *keyedPair) has(sa int) bool {
	switch sa {
	case keyedIn:
		return true
	case keyedOut:
		return p.hasOut && !p.noOut
	}
	return p.cpi[sa%2] != 0 && !p.dead[sa]
}

// move brings a pair where its peer is.
func (k *keyed) move(p *keyedPair, path ike.Path) error {
	p.moving.Lock()
	defer p.moving.Unlock()
	k.mu.Lock()
	old := p.at[keyedIn]
	to := endpoint(path, old.UDP())
	taken := k.taken(p, to)
	k.mu.Unlock()
	if taken {
		return errTaken
	}
	if p.mode == ike.ModeTransport && !sameHosts(to, old) {
		return errStays
	}
	return k.moveOrPursue(p, to, k.moveTo)
}

// moveOrPursue moves a pair by how, or what is to be moved of it, and goes on with that when there was no answer. The caller holds p.moving.
func (k *keyed) moveOrPursue(p *keyedPair, to sadb.Endpoint, how func(*keyedPair, sadb.Endpoint) error) error {
	err := how(p, to)
	k.mu.Lock()
	p.wanted, p.behind = to, errors.Is(err, errNoService)
	k.mu.Unlock()
	if errors.Is(err, errNoService) {
		k.pursue(p)
	}
	return err
}

// moveTo moves the SAs of a pair that are not there yet, and the policies. Where one moves and the next does not, each is known where it is.
// The caller holds p.moving.
func (k *keyed) moveTo(p *keyedPair, to sadb.Endpoint) error {
	if err := k.settle(p); err != nil {
		return err
	}
	// First what may be refused: another may have the name of the outbound SA there.
	for _, sa := range [...]int{keyedOut, keyedCompOut, keyedIn, keyedCompIn} {
		if err := k.moveSA(p, sa, to); err != nil {
			return err
		}
	}
	return k.movePolicies(p)
}

// moveIn is moveTo for a pair that is being installed: it has its inbound SA alone.
func (k *keyed) moveIn(p *keyedPair, to sadb.Endpoint) error { return k.moveSA(p, keyedIn, to) }

// moveSA moves one SA, if it is there and not where it is to be. The caller holds p.moving.
func (k *keyed) moveSA(p *keyedPair, sa int, to sadb.Endpoint) error {
	k.mu.Lock()
	old := p.at[sa]
	if !p.has(sa) || old == to {
		k.mu.Unlock()
		return nil
	}
	m := p.relocation(sa, old, to)
	if m == nil {
		p.at[sa] = to
	}
	k.mu.Unlock()
	if m == nil {
		return nil
	}
	_, err := k.request(m)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		p.at[sa] = to
	case errors.Is(err, errNoService):
		p.doubt[sa] = to
	}
	return err
}

// relocation is the UPDATE that moves an SA; nil: there is nothing to say, since IPComp has no ports. The original addresses are said again:
// what an UPDATE leaves out is gone. The caller holds keyed.mu.
func (p *keyedPair) relocation(sa int, old, to sadb.Endpoint) *pfkey.Message {
	m, at := p.about(pfkey.TypeUpdate, sa, old), p.about(pfkey.TypeUpdate, sa, to)
	m.NewSrc, m.NewDst = at.Src, at.Dst
	if sa >= keyedCompIn {
		m.SA, m.SA2 = p.compression(sa % 2)
		if sameHosts(old, to) {
			return nil
		}
		return m
	}
	m.SA.State, m.SA2 = pfkey.StateMature, &pfkey.SA2{Mode: p.saMode(), Reqid: p.reqid}
	from, dest, origFrom, origTo := to.Local, to.Remote, p.origLocal, p.origRemote
	if sa == keyedIn {
		from, dest, origFrom, origTo = dest, from, origTo, origFrom
	}
	nattOf(m, to, from, dest)
	original(m, origFrom, origTo)
	return m
}

// sameHosts reports whether two endpoints differ in ports at most.
func sameHosts(a, b sadb.Endpoint) bool {
	return a.Local.Addr() == b.Local.Addr() && a.Remote.Addr() == b.Remote.Addr()
}

// settle ends the doubts about a pair's SAs, and deletes those that nobody wants any more. The caller holds p.moving.
func (k *keyed) settle(p *keyedPair) error {
	for sa := range keyedSAs {
		k.mu.Lock()
		doubt, dead := p.inDoubt(sa), p.dead[sa]
		k.mu.Unlock()
		if !doubt {
			continue
		}
		at, err := k.find(p, sa)
		if err != nil {
			return err
		}
		k.mu.Lock()
		p.at[sa], p.doubt[sa], p.dead[sa] = at, sadb.Endpoint{}, false
		k.mu.Unlock()
		if dead {
			k.deleteSA(p, sa)
		}
	}
	return nil
}

// find asks where an SA in doubt is. What is at neither place has ended, and is said to be where it was.
func (k *keyed) find(p *keyedPair, sa int) (sadb.Endpoint, error) {
	k.mu.Lock()
	old := p.at[sa]
	places := [...]sadb.Endpoint{old, p.doubt[sa]}
	k.mu.Unlock()
	for _, at := range places {
		k.mu.Lock()
		m := p.about(pfkey.TypeGet, sa, at)
		k.mu.Unlock()
		a, err := k.request(m)
		switch {
		case errors.Is(err, errNoService):
			return old, err
		case err == nil && a.SA2 != nil && a.SA2.Reqid == p.reqid && shows(a, sa, at):
			return at, nil
		}
	}
	return old, nil
}

// shows reports whether an answer to GET has the ports of a place, where it has ports at all.
func shows(a *pfkey.Message, sa int, at sadb.Endpoint) bool {
	if a.NATSrcPort == nil || a.NATDstPort == nil {
		return true
	}
	local, remote := *a.NATSrcPort, *a.NATDstPort
	if sa%2 == keyedIn {
		local, remote = remote, local
	}
	return local == at.Local.Port() && remote == at.Remote.Port()
}

// deleteSA deletes an SA of a pair, as soon as it is known where it is. The caller holds p.moving.
func (k *keyed) deleteSA(p *keyedPair, sa int) {
	k.mu.Lock()
	if p.inDoubt(sa) {
		p.dead[sa] = true
		k.mu.Unlock()
		return
	}
	m := p.about(pfkey.TypeDelete, sa, p.at[sa])
	if sa >= keyedCompIn {
		p.cpi[sa%2] = 0
	}
	k.mu.Unlock()
	k.delete(m)
}

// pursue settles a pair by and by, and brings it where it is wanted. The caller holds p.moving.
func (k *keyed) pursue(p *keyedPair) {
	k.mu.Lock()
	defer k.mu.Unlock()
	conn := k.conn
	if conn == nil || p.pursued || k.pairs.in[p.spiIn] != p {
		return // without a connection there are no SAs
	}
	p.pursued = true
	k.reqids[p.reqid]++ // nobody else's before its SAs are known to be gone
	k.loops.Go(func() {
		for sleep(k.ctx, keyedPause) && !k.caught(p, conn) {
		}
	})
}

// caught is one turn of a pursuit, and reports whether it was the last one.
func (k *keyed) caught(p *keyedPair, conn *port.Conn) bool {
	p.moving.Lock()
	defer p.moving.Unlock()
	k.mu.Lock()
	same := k.conn == conn
	k.mu.Unlock()
	if !same {
		return true // what there was has gone with it: what has its names now is another's
	}
	err := k.settle(p)
	k.mu.Lock()
	to, behind := p.wanted, p.behind && k.pairs.in[p.spiIn] == p
	same = k.conn == conn
	k.mu.Unlock()
	if !same {
		return true // what there was has gone with it
	}
	if err == nil && behind {
		err = k.moveTo(p, to)
	}
	if errors.Is(err, errNoService) {
		return false
	}
	k.mu.Lock()
	p.pursued, p.behind = false, false
	if k.conn == conn {
		k.leaveReqid(p.reqid)
	}
	k.mu.Unlock()
	if err != nil {
		k.opts.Log.Error("the SAs of a child could not follow its peer", "spi", fmt.Sprintf("%08x", p.spiIn), "reason", err.Error())
	}
	if errors.Is(err, pfkey.EEXIST) { // as moved has it, to whom nobody listens any more
		k.notice(p.unique, ike.Expire{SPIIn: p.spiIn})
	}
	return true
}
