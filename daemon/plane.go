// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The data plane's goroutines: one reads the device and runs a batch to completion (SPD, seal, one write a socket), one
// does what time brings and tells machines what the engine saw. Inner packets are this host's or routed to it, and are
// untrusted. On the way of a packet nothing is allocated and no lock of ours is held.

package daemon

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/dataplane"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/tun"
	"github.com/natterjack/natterjack/port/udp"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// probeBuffer is what Engine.Probe asks for, in octets.
	probeBuffer = 128
	// planeIdle is the longest pause of the goroutine that does what time brings.
	planeIdle = time.Minute
	// planeFloor is the shortest: a deadline that does not move on must not spin it.
	planeFloor = time.Millisecond
)

// plane joins the device, the engine and the sockets.
type plane struct {
	d      *Daemon
	dev    tun.Device
	db     *sadb.DB
	engine *dataplane.Engine
	kicks  chan struct{} // capacity 1
	stop   chan struct{}
	loops  sync.WaitGroup
	// keyNotice is told of what was made over PF_KEY; nil: nobody is.
	keyNotice atomic.Pointer[func(sadb.Notice)]
}

func newPlane(d *Daemon, db *sadb.DB) *plane {
	return &plane{
		d: d, dev: d.opts.Device, db: db, engine: dataplane.New(db, dataplane.Config{}),
		kicks: make(chan struct{}, 1), stop: make(chan struct{}),
	}
}

func (p *plane) start() {
	p.loops.Go(p.readDevice)
	p.loops.Go(p.keepTime)
}

// close ends the goroutines and the device.
func (p *plane) close() error {
	close(p.stop)
	err := p.dev.Close()
	p.loops.Wait()
	return err
}

// kick has the notices fetched and the deadline looked at anew.
func (p *plane) kick() {
	select {
	case p.kicks <- struct{}{}:
	default:
	}
}

// look is kick for a data path: one atomic load where there is nothing.
func (p *plane) look() {
	if p.db.Pending() {
		p.kick()
	}
}

// write hands inner packets to the device.
func (p *plane) write(packets [][]byte) {
	if _, err := p.dev.Write(packets, dataplane.Headroom); err != nil {
		p.d.counters.deviceErrors.Add(1)
	}
}

// outbound is what one goroutine sends with.
type outbound struct {
	p    *plane
	seal *dataplane.Outbound
	msgs []udp.Message
	// events is scratch for path events, one for a packet that passes
	events []udp.PathEvent
	one    [1]udp.Message
}

func (p *plane) newOutbound() *outbound {
	return &outbound{p: p, seal: p.engine.NewOutbound(), msgs: make([]udp.Message, 0, udp.BatchSize),
		events: make([]udp.PathEvent, eventBatch)}
}

// readDevice carries packets from the device to the sockets.
func (p *plane) readDevice() {
	n := min(p.dev.BatchSize(), dataplane.BatchSize)
	size := dataplane.Headroom + udp.MaxDatagram
	memory := make([]byte, n*size)
	bufs, sizes := make([][]byte, n), make([]int, n)
	for i := range bufs {
		bufs[i] = memory[i*size:][:size:size]
	}
	out := p.newOutbound()
	var said seldom
	for {
		got, err := p.dev.Read(bufs, sizes, dataplane.Headroom)
		if err != nil {
			if p.closed(err) {
				return
			}
			if said.now() {
				p.d.log.Error("the device cannot be read", "device", p.dev.Name(), "reason", err.Error())
			}
			time.Sleep(readPause)
			continue
		}
		out.batch(time.Now(), bufs[:got], sizes[:got])
	}
}

func (p *plane) closed(err error) bool {
	select {
	case <-p.stop:
		return true
	default:
		return errors.Is(err, os.ErrClosed)
	}
}

// batch seals and sends one batch.
func (o *outbound) batch(now time.Time, bufs [][]byte, sizes []int) {
	sent := o.seal.Seal(now, bufs, sizes, dataplane.Headroom)
	o.send(sent)
	o.p.look()
}

// send writes what Seal made.
func (o *outbound) send(sent *dataplane.Sent) {
	grams := sent.Datagrams
	for from := 0; from < len(grams); {
		to := from + 1
		for to < len(grams) && to-from < udp.BatchSize && sameSocket(&grams[from], &grams[to]) {
			to++
		}
		o.write(grams[from:to])
		from = to
	}
	if len(sent.Replies) > 0 {
		o.p.write(sent.Replies)
	}
	if len(sent.Bypass) > 0 {
		o.pass(sent.Bypass)
	}
}

