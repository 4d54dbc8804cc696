// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Where single SAs are found: RFC 4301, Section 4.1. Their SPIs were chosen by peers and clients, so they are keys of a hash table. SPIs
// in packets are anybody's.

package sadb

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/natterjack/natterjack/ipsec/esp"
)

type saKey struct {
	spi   uint32
	proto uint8
}

// sad is the table of single SAs: by protocol and SPI, whatever their destination.
type sad struct {
	table[Single, *Single]
	factors [2]uint64 // of the hash; immutable
}

func (s *Single) link() *atomic.Pointer[Single] { return &s.next }

// hashOf spreads keys as that of hosts does.
func (t *sad) hashOf(k saKey) uint64 {
	return (uint64(k.spi)*t.factors[0] + uint64(k.proto)*t.factors[1]) >> 32
}

// find is the SA of a key and a destination; one that is not valid fits any.
func (t *sad) find(k saKey, dst netip.Addr) *Single {
	s := t.chain(t.hashOf(k)).Load()
	for s != nil && (s.key() != k || dst.IsValid() && s.sa.Load().at.Remote.Addr() != dst) {
		s = s.next.Load()
	}
	return s
}

// lookupSA finds a single SA; dst that is not valid fits any.
func (db *DB) lookupSA(k saKey, dst netip.Addr) *Single {
	t := &db.sad
	epoch := t.epoch.Load()
	s := t.find(k, dst)
	if s == nil && t.grew(epoch) {
		t.mu.Lock()
		defer t.mu.Unlock()
		s = t.find(k, dst)
	}
	return s
}

// taken reports whether a single SA has an SPI that a pair might draw.
func (db *DB) taken(spi uint32) bool {
	return db.singles.Load() != 0 && (db.lookupSA(saKey{spi, ProtoESP}, netip.Addr{}) != nil || db.lookupSA(saKey{spi, ProtoAH}, netip.Addr{}) != nil)
}

// exists reports whether a new SA would have the name of another. Under db.mu.
func (db *DB) exists(k saKey, dst netip.Addr) bool {
	if p := db.Inbound(k.spi); p != nil && p.proto == k.proto && (!db.perDst || p.Endpoint().Local.Addr() == dst) {
		return true
	}
	if l := db.larval[db.slots.Load().index(k.spi)]; l != nil && l.spi == k.spi && k.proto != ProtoIPComp {
		return true
	}
	if !db.perDst {
		dst = netip.Addr{}
	}
	return db.lookupSA(k, dst) != nil
}

// Receiver finds the SA of a packet that arrived at dst; nil: there is none (RFC 4303, Section 3.4.2). Pairs are found by
// SPI and protocol, single SAs only if the packet arrived at their Dst: one that this host sent and somebody reflected
// finds nothing.
func (db *DB) Receiver(proto uint8, spi uint32, dst netip.Addr) *Receiver {
	p := db.Inbound(spi)
	if p != nil && p.proto != proto {
		p = nil
	}
	if db.singles.Load() == 0 || p != nil && p.Endpoint().Local.Addr() == dst {
		if p == nil {
			return nil
		}
		return &p.Receiver
	}
	if dst.IsValid() {
		if s := db.lookupSA(saKey{spi, proto}, dst); s != nil {
			return s.asReceiver()
		}
	}
	if p == nil {
		return nil
	}
	return &p.Receiver
}

// Within finds the single SA of a packet from src to dst that came out of a tunnel; nil: there is none. Both addresses are whatever the
// tunnel's peer wrote, so that both must be the SA's: not every SA with this destination is one of this host's to open.
func (db *DB) Within(proto uint8, spi uint32, src, dst netip.Addr) *Receiver {
	if db.singles.Load() == 0 {
		return nil
	}
	s := db.lookupSA(saKey{spi, proto}, dst)
	if s == nil {
		return nil
	}
	r := s.asReceiver()
	if r == nil || !r.ComesFrom(src) {
		return nil
	}
	return r
}

// ComesFrom reports whether src is where the packets of an SA are expected from.
func (r *Receiver) ComesFrom(src netip.Addr) bool {
	a := r.Source().Remote.Addr()
	return a == src || a.IsUnspecified()
}

// Compresses reports whether there is IPComp from src to dst.
func (db *DB) Compresses(src, dst netip.Addr) bool {
	return db.singles.Load() != 0 && db.findSet(keyOf(ProtoIPComp, src, dst, 0)).head() != nil
}

// LookupSA finds a single SA, a reservation too; a Dst that is not valid fits any.
func (db *DB) LookupSA(id SAID) (*Single, bool) {
	s := db.lookupSA(saKey{id.SPI, id.Proto}, id.Dst)
	return s, s != nil
}

// SAs are all single SAs of a protocol (zero: of all) at this time, in the order in which they were added: for DUMP, which
// asks each for Info when its turn comes (false: it is gone). With managed the halves of IKE's pairs are among them.
func (db *DB) SAs(proto uint8, managed bool) []SARef {
	list := make([]SARef, 0, db.singles.Load())
	db.sad.each(func(s *Single) {
		if proto == 0 || proto == s.proto {
			list = append(list, SARef{single: s})
		}
	})
	slices.SortFunc(list, func(a, b SARef) int { return int(a.single.serial) - int(b.single.serial) })
	if !managed {
		return list
	}
	t := db.slots.Load()
	for i := range t.pairs {
		if p := t.pairs[i].Load(); p != nil && (proto == 0 || proto == p.proto) {
			list = append(list, SARef{pair: p}, SARef{pair: p, out: true})
		}
	}
	return list
}

// SARef is one SA of a listing.
type SARef struct {
	single *Single
	pair   *Pair
	out    bool
}

// Info is the SA as it is now; false: it is gone.
func (r SARef) Info() (SAInfo, bool) {
	if r.single != nil {
		return r.single.Info(), r.single.state.Load()&stateInClosed == 0
	}
	p := r.pair
	if r.out {
		t, seq := p.Sender.counted()
		return p.halfInfo(&t, p.spiOut, seq, true), p.state.Load()&stateOutClosed == 0
	}
	t, top := p.Receiver.counted()
	return p.halfInfo(&t, p.spiIn, top, false), p.state.Load()&stateInClosed == 0
}

// halfInfo shows one half of a pair.
func (p *Pair) halfInfo(t *tally, spi uint32, last uint64, out bool) SAInfo {
	ep := p.Endpoint()
	src, dst := ep.Remote, ep.Local
	if out {
		src, dst = dst, src
	}
	i := SAInfo{
		SA: SA{Proto: p.proto, SPI: spi, Src: src.Addr(), Dst: dst.Addr(), Encap: ep.Encap, Mode: p.mode, Reqid: p.reqid, Suite: p.suite,
			CopyECN: p.CopyECN, CopyDF: p.CopyDF, DSCP: p.DSCP},
		State: p.saState(), Endpoint: ep, Bytes: t.bytes, Packets: t.packets, Last: last, Managed: true,
		Added: p.db.instant(p.added), FirstUsed: p.db.instant(p.usedAt.Load()), LastUsed: p.db.instant(t.last),
	}
	if ep.UDP() {
		i.SrcPort, i.DstPort = src.Port(), dst.Port()
	}
	return i
}

// validSPI: RFC 4303, Section 2.1; RFC 3173, Section 3.3: CPIs have 16 bits, the lowest are numbers of algorithms.
func validSPI(proto uint8, spi uint32) bool {
	if proto == ProtoIPComp {
		return spi > 0 && spi <= 0xffff
	}
	return spi >= esp.MinSPI
}
