// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// ESP in UDP (RFC 4303, RFC 3948): packets in which everything can be wrong, and what came out of the tunnel.

package bogus

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// Child is a pair of ESP SAs.
type Child struct {
	SA            *SA
	Suite         Suite
	SPIIn, SPIOut uint32
	TSi, TSr      []Selector
	// Seq is the last sequence number sent, Highest the highest received.
	Seq, Highest uint32

	in, out *box
}

// Next headers of inner packets.
const (
	NextIPv4  = 4
	NextIPv6  = 41
	NextDummy = 59
)

// Packet is an ESP packet before it is sealed.
type Packet struct {
	SPI, Seq uint32
	Next     uint8
	Inner    []byte
	// TFC are octets behind the inner packet; Pad are extra octets of padding.
	TFC, Pad int
	// PadLen, where not nil, is written as the pad length; BadPad fills the padding with 0xAA.
	PadLen *uint8
	BadPad bool
	// ZeroICV and FlipICV spoil the ICV; Cut, where not nil, leaves so many octets of the datagram.
	ZeroICV, FlipICV bool
	Cut              *int
	// Unaligned leaves the padding out.
	Unaligned bool
}

// Packet makes a correct packet for an inner one with the next sequence number.
func (p *Peer) Packet(c *Child, inner []byte) *Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Seq++
	next := uint8(NextIPv4)
	if len(inner) > 0 && inner[0]>>4 == 6 {
		next = NextIPv6
	}
	return &Packet{SPI: c.SPIOut, Seq: c.Seq, Next: next, Inner: inner}
}

// Seal returns the datagram of a packet.
func (c *Child) Seal(k *Packet) []byte {
	b := c.out
	text := append(append([]byte(nil), k.Inner...), make([]byte, k.TFC)...)
	pad := (b.align()-(len(text)+2)%b.align())%b.align() + k.Pad
	if k.Unaligned {
		pad = 0
	}
	for i := range pad {
		fill := byte(i + 1)
		if k.BadPad {
			fill = 0xaa
		}
		text = append(text, fill)
	}
	padLen := byte(pad)
	if k.PadLen != nil {
		padLen = *k.PadLen
	}
	text = append(text, padLen, k.Next)
	head := binary.BigEndian.AppendUint32(nil, k.SPI)
	head = binary.BigEndian.AppendUint32(head, k.Seq)
	iv := make([]byte, b.ivLen())
	rand.Read(iv)
	out := append(head[:8:8], b.seal(head, iv, text)...)
	if k.ZeroICV {
		clear(out[len(out)-b.icvLen():])
	}
	if k.FlipICV {
		out[len(out)-1] ^= 1
	}
	if k.Cut != nil {
		out = out[:min(len(out), *k.Cut)]
	}
	return out
}

// SendPacket seals and sends a packet, and returns its octets.
func (p *Peer) SendPacket(c *Child, k *Packet) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.c.Bugs.ESP != nil {
		p.c.Bugs.ESP(k)
	}
	d := c.Seal(k)
	to := p.c.RemoteNATT
	if c.SA.via.natt {
		to = c.SA.via.to
	}
	_, err := p.natt.WriteToUDPAddrPort(d, to)
	return d, err
}

// SendInner sends an inner packet through the newest child.
func (p *Peer) SendInner(inner []byte) error {
	c := p.Child()
	if c == nil {
		return errors.New("no child")
	}
	_, err := p.SendPacket(c, p.Packet(c, inner))
	return err
}

// esp opens what arrived and keeps the inner packets.
func (p *Peer) esp(b []byte) {
	if len(b) < 8 {
		p.BadESP.Add(1)
		return
	}
	for _, c := range p.children {
		if c.SPIIn != binary.BigEndian.Uint32(b) {
			continue
		}
		text, err := c.in.open(b[:8], b[8:])
		if err != nil || len(text) < 2 || int(text[len(text)-2])+2 > len(text) {
			p.BadESP.Add(1)
			return
		}
		c.Highest = max(c.Highest, binary.BigEndian.Uint32(b[4:]))
		if text[len(text)-1] == NextDummy {
			return
		}
		select {
		case p.inner <- text[:len(text)-2-int(text[len(text)-2])]:
		default:
			p.Overflow.Add(1)
		}
		return
	}
	p.BadESP.Add(1)
}

// Inner waits for the next inner packet.
func (p *Peer) Inner(d time.Duration) ([]byte, bool) {
	end := time.NewTimer(d)
	defer end.Stop()
	select {
	case b := <-p.inner:
		return b, true
	case <-end.C:
		return nil, false
	}
}

// Drain throws away what came out of the tunnel so far and returns how many packets that were.
func (p *Peer) Drain() int {
	for n := 0; ; n++ {
		select {
		case <-p.inner:
		default:
			return n
		}
	}
}

// EchoThrough sends an echo request from one inner address to another and waits for its reply.
func (p *Peer) EchoThrough(from, to netip.Addr, seq uint16, d time.Duration) bool {
	if p.SendInner(Echo(from, to, 0x4e4a, seq, []byte("are you there?"))) != nil {
		return false
	}
	end := time.Now().Add(d)
	for left := d; left > 0; left = time.Until(end) {
		b, ok := p.Inner(left)
		if ok && IsEchoReply(b, to, 0x4e4a, seq) {
			return true
		}
	}
	return false
}
