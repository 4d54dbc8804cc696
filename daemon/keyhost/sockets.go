// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The network's side: raw sockets of ESP, AH and IPComp, the raw socket of UDP beside the ports of others, and ports of this
// process. What is read is anybody's until the engine has authenticated it; nothing here answers.

package keyhost

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/ipsec/dataplane"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/udp"
	"github.com/natterjack/natterjack/wire/natt"
)

// The raw sockets of a family.
const (
	rawESP = iota
	rawAH
	rawIPComp
	numRaw
)

// headerIncluded is Linux's protocol for packets that have their IP header already (raw(7)).
const headerIncluded = 255

var rawProtocols = [numRaw]uint8{rawESP: sadb.ProtoESP, rawAH: sadb.ProtoAH, rawIPComp: sadb.ProtoIPComp}

func rawOf(proto uint8) int {
	switch proto {
	case sadb.ProtoAH:
		return rawAH
	case sadb.ProtoIPComp:
		return rawIPComp
	}
	return rawESP
}

func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 0
	}
	return 1
}

// openRaw opens what needs privileges. What cannot be had is a warning.
func (e *Engine) openRaw() {
	if e.opts.NoRaw {
		return
	}
	for f, addr := range [...]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		cfg := udp.Config{Local: netip.AddrPortFrom(addr, 0), Mark: e.opts.Mark}
		for i, proto := range rawProtocols {
			c := cfg
			c.Header = proto == sadb.ProtoAH
			if conn, err := udp.OpenRaw(c, int(proto)); err == nil {
				e.raw[f][i] = conn
			} else if i == 0 {
				e.warn("%v: without it there is no ESP outside of UDP, no AH and no IPComp (IPv%d)", err, 4+2*f)
			}
		}
		if shared, err := udp.OpenShared(cfg); err == nil {
			e.shared[f] = shared
		} else {
			e.warn("%v: without it key daemons have no ESP in UDP on their ports (IPv%d)", err, 4+2*f)
		}
		if e.opts.Mark == 0 {
			continue // without a mark, what leaves is routed into the device again
		}
		cfg.NoDF = true
		if conn, err := udp.OpenRaw(cfg, headerIncluded); err == nil {
			e.bypass[f] = conn
		}
	}
}

func (e *Engine) readRaw() {
	for f := range e.raw {
		for i, conn := range e.raw[f] {
			if conn != nil {
				e.loops.Go(func() {
					e.read(conn, func(*udp.Message) (dataplane.Datagram, bool) { return dataplane.Datagram{Proto: rawProtocols[i]}, true })
				})
			}
		}
		if s := e.shared[f]; s != nil {
			e.loops.Go(func() { e.read(s, func(m *udp.Message) (dataplane.Datagram, bool) { return ofPort(s, m) }) })
		}
	}
}

// ofPort is how a datagram to a port of another's is judged.
func ofPort(s *udp.Shared, m *udp.Message) (dataplane.Datagram, bool) {
	mode, ok := s.Mode(m.Local)
	return dataplane.Datagram{Encap: mode, Rules: natt.LinuxNonIKE}, ok
}

// source is a socket to read.
type source interface {
	ReadBatch([]udp.Message) (int, error)
	PathEvents([]udp.PathEvent) int
}

// read is a socket's reader.
func (e *Engine) read(s source, kind func(*udp.Message) (dataplane.Datagram, bool)) {
	msgs := make([]udp.Message, udp.BatchSize)
	buf := make([]byte, len(msgs)*udp.MaxDatagram)
	for i := range msgs {
		msgs[i].Buf = buf[i*udp.MaxDatagram:][:udp.MaxDatagram:udp.MaxDatagram]
	}
	in := e.newInbound()
	events := make([]udp.PathEvent, eventBatch)
	for {
		n, err := s.ReadBatch(msgs)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(pause)
		}
		e.paths(s, events)
		in.begin()
		for i := range msgs[:n] {
			if d, ok := kind(&msgs[i]); ok {
				in.add(&msgs[i], d)
			}
		}
		in.open()
	}
}

// paths has the engine judge what the network says of sizes.
func (e *Engine) paths(s source, events []udp.PathEvent) {
	for {
		n := s.PathEvents(events)
		for i := range events[:n] {
			e.pathEvent(&events[i])
		}
		if n < len(events) {
			return
		}
	}
}

func (e *Engine) pathEvent(ev *udp.PathEvent) {
	if ev.Kind != udp.PathMTU {
		return
	}
	remote := netip.AddrPortFrom(ev.Remote.Addr().Unmap(), ev.Remote.Port())
	e.db.PathEvent(time.Now(), remote, ev.Quoted(), ev.MTU, ev.ThisHost)
}

// inbound is what one goroutine opens with.
type inbound struct {
	e     *Engine
	in    *dataplane.Inbound
	grams []dataplane.Datagram
}

func (e *Engine) newInbound() *inbound {
	return &inbound{e: e, in: e.dp.NewInbound(), grams: make([]dataplane.Datagram, 0, udp.BatchSize)}
}

func (i *inbound) begin() { i.grams = i.grams[:0] }

// add appends a message; d says what kind of port it came by.
func (i *inbound) add(m *udp.Message, d dataplane.Datagram) {
	d.Buf, d.N, d.Remote, d.Local, d.TOS, d.SegSize, d.Ident = m.Buf, m.N, m.Remote, m.Local, m.TOS, m.SegSize, m.Ident
	i.grams = append(i.grams, d)
}

func (i *inbound) open() {
	if len(i.grams) == 0 {
		return
	}
	got := i.in.Open(time.Now(), i.grams)
	if len(got.Packets) > 0 {
		i.e.write(got.Packets)
	}
	i.e.look()
}
