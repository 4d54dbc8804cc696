// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Cookies (RFC 7296, Section 2.6): a stateless proof that the initiator receives at the address it sends from.
// The cookie is one octet of version and a MAC, under a secret that changes, of where the message came from and of the
// whole message but the cookie itself, so that nobody can have one message proved and send another.

package mux

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

const (
	// cookieLife is how long a secret makes cookies; for as long again it still verifies them.
	cookieLife = time.Minute
	// cookieMAC is the length of the MAC in octets: a guess has to be sent to be tested.
	cookieMAC = 16
	secretLen = 32
)

// cookies has the secret in use and the one before. The zero value has none.
type cookies struct {
	version           uint8 // of current
	current, previous [secretLen]byte
	born              time.Time // of current; zero: there is none
	previousUntil     time.Time // zero: there is no previous one
}

// turn makes the secrets what they have to be at now.
func (c *cookies) turn(now time.Time, rand io.Reader) error {
	if !c.previousUntil.IsZero() && !now.Before(c.previousUntil) {
		c.previous, c.previousUntil = [secretLen]byte{}, time.Time{}
	}
	age := now.Sub(c.born)
	if !c.born.IsZero() && age >= 0 && age < cookieLife {
		return nil
	}
	var next [secretLen]byte
	if _, err := io.ReadFull(rand, next[:]); err != nil {
		return err
	}
	if !c.born.IsZero() && age >= 0 && age < 2*cookieLife {
		c.previous, c.previousUntil = c.current, c.born.Add(2*cookieLife)
	} else {
		c.previous, c.previousUntil = [secretLen]byte{}, time.Time{}
	}
	c.current, c.born = next, now
	c.version++
	return nil
}

// make returns the cookie of a first message. turn comes before.
func (c *cookies) make(d ike.Datagram) []byte {
	return appendCookie(c.version, c.current[:], d, isakmp.HeaderLen, d.Bytes[16])
}

// verify reports whether n, the first payload of the message, is a cookie made for it.
func (c *cookies) verify(d ike.Datagram, n *ikev2msg.Notify) bool {
	if len(n.Data) != 1+cookieMAC {
		return false
	}
	secret := c.current[:]
	switch {
	case n.Data[0] == c.version:
	case n.Data[0] == c.version-1 && !c.previousUntil.IsZero():
		secret = c.previous[:]
	default:
		return false
	}
	return hmac.Equal(n.Data, appendCookie(n.Data[0], secret, d, behind(n), d.Bytes[isakmp.HeaderLen]))
}

// remake is make for a message that begins with a cookie n, which the new one will replace.
func (c *cookies) remake(d ike.Datagram, n *ikev2msg.Notify) []byte {
	return appendCookie(c.version, c.current[:], d, behind(n), d.Bytes[isakmp.HeaderLen])
}

// behind is where the message goes on behind its cookie. What it was without: its first payload was the one that the
// cookie's generic header names as the next.
func behind(n *ikev2msg.Notify) int {
	const fixed = 4 // protocol, SPI size, notify type
	return isakmp.HeaderLen + isakmp.GenericLen + fixed + len(n.SPI) + len(n.Data)
}

// appendCookie is version | MAC(source | SPIi | first payload's type | payloads from octet rest on).
func appendCookie(version uint8, secret []byte, d ike.Datagram, rest int, first byte) []byte {
	mac := hmac.New(sha256.New, secret)
	a := d.Remote.Addr().As16()
	b := append(a[:], 0, 0)
	binary.BigEndian.PutUint16(b[16:], d.Remote.Port())
	b = append(append(b, d.Bytes[:8]...), first)
	mac.Write(b)
	mac.Write(d.Bytes[rest:])
	return append([]byte{version}, mac.Sum(nil)[:cookieMAC]...)
}
