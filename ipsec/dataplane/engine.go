// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package dataplane carries packets between the inner and the outer side in batches: RFC 4301, Section 5 (outbound and
// inbound processing in tunnel mode), RFC 4303, RFC 3948, RFC 6040. Datagrams, their outer headers and, once opened,
// the inner packets are attacker controlled (the last by the peer). It guarantees that no packet leaves in clear that a policy
// protects, that none is delivered that was not authenticated, is a replay or lies outside of its SA's selectors, that
// every packet that is dropped is counted under a reason, and that nothing is allocated per packet.
//
// How the daemon uses it: one Outbound for every goroutine that reads a TUN queue, one Inbound for every goroutine that
// reads a socket; each belongs to its goroutine. After every batch ask DB.Pending.
package dataplane

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	// BatchSize is the most packets that Seal takes and the most messages that Open takes in one call.
	BatchSize = 128
	// Headroom is how many octets are in front of every packet that is to be written to the inner side
	// (port/tun.Headroom is at most this).
	Headroom = 16
)

// Datagram is an outer datagram, or a run of datagrams of one flow: port/udp.Message field by field, but for Raw.
type Datagram struct {
	// Buf[:N] is what follows the UDP header (or, Raw, the IP header). N zero: to be skipped.
	Buf []byte
	N   int
	// Remote is the peer, Local the address to send from or that it arrived at.
	Remote, Local netip.AddrPort
	// TOS is the whole octet, ECN bits included.
	TOS uint8
	// SegSize, if not zero and less than N: a run of datagrams of SegSize octets, the last may be shorter.
	SegSize int
	// Raw: IP protocol 50 and not UDP; for the raw socket.
	Raw bool
}

// Config of an Engine.
type Config struct {
	// NoMSSClamp leaves the MSS option of TCP SYNs alone. Without it the option is lowered to what fits the path.
	NoMSSClamp bool
}

// Engine is what all its Outbounds and Inbounds share: the databases and the counters.
type Engine struct{}

// New makes an Engine on db.
func New(db *sadb.DB, c Config) *Engine { panic("draft") }

// NewOutbound makes the outbound half for one goroutine.
func (e *Engine) NewOutbound() *Outbound { panic("draft") }

// NewInbound makes the inbound half for one goroutine.
func (e *Engine) NewInbound() *Inbound { panic("draft") }

// Probe seals one dummy packet (next header 59, RFC 4303, Section 2.6) on the pair spiIn into buf, at least 128 octets: an
// authenticated packet that tells the peer this host's endpoint and nothing else. Any goroutine may call it. False: there
// is no such pair, or it is at its end.
func (e *Engine) Probe(now time.Time, spiIn uint32, buf []byte) (Datagram, bool) { panic("draft") }

// Counters returns the totals so far.
func (e *Engine) Counters() Counters { panic("draft") }

// Outbound turns inner packets into datagrams. It belongs to one goroutine.
type Outbound struct{}

// Sent is what Seal made. It is the Outbound's own memory and valid until the next call of Seal or Release.
type Sent struct {
	// Datagrams go to the sockets, in order: those with Raw set to the raw socket, the others to UDP (WriteBatch).
	Datagrams []Datagram
	// Replies are packets back to the inner side (ICMP too big), each behind Headroom free octets:
	// Device.Write(Replies, dataplane.Headroom).
	Replies [][]byte
	// Bypass are packets that a policy lets out in clear, unchanged, without headroom.
	Bypass [][]byte
}

// Seal takes a batch as port/tun.Device.Read fills it: packet i is bufs[i][offset:][:sizes[i]], at most BatchSize of
// them. The packets are not kept; their octets are changed only where an MSS is clamped.
func (o *Outbound) Seal(now time.Time, bufs [][]byte, sizes []int, offset int) *Sent { panic("draft") }

// Release seals what was held for an Acquire and has an SA now. Call it after Install. What does not fit one batch stays
// for the next call: call again until Datagrams is empty.
func (o *Outbound) Release(now time.Time) *Sent { panic("draft") }

// Inbound turns datagrams into inner packets. It belongs to one goroutine.
type Inbound struct{}

// Message is an IKE message among the datagrams.
type Message struct {
	// Bytes is the message without its marker, in the caller's buffer: copy it before the buffer is used again.
	Bytes         []byte
	Remote, Local netip.AddrPort
}

// Received is what Open made. The slices are the Inbound's own and valid until the next call; the octets lie in the
// caller's buffers or the Inbound's.
type Received struct {
	// Packets go to the inner side, each behind Headroom octets that may be overwritten:
	// Device.Write(Packets, dataplane.Headroom).
	Packets [][]byte
	// IKE are the messages for the key daemon.
	IKE []Message
}

// Open takes a batch as port/udp.Conn.ReadBatch fills it on a socket where IKE has the non-ESP marker (4500), and with
// Raw set what a raw socket delivered. It tells keepalives, IKE and ESP apart and opens ESP in place.
func (in *Inbound) Open(now time.Time, msgs []Datagram) *Received { panic("draft") }
