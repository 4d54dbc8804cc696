// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The seam between IKE and IPsec (PF_KEY's semantics, RFC 2367): what a machine asks of the data plane, answered at once
// by ipsec/sadb in this process, and what the data plane sees, told to the machine that owns the SA. The seam knows who
// owns what, so that a machine that fails leaves no SA behind.

package daemon

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// minWindow is the smallest replay window, in packets (RFC 4303, Section 3.4.3).
const minWindow = 32

// ipsec is the other side of the seam: the engine in this process (seam) or one behind PF_KEY (keyed). All methods are safe for
// concurrent use.
type ipsec interface {
	// Ask answers Reserve, Install, Promote, Move, Remove and Query of the machine unique.
	Ask(now time.Time, unique uint64, q ike.Question) ike.Answer
	// RemoveAll removes everything that a machine has.
	RemoveAll(unique uint64)
	// forget drops what is known of a pair; owner, inbound, children and usage tell of pairs (see seam).
	forget(spiIn uint32)
	owner(spiIn uint32) uint64
	inbound(unique uint64, spiOut uint32) uint32
	children() int
	usage(spiIn uint32) ike.Usage
	// hold puts a policy that no child brought in force, drop takes it back. acquireFailed ends what waits for SAs of a trap's reqid.
	hold(p *standing) error
	drop(p *standing)
	acquireFailed(reqid uint32)
	// tells reports whether the peer of a child in transport mode, in UDP, is told from the others at its address (RFC 3948, Section 5.2).
	tells(c *ike.ChildSA) bool
}

// seam is safe for concurrent use; shards call Ask, the plane's goroutine owner.
type seam struct {
	db        *sadb.DB
	kick      func() // the SAD has something to do earlier
	released  func(spiIn uint32)
	trapped   func(conn, child string) uint32 // the reqid of a child's trap; zero: none
	nextChild atomic.Uint64
	seed      maphash.Seed // of identities' numbers

	mu    sync.Mutex // protects the rest
	pairs pairTable[*pair]
}

// newSeam makes a seam; released is told whenever a pair or a reservation is gone.
func newSeam(db *sadb.DB, kick func(), released func(spiIn uint32)) *seam {
	return &seam{db: db, kick: kick, released: released, seed: maphash.MakeSeed(), pairs: newPairTable[*pair]()}
}

// Ask answers a question of the machine unique.
func (k *seam) Ask(now time.Time, unique uint64, q ike.Question) ike.Answer {
	switch q := q.(type) {
	case ike.Reserve:
		return k.reserve(now, unique, q)
	case ike.Install:
		return k.install(now, unique, q.Child)
	case ike.Promote:
		return installed(k.db.Promote(now, q.SPIIn))
	case ike.Move:
		return installed(k.db.Move(now, q.SPIIn, endpoint(q.Path, q.Path.Encap != natt.Raw)))
	case ike.Remove:
		final := k.db.Remove(now, q.SPIIn, q.OnlyOut)
		if !q.OnlyOut {
			k.forget(q.SPIIn)
		}
		return ike.Removed{Final: usageOf(final)}
	case ike.Query:
		u, ok := k.db.Query(q.SPIIn)
		if !ok {
			return ike.Failed{Err: sadb.ErrUnknown}
		}
		return usageOf(u)
	}
	return ike.Failed{Err: fmt.Errorf("question %T is not the seam's", q)}
}

// installed turns an error into an answer.
func installed(err error) ike.Answer {
	if err == nil {
		return ike.Installed{}
	}
	f := ike.Failed{Err: err}
	switch {
	case errors.Is(err, sadb.ErrSelectors):
		f.Refusal = ike.RefusalSelectors
	case errors.Is(err, sadb.ErrTooMany), errors.Is(err, sadb.ErrNoSPI):
		f.Refusal = ike.RefusalLimit
	case errors.Is(err, sadb.ErrReservation):
		f.Refusal = ike.RefusalTemporary
	}
	return f
}

func (k *seam) reserve(now time.Time, unique uint64, q ike.Reserve) ike.Answer {
	reqid, waits := q.Reqid, uint32(0)
	if reqid == 0 && k.trapped != nil {
		// What meets the trap is for the child that it has this host begin. One that a peer begins is that peer's alone: others of
		// the connection may have one too, and what a reqid names is one client (ipsec/dataplane).
		if waits = k.trapped(q.Connection, q.Child); q.Initiated {
			reqid, waits = waits, 0
		}
	}
	spi, reqid, err := k.db.Reserve(now, reqid)
	if err != nil {
		return installed(err)
	}
	k.mu.Lock()
	k.pairs.add(&pair{unique: unique, spiIn: spi, waits: waits})
	k.mu.Unlock()
	k.kick()
	return ike.Reserved{SPI: spi, Reqid: reqid, ChildID: k.nextChild.Add(1)}
}

func (k *seam) install(now time.Time, unique uint64, c ike.ChildSA) ike.Answer {
	child, err := childOf(c)
	child.Peer = maphash.Comparable(k.seed, identityKey(ike.ID{}, c.RemoteID)) | 1 // zero is nobody's
	if err == nil {
		err = k.db.Install(now, child)
	}
	if err != nil {
		k.db.Remove(now, c.SPIIn, false)
		k.forget(c.SPIIn)
		return installed(err)
	}
	k.mu.Lock()
	waits := uint32(0)
	if p := k.pairs.in[c.SPIIn]; p != nil && p.unique == unique {
		p.spiOut, waits = c.SPIOut, p.waits
	}
	k.mu.Unlock()
	if waits != 0 {
		k.db.Again(waits) // what is held for its trap may go by it
	}
	k.kick()
	return ike.Installed{}
}

