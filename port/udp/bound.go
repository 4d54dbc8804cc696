// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A port that IKE and ESP share (RFC 3948; drafts 00 and 01; Cisco's ESP in UDP): ESP goes to a sink in batches, IKE is a
// net.PacketConn that knows nothing of markers. Everything that is read is anybody's and told apart by wire/natt alone.

package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// boundQueue is how many IKE messages may wait for ReadFrom; more are lost like any datagram.
	boundQueue = 256
	// boundPause follows an error of a socket that is not closed: it must not spin.
	boundPause = 20 * time.Millisecond
)

// BoundConfig says how a port is bound.
type BoundConfig struct {
	Config
	// Mode is how ESP and IKE share the port.
	Mode natt.Mode
	// Rules are by whose rules they are told apart; zero: our own.
	Rules natt.Rules
	// ESP is called with what arrives for the engine, markers in place as it came; the messages are the socket's own and valid
	// until it returns. One goroutine calls it.
	ESP func([]Message)
	// Event, if not nil, is called with what the network says of paths, by the same goroutine.
	Event func(*PathEvent)
}

// BoundCounters are the totals of a port, one datagram each.
type BoundCounters struct {
	ESP, IKE, Keepalives uint64
	// Strays are neither; Lost are IKE messages that nobody read in time.
	Strays, Lost uint64
}

// Bound is a bound port. Its methods are safe for concurrent use.
type Bound struct {
	conn  *Conn
	cfg   BoundConfig
	ike   packets
	loops sync.WaitGroup

	n struct{ esp, ike, keepalives, strays, lost atomic.Uint64 }
}

// Bind binds a port and starts to read.
func Bind(cfg BoundConfig) (*Bound, error) {
	switch {
	case cfg.ESP == nil:
		return nil, errors.New("ESP: no sink")
	case !cfg.Rules.Allow(cfg.Mode):
		return nil, fmt.Errorf("mode %s: not by the rules of %s", cfg.Mode, cfg.Rules)
	}
	conn, err := Open(cfg.Config)
	if err != nil {
		return nil, err
	}
	b := &Bound{conn: conn, cfg: cfg}
	b.ike.init(b)
	b.loops.Go(b.read)
	return b, nil
}

// IKE is the port for a key daemon: messages without markers, both ways. With natt.CiscoUDP there are none. Closing it closes the
// port.
func (b *Bound) IKE() net.PacketConn { return &b.ike }

// LocalAddr is what is bound.
func (b *Bound) LocalAddr() netip.AddrPort { return b.conn.LocalAddr() }

// Mode is the port's.
func (b *Bound) Mode() natt.Mode { return b.cfg.Mode }

// WriteBatch sends ESP, with the marker of the mode in place.
func (b *Bound) WriteBatch(msgs []Message) (int, error) { return b.conn.WriteBatch(msgs) }

// Counters returns the totals so far, and those of the socket.
func (b *Bound) Counters() (BoundCounters, Counters) {
	return BoundCounters{ESP: b.n.esp.Load(), IKE: b.n.ike.Load(), Keepalives: b.n.keepalives.Load(), Strays: b.n.strays.Load(),
		Lost: b.n.lost.Load()}, b.conn.Counters()
}

// Close closes the port; readers return net.ErrClosed.
func (b *Bound) Close() error {
	err := b.conn.Close()
	b.ike.end()
	b.loops.Wait()
	return err
}

func (b *Bound) read() {
	msgs := make([]Message, BatchSize)
	buf := make([]byte, BatchSize*MaxDatagram)
	for i := range msgs {
		msgs[i].Buf = buf[i*MaxDatagram:][:MaxDatagram:MaxDatagram]
	}
	esp := make([]Message, 0, BatchSize)
	events := make([]PathEvent, 8)
	for {
		n, err := b.conn.ReadBatch(msgs)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(boundPause)
		}
		for k := b.conn.PathEvents(events); k > 0; k = b.conn.PathEvents(events) {
			for i := range events[:k] {
				if b.cfg.Event != nil {
					b.cfg.Event(&events[i])
				}
			}
		}
		esp = esp[:0]
		for i := range msgs[:n] {
			esp = b.sort(&msgs[i], esp)
		}
		if len(esp) > 0 {
			b.cfg.ESP(esp)
		}
	}
}

