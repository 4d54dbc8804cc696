// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package nat is the logic of a NAT for UDP, without I/O: mappings and filters of every kind of RFC 4787, forgetting and
// rebinding on command, and links that lose, duplicate, reorder and delay. The time is a parameter and the random numbers
// are seeded, so that the same calls give the same decisions in virtual time and in real time. Packets are anybody's;
// the state they make is bounded.
package nat

import (
	"encoding/binary"
	"math/rand/v2" // repeatable impairments, no secrets
	"net/netip"
	"time"
)

// Box is one NAT. It belongs to one caller at a time.
type Box struct {
	cfg     Config
	rng     *rand.Rand
	inside  map[flow]*mapping
	outside map[netip.AddrPort]*mapping
	// spent are external endpoints that are not used again: forgotten ones, and those the caller could not bind.
	spent    map[netip.AddrPort]bool
	counters [2]Counters
	sweep    time.Time
}

// flow is what a mapping is found by from inside; of the remote endpoint only what the mapping's kind depends on.
type flow struct{ inside, remote netip.AddrPort }

type mapping struct {
	flow     flow
	external netip.AddrPort
	remotes  map[netip.AddrPort]bool // by the filter's kind
	expires  time.Time
}

// Packet is a UDP datagram at one side of the NAT.
type Packet struct {
	Src, Dst netip.AddrPort
	// Payload is the UDP payload; it is only looked at.
	Payload []byte
}

// Decision is what becomes of a packet.
type Decision struct {
	// Drop is Forwarded, or why the packet is dropped.
	Drop Reason
	// Src and Dst are the rewritten endpoints.
	Src, Dst netip.AddrPort
	// At[:Copies] is when the packet and its duplicate leave.
	At     [2]time.Time
	Copies int
	// MTU, if not zero, is what an ICMP message to the sender has to say.
	MTU int
	// New is true if this packet made its mapping. Hairpin: it goes back inside.
	New, Hairpin bool
}

// Mapping is a mapping as it can be seen.
type Mapping struct {
	Inside, External netip.AddrPort
	Expires          time.Time
}

// New returns a NAT without mappings.
func New(cfg Config) (*Box, error) {
	cfg.External = append([]netip.Addr(nil), cfg.External...)
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Box{
		cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x6e61746a61636b)),
		inside: map[flow]*mapping{}, outside: map[netip.AddrPort]*mapping{}, spent: map[netip.AddrPort]bool{},
	}, nil
}

// reduce keeps of an endpoint what kind depends on.
func (k Kind) reduce(a netip.AddrPort) netip.AddrPort {
	switch k {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(a.Addr(), 0)
	}
	return a
}

// Outbound decides on a packet from inside.
func (b *Box) Outbound(now time.Time, p Packet) Decision {
	b.expire(now)
	hairpin := b.isExternal(p.Dst.Addr()) && (!b.cfg.Shared || b.outside[p.Dst] != nil)
	if hairpin && !b.cfg.Hairpin {
		return b.count(Out, p, Decision{Drop: NoHairpin})
	}
	f := flow{p.Src, b.cfg.Mapping.reduce(p.Dst)}
	m := b.inside[f]
	d := Decision{New: m == nil}
	if m == nil {
		external, ok := b.allocate(p.Src)
		if !ok {
			return b.count(Out, p, Decision{Drop: NoPort})
		}
		m = &mapping{flow: f, external: external, remotes: map[netip.AddrPort]bool{}}
		b.inside[f], b.outside[external] = m, m
	}
	m.expires = now.Add(b.cfg.Timeout)
	if b.cfg.Filtering != EndpointIndependent && len(m.remotes) < maxRemotes {
		m.remotes[b.cfg.Filtering.reduce(p.Dst)] = true
	}
	d.Src, d.Dst = m.external, p.Dst
	b.impair(now, &b.cfg.Out, Out, p, &d)
	b.count(Out, p, d)
	if hairpin && d.Drop == Forwarded {
		// RFC 4787, Section 6, REQ-9: the receiver sees the sender's external endpoint.
		in := b.admit(now, Packet{Src: m.external, Dst: p.Dst, Payload: p.Payload})
		b.count(In, p, in)
		d.Drop, d.Dst, d.Hairpin = in.Drop, in.Dst, true
	}
	return d
}

// Inbound decides on a packet from outside.
func (b *Box) Inbound(now time.Time, p Packet) Decision {
	b.expire(now)
	d := b.admit(now, p)
	if d.Drop == Forwarded {
		b.impair(now, &b.cfg.In, In, p, &d)
	}
	return b.count(In, p, d)
}

