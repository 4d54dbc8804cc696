// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A peer that says what it likes: messages sealed with the keys that a host has reported (Env.KeyLog), as if its peer had
// sent them. Tests of hostile but authenticated peers are built on it.

package simnet

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// Forger speaks for the peer of a host on one IKE SA.
type Forger struct {
	SPIi, SPIr uint64
	// Initiator: the forged peer is the IKE SA's original initiator.
	Initiator bool
	From      netip.AddrPort // where its messages come from
	To        netip.AddrPort

	victim *Host
	keys   ike.Keys
	iv     uint64
}

// Forge makes the forger for the last IKE SA whose keys the host has reported; initiator is the forged peer's role there.
func (h *Host) Forge(from *Host, initiator bool) *Forger {
	f := &Forger{victim: h, Initiator: initiator, iv: 1 << 40,
		From: netip.AddrPortFrom(from.Addrs[0], 4500), To: netip.AddrPortFrom(h.Addrs[0], 4500)}
	for _, ev := range h.Events {
		if ev.Kind == ike.EventKeys && ev.Keys.IKE.PRF != 0 {
			f.keys, f.SPIi, f.SPIr = *ev.Keys, ev.SPIi, ev.SPIr
		}
	}
	return f
}

func (f *Forger) box(initiator bool) *suite.Box {
	e, a := f.keys.SKer, f.keys.SKar
	if initiator {
		e, a = f.keys.SKei, f.keys.SKai
	}
	b, err := suite.NewBox(f.keys.IKE.Encr, f.keys.IKE.EncrBits, f.keys.IKE.Integ, e, a)
	if err != nil {
		panic(fmt.Sprintf("simnet: no keys to forge with: %v", err))
	}
	return b
}

// Header is that of a message of the forged peer.
func (f *Forger) Header(exchange ikev2msg.Exchange, id uint32, response bool) isakmp.Header {
	h := isakmp.Header{SPIi: f.SPIi, SPIr: f.SPIr, Major: 2, Exchange: uint8(exchange), MessageID: id}
	if f.Initiator {
		h.Flags |= isakmp.FlagInitiator
	}
	if response {
		h.Flags |= isakmp.FlagResponse
	}
	return h
}

// Message seals payloads.
func (f *Forger) Message(exchange ikev2msg.Exchange, id uint32, response bool, payloads ...ikev2msg.Payload) []byte {
	first, plain := ikev2msg.AppendPayloads(nil, payloads)
	return f.Seal(f.Header(exchange, id, response), first, plain)
}

// Seal seals the octets of a chain that begins with a payload of type first, whatever they are.
func (f *Forger) Seal(h isakmp.Header, first ikev2msg.PayloadType, plain []byte) []byte {
	return f.SealAs(h, &ikev2msg.Encrypted{First: first}, append(append([]byte{}, plain...), padding(len(plain), f.box(f.Initiator).Align())...))
}

// SealAs seals octets with their padding into an SK or SKF payload.
func (f *Forger) SealAs(h isakmp.Header, e *ikev2msg.Encrypted, padded []byte) []byte {
	box := f.box(f.Initiator)
	f.iv++
	body := make([]byte, box.IVLen())
	binary.BigEndian.PutUint64(body[box.IVLen()-8:], f.iv)
	body = append(append(body, padded...), make([]byte, box.ICVLen())...)
	e.Body = body
	b := (&ikev2msg.Message{Header: h, Payloads: []ikev2msg.Payload{e}}).Append(nil)
	box.Seal(b, len(b)-len(body), nil, nil)
	return b
}

// padding makes n octets and the pad length a multiple of align.
func padding(n, align int) []byte {
	pad := 0
	if rest := (n + 1) % align; rest != 0 {
		pad = align - rest
	}
	return append(make([]byte, pad), byte(pad))
}

// Deliver has the host receive octets from the forged peer at once.
func (f *Forger) Deliver(b []byte) {
	f.victim.receive(&Packet{From: f.From, To: f.To, IKE: b})
}

// Answers takes what the host has under way to the forged peer, and opens it. What cannot be opened is in no list.
func (f *Forger) Answers() []*ikev2msg.Message {
	var list []*ikev2msg.Message
	var rest []*Packet
	for _, p := range f.victim.world.Flight {
		if p.by != f.victim || p.IKE == nil {
			rest = append(rest, p)
			continue
		}
		if m := f.open(p.IKE); m != nil {
			list = append(list, m)
		}
	}
	f.victim.world.Flight = rest
	return list
}

func (f *Forger) open(b []byte) *ikev2msg.Message {
	m, err := ikev2msg.Parse(b)
	if err != nil {
		return nil
	}
	e, ok := m.Payloads[len(m.Payloads)-1].(*ikev2msg.Encrypted)
	if !ok {
		return m
	}
	box := f.box(!f.Initiator)
	c := append([]byte{}, b...)
	if m.SPIi != f.SPIi || box.Open(c, e.Offset, nil, nil) != nil {
		return nil
	}
	plain := c[e.Offset+box.IVLen() : len(c)-box.ICVLen()]
	plain = plain[:len(plain)-1-int(plain[len(plain)-1])]
	if m.Payloads, err = ikev2msg.ParsePayloads(e.First, plain); err != nil {
		return nil
	}
	return m
}

// Receive has the host receive octets from an address.
func (h *Host) Receive(from, to netip.AddrPort, b []byte) {
	h.receive(&Packet{From: from, To: to, IKE: b})
}