// sort tells the datagrams of a message apart. A run that is all ESP stays one.
func (b *Bound) sort(m *Message, esp []Message) []Message {
	from := len(esp)
	count, other := 0, false
	for j := 0; ; j++ {
		d := m.Segment(j)
		if d == nil {
			break
		}
		switch v, body := b.cfg.Rules.Verdict(b.cfg.Mode, d); v {
		case natt.ESP:
			count++
			one := *m
			one.Buf, one.N, one.SegSize = d, len(d), 0
			esp = append(esp, one)
			continue
		case natt.IKE:
			b.n.ike.Add(1)
			b.ike.put(body, m.Remote)
		case natt.Keepalive:
			b.n.keepalives.Add(1)
		default:
			b.n.strays.Add(1)
		}
		other = true
	}
	b.n.esp.Add(uint64(count))
	if count > 1 && !other {
		esp = append(esp[:from], *m)
	}
	return esp
}

// packets is the IKE of a port.
type packets struct {
	b     *Bound
	queue chan packet
	done  chan struct{}
	once  sync.Once

	mu       sync.Mutex // protects deadline and changed
	deadline time.Time
	changed  chan struct{} // closed when deadline changes
}

type packet struct {
	b    []byte
	from netip.AddrPort
}

func (p *packets) init(b *Bound) {
	p.b, p.queue, p.done, p.changed = b, make(chan packet, boundQueue), make(chan struct{}), make(chan struct{})
}

func (p *packets) put(b []byte, from netip.AddrPort) {
	select {
	case p.queue <- packet{append([]byte(nil), b...), from}:
	default:
		p.b.n.lost.Add(1)
	}
}

func (p *packets) end() { p.once.Do(func() { close(p.done) }) }

// ReadFrom reads one IKE message; what does not fit b is cut off.
func (p *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		p.mu.Lock()
		deadline, changed := p.deadline, p.changed
		p.mu.Unlock()
		var late <-chan time.Time
		if !deadline.IsZero() {
			if !deadline.After(time.Now()) {
				return 0, nil, p.failed("read", os.ErrDeadlineExceeded)
			}
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			late = timer.C
		}
		select {
		case m := <-p.queue:
			return copy(b, m.b), net.UDPAddrFromAddrPort(m.from), nil
		case <-p.done:
			return 0, nil, p.failed("read", net.ErrClosed)
		case <-late:
			return 0, nil, p.failed("read", os.ErrDeadlineExceeded)
		case <-changed:
		}
	}
}

// WriteTo sends one IKE message; addr is a *net.UDPAddr.
func (p *packets) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, p.failed("write", fmt.Errorf("address %v: expected one of UDP", addr))
	}
	if p.b.cfg.Mode == natt.CiscoUDP {
		return 0, p.failed("write", errors.New("IKE has another port than Cisco's ESP in UDP"))
	}
	out := append(natt.AppendMarker(make([]byte, 0, natt.NonESPMarkerLen+len(b)), p.b.cfg.Mode, natt.IKE), b...)
	remote := to.AddrPort()
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	if _, err := p.b.conn.WriteBatch([]Message{{Buf: out, N: len(out), Remote: remote, Fragment: true}}); err != nil {
		return 0, p.failed("write", err)
	}
	return len(b), nil
}

func (p *packets) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: p.LocalAddr(), Err: err}
}

// Close closes the port.
func (p *packets) Close() error { return p.b.Close() }

// LocalAddr is a *net.UDPAddr.
func (p *packets) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.b.LocalAddr()) }

// SetDeadline is SetReadDeadline: writes do not wait long.
func (p *packets) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetReadDeadline bounds ReadFrom, also one that waits.
func (p *packets) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	close(p.changed)
	p.changed = make(chan struct{})
	return nil
}

// SetWriteDeadline does nothing: writes do not wait long.
func (p *packets) SetWriteDeadline(time.Time) error { return nil }
