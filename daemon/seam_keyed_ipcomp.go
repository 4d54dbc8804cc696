// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// IPComp over PF_KEY (RFC 3173): SAs of their own, whose SPI is a CPI, inside those of ESP or AH. The inner template has the child's mode,
// the outer one is in transport mode, and the SAs outside fit either: what compression does not make shorter goes without it. CPIs have
// 16 bits and outbound ones are the peers' choice: where another has the name, what is sent to this peer is not compressed.
//
// At a rekey the new SAs of IPComp and ESP take over one after the other, a moment apart: a packet in between has the CPI of one and the
// ESP of the other, and the peer drops it.

package daemon

import (
	"errors"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// keyedIn and keyedOut are the directions of keyedPair.cpi.
const (
	keyedIn = iota
	keyedOut
)

// saMode is the mode of the pair's SAs of ESP or AH.
func (p *keyedPair) saMode() pfkey.Mode {
	if p.ipcomp {
		return pfkey.ModeAny
	}
	return modeOf(p.mode)
}

// compresses: keyed.mu is held. While a pair is on standby the SAs below send.
func (p *keyedPair) compresses(dir pfkey.Dir) bool {
	switch {
	case dir == pfkey.DirIn:
		return p.cpi[keyedIn] != 0
	case p.held != nil:
		return p.below
	}
	return p.cpi[keyedOut] != 0
}

// compressed puts compression inside of a pair's one request.
func compressed(list []pfkey.Request, level pfkey.Level) []pfkey.Request {
	inside := list[0]
	inside.Proto, inside.Level = sadb.ProtoIPComp, level
	if level != pfkey.LevelUnique {
		inside.Reqid = 0 // it counts with level unique alone
	}
	list[0].Mode, list[0].Src, list[0].Dst = pfkey.ModeTransport, pfkey.Sockaddr{}, pfkey.Sockaddr{}
	return []pfkey.Request{inside, list[0]}
}

// compression is a message about one of the pair's SAs of IPComp.
func (p *keyedPair) compression(t pfkey.Type, way int, cpi uint16, at sadb.Endpoint) *pfkey.Message {
	from, to := at.Local, at.Remote
	if way == keyedIn {
		from, to = to, from
	}
	return &pfkey.Message{Header: pfkey.Header{Type: t, SAType: pfkey.SATypeIPComp}, Src: addressOf(from.Addr()), Dst: addressOf(to.Addr()),
		SA: &pfkey.SA{SPI: uint32(cpi), State: pfkey.StateMature, Encrypt: pfkey.CompressDeflate}, SA2: &pfkey.SA2{Mode: modeOf(p.mode), Reqid: p.reqid}}
}

// addCompression adds the SA of one direction; cpi zero: there is none.
func (k *keyed) addCompression(p *keyedPair, way int, cpi uint16) error {
	if cpi == 0 {
		return nil
	}
	k.mu.Lock()
	at := p.at
	if way == keyedOut {
		at = p.outAt
	}
	k.mu.Unlock()
	_, err := k.request(p.compression(pfkey.TypeAdd, way, cpi, at))
	switch {
	case err == nil:
		k.mu.Lock()
		p.cpi[way] = cpi
		k.mu.Unlock()
	case errors.Is(err, errNoService):
		k.reset() // as with ESP
	case errors.Is(err, pfkey.EEXIST) && way == keyedOut:
		k.opts.Log.Info("what is sent is not compressed: another peer has chosen the same CPI", "reqid", p.reqid, "cpi", cpi)
		return nil
	}
	return err
}

// moveCompression follows the other SA of the direction; there is nothing to do where only a port changes.
func (k *keyed) moveCompression(p *keyedPair, way int, old, to sadb.Endpoint) error {
	k.mu.Lock()
	cpi := p.cpi[way]
	k.mu.Unlock()
	if cpi == 0 || old.Local.Addr() == to.Local.Addr() && old.Remote.Addr() == to.Remote.Addr() {
		return nil
	}
	m, at := p.compression(pfkey.TypeUpdate, way, cpi, old), p.compression(pfkey.TypeUpdate, way, cpi, to)
	m.NewSrc, m.NewDst = at.Src, at.Dst
	_, err := k.request(m)
	return err
}

// dropCompression deletes the SA of one direction, if there is one.
func (k *keyed) dropCompression(p *keyedPair, way int, at sadb.Endpoint) {
	k.mu.Lock()
	cpi := p.cpi[way]
	p.cpi[way] = 0
	k.mu.Unlock()
	if cpi == 0 {
		return
	}
	from, to := at.Local, at.Remote
	if way == keyedIn {
		from, to = to, from
	}
	k.delete(pfkey.SATypeIPComp, uint32(cpi), from, to)
}
