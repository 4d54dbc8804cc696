// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Children: how they are installed, replaced and removed. They belong to the machine, not to one generation, so that a
// successor of the IKE SA inherits them by doing nothing (RFC 7296, Section 2.8). What the peer chose of a child is its
// outbound SPI and the selectors; both were verified before a child is made.

package ikev2

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/natterjack/natterjack/ike"
)

const (
	// maxChildren bounds the children of one IKE SA.
	maxChildren = 64
	// lingerTime is how long the inbound SA of a replaced child still receives after it was deleted: packets that were
	// sealed before the peer knew may be behind its delete.
	lingerTime = 5 * time.Second
	// patience is how long a replaced SA waits for the delete that the peer owes: longer than a request is repeated.
	patience = 3 * time.Minute
	// rekeyPause is the time between two attempts to rekey that failed.
	rekeyPause = time.Minute
)

// child is one child SA of this machine.
type child struct {
	sa        ike.ChildSA // without keys
	conf      *ike.ChildConfig
	proposals []ike.ESPProposal // what was negotiated, and so what a rekey offers
	ni, nr    []byte            // of the exchange that made it

	installing  ike.Token // the Install that is outstanding; 0: installed
	installed   func(now time.Time, failed ike.Answer)
	installedAt time.Time
	rekeyAt     time.Time
	expireAt    time.Time
	usage       ike.Usage

	standby    bool     // we send on the one it replaces
	ours       *attempt // our rekey of it is outstanding
	serving    bool     // the peer's rekey of it is parked
	theirs     *child   // what the peer's crossing rekey made
	successor  *child
	replaced   bool      // a successor is in use, or it is the redundant one of two
	until      time.Time // when the delete that the peer owes is not waited for any longer
	deleting   bool      // our delete waits or is outstanding
	deleteSent bool
	gone       bool
}

// lingering is a replaced child that was deleted and still receives.
type lingering struct {
	c     *child
	until time.Time
}

// newest follows what has replaced a child.
func (c *child) newest() *child {
	for c.successor != nil && !c.successor.gone {
		c = c.successor
	}
	return c
}

func (sa *SA) childWhere(is func(c *child) bool) *child {
	if i := slices.IndexFunc(sa.children, is); i >= 0 {
		return sa.children[i]
	}
	return nil
}

func (sa *SA) childByIn(spi uint32) *child {
	return sa.childWhere(func(c *child) bool { return c.sa.SPIIn == spi })
}

func (sa *SA) childByOut(ah bool, spi uint32) *child {
	return sa.childWhere(func(c *child) bool { return c.sa.SPIOut == spi && c.sa.AH == ah })
}

func (sa *SA) childByID(id uint64) *child {
	return sa.childWhere(func(c *child) bool { return c.sa.ChildID == id })
}

// peerSPI reports whether the peer may give a child this SPI: 0 to 255 are reserved (RFC 4303, Section 2.1), and one that
// it uses already would make two children one.
func (sa *SA) peerSPI(ah bool, spi uint32) bool { return spi > 255 && sa.childByOut(ah, spi) == nil }

// encapsulated reports whether ESP travels in UDP (RFC 7296, Section 2.23).
func (sa *SA) encapsulated() bool { return sa.natLocal || sa.natPeer || sa.natFake || !sa.env.RawESP }

// localAddrs and remoteAddrs are what `dynamic` stands for.
func (sa *SA) localAddrs() []netip.Addr {
	if len(sa.vips) > 0 {
		return sa.vips
	}
	return []netip.Addr{sa.path.Local.Addr().Unmap()}
}

// A peer that has to lease its address is nowhere else: without a lease it has none. Any other is where IKE_SA_INIT reached
// it, whatever address its later messages come from: they are authentic, but a source address is not, and a peer must not
// become another host by writing that one's address on an envelope.
func (sa *SA) remoteAddrs() []netip.Addr {
	if !sa.initiator && len(sa.conn.Pools) > 0 {
		return sa.leased
	}
	return []netip.Addr{sa.startPath.Remote.Addr().Unmap()}
}

