// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The keys of a child: KEYMAT of RFC 2409, Section 5.5. Each SA has its own, from the SPI that its receiver chose.

package ikev1

import (
	"encoding/binary"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// child is what a Quick Mode has agreed on. shared is g(qm)^xy, empty without PFS; spiI is the SPI that the initiator of the
// exchange chose, of the SA towards it, and spiR the responder's.
type child struct {
	protocol   ikev1msg.Protocol // AH or ESP
	suite      suite.ESP
	shared     secret.Key
	spiI, spiR uint32
	ni, nr     []byte
}

// childKeys are the keys of a child's two SAs: I is the one from the initiator of the exchange to its responder.
type childKeys struct{ encrI, integI, encrR, integR secret.Key }

// deriveChild cuts the keys of both SAs: encryption (of AES in a counter mode with what stands behind the key, RFC 4106,
// Section 8.1) before integrity (RFC 2401, Section 4.4.3, by way of RFC 2409, Section 5.5).
func deriveChild(prf suite.PRF, skeyidD secret.Key, c *child) childKeys {
	var k childKeys
	k.encrI, k.integI = c.keymat(prf, skeyidD, c.spiR)
	k.encrR, k.integR = c.keymat(prf, skeyidD, c.spiI)
	return k
}

// keymat is K1 | K2 | …, K1 = prf(SKEYID_d, [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b), K2 = prf(SKEYID_d, K1 | the same).
func (c *child) keymat(prf suite.PRF, skeyidD secret.Key, spi uint32) (encr, integ secret.Key) {
	e, i := c.suite.KeyLens()
	seed := binary.BigEndian.AppendUint32([]byte{byte(c.protocol)}, spi)
	material := make([]byte, 0, e+i+prf.Size())
	defer func() { clear(material[:cap(material)]) }()
	material = chained(material, e+i, nil, func(before []byte) []byte { return prf.Sum(skeyidD, before, c.shared.Bytes(), seed, c.ni, c.nr) })
	return secret.New(material[:e]), secret.New(material[e : e+i])
}
