// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The readers of sockets, one goroutine each, run to completion: a batch of datagrams is read, told apart (RFC 3948,
// Section 2.2), ESP is opened and written to the device, IKE is copied to its shard. All of it is anybody's until the engine
// or a machine has authenticated it; nothing here answers.

package daemon

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/dataplane"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/udp"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// ikeBatch is how many messages are read at once where there is no ESP.
	ikeBatch = 16
	// readPause follows an error of a socket that is not closed: it must not spin.
	readPause = 20 * time.Millisecond
	// unreachablePause is the time between two hints to machines that a peer cannot be reached: whoever can send ICMP causes
	// them (RFC 7296, Section 2.4).
	unreachablePause = time.Second
	// eventBatch is how many path events are taken at once.
	eventBatch = 8
	// maxHints bounds the peers about which the network said something.
	maxHints = 64
)

// seldom limits a log line to one a second. It belongs to one goroutine.
type seldom struct{ last time.Time }

func (s *seldom) now() bool {
	now := time.Now()
	if !s.last.IsZero() && now.Sub(s.last) < time.Second {
		return false
	}
	s.last = now
	return true
}

// reader is what one reading goroutine works with.
type reader struct {
	s     *sockets
	sk    *socket
	in    *dataplane.Inbound // nil: IKE only
	msgs  []udp.Message
	grams []dataplane.Datagram
	// events is scratch for path events
	events []udp.PathEvent
}

func (s *sockets) newReader(sk *socket) *reader {
	n := udp.BatchSize
	if sk.kind == kindIKE {
		n = ikeBatch
	}
	r := &reader{s: s, sk: sk, msgs: make([]udp.Message, n), grams: make([]dataplane.Datagram, n), events: make([]udp.PathEvent, eventBatch)}
	if sk.kind != kindIKE {
		r.in = s.d.plane.engine.NewInbound()
	}
	buf := make([]byte, n*udp.MaxDatagram)
	for i := range r.msgs {
		r.msgs[i].Buf = buf[i*udp.MaxDatagram:][:udp.MaxDatagram:udp.MaxDatagram]
	}
	return r
}

// read is a socket's reader.
func (s *sockets) read(sk *socket) {
	r := s.newReader(sk)
	var said seldom
	for {
		n, err := sk.conn.ReadBatch(r.msgs)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if said.now() {
				s.d.log.Error("a socket cannot be read", "socket", sk.name, "reason", err.Error())
			}
			time.Sleep(readPause)
		}
		s.paths(sk, r.events)
		if n > 0 {
			r.take(time.Now(), n)
		}
	}
}

// take does everything with one batch.
func (r *reader) take(now time.Time, n int) {
	if r.in == nil {
		r.takeIKE(now, n)
		return
	}
	encap := natt.NonESP
	proto := uint8(sadb.ProtoESP)
	switch r.sk.kind {
	case kindESP:
		encap = natt.Raw
	case kindAH:
		encap, proto = natt.Raw, sadb.ProtoAH
	case kindIPComp:
		encap, proto = natt.Raw, sadb.ProtoIPComp
	}
	for i := range n {
		m := &r.msgs[i]
		r.grams[i] = dataplane.Datagram{Buf: m.Buf, N: m.N, Remote: m.Remote, Local: m.Local, TOS: m.TOS, SegSize: m.SegSize, Encap: encap, Proto: proto, Ident: m.Ident}
	}
	got := r.in.Open(now, r.grams[:n])
	if len(got.Packets) > 0 {
		r.s.d.plane.write(got.Packets)
	}
	for i := range got.IKE {
		m := &got.IKE[i]
		r.s.d.deliver(now, copied(m.Local, m.Remote, natt.NonESP, m.Bytes))
	}
	r.s.d.plane.look()
}

// takeIKE is take of a port where there is no ESP.
func (r *reader) takeIKE(now time.Time, n int) {
	for i := range n {
		m := &r.msgs[i]
		for j := 0; ; j++ {
			b := m.Segment(j)
			if b == nil {
				break
			}
			switch v, body := natt.Classify(natt.Raw, b); v {
			case natt.IKE:
				r.s.d.deliver(now, copied(m.Local, m.Remote, natt.Raw, body))
			case natt.Keepalive:
				r.s.d.counters.keepalivesIn.Add(1)
			default:
				r.s.d.counters.strays.Add(1)
			}
		}
	}
}

// copied is a datagram with octets of its own: the reader's buffer is used again.
func copied(local, remote netip.AddrPort, m natt.Mode, b []byte) ike.Datagram {
	return ike.Datagram{Path: ike.Path{Local: unmapped(local), Remote: unmapped(remote), Encap: m}, Bytes: append([]byte(nil), b...)}
}

// hints is what the network said of peers; it proves nothing and explains failures.
type hints struct {
	mu   sync.Mutex // protects all
	said map[netip.Addr]string
	last time.Time
}

// paths takes the path events of a socket: the engine judges sizes; that a peer cannot be reached is told to its machines,
// seldom, as a hint. events is the caller's scratch: there is one call a batch.
func (s *sockets) paths(sk *socket, events []udp.PathEvent) {
	for {
		n := sk.conn.PathEvents(events)
		for i := range events[:n] {
			s.pathEvent(sk, &events[i])
		}
		if n < len(events) {
			return
		}
	}
}

func (s *sockets) pathEvent(sk *socket, ev *udp.PathEvent) {
	now := time.Now()
	if ev.Kind == udp.PathMTU {
		if sk.kind != kindIKE {
			s.d.plane.db.PathEvent(now, unmapped(ev.Remote), ev.Quoted(), ev.MTU, ev.ThisHost)
		}
		return
	}
	text := "the network says: " + unreachableText(ev)
	s.hints.mu.Lock()
	if s.hints.said == nil || len(s.hints.said) >= maxHints {
		s.hints.said = map[netip.Addr]string{}
	}
	s.hints.said[ev.Remote.Addr().Unmap()] = text
	due := now.Sub(s.hints.last) >= unreachablePause
	if due {
		s.hints.last = now
	}
	s.hints.mu.Unlock()
	if due {
		s.d.unreachable(unmapped(ev.Remote))
	}
}

// unreachableText names the ICMP message (RFC 792; RFC 4443, Section 3.1).
func unreachableText(ev *udp.PathEvent) string {
	v4 := ev.Remote.Addr().Unmap().Is4()
	switch {
	case ev.ThisHost:
		return "no route from this host"
	case v4 && ev.Type == 3 && ev.Code == 3, !v4 && ev.Type == 1 && ev.Code == 4:
		return "nobody listens on that port"
	case v4 && ev.Type == 3 && (ev.Code == 9 || ev.Code == 10 || ev.Code == 13), !v4 && ev.Type == 1 && ev.Code == 1:
		return "forbidden by a firewall"
	}
	return "the host cannot be reached"
}

// hint is what the network said of a peer last; empty: nothing.
func (s *sockets) hint(remote netip.AddrPort) string {
	s.hints.mu.Lock()
	defer s.hints.mu.Unlock()
	return s.hints.said[remote.Addr().Unmap()]
}

// unreachable tells the machines that last sent to a peer.
func (d *Daemon) unreachable(remote netip.AddrPort) {
	for _, s := range d.shards {
		s.q.put(input{call: func(s *shard) {
			for _, e := range s.entries() {
				if unmapped(e.remote) == remote {
					s.notify(e, ike.Unreachable{Path: ike.Path{Remote: remote}})
				}
			}
		}})
	}
}
