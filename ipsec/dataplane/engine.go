// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package dataplane carries packets between the inner and the outer side in batches: RFC 4301, Section 5 (outbound and
// inbound processing in tunnel and transport mode), RFC 4303, RFC 3948, RFC 6040. Datagrams, their outer headers and, once opened,
// the inner packets are attacker controlled (the last by the peer). It guarantees that no packet leaves in clear that a policy
// protects, that none is delivered that was not authenticated, is a replay or lies outside of its SA's selectors, that
// every packet that is dropped is counted under a reason, and that nothing is allocated per packet.
//
// How the daemon uses it: one Outbound for every goroutine that reads a TUN queue, one Inbound for every goroutine that
// reads a socket; each belongs to its goroutine. After every batch ask DB.Pending.
package dataplane

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/ipcomp"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// BatchSize is the most packets that Seal takes and the most messages that Open takes in one call.
	BatchSize = 128
	// Headroom is how many octets are in front of every packet that is to be written to the inner side
	// (port/tun.Headroom is at most this).
	Headroom = 16
)

// Datagram is an outer datagram, or a run of datagrams of one flow: port/udp.Message and where it goes by.
type Datagram struct {
	// Buf[:N] is what follows the UDP header; with Raw, what follows the IP header, but for AH the whole IP packet (RFC 4302,
	// Section 3.3.3: the header is authenticated, so that the engine makes it and must see it). N zero: to be skipped.
	Buf []byte
	N   int
	// Remote is the peer, Local the address to send from or that it arrived at. With several ports bound, Local's says
	// which.
	Remote, Local netip.AddrPort
	// TOS is the whole octet, ECN bits included.
	TOS uint8
	// SegSize, if not zero and less than N: a run of datagrams of SegSize octets, the last may be shorter.
	SegSize int
	// Encap is the mode of the port; natt.Raw: no UDP, for or from the raw socket of protocol Proto.
	Encap natt.Mode
	// Rules are by whose rules the port tells IKE and ESP apart; ours, if zero. Inbound only.
	Rules natt.Rules
	// Proto is the IP protocol with natt.Raw: ESP (zero means it too), AH or IPComp.
	Proto uint8
	// Whole: Buf is the whole IP packet, though Proto is not AH. Outbound only: AH inside has covered the header's identification.
	Whole bool
	// Ident is the identification of the IPv4 header that a packet with natt.Raw arrived with, for AH inside of it. Inbound only.
	Ident uint16
	// Fragment lets the datagram be fragmented on its way. Only for an inner IPv6 packet of at most 1280 octets that
	// does not fit the path: nobody may be told to send smaller ones (RFC 2473, Section 7.1).
	Fragment bool
}

// Raw reports whether it travels as an IP protocol of its own.
func (d *Datagram) Raw() bool { return d.Encap == natt.Raw }

// Config of an Engine.
type Config struct {
	// NoMSSClamp leaves the MSS option of TCP SYNs alone. Without it the option is lowered to what fits the path.
	NoMSSClamp bool
}

// Engine is what all its Outbounds and Inbounds share: the databases and the counters.
type Engine struct {
	db     *sadb.DB
	clamp  bool
	nats   clients
	codec  *ipcomp.Codec
	ids    atomic.Uint32 // see splitter
	totals [NumCounters]atomic.Uint64
}

// New makes an Engine on db.
func New(db *sadb.DB, c Config) *Engine {
	e := &Engine{db: db, clamp: !c.NoMSSClamp, codec: ipcomp.NewCodec(maxCompressors)}
	e.nats.init()
	return e
}

// Probe seals one dummy packet (next header 59, RFC 4303, Section 2.6) on the pair spiIn into buf, at least 128 octets: an
// authenticated packet that tells the peer this host's endpoint and nothing else. Any goroutine may call it. False: there
// is no such pair, or it is at its end.
func (e *Engine) Probe(now time.Time, spiIn uint32, buf []byte) (Datagram, bool) {
	p := e.db.Inbound(spiIn)
	if p == nil || p.Proto() != sadb.ProtoESP {
		return Datagram{}, false
	}
	ep := p.Endpoint()
	marker := ep.Encap.Overhead()
	if marker+p.Size(0) > len(buf) {
		return Datagram{}, false
	}
	clear(buf[:marker])
	p.BeginSeal(e.db.Clock(now))
	size, err := p.Seal(buf[marker:], 0, esp.NextHeaderNone)
	p.EndSeal()
	if err != nil {
		return Datagram{}, false
	}
	size += marker
	e.totals[OutDummies].Add(1)
	e.totals[OutDatagrams].Add(1)
	return Datagram{Buf: buf[:size], N: size, Remote: ep.Remote, Local: ep.Local, Encap: ep.Encap}, true
}

// Counters returns the totals so far.
func (e *Engine) Counters() Counters {
	var c Counters
	for i := range c {
		c[i] = e.totals[i].Load()
	}
	c[OutNoSA] += e.db.HeldDropped()
	return c
}

// add moves a batch's counts into the totals.
func (e *Engine) add(c *Counters) {
	for i, n := range c {
		if n != 0 {
			e.totals[i].Add(n)
			c[i] = 0
		}
	}
}