func sameSocket(a, b *dataplane.Datagram) bool {
	return kindFor(a) == kindFor(b) && a.Remote.Addr().Is4() == b.Remote.Addr().Is4()
}

// write sends datagrams of one socket.
func (o *outbound) write(grams []dataplane.Datagram) {
	s := o.p.d.sockets
	sk := s.by[family(grams[0].Remote.Addr())][kindFor(&grams[0])]
	if sk == nil {
		o.p.d.counters.unsent.Add(uint64(len(grams)))
		return
	}
	o.msgs = o.msgs[:0]
	for i := range grams {
		g := &grams[i]
		o.msgs = append(o.msgs, udp.Message{Buf: g.Buf, N: g.N, Remote: g.Remote, Local: g.Local, TOS: g.TOS, SegSize: g.SegSize, Fragment: g.Fragment})
	}
	if _, err := sk.conn.WriteBatch(o.msgs); err != nil {
		s.paths(sk, o.events)
	}
}

// pass sends packets that a pass policy lets out as they are. Where this cannot be done they are dropped and counted.
func (o *outbound) pass(packets [][]byte) {
	s := o.p.d.sockets
	for _, b := range packets {
		dst, ok := destination(b)
		if !ok {
			continue
		}
		conn := s.bypass[family(dst)]
		if conn == nil {
			s.d.counters.notPassed.Add(1)
			continue
		}
		o.one[0] = udp.Message{Buf: b, N: len(b), Remote: netip.AddrPortFrom(dst, 0)}
		if _, err := conn.WriteBatch(o.one[:]); err != nil {
			s.d.counters.notPassed.Add(1)
		}
	}
}

// probe sends a dummy on a pair: an authenticated packet that tells the peer where this host is now.
func (p *plane) probe(spiIn uint32) {
	buf := make([]byte, probeBuffer)
	if g, ok := p.engine.Probe(time.Now(), spiIn, buf); ok {
		p.d.sockets.sendESP(&g)
	}
	p.look()
}

// keepTime does what time brings to the SAD, and tells machines what the engine saw.
func (p *plane) keepTime() {
	timer := time.NewTimer(planeIdle)
	defer timer.Stop()
	held := p.newOutbound()
	for {
		now := time.Now()
		if at := p.db.Deadline(); !at.IsZero() && !at.After(now) {
			p.db.Tick(now)
		}
		p.engine.Tick(now)
		p.tell()
		for {
			sent := held.seal.Release(now)
			if len(sent.Datagrams) == 0 {
				break
			}
			held.send(sent)
		}
		wait := planeIdle
		if at := p.db.Deadline(); !at.IsZero() {
			wait = max(planeFloor, min(wait, time.Until(at)))
		}
		timer.Reset(wait)
		select {
		case <-p.stop:
			return
		case <-p.kicks:
		case <-timer.C:
		}
	}
}

// tell hands the engine's notices to the machines that own the SAs.
func (p *plane) tell() {
	var list [64]sadb.Notice
	for p.db.Pending() {
		n := p.db.Notices(list[:])
		for i := range list[:n] {
			p.notice(&list[i])
		}
		if n == 0 {
			return
		}
	}
}

func (p *plane) notice(n *sadb.Notice) {
	if n.SA != nil || n.SPD != nil || n.Kind == sadb.Acquire && n.Seq != 0 {
		if tell := p.keyNotice.Load(); tell != nil {
			(*tell)(*n)
		}
		return
	}
	if n.Kind == sadb.Acquire {
		p.d.traps.acquire(n.Reqid)
		return
	}
	unique := p.d.kernel.owner(n.SPIIn)
	if unique == 0 {
		return
	}
	switch n.Kind {
	case sadb.Expire:
		p.d.notice(unique, ike.Expire{SPIIn: n.SPIIn, Hard: n.Hard})
	case sadb.FirstUse:
		p.d.notice(unique, ike.FirstUse{SPIIn: n.SPIIn})
	case sadb.NewMapping:
		// Only ESP in UDP has a mapping, and it comes by the NAT-T port.
		p.d.notice(unique, ike.NewMapping{SPIIn: n.SPIIn, From: n.From, To: n.To,
			Path: ike.Path{Local: n.Local, Remote: n.To, Encap: natt.NonESP}})
	case sadb.Larval:
		p.d.kernel.forget(n.SPIIn)
	}
}