// tells implements ipsec.
func (k *seam) tells(*ike.ChildSA) bool { return true }

// forget drops what is known of a pair.
func (k *seam) forget(spiIn uint32) {
	k.released(spiIn)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pairs.drop(spiIn)
}

// RemoveAll removes everything that a machine has: after its end, and when it failed.
func (k *seam) RemoveAll(unique uint64) {
	k.mu.Lock()
	spis := k.pairs.of(unique)
	k.mu.Unlock()
	for _, spi := range spis {
		k.db.Remove(time.Now(), spi, false)
		k.forget(spi)
	}
}

// owner is the machine of an inbound SPI; zero: none.
func (k *seam) owner(spiIn uint32) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pairs.owner(spiIn)
}

// inbound is the inbound SPI of a machine's pair by its outbound one; zero: none.
func (k *seam) inbound(unique uint64, spiOut uint32) uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pairs.inbound(unique, spiOut)
}

// children is how many pairs are installed.
func (k *seam) children() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pairs.installed()
}

func (k *seam) usage(spiIn uint32) ike.Usage {
	if k.owner(spiIn) == 0 {
		return ike.Usage{}
	}
	u, _ := k.db.Query(spiIn)
	return usageOf(u)
}

func usageOf(u sadb.Usage) ike.Usage {
	return ike.Usage{BytesIn: u.BytesIn, BytesOut: u.BytesOut, PacketsIn: u.PacketsIn, PacketsOut: u.PacketsOut,
		LastIn: u.LastIn, LastOut: u.LastOut}
}

func endpoint(p ike.Path, encap bool) sadb.Endpoint {
	unmap := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
	mode := p.Encap
	switch {
	case !encap:
		mode = natt.Raw
	case mode == natt.Raw: // the port of IKE has no marker, and ESP leaves by the other
		mode = natt.NonESP
	}
	return sadb.Endpoint{Local: unmap(p.Local), Remote: unmap(p.Remote), Encap: mode}
}

// childOf says the same in the data plane's words.
func childOf(c ike.ChildSA) (sadb.Child, error) {
	if c.Config == nil {
		return sadb.Child{}, errors.New("child: no configuration")
	}
	conf := c.Config
	limits, err := limitsOf(c)
	if err != nil {
		return sadb.Child{}, err
	}
	proto, mode := uint8(sadb.ProtoESP), sadb.Tunnel
	if c.AH {
		proto = sadb.ProtoAH
	}
	if c.Mode == ike.ModeTransport {
		mode = sadb.Transport
	}
	return sadb.Child{
		Reqid: c.Reqid, SPIIn: c.SPIIn, SPIOut: c.SPIOut, Endpoint: endpoint(c.Path, c.Encap), Suite: suiteOf(c),
		Proto: proto, Mode: mode, OrigLocal: c.OrigLocal, OrigRemote: c.OrigRemote, CPIIn: c.CPIIn, CPIOut: c.CPIOut,
		KeyIn: c.KeyIn, KeyOut: c.KeyOut, IntegIn: c.IntegIn, IntegOut: c.IntegOut,
		TSLocal: selectorsOf(c.TSLocal), TSRemote: selectorsOf(c.TSRemote), Standby: c.Standby, NoPolicies: conf.NoPolicies,
		Window: max(minWindow, conf.ReplayWindow), Limits: limits, CopyDF: conf.CopyDF, CopyECN: conf.CopyECN,
		DSCP: dscpOf(conf.CopyDSCP),
	}, nil
}

// suiteOf is what was negotiated, or what the operator says that the peer makes of it.
func suiteOf(c ike.ChildSA) suite.ESP {
	s := c.Suite
	if c.Config.SHA256Short && s.Integ == suite.IntegHMACSHA2256128 {
		s.Integ = suite.IntegHMACSHA225696
	}
	return s
}

// limitsOf: time is the machine's to watch, and the hard limit in time is set here all the same, for a machine that
// cannot; octets and packets are the data plane's to count.
func limitsOf(c ike.ChildSA) (sadb.Limits, error) {
	softBytes, err := soften(c.Config.RekeyBytes, c.Config.RandBytes)
	if err != nil {
		return sadb.Limits{}, err
	}
	softPackets, err := soften(c.Config.RekeyPackets, c.Config.RandPackets)
	return sadb.Limits{
		HardTime: c.Lifetime, SoftBytes: softBytes, HardBytes: c.Config.LifeBytes,
		SoftPackets: softPackets, HardPackets: c.Config.LifePackets,
	}, err
}

// soften subtracts a random part of spread from limit, so that both sides do not rekey at once; zero stays zero.
func soften(limit, spread uint64) (uint64, error) {
	if limit == 0 || spread == 0 {
		return limit, nil
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("random numbers: %w", err)
	}
	return max(1, limit-binary.BigEndian.Uint64(b[:])%(min(spread, limit)+1)), nil
}

func dscpOf(c ike.CopyDSCP) sadb.DSCP {
	switch c {
	case ike.CopyDSCPIn:
		return sadb.DSCPIn
	case ike.CopyDSCPYes:
		return sadb.DSCPBoth
	case ike.CopyDSCPNo:
		return sadb.DSCPNone
	}
	return sadb.DSCPOut
}

func selectorsOf(list []ike.Selector) []sadb.Selector {
	out := make([]sadb.Selector, 0, len(list))
	for _, s := range list {
		if s.Dynamic {
			continue // only in configuration; a negotiated selector has addresses
		}
		out = append(out, sadb.Selector{From: s.From, To: s.To, Proto: s.Proto, PortFrom: s.PortFrom, PortTo: s.PortTo})
	}
	return out
}
