// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The choice of a signature scheme and the making of AUTH data (RFC 7296, Section 2.15). The peer's list of hash algorithms is
// attacker controlled and not yet authenticated: the worst it does is the older methods, and those only where the
// constraints allow them.

package sig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Choice is how one signature is made: the authentication method and the scheme.
type Choice struct {
	Method uint8
	Scheme Scheme
}

// Choose selects how to sign with a key: RFC 7427 where the peer has sent a hash that fits (peerHashes; nil: it did not
// send SIGNATURE_HASH_ALGORITHMS), else the older method of the key. Constraints (Permits) limit both; their order does not
// matter, except that a constraint to PSS is needed for PSS: peers may refuse it, and nothing negotiates the padding.
func Choose(pub crypto.PublicKey, constraints []string, peerHashes []uint16) (Choice, error) {
	if err := CheckKey(pub); err != nil {
		return Choice{}, err
	}
	for _, s := range preferred(pub) {
		if Permits(constraints, s) && slices.Contains(peerHashes, s.hashNumber()) {
			return Choice{MethodDigital, s}, nil
		}
	}
	old, ok := older(pub)
	switch {
	case ok && Permits(constraints, old.Scheme):
		return old, nil
	case ok:
		return Choice{}, fmt.Errorf("no signature scheme for the key %s: auth allows %v, the peer takes the hash algorithms %v of RFC 7427 and %s", KeyName(pub), constraints, peerHashes, old.Scheme)
	}
	return Choice{}, fmt.Errorf("no signature scheme for the key %s: auth allows %v, the peer takes the hash algorithms %v of RFC 7427 (5 is Ed25519's)", KeyName(pub), constraints, peerHashes)
}

// preferred lists the schemes of a key: first the hash that is as strong as the key, then stronger ones, then the others.
func preferred(pub crypto.PublicKey) []Scheme {
	var first []Scheme
	strength := 0
	switch k := pub.(type) {
	case *rsa.PublicKey:
		first = []Scheme{RSAPKCS1SHA256, RSAPKCS1SHA384, RSAPKCS1SHA512}
		// NIST SP 800-57 Part 1, Table 2: 3072 bits are as strong as SHA-256, 7680 as SHA-384.
		switch n := k.N.BitLen(); {
		case n > 7680:
			strength = 2
		case n > 3072:
			strength = 1
		}
	case *ecdsa.PublicKey:
		first = []Scheme{ECDSASHA256, ECDSASHA384, ECDSASHA512}
		strength = slices.Index([]int{32, 48, 66}, curveLen(k.Curve))
	default:
		return []Scheme{Ed25519}
	}
	list := slices.Concat(first[strength:], first[:strength])
	if _, ok := pub.(*rsa.PublicKey); ok {
		for _, s := range slices.Clone(list) {
			list = append(list, s+RSAPSSSHA256-RSAPKCS1SHA256)
		}
	}
	return list
}

// older is the key's method without RFC 7427. RFC 7296, Section 3.8: method 1 signs with SHA-1 unless it is known that the
// peer takes another hash, which nothing says.
func older(pub crypto.PublicKey) (Choice, bool) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return Choice{MethodRSA, RSAPKCS1SHA1}, true
	case *ecdsa.PublicKey:
		switch curveLen(k.Curve) {
		case 32:
			return Choice{MethodECDSAP256, ECDSASHA256}, true
		case 48:
			return Choice{MethodECDSAP384, ECDSASHA384}, true
		case 66:
			return Choice{MethodECDSAP521, ECDSASHA512}, true
		}
	}
	return Choice{}, false
}

// Sign makes the AUTH data of a choice over octets. rand is the source of PSS salts and blinds ECDSA.
func Sign(rand io.Reader, key crypto.Signer, c Choice, octets []byte) ([]byte, error) {
	pub := key.Public()
	if err := CheckKey(pub); err != nil {
		return nil, err
	}
	if !fits(pub, c.Scheme) {
		return nil, fmt.Errorf("signature scheme %s, the key is %s", c.Scheme, KeyName(pub))
	}
	var options crypto.SignerOpts = c.Scheme.hash()
	if c.Scheme.kind() == kindPSS {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: c.Scheme.hash()}
	}
	signature, err := key.Sign(rand, c.Scheme.digest(octets), options)
	if err != nil {
		return nil, fmt.Errorf("signing with the key %s: %w", KeyName(pub), err)
	}
	switch c.Method {
	case MethodDigital:
		ids := identifiers(c.Scheme)
		if len(ids) == 0 {
			return nil, fmt.Errorf("signature scheme %s is not of RFC 7427", c.Scheme)
		}
		return Digital{Algorithm: ids[0], Signature: signature}.Append(nil), nil
	case MethodRSA:
		if c.Scheme.kind() != kindPKCS1 {
			return nil, fmt.Errorf("signature scheme %s is not of authentication method 1", c.Scheme)
		}
		return signature, nil
	case MethodECDSAP256, MethodECDSAP384, MethodECDSAP521:
		s, size := ecdsaOf(c.Method)
		if k, ok := pub.(*ecdsa.PublicKey); !ok || s != c.Scheme || curveLen(k.Curve) != size {
			return nil, fmt.Errorf("signature scheme %s with the key %s is not of authentication method %d", c.Scheme, KeyName(pub), c.Method)
		}
		return ecdsaRaw(signature, size)
	}
	return nil, fmt.Errorf("authentication method %d is not a signature", c.Method)
}

// fits reports whether the scheme is one of the key's.
func fits(pub crypto.PublicKey, s Scheme) bool {
	switch pub.(type) {
	case *rsa.PublicKey:
		return s.kind() == kindPKCS1 || s.kind() == kindPSS
	case *ecdsa.PublicKey:
		return s.kind() == kindECDSA
	case ed25519.PublicKey:
		return s.kind() == kindEd25519
	}
	return false
}

// ecdsaRaw writes a DER signature as r | s.
func ecdsaRaw(der []byte, size int) ([]byte, error) {
	in := cryptobyte.String(der)
	var inner cryptobyte.String
	var r, s []byte
	if !in.ReadASN1(&inner, asn1.SEQUENCE) || !inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || len(r) > size || len(s) > size {
		return nil, errors.New("signing: the signer's result is not an ECDSA signature")
	}
	raw := make([]byte, 2*size)
	copy(raw[size-len(r):size], r)
	copy(raw[2*size-len(s):], s)
	return raw, nil
}