// fill completes a child with what it has of its IKE SA.
func (sa *SA) fill(c *child) {
	c.sa.Name, c.sa.Connection, c.sa.Config = c.conf.Name, sa.conn.Name, c.conf
	c.sa.Unique, c.sa.Path, c.sa.Encap = sa.env.Unique, sa.path, sa.encapsulated() && !c.sa.AH
	c.sa.Lifetime = c.conf.LifeTime
	switch {
	case c.sa.Mode == ike.ModeTransport: // of the hosts' own addresses
	case len(sa.vips) > 0:
		c.sa.VIPs = sa.vips
	case len(sa.leased) > 0:
		c.sa.VIPs, c.sa.PeerVIPs = sa.leased, true
	}
}

// install asks for both SAs of a child. The keys go to the data plane and nowhere else. initiator is this host's role in
// the exchange (RFC 7296, Section 2.17). The child counts from now on, so that a delete of the peer finds it; then is told
// nil or the failure, unless the child is gone by that time.
func (sa *SA) install(c *child, k childKeys, initiator bool, then func(now time.Time, failed ike.Answer)) {
	sa.fill(c)
	full := c.sa
	full.LocalID, full.RemoteID = sa.localID, sa.peerID
	full.KeyOut, full.IntegOut, full.KeyIn, full.IntegIn = k.encrI, k.integI, k.encrR, k.integR
	if !initiator {
		full.KeyOut, full.IntegOut, full.KeyIn, full.IntegIn = k.encrR, k.integR, k.encrI, k.integI
	}
	if sa.env.KeyLog && !c.sa.AH { // with AH there is nothing to decrypt
		sa.report(ike.Event{Kind: ike.EventKeys, Keys: &ike.Keys{ESP: full.Suite, SPIIn: full.SPIIn, SPIOut: full.SPIOut,
			EncrIn: full.KeyIn.Clone(), EncrOut: full.KeyOut.Clone(), IntegIn: full.IntegIn.Clone(), IntegOut: full.IntegOut.Clone()}})
	}
	c.standby = c.sa.Standby
	sa.children = append(sa.children, c)
	sa.consumed(c.sa.SPIIn)
	c.installed = then
	c.installing = sa.ask(ike.Install{Child: full}, func(now time.Time, a ike.Answer) {
		c.installing = 0
		if _, ok := a.(ike.Installed); !ok {
			c.gone = true
			sa.unlist(c)
			then(now, a)
			return
		}
		c.installedAt = now
		sa.armChild(now, c)
		then(now, nil)
		if now.After(sa.trafficAt) || sa.trafficAt.IsZero() {
			sa.planTraffic(now)
		}
	})
}

// armChild sets the lifetimes (units of the configuration: time; octets and packets are the data plane's).
func (sa *SA) armChild(now time.Time, c *child) {
	if c.conf.RekeyTime > 0 {
		c.rekeyAt = now.Add(c.conf.RekeyTime - min(sa.jitter(c.conf.RandTime), c.conf.RekeyTime/2))
	}
	if c.conf.LifeTime > 0 {
		c.expireAt = now.Add(c.conf.LifeTime)
	}
}

// childUp reports a child that works.
func (sa *SA) childUp(c *child, rekey bool) {
	seen := c.sa
	seen.LocalID, seen.RemoteID = sa.localID, sa.peerID
	sa.report(ike.Event{Kind: ike.EventChildUp, Child: &seen, ChildID: c.sa.ChildID, Rekey: rekey})
}

func (sa *SA) childDown(c *child, rekey bool, u ike.Usage, detail string) {
	seen := c.sa
	seen.LocalID, seen.RemoteID = sa.localID, sa.peerID
	sa.report(ike.Event{Kind: ike.EventChildDown, Child: &seen, ChildID: c.sa.ChildID, Rekey: rekey, Usage: u, Detail: detail})
}

