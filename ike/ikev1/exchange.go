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

// How many exchanges one phase 1 protects, those of both sides together. Their message IDs are all remembered, because a message of
// one that ended would open again (RFC 2408, Section 3.1: unique while the SA lives). A DPD is two of them, R-U-THERE and its
// ACK, and four where both sides ask.
const (
	// mostUnproven is for a peer whose user was not asked yet: several times what XAUTH and Mode-Config have. What such a peer
	// has proven is a secret that a group knows, or nothing (hybrid authentication), and it must not cost memory.
	mostUnproven = 64
	// mostSpent is for any other: at four every 5 s it is 45 hours.
	mostSpent = 1 << 17
)

var (
	errNoHash = errors.New("no HASH where it has to be: the first payload")
	errHash   = errors.New("the HASH is not of this message")
	errSpent  = errors.New("a message ID that was used before")
	errWorn   = errors.New("no more message IDs under this phase 1, expected a new one before")
	errEnded  = errors.New("the phase 1 has ended, and its keys are gone")
)

// protection is an established phase 1.
type protection struct {
	suite Suite
	keys  keys
	root  chain // of phase 1
	spent map[uint32]struct{}
	most  int // how many there may be
	ended bool
}

func newProtection(s Suite, k keys, root chain) *protection {
	p := &protection{suite: s, keys: k, root: root, spent: map[uint32]struct{}{}, most: mostUnproven}
	switch s.Auth {
	case ikev1msg.AuthPSK, ikev1msg.AuthRSA, ikev1msg.AuthECDSA256, ikev1msg.AuthECDSA384, ikev1msg.AuthECDSA521:
		p.proven()
	}
	return p
}

// proven says that the peer is who it has to be: XAUTH is over. With a method that asks no user it is so from the beginning.
func (p *protection) proven() { p.most = mostSpent }

// end wipes the keys. Whoever still holds p or an exchange of it opens and seals nothing any more: keys of zeros are known to
// everybody. It is the one way to wipe the keys of a phase 1 that stands.
func (p *protection) end() {
	p.ended = true
	p.keys.wipe()
	p.root.ka.Wipe()
}

// opened is an authentic message. The zero value is none.
type opened struct {
	header   isakmp.Header
	payloads []ikev1msg.Payload // what the HASH covers, without the HASH
}

// exchange is one exchange under a phase 1.
type exchange struct {
	p     *protection
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

// idTries bounds the draws of a message ID: of 2^32 at most mostSpent are used.
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
		case errors.Is(err, errWorn), errors.Is(err, errEnded):
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
	return &exchange{p: p, chain: c}, err
}

func (p *protection) unused(id uint32) error {
	if p.ended {
		return errEnded
	}
	if _, used := p.spent[id]; used {
		return errSpent
	}
	if len(p.spent) >= p.most {
		return errWorn
	}
	return nil
}

// open opens a message of the exchange. The chain moves if, and only if, its HASH is that of c.
func (e *exchange) open(m *ikev1msg.Message, octets []byte, c covered) (opened, error) {
	if e.p.ended {
		return opened{}, errEnded
	}
	t, err := e.chain.decrypt(m, octets)
	if err != nil {
		return opened{}, err
	}
	h, ok := t.chain.Payloads[0].(*ikev1msg.Hash)
	if !ok {
		return opened{}, errNoHash
	}
	if !equalHash(h.Data, e.p.keys.hashOver(e.chain.suite.Hash, c, t.chain.After(0))) {
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

// seal makes a message of the exchange from the payloads behind its HASH. It is nil behind the end of the phase 1: seal the last
// Delete before end.
func (e *exchange) seal(h isakmp.Header, c covered, payloads []ikev1msg.Payload) []byte {
	if e.p.ended {
		return nil
	}
	_, rest := ikev1msg.AppendPayloads(nil, payloads)
	hash := &ikev1msg.Hash{Data: e.p.keys.hashOver(e.chain.suite.Hash, c, rest)}
	return e.chain.seal(h, append([]ikev1msg.Payload{hash}, payloads...))
}
