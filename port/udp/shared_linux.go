// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// ESP in UDP on ports that other processes' sockets have (RFC 3948, for a key daemon that was written for a kernel): a raw
// socket of protocol UDP gets a copy of every datagram, whatever their sockets do, and can send from their ports. A socket
// filter lets in what is ESP by Linux's rules alone. The ports' own sockets are never read, and never bound a second time:
// with SO_REUSEPORT the system would divide the datagrams between the two. What is read is anybody's.

package udp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/wire/natt"
)

const (
	headerUDP = 8 // RFC 768
	// maxShared bounds the ports: a block of the filter each, which every datagram of the host meets.
	maxShared = 128
	// sharedArena holds datagrams of one WriteBatch with their headers; more of them are more calls.
	sharedArena = 1 << 20
	// drainErrors ends drain where errors alone come.
	drainErrors = 64
	// checksumAt is where the checksum is, for IPV6_CHECKSUM: RFC 8200, Section 8.1 wants one, RFC 3948 none in IPv4.
	checksumAt = 6
)

// SharedPort is a port of another's.
type SharedPort struct {
	// Addr is what the port is bound to; unspecified: every address.
	Addr netip.Addr
	Port uint16
	// Mode is natt.NonESP or natt.NonIKE.
	Mode natt.Mode
}

// Shared is the ESP of ports of others, in one address family. One goroutine reads at a time, one writes at a time; others
// wait. What ReadBatch and WriteBatch carry has the marker of the port's mode in place.
type Shared struct {
	conn  *Conn
	v6    bool
	ports atomic.Pointer[[]SharedPort]

	mu    sync.Mutex // protects the rest: the scratch of WriteBatch
	arena []byte
	msgs  []Message
}

// OpenShared opens the socket for the family of cfg.Local. There are no ports yet.
func OpenShared(cfg Config) (*Shared, error) {
	conn, err := OpenRaw(cfg, unix.IPPROTO_UDP)
	if err != nil {
		return nil, err
	}
	return newShared(conn)
}

// newShared owns the socket, also where it fails.
func newShared(conn *Conn) (*Shared, error) {
	s := &Shared{conn: conn, v6: conn.v6, arena: make([]byte, sharedArena), msgs: make([]Message, 0, BatchSize)}
	err := s.SetPorts(nil)
	if err == nil {
		err = s.drain()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	var option error
	if s.v6 {
		err = conn.raw.Control(func(fd uintptr) {
			option = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM, checksumAt)
		})
	}
	if err == nil {
		err = option
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("raw socket of UDP: checksums: %w", err)
	}
	return s, nil
}

// drain throws away what came between the socket and its first filter, which lets nothing in: so it ends. ICMP errors about others' datagrams
// go on to be reported; drainErrors of them are enough.
func (s *Shared) drain() error {
	var octet [1]byte
	var err error
	control := s.conn.raw.Control(func(fd uintptr) {
		for failures := 0; failures < drainErrors; {
			_, _, err = unix.Recvfrom(int(fd), octet[:], unix.MSG_DONTWAIT|unix.MSG_TRUNC)
			e, failed := err.(unix.Errno)
			switch {
			case failed && !passing(e):
				return
			case failed:
				failures++
			}
		}
	})
	if control != nil {
		return control
	}
	if err != unix.EAGAIN {
		return fmt.Errorf("raw socket of UDP: what came before the filter: %w", err)
	}
	return nil
}

// SetPorts says which ports they are from now on.
func (s *Shared) SetPorts(list []SharedPort) error {
	if len(list) > maxShared {
		return fmt.Errorf("ports: %d, at most %d", len(list), maxShared)
	}
	list = slices.Clone(list)
	filter, err := sharedFilter(s.v6, list)
	if err != nil {
		return err
	}
	var option error
	err = s.conn.raw.Control(func(fd uintptr) {
		option = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
	if err == nil {
		err = option
	}
	if err != nil {
		return fmt.Errorf("raw socket of UDP: filter: %w", err)
	}
	s.ports.Store(&list)
	return nil
}

// sharedFilter lets ESP on the ports in. A raw IPv4 socket sees the IP header, a raw IPv6 socket does not.
func sharedFilter(v6 bool, list []SharedPort) ([]unix.SockFilter, error) {
	at := func(off uint32, size int) bpf.Instruction {
		if v6 {
			return bpf.LoadAbsolute{Off: off, Size: size}
		}
		return bpf.LoadIndirect{Off: off, Size: size}
	}
	var p []bpf.Instruction
	if !v6 {
		p = append(p, bpf.LoadMemShift{Off: 0})
	}
	for _, port := range list {
		block := []bpf.Instruction{at(2, 2), bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port.Port)}}
		// Longer than a header, and a marker or no marker: Linux's rule.
		block = append(block, at(4, 2), bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: headerUDP + uint32(port.Mode.Overhead()) + 8}, at(headerUDP, 4))
		if port.Mode == natt.NonIKE {
			block = append(block, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0}, at(headerUDP+4, 4), bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0})
		} else {
			block = append(block, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0})
		}
		block = append(block, bpf.RetConstant{Val: 0xffffffff})
		for i, in := range block {
			if j, ok := in.(bpf.JumpIf); ok {
				j.SkipFalse = uint8(len(block) - 1 - i)
				block[i] = j
			}
		}
		p = append(p, block...)
	}
	raw, err := bpf.Assemble(append(p, bpf.RetConstant{Val: 0}))
	if err != nil {
		return nil, err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return filter, nil
}

