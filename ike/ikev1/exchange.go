// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What an established phase 1 protects: Quick Mode, Informational and Transaction exchanges, XAUTH and Mode-Config among them.
// open and begin of protection are the only makers of an exchange, and an exchange the only maker of an opened: a message
// whose HASH was verified, whose payloads are those that the HASH covers, and which was not here before. Functions that change
// an SA take one.
//
// The exchange type, the flags and the cookies of the header are covered by no hash (RFC 2409, Section 5.7, covers the message
// ID alone): who takes an opened looks at what payloads it has, not at what the header calls it.

package ikev1

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/natterjack/natterjack/wire/ikev1msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// maxSpent is how many exchanges one phase 1 protects. Their message IDs are all remembered, because a message of one that ended
// would open again (RFC 2408, Section 3.1: unique while the SA lives). At one DPD every 5 s it is ten days.
const maxSpent = 1 << 18

var (
	errNoHash = errors.New("no HASH where it has to be: the first payload")
	errHash   = errors.New("the HASH is not of this message")
	errSpent  = errors.New("a message ID that was used before")
	errWorn   = fmt.Errorf("%d exchanges, expected a new phase 1 before", maxSpent)
)

// protection is an established phase 1.
type protection struct {
	suite Suite
	keys  keys
	root  chain // of phase 1
	spent map[uint32]struct{}
}

func newProtection(s Suite, k keys, root chain) *protection {
	return &protection{suite: s, keys: k, root: root, spent: map[uint32]struct{}{}}
}

// opened is an authentic message. The zero value is none.
type opened struct {
	header   isakmp.Header
	payloads []ikev1msg.Payload // what the HASH covers, without the HASH
}

// exchange is one exchange under a phase 1.
type exchange struct {
	keys  *keys
	chain chain
}

// open opens the first message of an exchange that the peer began. A message ID is spent by an authentic message only.
func (p *protection) open(m *ikev1msg.Message, octets []byte) (*exchange, opened, error) {
	if err := p.unused(m.MessageID); err != nil {
		return nil, opened{}, err
	}
	e, err := p.exchange(m.MessageID)
	if err != nil {
		return nil, opened{}, err
	}
	o, err := e.open(m, octets, first(m.MessageID))
	if err != nil {
		return nil, opened{}, err
	}
	p.spent[m.MessageID] = struct{}{}
	return e, o, nil
}

// idTries bounds the draws of a message ID: of 2^32 at most maxSpent are used.
const idTries = 64

// begin makes an exchange of our own, with a message ID drawn from rand.
func (p *protection) begin(rand io.Reader) (*exchange, error) {
	var b [4]byte
	for range idTries {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return nil, fmt.Errorf("message ID: %w", err)
		}
		id := binary.BigEndian.Uint32(b[:])
		switch err := p.unused(id); {
		case errors.Is(err, errWorn):
			return nil, err
		case err != nil || id == 0:
			continue
		}
		p.spent[id] = struct{}{}
		return p.exchange(id)
	}
	return nil, errors.New("message ID: the source of randomness gives none that is new")
}

func (p *protection) exchange(id uint32) (*exchange, error) {
	c, err := p.root.exchange(id)
	return &exchange{keys: &p.keys, chain: c}, err
}

func (p *protection) unused(id uint32) error {
	if _, used := p.spent[id]; used {
		return errSpent
	}
	if len(p.spent) >= maxSpent {
		return errWorn
	}
	return nil
}

// open opens a message of the exchange. The chain moves if, and only if, its HASH is that of c.
func (e *exchange) open(m *ikev1msg.Message, octets []byte, c covered) (opened, error) {
	t, err := e.chain.decrypt(m, octets)
	if err != nil {
		return opened{}, err
	}
	h, ok := t.chain.Payloads[0].(*ikev1msg.Hash)
	if !ok {
		return opened{}, errNoHash
	}
	if !equalHash(h.Data, e.keys.hashOver(e.chain.suite.Hash, c, t.chain.After(0))) {
		return opened{}, errHash
	}
	if err := e.chain.take(t); err != nil {
		return opened{}, err
	}
	o := opened{header: t.header, payloads: t.chain.Payloads[1:]}
	if c.alone {
		o.payloads = nil
	}
	return o, nil
}

// seal makes a message of the exchange from the payloads behind its HASH.
func (e *exchange) seal(h isakmp.Header, c covered, payloads []ikev1msg.Payload) []byte {
	_, rest := ikev1msg.AppendPayloads(nil, payloads)
	hash := &ikev1msg.Hash{Data: e.keys.hashOver(e.chain.suite.Hash, c, rest)}
	return e.chain.seal(h, append([]ikev1msg.Payload{hash}, payloads...))
}