func (sa *SA) unlist(c *child) {
	sa.children = slices.DeleteFunc(sa.children, func(o *child) bool { return o == c })
}

// stopSending takes the outbound SA of a child away, before the delete leaves: what is sealed afterwards would be lost.
func (sa *SA) stopSending(c *child) {
	sa.forget(ike.Remove{SPIIn: c.sa.SPIIn, SPIOut: c.sa.SPIOut, Remote: c.sa.Path.Remote.Addr(), OnlyOut: true})
}

// dropChild removes a child on this side. A replaced one goes on receiving for a moment.
func (sa *SA) dropChild(now time.Time, c *child, detail string) {
	if c.gone {
		return
	}
	c.gone = true
	sa.unlist(c)
	sa.succession(now, c)
	switch {
	case c.installing != 0:
		sa.uninstall(c)
		c.installed(now, ike.Failed{Err: errors.New(detail)})
	case c.replaced:
		sa.stopSending(c)
		sa.lingering = append(sa.lingering, lingering{c, now.Add(lingerTime)})
	default:
		sa.remove(c, detail)
	}
}

// uninstall withdraws an Install that is outstanding, and removes what it may have begun.
func (sa *SA) uninstall(c *child) {
	sa.cancel(c.installing)
	sa.forget(ike.Remove{SPIIn: c.sa.SPIIn, SPIOut: c.sa.SPIOut, Remote: c.sa.Path.Remote.Addr()})
}

// succession mends what refers to a child that goes: what it replaces goes on alone, what it was replaced by sends.
func (sa *SA) succession(now time.Time, c *child) {
	for _, o := range sa.children {
		if o.successor == c && !o.deleting {
			o.replaced, o.successor, o.until = false, nil, time.Time{}
			if !o.rekeyAt.IsZero() && o.rekeyAt.Before(now) {
				o.rekeyAt = now.Add(rekeyPause)
			}
		}
	}
	for _, o := range []*child{c.successor, c.theirs} {
		if o != nil && !o.replaced {
			o.standby = false // the data plane does so by itself when the SA it replaces is removed
		}
	}
}

// remove removes both SAs of a child and reports what they have counted.
func (sa *SA) remove(c *child, detail string) {
	sa.removing = append(sa.removing, c)
	sa.ask(ike.Remove{SPIIn: c.sa.SPIIn, SPIOut: c.sa.SPIOut, Remote: c.sa.Path.Remote.Addr()}, func(_ time.Time, a ike.Answer) {
		r, _ := a.(ike.Removed)
		sa.removing = slices.DeleteFunc(sa.removing, func(o *child) bool { return o == c })
		sa.childDown(c, c.replaced, r.Final, detail)
	})
}

// lingered removes what has received long enough.
func (sa *SA) lingered(now time.Time) {
	sa.lingering = slices.DeleteFunc(sa.lingering, func(l lingering) bool {
		if now.Before(l.until) {
			return false
		}
		sa.remove(l.c, "")
		return true
	})
}

// expired: the data plane has counted so many octets or packets.
func (sa *SA) expired(now time.Time, n ike.Expire) {
	c := sa.childByIn(n.SPIIn)
	switch {
	case c == nil || c.installing != 0:
	case n.Hard:
		sa.deleteChild(now, c, 0)
	default:
		sa.rekeyChild(now, c, 0)
	}
}

// childTimers acts on the children whose time has come.
func (sa *SA) childTimers(now time.Time) {
	for _, c := range slices.Clone(sa.children) {
		switch {
		case due(c.expireAt, now):
			c.expireAt = time.Time{}
			sa.deleteChild(now, c, 0)
		case due(c.until, now):
			c.until = time.Time{}
			sa.deleteChild(now, c, 0)
		case due(c.rekeyAt, now):
			c.rekeyAt = now.Add(rekeyPause) // again, where the attempt fails
			sa.rekeyChild(now, c, 0)
		}
	}
}

// due reports whether an instant that is set has come.
func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