// Mode is the mode of the port that a datagram came to; false: it is none of them.
func (s *Shared) Mode(local netip.AddrPort) (natt.Mode, bool) {
	for _, p := range *s.ports.Load() {
		if p.Port == local.Port() && (p.Addr.IsUnspecified() || p.Addr.Unmap() == local.Addr()) {
			return p.Mode, true
		}
	}
	return natt.Raw, false
}

// ReadBatch is Conn.ReadBatch; a datagram that is not one of the ports' has N zero.
func (s *Shared) ReadBatch(msgs []Message) (int, error) {
	n, err := s.conn.ReadBatch(msgs)
	for i := range msgs[:n] {
		s.take(&msgs[i])
	}
	return n, err
}

// take takes the header off a message.
func (s *Shared) take(m *Message) {
	if m.N < headerUDP {
		m.N = 0
		return
	}
	h := m.Buf[:headerUDP]
	length := int(binary.BigEndian.Uint16(h[4:]))
	m.Remote = netip.AddrPortFrom(m.Remote.Addr(), binary.BigEndian.Uint16(h))
	m.Local = netip.AddrPortFrom(m.Local.Addr(), binary.BigEndian.Uint16(h[2:]))
	if _, ok := s.Mode(m.Local); !ok || length < headerUDP || length > m.N {
		m.N = 0
		return
	}
	m.N = copy(m.Buf, m.Buf[headerUDP:length])
}

// WriteBatch sends Buf[:N] of every message in order from the port of Local.
func (s *Shared) WriteBatch(msgs []Message) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent, used := 0, 0
	var first error
	flush := func() {
		n, err := s.conn.WriteBatch(s.msgs)
		sent += n
		if first == nil {
			first = err
		}
		s.msgs, used = s.msgs[:0], 0
	}
	for i := range msgs {
		m := &msgs[i]
		for j := 0; ; j++ {
			b := m.Segment(j)
			if b == nil {
				break
			}
			if len(s.msgs) == cap(s.msgs) || used+headerUDP+len(b) > len(s.arena) {
				flush()
			}
			out := s.arena[used : used+headerUDP+len(b)]
			used += len(out)
			putHeader(out, m.Local.Port(), m.Remote.Port())
			copy(out[headerUDP:], b)
			s.msgs = append(s.msgs, Message{Buf: out, N: len(out), Remote: m.Remote, Local: m.Local, TOS: m.TOS, Fragment: m.Fragment})
		}
	}
	flush()
	return sent, first
}

func putHeader(b []byte, from, to uint16) {
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	b[6], b[7] = 0, 0
}

// PathEvents is Conn.PathEvents, about what was sent from the ports: their own sockets' errors are theirs.
func (s *Shared) PathEvents(dst []PathEvent) int {
	n := 0
	for _, e := range dst[:s.conn.PathEvents(dst)] {
		if int(e.quotedLen) < headerUDP {
			continue
		}
		from, to := binary.BigEndian.Uint16(e.quoted[:]), binary.BigEndian.Uint16(e.quoted[2:])
		if !slices.ContainsFunc(*s.ports.Load(), func(p SharedPort) bool { return p.Port == from }) {
			continue
		}
		e.Remote = netip.AddrPortFrom(e.Remote.Addr(), to)
		e.quotedLen = uint8(copy(e.quoted[:], e.quoted[headerUDP:e.quotedLen]))
		dst[n] = e
		n++
	}
	return n
}

// Counters are the socket's.
func (s *Shared) Counters() Counters { return s.conn.Counters() }

// Close wakes readers and writers, which then return net.ErrClosed.
func (s *Shared) Close() error { return s.conn.Close() }
