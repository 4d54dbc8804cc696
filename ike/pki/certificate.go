// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package pki decides about certificates for IKE (RFC 4945, RFC 5280, RFC 7296, Section 3.6): which are looked at at all, whether
// a chain ends at a trust anchor, and whether an identity is one of the certificate's. Certificates and identities of a peer
// are attacker controlled and bounded in number, size, key length and work. It guarantees that a chain it returns was valid
// at the time that was asked about, ends at an anchor of the caller's and never at the system's, and that an identity it
// binds is written in the end entity's certificate by whoever signed it. Time and anchors are parameters; there is no I/O.
package pki

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"github.com/natterjack/natterjack/crypt/sig"
)

const (
	// MaxCerts is HOSTILE's bound of the certificates of one peer (T-043): longer chains are not in use.
	MaxCerts = 8
	// MaxCertLen is the bound of one certificate in octets; those in use have 1 to 3 KiB.
	MaxCertLen = 16 << 10
)

// Parse parses one certificate and refuses what no chain may contain: too long, or with a key that sig.CheckKey refuses.
func Parse(der []byte) (*x509.Certificate, error) {
	if len(der) == 0 || len(der) > MaxCertLen {
		return nil, fmt.Errorf("certificate of %d octets, expected 1 to %d", len(der), MaxCertLen)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if err := sig.CheckKey(c.PublicKey); err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", Subject(c), err)
	}
	return c, nil
}

// AuthorityHash is how CERTREQ names an authority: SHA-1 of its SubjectPublicKeyInfo (RFC 7296, Section 3.7).
func AuthorityHash(c *x509.Certificate) [sha1.Size]byte { return sha1.Sum(c.RawSubjectPublicKeyInfo) }

// Keyid is SHA-1 of the key's bit string alone (RFC 5280, Section 4.2.1.2, method 1), computed and not what the certificate
// says of itself.
func Keyid(c *x509.Certificate) [sha1.Size]byte {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info); err != nil || len(rest) > 0 {
		return [sha1.Size]byte{}
	}
	return sha1.Sum(info.Key.Bytes)
}
