// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The chain of IVs of one exchange (RFC 2409, Appendix B): the first IV is a hash, each later one the last block of the message
// before, whoever sent it. A chain cannot get out of step: what arrives is only decrypted, and moves the IV when take is
// called, which is after its HASH or signature was verified; what was taken before is known again by its octets, which move
// nothing; what was tentative while the chain moved is refused. A chain holds values, no cipher, and copies by assignment.
// Only padding is covered by no HASH: who is on the path can change it, and so end an exchange, as by dropping its messages.
//
// Everything in a message is attacker controlled, decrypted or not. CBC tells an attacker nothing here: whatever is wrong with a
// message, it is dropped without an answer.

package ikev1

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/ikev1msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

const (
	// maxBlock is the longest block of a cipher, in octets: AES.
	maxBlock = 16
	// maxTaken is how many messages of the peer an exchange has, all of which it knows again: main mode has three, and a
	// Transaction exchange as many as XAUTH has rounds under one message ID (name, passcode, next PIN, each asked again).
	maxTaken = 16
)

var (
	errNotEncrypted = errors.New("not encrypted")
	errMoved        = errors.New("the chain has moved since the message was decrypted")
	errTaken        = errors.New("more messages than an exchange has")
)

// chain is the IV chain of one exchange.
type chain struct {
	suite     Suite
	ka        secret.Key
	messageID uint32 // 0: phase 1
	iv        [maxBlock]byte

	moves int                         // messages sealed and taken
	taken [maxTaken][sha256.Size]byte // digests of the peer's messages, the newest at known-1
	known int
}

// newChain is the chain of phase 1: its first IV is hash(g^xi | g^xr).
func newChain(s Suite, k *keys, x *phase1) chain {
	c := chain{suite: s, ka: k.ka}
	c.start(s.Hash.Digest(x.gxi, x.gxr))
	return c
}

// exchange is the chain of another exchange: its first IV is hash(last block of phase 1 | message ID). c is the chain of phase 1,
// which nothing moves any more.
func (c *chain) exchange(messageID uint32) (chain, error) {
	if c.messageID != 0 || messageID == 0 {
		return chain{}, fmt.Errorf("message ID %08x from that of %08x, expected one from 0", messageID, c.messageID)
	}
	n := chain{suite: c.suite, ka: c.ka, messageID: messageID}
	n.start(c.suite.Hash.Digest(c.last(), binary.BigEndian.AppendUint32(nil, messageID)))
	return n, nil
}

func (c *chain) start(digest []byte) { copy(c.iv[:c.block()], digest) }

func (c *chain) block() int { return c.suite.Encr.BlockLen() }

// last is the block that the next message's IV is.
func (c *chain) last() []byte { return c.iv[:c.block()] }

// repeated reports whether a message is one that was taken before, and whether it is the newest of them: only that one's answer
// is sent again.
func (c *chain) repeated(octets []byte) (newest, ok bool) {
	digest := sha256.Sum256(octets)
	for i := range c.known {
		if c.taken[i] == digest {
			return i == c.known-1, true
		}
	}
	return false, false
}

// remember takes a message that was not encrypted, as the first ones of a phase 1 are.
func (c *chain) remember(octets []byte) error {
	if c.known == maxTaken {
		return errTaken
	}
	c.taken[c.known] = sha256.Sum256(octets)
	c.known++
	return nil
}

// tentative is a decrypted message of which nothing is known to be authentic.
type tentative struct {
	header isakmp.Header
	chain  *ikev1msg.Chain

	octets []byte
	next   [maxBlock]byte
	at     int
}

// decrypt decrypts m, which is what octets hold. The chain is unchanged.
func (c *chain) decrypt(m *ikev1msg.Message, octets []byte) (tentative, error) {
	switch n := len(m.Encrypted); {
	case !m.Sealed():
		return tentative{}, errNotEncrypted
	case m.MessageID != c.messageID:
		return tentative{}, fmt.Errorf("message ID %08x, expected %08x", m.MessageID, c.messageID)
	case n == 0 || n%c.block() != 0:
		return tentative{}, fmt.Errorf("%d octets encrypted, expected blocks of %d", n, c.block())
	}
	t := tentative{header: m.Header, octets: octets, at: c.moves}
	copy(t.next[:c.block()], m.Encrypted[len(m.Encrypted)-c.block():])
	plain := append([]byte(nil), m.Encrypted...)
	c.cbc().Decrypt(c.last(), plain)
	var err error
	t.chain, err = ikev1msg.ParseDecrypted(ikev1msg.PayloadType(m.NextPayload), plain)
	return t, err
}

// take moves the chain behind a message that is authentic.
func (c *chain) take(t tentative) error {
	if t.at != c.moves || t.chain == nil {
		return errMoved
	}
	if err := c.remember(t.octets); err != nil {
		return err
	}
	c.iv = t.next
	c.moves++
	return nil
}

// seal encrypts a message of ours, padded with as few zeros as its blocks need, and moves the chain: it is sent in this form, and
// again in this form, or not at all.
func (c *chain) seal(h isakmp.Header, payloads []ikev1msg.Payload) []byte {
	first, plain := ikev1msg.AppendPayloads(nil, payloads)
	if rest := len(plain) % c.block(); rest != 0 {
		plain = append(plain, make([]byte, c.block()-rest)...)
	}
	return c.encrypt(h, first, plain)
}

// encrypt encrypts whole blocks in place.
func (c *chain) encrypt(h isakmp.Header, first ikev1msg.PayloadType, plain []byte) []byte {
	c.cbc().Encrypt(c.last(), plain)
	copy(c.iv[:c.block()], plain[len(plain)-c.block():])
	c.moves++
	h.Major, h.Minor, h.MessageID, h.NextPayload = 1, 0, c.messageID, uint8(first)
	h.Flags |= ikev1msg.FlagEncryption
	m := ikev1msg.Message{Header: h, Encrypted: plain}
	return m.Append(nil)
}

func (c *chain) cbc() *suite.CBC {
	cbc, err := suite.NewCBC(c.suite.Encr, c.suite.EncrBits, c.ka)
	if err != nil {
		panic(err) // the suite was made of what is implemented, and the key was cut for it
	}
	return cbc
}