// Remap is for a caller that could not bind the external endpoint of d and has excluded it: the packet of p gets another
// mapping, and keeps what was decided about it otherwise. It is not counted again.
func (b *Box) Remap(now time.Time, p Packet, d Decision) Decision {
	f := flow{p.Src, b.cfg.Mapping.reduce(p.Dst)}
	external, ok := b.allocate(p.Src)
	if !ok {
		d.Drop = NoPort
		return d
	}
	m := &mapping{flow: f, external: external, remotes: map[netip.AddrPort]bool{}, expires: now.Add(b.cfg.Timeout)}
	m.remotes[b.cfg.Filtering.reduce(p.Dst)] = true
	b.inside[f], b.outside[external] = m, m
	d.Src, d.New = external, true
	return d
}

// admit finds the mapping of a packet from outside and asks its filter.
func (b *Box) admit(now time.Time, p Packet) Decision {
	m := b.outside[p.Dst]
	if m == nil {
		return Decision{Drop: NoMapping}
	}
	if b.cfg.Filtering != EndpointIndependent && !m.remotes[b.cfg.Filtering.reduce(p.Src)] {
		return Decision{Drop: Filtered}
	}
	if b.cfg.InboundRefresh {
		m.expires = now.Add(b.cfg.Timeout)
	}
	return Decision{Src: p.Src, Dst: m.flow.inside, Copies: 1, At: [2]time.Time{now, now}}
}

// impair applies a link.
func (b *Box) impair(now time.Time, l *Link, dir Direction, p Packet, d *Decision) {
	headers := 28
	if p.Dst.Addr().Is6() {
		headers = 48
	}
	switch {
	case l.Block:
		d.Drop = Blocked
		return
	case l.MTU > 0 && len(p.Payload)+headers > l.MTU:
		d.Drop = TooBig
		if l.TooBig {
			d.MTU = l.MTU
		}
		return
	case l.Loss > 0 && b.rng.Float64() < l.Loss:
		d.Drop = Lost
		return
	}
	d.Copies = 1
	if l.Duplicate > 0 && b.rng.Float64() < l.Duplicate {
		d.Copies = 2
		b.counters[dir].Duplicated++
	}
	for i := range d.Copies {
		d.At[i] = now.Add(l.Delay)
		if l.Jitter > 0 {
			d.At[i] = d.At[i].Add(time.Duration(b.rng.Int64N(int64(l.Jitter))))
		}
	}
	if l.Reorder > 0 && b.rng.Float64() < l.Reorder {
		by := l.ReorderBy
		if by == 0 {
			by = defaultReorder
		}
		d.At[0] = d.At[0].Add(by)
		b.counters[dir].Reordered++
	}
}

func (b *Box) count(dir Direction, p Packet, d Decision) Decision {
	c := &b.counters[dir]
	c.Packets++
	c.Octets += uint64(len(p.Payload))
	c.All[d.Drop]++
	if LooksLikeESP(p.Payload) {
		c.ESP[d.Drop]++
	}
	return d
}

// LooksLikeESP tells ESP from IKE with or without marker and from keepalives (RFC 3948, Section 2; RFC 7296, Section 3.1).
func LooksLikeESP(b []byte) bool {
	if len(b) < 8+8 || binary.BigEndian.Uint32(b) == 0 {
		return false
	}
	ike := len(b) >= 28 && (b[17] == 0x10 || b[17] == 0x20) && int(binary.BigEndian.Uint32(b[24:])) == len(b)
	return !ike
}

// allocate chooses the external endpoint of a new mapping.
func (b *Box) allocate(src netip.AddrPort) (netip.AddrPort, bool) {
	var addr netip.Addr
	for _, a := range b.cfg.External {
		if a.Is4() == src.Addr().Is4() {
			addr = a
			break
		}
	}
	if !addr.IsValid() || len(b.inside) >= maxMappings {
		return netip.AddrPort{}, false
	}
	if keep := netip.AddrPortFrom(addr, src.Port()); !b.cfg.RandomPorts && b.free(keep) {
		return keep, true
	}
	span := int(b.cfg.PortHigh) - int(b.cfg.PortLow) + 1
	start := b.rng.IntN(span)
	for i := range span {
		e := netip.AddrPortFrom(addr, b.cfg.PortLow+uint16((start+i)%span))
		if b.free(e) {
			return e, true
		}
	}
	return netip.AddrPort{}, false
}

func (b *Box) free(e netip.AddrPort) bool { return b.outside[e] == nil && !b.spent[e] }

func (b *Box) isExternal(a netip.Addr) bool {
	for _, e := range b.cfg.External {
		if e == a {
			return true
		}
	}
	return false
}

// expire forgets what has not been used for the timeout; it looks at all mappings at most once in a sixteenth of it.
func (b *Box) expire(now time.Time) {
	if now.Before(b.sweep) {
		return
	}
	b.sweep = now.Add(b.cfg.Timeout / 16)
	for _, m := range b.inside {
		if !now.Before(m.expires) {
			b.remove(m)
		} else if m.expires.Before(b.sweep) {
			b.sweep = m.expires
		}
	}
}

func (b *Box) remove(m *mapping) {
	delete(b.inside, m.flow)
	delete(b.outside, m.external)
}
