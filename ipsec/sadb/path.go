// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The MTU of the path to a peer: RFC 4301, Section 8.2; RFC 1191; RFC 8201. ICMP messages are anybody's: one is believed only
// if it quotes the SPI of a live outbound SA to that peer and a sequence number that was sent lately, only downwards, never
// below the floor of its family, and for ten minutes (HOSTILE T-075).

package sadb

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// FloorV4 and FloorV6 are the smallest path MTUs: RFC 791, Section 3.2 has every host take 576; RFC 8200, Section 5.
	FloorV4 = 576
	FloorV6 = 1280
	// mtuAge: RFC 1191, Section 6.3 suggests 10 minutes before a larger size is tried again.
	mtuAge = int64(10 * time.Minute)
	// holeAge is the same where routers keep silent: trying again costs the connections a stall.
	holeAge = int64(time.Hour)
	// quoteWindow is how old a quoted sequence number may be: a second at a million packets a second.
	quoteWindow = 1 << 20
)

// plateaus are the sizes tried where a router does not say which fits (RFC 1191, Section 7).
var plateaus = [...]int32{1492, 1400, 1280, 1006, 576}

// path is what pairs to one remote endpoint share.
type path struct {
	mtu   atomic.Int32
	first int32        // before any path event: the DB's
	until atomic.Int64 // when a lowered MTU is forgotten; 0: it is not lowered
	refs  int32        // under db.mu
	key   netip.AddrPort
	other *path // with the same hash: under db.mu
}

func (p *path) indexed() netip.AddrPort { return p.key }
func (p *path) same() **path            { return &p.other }

func pathKey(e Endpoint) netip.AddrPort {
	if !e.UDP() {
		return netip.AddrPortFrom(e.Remote.Addr(), 0)
	}
	return e.Remote
}

// placeAt makes a place. Under db.mu.
func (db *DB) placeAt(e Endpoint) place { return place{Endpoint: e, path: db.pathTo(e)} }

// pathTo is the path of an endpoint, shared with others to the same one. Under db.mu.
func (db *DB) pathTo(e Endpoint) *path {
	key := pathKey(e)
	h := hashOfEnd(db.seed, key)
	p := db.paths.find(h, key)
	if p == nil {
		p = &path{first: int32(db.mtu), key: key}
		p.mtu.Store(p.first)
		db.paths.put(h, p)
	}
	p.refs++
	return p
}

// settle gives a new SA its first place, which lies in the SA itself. Under db.mu.
func (c *core) settle(e Endpoint) {
	c.home = c.db.placeAt(e)
	c.endpoint.Store(&c.home)
}

func (db *DB) leave(pl *place) {
	p := pl.path
	if p.refs--; p.refs > 0 {
		return
	}
	db.paths.drop(hashOfEnd(db.seed, p.key), p)
}

// current is the MTU now; a lowered one that is old is forgotten.
func (p *path) current(now int64) int {
	if until := p.until.Load(); until != 0 && now >= until && p.until.CompareAndSwap(until, 0) {
		p.mtu.Store(p.first)
	}
	return int(p.mtu.Load())
}

// lowers notes that an MTU is lowered until then. Nothing is counted that would have to be taken back when a path goes, whoever still holds it.
func (db *DB) lowers(until int64) {
	for was := db.lowered.Load(); was < until && !db.lowered.CompareAndSwap(was, until); was = db.lowered.Load() {
	}
}

// narrow reports whether an MTU may be lowered now.
func (db *DB) narrow(now int64) bool { return now < db.lowered.Load() }

// lower reports whether the MTU is smaller now than it was. mtu zero: to the next plateau.
func (p *path) lower(db *DB, now int64, mtu int, age int64) bool {
	cur := int32(p.current(now))
	floor := int32(FloorV4)
	if p.key.Addr().Is6() {
		floor = FloorV6
	}
	next := int32(min(mtu, 65535))
	if mtu == 0 {
		next = floor
		for _, s := range plateaus {
			if s < cur {
				next = s
				break
			}
		}
	}
	if next = max(next, floor); next >= cur {
		return false
	}
	p.mtu.Store(next)
	p.until.Store(now + age)
	db.lowers(now + age)
	return true
}

