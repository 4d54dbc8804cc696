// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The loopback form. A program that is "inside" sends to a local socket which stands for one port of the gateway; the
// datagram leaves from the mapping's own socket, so that the gateway sees another source address and port than the
// program has. Both ends therefore find a NAT in front of the other's address as well as in front of the program's: the
// gateway looks as if it were behind a static NAT, which is how a gateway in a cloud looks.

package natbox

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/port/natbox/nat"
	"github.com/natterjack/natterjack/port/udp"
)

const (
	// maxSockets bounds the outside sockets. Those of forgotten mappings stay open, so that what is still sent to them
	// is counted and not answered by an ICMP message.
	maxSockets = 512
	// maxTries is how many external ports are tried that others hold already.
	maxTries = 64
	// batch is the size of a socket's batch.
	batch = 16
)

// Destination is a port of the gateway and what stands for it inside.
type Destination struct{ Inside, Outside netip.AddrPort }

// LoopbackConfig says what NewLoopback makes.
type LoopbackConfig struct {
	// NAT is the NAT; without External it is 127.0.0.2 (Linux) or 127.0.0.1.
	NAT nat.Config
	// Destinations are the ports of gateways that can be reached; port 0 inside takes any.
	Destinations []Destination
	// GSO is that of the sockets.
	GSO string
}

// Loopback is a NAT between UDP sockets on loopback.
type Loopback struct {
	*Box
	cfg     LoopbackConfig
	inside  []*udp.Conn
	via     map[netip.AddrPort]*udp.Conn // by destination outside; immutable after NewLoopback
	outside map[netip.AddrPort]*udp.Conn // by external endpoint; protected by Box.mu
	closed  bool                         // protected by Box.mu
	stray   atomic.Uint64
}

// NewLoopback opens the inside sockets and starts the NAT.
func NewLoopback(cfg LoopbackConfig) (*Loopback, error) {
	if len(cfg.Destinations) == 0 {
		return nil, errors.New("destinations: none")
	}
	if len(cfg.NAT.External) == 0 {
		external := netip.AddrFrom4([4]byte{127, 0, 0, 2})
		if runtime.GOOS != "linux" { // elsewhere 127.0.0.1 is the only address of the loopback network
			external = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		cfg.NAT.External = []netip.Addr{external}
	}
	cfg.NAT.Shared = true
	box, err := newBox(cfg.NAT)
	if err != nil {
		return nil, err
	}
	l := &Loopback{Box: box, cfg: cfg, via: map[netip.AddrPort]*udp.Conn{}, outside: map[netip.AddrPort]*udp.Conn{}}
	for i, d := range cfg.Destinations {
		c, err := udp.Open(udp.Config{Local: d.Inside, GSO: cfg.GSO})
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("destination %d: %w", i, err)
		}
		l.inside = append(l.inside, c)
		l.via[d.Outside] = c
	}
	for i, c := range l.inside {
		l.loops.Add(1)
		go l.fromInside(c, cfg.Destinations[i].Outside)
	}
	return l, nil
}

// Inside returns the address that stands for the i-th destination.
func (l *Loopback) Inside(i int) netip.AddrPort { return l.inside[i].LocalAddr() }

// Strays counts datagrams from outside that came from no destination.
func (l *Loopback) Strays() uint64 { return l.stray.Load() }

