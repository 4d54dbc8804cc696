// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package udp is the daemon's UDP sockets: batches in and out (recvmmsg, sendmmsg, UDP_GRO, UDP_SEGMENT on Linux; one
// datagram a call elsewhere), the local address of each datagram, its TOS octet, DF with the path MTU that the system
// reports, and the mark that keeps the daemon's own packets out of the tunnel (RFC 3948; RFC 7296, Section 2.23).
// Everything that is read was written by anybody on the network: datagrams, their source, and the ICMP messages that
// become PathEvents. This package believes none of it; it guarantees that what it returns lies inside the caller's
// buffers, that no packet costs an allocation on Linux, and that Close wakes every reader.
package udp

import (
	"net/netip"
	"sync/atomic"
)

const (
	// BatchSize is the most messages that one ReadBatch or one system call handles.
	BatchSize = 64
	// MaxDatagram is what a buffer for ReadBatch must hold: IKE messages and runs joined by the system come this large.
	MaxDatagram = 65535
	// maxSegments is the kernel's own limit on the datagrams of one UDP_SEGMENT send (UDP_MAX_SEGMENTS of Linux 4.18).
	maxSegments = 64
	// maxRun is the largest UDP payload of IPv4 and IPv6 both: 65535 less an IPv6 and a UDP header.
	maxRun = 65535 - 48
	// bufferSize is asked for as socket buffer: 40 ms of 1.5 Gbit/s while the process is not scheduled.
	bufferSize = 8 << 20
	// maxEvents bounds the path events kept for a caller that does not ask.
	maxEvents = 64
	// maxQuoted is how much of the datagram that an error is about is kept: an ESP or IKE header.
	maxQuoted = 64
)

// Message is one datagram, or a run of datagrams of one flow.
type Message struct {
	// Buf is the caller's buffer; N the octets in use.
	Buf []byte
	N   int
	// Remote is the peer. Local is the address that was asked or is to be answered from; its port is the socket's.
	Remote, Local netip.AddrPort
	// TOS is the whole octet, ECN bits included (traffic class in IPv6).
	TOS uint8
	// SegSize, if not zero and less than N, says that Buf[:N] is a run of datagrams of SegSize octets; the last may be
	// shorter.
	SegSize int
	// Fragment lets an outbound datagram be fragmented on its way: for IKE messages to peers without RFC 7383.
	Fragment bool
	// Ident is the identification of the IPv4 header that a message read from a raw socket had (Linux), which AH inside covers.
	Ident uint16
}

// Segment returns the i-th datagram of a message that was read, nil after the last.
func (m *Message) Segment(i int) []byte {
	if m.SegSize <= 0 || m.SegSize >= m.N {
		if i > 0 || m.N == 0 {
			return nil
		}
		return m.Buf[:m.N]
	}
	from := i * m.SegSize
	if from >= m.N {
		return nil
	}
	to := min(from+m.SegSize, m.N)
	return m.Buf[from:to:to]
}

// Config says how a socket is opened.
type Config struct {
	// Local is the address to bind; its address decides the family (0.0.0.0 or ::), port 0 takes any.
	Local netip.AddrPort
	// Mark is set on every packet sent (Linux, needs CAP_NET_ADMIN); zero: none.
	Mark uint32
	// GSO is "auto" (or empty), "on" or "off", for segmentation of what is sent and joining of what is received.
	GSO string
	// NoDF leaves the DF bit clear. Without it large datagrams are refused or reported, never fragmented.
	NoDF bool
	// Header, for raw sockets on Linux: messages are whole IP packets, their header included, both ways (RFC 4302: AH covers it).
	// The system completes the IPv4 checksum of what is sent and fragments nothing. Of an IPv6 packet that is read the flow label
	// is zero, and extension headers in front are gone.
	Header bool
	// Buffer is the size of the socket buffers; zero: a large default.
	Buffer int
	// Option names the daemon option that would choose another port, for the error when this one is taken.
	Option string
}

// PathKind says what a path event is about.
type PathKind uint8

const (
	// PathMTU: a datagram was too large for the path.
	PathMTU PathKind = iota + 1
	// PathUnreachable: a router or the peer says that it cannot be reached.
	PathUnreachable
)

func (k PathKind) String() string {
	switch k {
	case PathMTU:
		return "too large"
	case PathUnreachable:
		return "unreachable"
	}
	return "unknown"
}

// PathEvent is an ICMP message, or a refusal of this host's own network, about a datagram that was sent. An ICMP message
// is not authenticated: whoever can guess the addresses can make one. A caller lowers nothing below its floor, and only
// for a live flow whose SPI the quotation shows (RFC 4301, Section 8; RFC 7296, Section 2.4).
type PathEvent struct {
	Kind PathKind
	// Remote is where the datagram was going.
	Remote netip.AddrPort
	// MTU is the size of an IP packet that fits; zero: not said.
	MTU int
	// ThisHost is true if it is this host's own finding (the MTU of an interface or a route), not a message.
	ThisHost bool
	// Offender is the sender of the ICMP message.
	Offender netip.Addr
	// Type and Code are those of the ICMP message.
	Type, Code uint8
	quoted     [maxQuoted]byte
	quotedLen  uint8
}

// Quoted returns the beginning of the UDP payload that the error is about, as far as it was quoted.
func (e *PathEvent) Quoted() []byte { return e.quoted[:e.quotedLen] }

// Counters are a socket's totals. Datagrams of a run count one by one.
type Counters struct {
	In, InOctets, Out, OutOctets uint64
	// Calls are the system calls that carried them.
	InCalls, OutCalls uint64
	// Truncated did not fit the caller's buffer; Refused were not taken by the system; Overflow were dropped by the
	// system because nobody read in time; EventsLost are path events nobody asked for in time.
	Truncated, Refused, Overflow, EventsLost uint64
}

type counters struct {
	in, inOctets, out, outOctets, inCalls, outCalls atomic.Uint64
	truncated, refused, overflow, eventsLost        atomic.Uint64
}

// Counters returns the totals so far.
func (c *Conn) Counters() Counters {
	return Counters{
		In: c.n.in.Load(), InOctets: c.n.inOctets.Load(), Out: c.n.out.Load(), OutOctets: c.n.outOctets.Load(),
		InCalls: c.n.inCalls.Load(), OutCalls: c.n.outCalls.Load(), Truncated: c.n.truncated.Load(),
		Refused: c.n.refused.Load(), Overflow: c.n.overflow.Load(), EventsLost: c.n.eventsLost.Load(),
	}
}

// GSO reports whether segmentation offload is in use now, and why not if not.
func (c *Conn) GSO() (bool, string) {
	if c.gso.Load() {
		return true, ""
	}
	if r := c.gsoReason.Load(); r != nil {
		return false, *r
	}
	return false, "not available on this system"
}

// gsoOff stops using segmentation offload for the life of the socket.
func (c *Conn) gsoOff(reason string) {
	c.gsoReason.Store(&reason)
	c.gso.Store(false)
}
