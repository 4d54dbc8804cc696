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
		return p.has(keyedCompIn)
	case p.held != nil:
		return p.below
	}
	return p.has(keyedCompOut)
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

// compression is what an ADD or UPDATE of one of the pair's SAs of IPComp says of it. The caller holds keyed.mu.
func (p *keyedPair) compression(way int) (*pfkey.SA, *pfkey.SA2) {
	return &pfkey.SA{SPI: uint32(p.cpi[way]), State: pfkey.StateMature, Encrypt: pfkey.CompressDeflate}, &pfkey.SA2{Mode: modeOf(p.mode), Reqid: p.reqid}
}

// addCompression adds the SA of one direction; cpi zero: there is none.
func (k *keyed) addCompression(p *keyedPair, way int, cpi uint16) error {
	if cpi == 0 {
		return nil
	}
	sa := way + keyedCompIn
	k.mu.Lock()
	p.cpi[way], p.at[sa] = cpi, p.at[way]
	m := p.about(pfkey.TypeAdd, sa, p.at[sa])
	m.SA, m.SA2 = p.compression(way)
	k.mu.Unlock()
	_, err := k.request(m)
	if err == nil {
		return nil
	}
	k.mu.Lock()
	p.cpi[way] = 0 // what has its name, if anything has, is another's
	k.mu.Unlock()
	switch {
	case errors.Is(err, errNoService):
		k.reset() // as with ESP
	case errors.Is(err, pfkey.EEXIST) && way == keyedOut:
		k.opts.Log.Info("what is sent is not compressed: another peer has chosen the same CPI", "reqid", p.reqid, "cpi", cpi)
		return nil
	}
	return err
}

// dropCompression deletes the SA of one direction, if there is one. The caller holds p.moving.
func (k *keyed) dropCompression(p *keyedPair, way int) {
	k.mu.Lock()
	has := p.has(way + keyedCompIn)
	k.mu.Unlock()
	if has {
		k.deleteSA(p, way+keyedCompIn)
	}
}
