// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// SAs in PF_KEY's words (RFC 2367, Section 2.3; NATT.md, Section 1.5), and what it has no words for. Keys are in messages only, which
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

// expressible refuses what PF_KEY has no words for.
func expressible(c *ike.ChildSA) error {
	switch {
	case !c.Config.CopyDF:
		return errors.New("copy_df = no is not built over PF_KEY: leave it out, or use --ipsec engine")
	case !c.Config.CopyECN:
		return errors.New("copy_ecn = no is not built over PF_KEY: leave it out, or use --ipsec engine")
	case c.Config.CopyDSCP != ike.CopyDSCPOut:
		return errors.New("copy_dscp other than out is not built over PF_KEY: leave it out, or use --ipsec engine")
	}
	return nil
}

// saMessage is the UPDATE of the inbound or the ADD of the outbound SA.
func saMessage(p *keyedPair, c *ike.ChildSA, limits sadb.Limits, inbound bool) (*pfkey.Message, error) {
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeAdd, SAType: satype(c.AH)}, SA2: &pfkey.SA2{Mode: p.saMode(), Reqid: p.reqid}}
	spi, key, integ, from, to := c.SPIOut, c.KeyOut, c.IntegOut, p.at[keyedIn].Local, p.at[keyedIn].Remote
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
	if key.Len() > 0 || !c.AH { // that of no encryption has no octets, and must be there
		copied := key.Clone()
		m.KeyEncrypt = &copied
	}
	m.KMPrivate = p.carries
	nattOf(m, p.at[keyedIn], from, to)
	original(m, origFrom, origTo)
	lifetimes(m, limits)
	return m, nil
}

// original adds the original addresses of an SA's source and destination, where they are known.
func original(m *pfkey.Message, from, to netip.Addr) {
	if from.IsValid() {
		m.NATOAi = addressOf(from)
	}
	if to.IsValid() {
		m.NATOAr = addressOf(to)
	}
}

// nattOf adds the NAT-T extensions of an SA in UDP.
func nattOf(m *pfkey.Message, at sadb.Endpoint, from, to netip.AddrPort) {
	if !at.UDP() {
		return
	}
	kind, sport, dport := pfkey.NATTNonESP, from.Port(), to.Port()
	m.NATType, m.NATSrcPort, m.NATDstPort = &kind, &sport, &dport
}

// errTaken: RefusalTemporary. Where its NAT has given what was one client's to another, the first is heard from elsewhere soon.
var errTaken = errors.New("the SAs of another client are at this address and port")

// taken reports whether SAs of another client, of those that share a reqid, are or may be where a pair is to be: by that the service knows
// which of them seals what is for whom, and whoever can write another's address as a source would get what is the other's. The caller
// holds keyed.mu.
func (k *keyed) taken(p *keyedPair, to sadb.Endpoint) bool {
	if p.reqid != k.shared || !to.UDP() {
		return false
	}
	there := func(e sadb.Endpoint) bool { return e.UDP() && e.Remote == to.Remote }
	for _, q := range k.pairs.in {
		if q.reqid == p.reqid && q.who != (identities{}) && q.who != p.who && (q.may(keyedIn, there) || q.may(keyedOut, there)) {
			return true
		}
	}
	return false
}

// bound has the SAs of a pair that shares its reqid with others carry what was negotiated for it, and nothing else.
func (k *keyed) bound(p *keyedPair, c *ike.ChildSA, at sadb.Endpoint) (err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.who = identityKey(c.LocalID, c.RemoteID)
	if k.taken(p, at) {
		return errTaken
	}
	if p.reqid != k.shared {
		return nil
	}
	if !k.tellsSAs { // it was reserved at a service that is gone
		return errNoService
	}
	if p.carries, err = k.codec.PrivateTraffic(trafficOf(c)); err != nil {
		return fmt.Errorf("%w: %w: %w", sadb.ErrSelectors, errNotSaid, err)
	}
	return nil
}

func trafficOf(c *ike.ChildSA) *pfkey.Traffic {
	var sides [2][]pfkey.TrafficSpan
	for i, list := range [...][]ike.Selector{c.TSLocal, c.TSRemote} {
		for _, s := range list {
			if !s.Dynamic {
				sides[i] = append(sides[i], pfkey.TrafficSpan{From: s.From, To: s.To, PortFrom: s.PortFrom, PortTo: s.PortTo, Proto: s.Proto})
			}
		}
	}
	return &pfkey.Traffic{Local: sides[0], Remote: sides[1]}
}

func lifetimes(m *pfkey.Message, l sadb.Limits) {
	const most = 1<<32 - 1 // packets are counted in 32 bits there; who is told softly must be told before the end
	l.HardPackets, l.SoftPackets = min(l.HardPackets, most), min(l.SoftPackets, most-1<<16)
	m.LifetimeHard = &pfkey.Lifetime{Allocations: uint32(l.HardPackets), Bytes: l.HardBytes, AddTime: uint64(l.HardTime / time.Second)}
	m.LifetimeSoft = &pfkey.Lifetime{Allocations: uint32(l.SoftPackets), Bytes: l.SoftBytes, AddTime: uint64(l.SoftTime / time.Second)}
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