// overhead is what IP and UDP put around an ESP packet to e.
func (e *Endpoint) overhead() int {
	n := 20
	if e.Remote.Addr().Is6() {
		n = 40
	}
	if e.UDP() {
		n += 8 + e.Encap.Overhead()
	}
	return n
}

// PathMTU is the size in octets of the largest outer IP packet now.
func (c *core) PathMTU(now int64) int {
	if !c.db.narrow(now) { // mostly, and then it is not looked up
		return c.db.mtu
	}
	return c.endpoint.Load().path.current(now)
}

// MaxInner is the largest inner packet, in octets, whose outer packet fits the path now.
func (s *Sender) MaxInner(now int64) int {
	return s.InnerAt(s.PathMTU(now))
}

// LowerPath takes it that packets larger than mtu vanish on the path without a word; sure says that smaller ones were seen
// to pass. It reports whether anything changed.
func (c *core) LowerPath(now int64, mtu int, sure bool) bool {
	age := mtuAge
	if sure {
		age = holeAge
	}
	return c.endpoint.Load().path.lower(c.db, now, mtu, age)
}

// InnerAt is what MaxInner would be on a path of mtu octets.
func (s *Sender) InnerAt(mtu int) int {
	pl := s.endpoint.Load()
	return s.most(mtu - pl.overhead())
}

// PathEvent says that an outer packet to remote was too large: an ICMP message (anybody's; quoted is the beginning of
// the UDP payload it quotes, which must show the SPI of a live outbound SA to remote) or, with thisHost, the finding
// of this host itself. mtu is the size in octets of an outer IP packet that fits; zero: not said. It reports whether it
// was believed. Never below 576 (IPv4) or 1280 (IPv6); a lowered MTU is forgotten after 10 minutes (RFC 1191, Section 6.3).
func (db *DB) PathEvent(now time.Time, remote netip.AddrPort, quoted []byte, mtu int, thisHost bool) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	at := db.Clock(now)
	if thisHost {
		lowered := false
		for _, key := range [2]netip.AddrPort{remote, netip.AddrPortFrom(remote.Addr(), 0)} {
			if p := db.paths.find(hashOfEnd(db.seed, key), key); p != nil && p.lower(db, at, mtu, mtuAge) {
				lowered = true
			}
		}
		return lowered
	}
	if len(quoted) < 8 {
		return false
	}
	spi, seq := binary.BigEndian.Uint32(quoted), binary.BigEndian.Uint32(quoted[4:])
	for s := db.out[spi]; s != nil; s = s.nextOut {
		if p := s.Sender.quoted(seq, remote); p != nil {
			return p.lower(db, at, mtu, mtuAge)
		}
	}
	return db.TooBig(at, ProtoESP, remote, spi, seq, mtu)
}

// TooBig says that a router wrote that an outer packet of a single SA was too large: of protocol proto to remote (its port counts in
// UDP), with the SPI and the sequence number that the message quotes. Everything of it is anybody's; it is believed as PathEvent
// believes. mtu zero: not said.
func (db *DB) TooBig(now int64, proto uint8, remote netip.AddrPort, spi, seq uint32, mtu int) bool {
	p := db.quotedSingle(saKey{spi, proto}, seq, remote)
	return p != nil && p.lower(db, now, mtu, mtuAge)
}

// quoted is the path to remote, if the SA lives and has lately sent the number there that a router quotes; nil: no.
func (s *Sender) quoted(seq uint32, remote netip.AddrPort) *path {
	pl := s.endpoint.Load()
	if s.ended() || pl.path.key.Addr() != remote.Addr() || pl.UDP() && pl.path.key != remote {
		return nil
	}
	if _, sent := s.counted(); sent == 0 || uint32(sent)-seq >= quoteWindow {
		return nil
	}
	return pl.path
}

// quotedSingle is the path of a single SA that has sent what is quoted. It may have been moved: its destination is looked at in quoted.
func (db *DB) quotedSingle(k saKey, seq uint32, remote netip.AddrPort) *path {
	t := &db.sad // while it grows the SA may not be found: the router will say it again
	for s := t.chain(t.hashOf(k)).Load(); s != nil; s = s.next.Load() {
		x := s.sender.Load()
		if x == nil || s.key() != k {
			continue
		}
		if p := x.quoted(seq, remote); p != nil {
			return p
		}
	}
	return nil
}
