// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The hashes of IKEv1: HASH_I and HASH_R of phase 1 (RFC 2409, Section 5), HASH(1) to HASH(3) of Quick Mode (Section 5.5), and
// HASH(1) of the Informational and Transaction exchanges (Section 5.7; draft-dukes-ike-mode-cfg-02, Section 3.3), which is
// that of Quick Mode. Octets of the peer's messages go in as they came.

package ikev1

import (
	"crypto/subtle"
	"encoding/binary"

	"github.com/natterjack/natterjack/crypt/suite"
)

// hash is HASH_I, or HASH_R, of the side whose ID payload has the body id.
func (k *keys) hash(s Suite, x *phase1, initiator bool, id []byte) []byte {
	own, other, ownCky, otherCky := x.gxi, x.gxr, x.ckyI, x.ckyR
	if !initiator {
		own, other, ownCky, otherCky = other, own, otherCky, ownCky
	}
	cookies := binary.BigEndian.AppendUint64(nil, ownCky)
	cookies = binary.BigEndian.AppendUint64(cookies, otherCky)
	return s.hashPRF().Sum(k.skeyid, own, other, cookies, x.saI, id)
}

// covered is what a HASH payload covers besides the payloads behind it.
type covered struct {
	before []byte
	alone  bool // it covers none of them
}

// first is HASH(1): of the first message of a Quick Mode, of each message of a Transaction exchange, of an Informational one,
// and of the fourth message of a Quick Mode (RFC 2408, Section 3.1, the commit bit).
func first(messageID uint32) covered {
	return covered{before: binary.BigEndian.AppendUint32(nil, messageID)}
}

// second is HASH(2).
func second(messageID uint32, ni []byte) covered {
	return covered{before: append(binary.BigEndian.AppendUint32(nil, messageID), ni...)}
}

// third is HASH(3). What stands behind it in the message is authenticated by nothing.
func third(messageID uint32, ni, nr []byte) covered {
	b := binary.BigEndian.AppendUint32([]byte{0}, messageID)
	return covered{before: append(append(b, ni...), nr...), alone: true}
}

// hashOver is the HASH of a message whose payloads behind it are rest, generic headers included.
func (k *keys) hashOver(prf suite.PRF, c covered, rest []byte) []byte {
	if c.alone {
		rest = nil
	}
	return prf.Sum(k.skeyidA, c.before, rest)
}

// equalHash compares in constant time.
func equalHash(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
