// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// open is the only maker of an `opened`: a message whose every octet the peer's keys have authenticated. Functions that
// change an SA take one. The ICV is verified before anything else is looked at, every failure is the same, and the
// message ID is not consumed by one (HOSTILE: a bad message must not be told from another).

package ikev2

import (
	"errors"
	"slices"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// opened is an authenticated message. The zero value is none.
type opened struct {
	g        *generation
	header   isakmp.Header
	payloads []ikev2msg.Payload
	path     ike.Path
	size     int
	bad      error // authentic, but its payloads are not well formed
}

func (o opened) exchange() ikev2msg.Exchange { return ikev2msg.Exchange(o.header.Exchange) }

func (o opened) summary() string {
	return (&ikev2msg.Message{Header: o.header, Payloads: o.payloads}).Summary()
}

var (
	errNotEncrypted = errors.New("not encrypted")
	errPadding      = errors.New("pad length beyond the message")
	errIncomplete   = errors.New("fragments are missing")
)

// decrypt verifies and decrypts the one Encrypted payload of a message, and takes the padding off.
func decrypt(g *generation, m *ikev2msg.Message, datagram []byte) (*ikev2msg.Encrypted, []byte, error) {
	if len(m.Payloads) != 1 {
		return nil, nil, errNotEncrypted
	}
	e, ok := m.Payloads[0].(*ikev2msg.Encrypted)
	if !ok {
		return nil, nil, errNotEncrypted
	}
	box := g.boxIn()
	b := slices.Clone(datagram)
	if err := box.Open(b, e.Offset, nil, nil); err != nil {
		return nil, nil, err
	}
	plain := b[e.Offset+box.IVLen() : len(b)-box.ICVLen()]
	if len(plain) == 0 || int(plain[len(plain)-1]) >= len(plain) {
		return nil, nil, errPadding
	}
	return e, plain[:len(plain)-1-int(plain[len(plain)-1])], nil
}

// open verifies and decrypts the message in d, whose outer chain is m. With errIncomplete a fragment was kept.
func (sa *SA) open(now time.Time, g *generation, m *ikev2msg.Message, d ike.Datagram) (opened, error) {
	o := opened{g: g, header: m.Header, path: d.Path, size: len(d.Bytes)}
	e, plain, err := decrypt(g, m, d.Bytes)
	if err != nil {
		return o, err
	}
	first := e.First
	if e.Total > 0 {
		if !sa.fragments {
			return o, errors.New("a fragment, which was not negotiated")
		}
		slot := &g.inReq
		if m.Response() {
			slot = &g.inResp
		}
		limit := maxReassembled
		if !sa.initiator && sa.state < established {
			limit = maxReassembledHalfOpen
		}
		var whole bool
		if plain, first, whole = reassemble(slot, limit, now, m.Header, e, plain); !whole {
			return o, errIncomplete
		}
	}
	o.payloads, o.bad = ikev2msg.ParsePayloads(first, plain)
	return o, nil
}