// Rebind gives every mapping another external endpoint at once; addr not valid: another port.
func (l *Loopback) Rebind(addr netip.Addr) error {
	if err := l.rebind(addr); err != nil {
		return err
	}
	for _, m := range l.Mappings() {
		l.mu.Lock()
		_, err := l.socket(m.External)
		l.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// Close ends the NAT and waits for its goroutines.
func (l *Loopback) Close() error {
	l.stop()
	l.mu.Lock()
	l.closed = true
	for _, c := range l.outside {
		c.Close()
	}
	l.mu.Unlock()
	for _, c := range l.inside {
		c.Close()
	}
	l.loops.Wait()
	return nil
}

// socket returns the socket of an external endpoint; Box.mu is held.
func (l *Loopback) socket(external netip.AddrPort) (*udp.Conn, error) {
	if c := l.outside[external]; c != nil {
		return c, nil
	}
	if l.closed {
		return nil, errors.New("the NAT is closed")
	}
	if len(l.outside) >= maxSockets {
		return nil, errors.New("too many external endpoints")
	}
	c, err := udp.Open(udp.Config{Local: external, GSO: l.cfg.GSO})
	if err != nil {
		return nil, err
	}
	l.outside[external] = c
	l.loops.Add(1)
	go l.fromOutside(c)
	return c, nil
}

// decideOut asks the NAT and finds the socket; an external port that another program has is given up for the next.
func (l *Loopback) decideOut(now time.Time, p nat.Packet) (nat.Decision, *udp.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.nat.Outbound(now, p)
	for range maxTries {
		if d.Drop != nat.Forwarded {
			return d, nil
		}
		c, err := l.socket(d.Src)
		if err == nil {
			return d, c
		}
		var taken *udp.PortInUseError
		if !errors.As(err, &taken) {
			break
		}
		l.nat.Exclude(d.Src)
		d = l.nat.Remap(now, p, d)
	}
	return nat.Decision{Drop: nat.NoPort}, nil
}

// outbox collects the datagrams of one batch for one socket after the other.
type outbox struct {
	conn *udp.Conn
	msgs []udp.Message
}

func (o *outbox) add(c *udp.Conn, m udp.Message) {
	if o.conn != c {
		o.flush()
	}
	o.conn = c
	o.msgs = append(o.msgs, m)
}

func (o *outbox) flush() {
	if len(o.msgs) > 0 {
		_, _ = o.conn.WriteBatch(o.msgs) // a NAT does not tell either
	}
	o.msgs = o.msgs[:0]
}

// pass sends the copies of a datagram when they are due.
func (l *Loopback) pass(o *outbox, now time.Time, d nat.Decision, c *udp.Conn, m udp.Message) {
	for i := range d.Copies {
		if d.At[i].Sub(now) <= soon {
			o.add(c, m)
			continue
		}
		held := m
		held.Buf = append([]byte(nil), m.Buf...)
		l.later(d.At[i], func() { _, _ = c.WriteBatch([]udp.Message{held}) })
	}
}

func (l *Loopback) fromInside(c *udp.Conn, to netip.AddrPort) {
	defer l.loops.Done()
	var o outbox
	l.read(c, &o, func(now time.Time, m *udp.Message, b []byte) {
		d, out := l.decideOut(now, nat.Packet{Src: m.Remote, Dst: to, Payload: b})
		if d.Drop != nat.Forwarded {
			return
		}
		if d.Hairpin {
			out = c
		}
		l.pass(&o, now, d, out, udp.Message{Buf: b, N: len(b), Remote: d.Dst, TOS: m.TOS})
	})
}

func (l *Loopback) fromOutside(c *udp.Conn) {
	defer l.loops.Done()
	var o outbox
	l.read(c, &o, func(now time.Time, m *udp.Message, b []byte) {
		in := l.via[m.Remote]
		if in == nil {
			l.stray.Add(1)
			return
		}
		l.mu.Lock()
		d := l.nat.Inbound(now, nat.Packet{Src: m.Remote, Dst: c.LocalAddr(), Payload: b})
		l.mu.Unlock()
		if d.Drop == nat.Forwarded {
			l.pass(&o, now, d, in, udp.Message{Buf: b, N: len(b), Remote: d.Dst, TOS: m.TOS})
		}
	})
}

// read calls each for every datagram until the socket is closed, and flushes o after every batch.
func (l *Loopback) read(c *udp.Conn, o *outbox, each func(time.Time, *udp.Message, []byte)) {
	msgs := make([]udp.Message, batch)
	for i := range msgs {
		msgs[i].Buf = make([]byte, udp.MaxDatagram)
	}
	var events [8]udp.PathEvent
	for {
		n, err := c.ReadBatch(msgs)
		if err != nil {
			return
		}
		c.PathEvents(events[:]) // unreachable ends are their users' business
		now := time.Now()
		for i := range msgs[:n] {
			for j := 0; ; j++ {
				b := msgs[i].Segment(j)
				if b == nil {
					break
				}
				each(now, &msgs[i], b)
			}
		}
		o.flush()
	}
}
