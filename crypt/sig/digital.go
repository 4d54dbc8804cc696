// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The authentication data of method 14 (RFC 7427, Section 3): one octet of length, the AlgorithmIdentifier in DER, the
// signature. Attacker controlled. An AlgorithmIdentifier is never parsed: it is one of the octet strings of this file,
// which are the encodings of RFC 7427, Appendix A, or it is refused.

package sig

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// Digital is the authentication data of method 14.
type Digital struct {
	Algorithm []byte // AlgorithmIdentifier, DER
	Signature []byte
}

// ParseDigital parses authentication data; the result shares b's memory.
func ParseDigital(b []byte) (Digital, error) {
	if len(b) == 0 {
		return Digital{}, errors.New("length of the algorithm identifier: missing")
	}
	n := int(b[0])
	switch {
	case n == 0:
		return Digital{}, errors.New("algorithm identifier: empty")
	case len(b)-1 < n:
		return Digital{}, fmt.Errorf("algorithm identifier: %d octets left, expected %d", len(b)-1, n)
	case len(b)-1 == n:
		return Digital{}, errors.New("signature: empty")
	}
	return Digital{Algorithm: b[1 : 1+n : 1+n], Signature: b[1+n:]}, nil
}

// Append appends the authentication data to dst.
func (d Digital) Append(dst []byte) []byte {
	dst = append(dst, byte(len(d.Algorithm)))
	dst = append(dst, d.Algorithm...)
	return append(dst, d.Signature...)
}

// Scheme is the scheme that the AlgorithmIdentifier names.
func (d Digital) Scheme() (Scheme, error) {
	for s := RSAPKCS1SHA256; s <= Ed25519; s++ {
		if slices.ContainsFunc(identifiers(s), func(id []byte) bool { return bytes.Equal(id, d.Algorithm) }) {
			return s, nil
		}
	}
	return 0, fmt.Errorf("algorithm identifier %s: expected RSA PKCS#1 v1.5 or PSS, or ECDSA, with SHA2-256, 384 or 512, or Ed25519", hex.EncodeToString(d.Algorithm))
}

// identifiers are the encodings of a scheme's AlgorithmIdentifier that are accepted. The first is the one that is sent.
func identifiers(s Scheme) [][]byte {
	n := shaOctet(s.hash())
	switch s.kind() {
	case kindPKCS1:
		if n == 0 {
			return nil // SHA-1: RFC 8247, Section 3.2.
		}
		oid := oidOf(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10+n)
		// RFC 4055, Section 5: NULL, and its absence is accepted too.
		return [][]byte{sequence(oid, null()), sequence(oid)}
	case kindPSS:
		return pssIdentifiers(s.hash())
	case kindECDSA:
		return [][]byte{sequence(oidOf(0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1+n))} // RFC 7427, Appendix A.3
	case kindEd25519:
		return [][]byte{sequence(oidOf(0x2b, 0x65, 0x70))} // RFC 8420, Appendix A
	}
	return nil
}

// pssIdentifiers are RSASSA-PSS with the same hash in both places and a salt as long as it (RFC 7427, Appendix A.4). RFC 4055,
// Section 2.1 has the hash with NULL or without; the trailer field 1 is the default, which DER leaves out, and which
// peers write all the same (Fortinet). Defaults for the hash mean SHA-1: RFC 8247, Section 3.2 forbids them.
func pssIdentifiers(h crypto.Hash) [][]byte {
	oid := oidOf(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10)
	mgf1 := oidOf(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8)
	sha := oidOf(0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, shaOctet(h))
	salt := tlv(0xa2, tlv(2, []byte{byte(h.Size())}))
	forms := [][]byte{sequence(sha, null()), sequence(sha)}
	var list [][]byte
	for _, trailer := range [][]byte{nil, tlv(0xa3, tlv(2, []byte{1}))} {
		for _, hash := range forms {
			for _, mgfHash := range forms {
				params := sequence(tlv(0xa0, hash), tlv(0xa1, sequence(mgf1, mgfHash)), salt, trailer)
				list = append(list, sequence(oid, params))
			}
		}
	}
	return list
}

// shaOctet is the last octet of id-sha256, id-sha384 and id-sha512 (RFC 4055, Section 2.1); 0 for other hashes.
func shaOctet(h crypto.Hash) byte {
	switch h {
	case crypto.SHA256:
		return 1
	case crypto.SHA384:
		return 2
	case crypto.SHA512:
		return 3
	}
	return 0
}

func oidOf(octets ...byte) []byte     { return tlv(6, octets) }
func null() []byte                    { return []byte{5, 0} }
func sequence(parts ...[]byte) []byte { return tlv(0x30, slices.Concat(parts...)) }

// tlv is DER's tag, length and value. All values here are shorter than 128 octets.
func tlv(tag byte, value []byte) []byte {
	return append([]byte{tag, byte(len(value))}, value...)
}
