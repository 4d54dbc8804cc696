// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The device's side: a batch is read, sealed and sent, one goroutine from end to end. Inner packets are this host's or routed to it,
// and untrusted. Nothing is allocated for a packet.

package keyhost

import (
	"errors"
	"net/netip"
	"os"
	"time"

	"github.com/natterjack/natterjack/ipsec/dataplane"
	"github.com/natterjack/natterjack/port/udp"
)

// write hands inner packets to the device.
func (e *Engine) write(packets [][]byte) {
	if _, err := e.opts.Device.Write(packets, dataplane.Headroom); err != nil {
		e.deviceErrors.Add(1)
	}
}

// readDevice carries packets from the device to the sockets.
func (e *Engine) readDevice() {
	dev := e.opts.Device
	n := min(dev.BatchSize(), dataplane.BatchSize)
	size := dataplane.Headroom + udp.MaxDatagram
	memory := make([]byte, n*size)
	bufs, sizes := make([][]byte, n), make([]int, n)
	for i := range bufs {
		bufs[i] = memory[i*size:][:size:size]
	}
	out := e.newOutbound()
	for {
		got, err := dev.Read(bufs, sizes, dataplane.Headroom)
		if err != nil {
			select {
			case <-e.stop:
				return
			default:
			}
			if errors.Is(err, os.ErrClosed) {
				return
			}
			time.Sleep(pause)
			continue
		}
		out.send(out.seal.Seal(time.Now(), bufs[:got], sizes[:got], dataplane.Headroom))
		e.look()
	}
}

// outbound is what one goroutine sends with.
type outbound struct {
	e      *Engine
	seal   *dataplane.Outbound
	msgs   []udp.Message
	events []udp.PathEvent
	one    [1]udp.Message
}

func (e *Engine) newOutbound() *outbound {
	return &outbound{e: e, seal: e.dp.NewOutbound(), msgs: make([]udp.Message, 0, udp.BatchSize), events: make([]udp.PathEvent, eventBatch)}
}

// sink is a socket to write.
type sink interface {
	WriteBatch([]udp.Message) (int, error)
}

// sinkOf is the socket that a datagram leaves by; nil: there is none.
func (e *Engine) sinkOf(d *dataplane.Datagram) sink {
	f := family(d.Remote.Addr())
	if d.Raw() {
		kind := rawOf(d.Proto)
		if d.Whole {
			kind = rawAH // which sends whole packets
		}
		if conn := e.raw[f][kind]; conn != nil {
			return conn
		}
		return nil
	}
	for _, b := range *e.bound.Load() {
		if local := b.LocalAddr(); local.Port() == d.Local.Port() && family(local.Addr()) == f {
			return b
		}
	}
	if s := e.shared[f]; s != nil {
		return s
	}
	return nil
}

// send writes what Seal made.
func (o *outbound) send(sent *dataplane.Sent) {
	grams := sent.Datagrams
	for from := 0; from < len(grams); {
		to := o.e.sinkOf(&grams[from])
		o.msgs = o.msgs[:0]
		next := from
		for next < len(grams) && next-from < udp.BatchSize && o.e.sinkOf(&grams[next]) == to {
			g := &grams[next]
			o.msgs = append(o.msgs, udp.Message{Buf: g.Buf, N: g.N, Remote: g.Remote, Local: g.Local, TOS: g.TOS, SegSize: g.SegSize, Fragment: g.Fragment})
			next++
		}
		o.write(to)
		from = next
	}
	if len(sent.Replies) > 0 {
		o.e.write(sent.Replies)
	}
	for _, b := range sent.Bypass {
		o.pass(b)
	}
}

func (o *outbound) write(to sink) {
	if to == nil {
		o.e.unsent.Add(uint64(len(o.msgs)))
		return
	}
	if _, err := to.WriteBatch(o.msgs); err != nil {
		if s, ok := to.(source); ok {
			o.e.paths(s, o.events)
		}
	}
}

// pass sends a packet that the SPD lets out as it is.
func (o *outbound) pass(b []byte) {
	dst, ok := destination(b)
	if !ok {
		return
	}
	conn := o.e.bypass[family(dst)]
	if conn == nil {
		o.e.notPassed.Add(1)
		return
	}
	o.one[0] = udp.Message{Buf: b, N: len(b), Remote: netip.AddrPortFrom(dst, 0)}
	if _, err := conn.WriteBatch(o.one[:]); err != nil {
		o.e.notPassed.Add(1)
	}
}

// destination reads the destination address of an IP packet.
func destination(b []byte) (netip.Addr, bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(b[16:20])), true
	case len(b) >= 40 && b[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(b[24:40])), true
	}
	return netip.Addr{}, false
}
