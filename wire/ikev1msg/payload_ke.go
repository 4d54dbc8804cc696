// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Key Exchange, Hash, Signature, Nonce and Vendor ID payloads (RFC 2408, Sections 3.7, 3.11, 3.12, 3.13 and 3.16): octets
// whose length alone is checked here.

package ikev1msg

import "fmt"

const (
	// MaxKE bounds the public value of a key exchange in octets: that of MODP-8192.
	MaxKE = 1024
	// MaxHash bounds a hash in octets: that of SHA2-512.
	MaxHash = 64
	// MaxSig bounds a signature in octets: that of an RSA key of 16384 bits.
	MaxSig = 2048
	// MinNonce and MaxNonce are the lengths of a nonce in octets (RFC 2409, Section 5).
	MinNonce = 8
	MaxNonce = 256
)

// within checks a length.
func within(b []byte, from, to int) error {
	if len(b) < from || len(b) > to {
		return fmt.Errorf("%d octets, expected %d to %d", len(b), from, to)
	}
	return nil
}

// KE is the Key Exchange payload. Whether Data fits the group, which the SA payload names, is not checked here.
type KE struct{ Data []byte }

// Type implements Payload.
func (*KE) Type() PayloadType { return TypeKE }

func (*KE) summary() string { return "KE" }

func parseKE(b []byte) (*KE, error) { return &KE{Data: b}, within(b, 1, MaxKE) }

func (p *KE) append(dst []byte) []byte { return append(dst, p.Data...) }

// Hash is the Hash payload.
type Hash struct{ Data []byte }

// Type implements Payload.
func (*Hash) Type() PayloadType { return TypeHash }

func (*Hash) summary() string { return "HASH" }

func parseHash(b []byte) (*Hash, error) { return &Hash{Data: b}, within(b, 1, MaxHash) }

func (p *Hash) append(dst []byte) []byte { return append(dst, p.Data...) }

// Sig is the Signature payload.
type Sig struct{ Data []byte }

// Type implements Payload.
func (*Sig) Type() PayloadType { return TypeSig }

func (*Sig) summary() string { return "SIG" }

func parseSig(b []byte) (*Sig, error) { return &Sig{Data: b}, within(b, 1, MaxSig) }

func (p *Sig) append(dst []byte) []byte { return append(dst, p.Data...) }

// Nonce is the Nonce payload.
type Nonce struct{ Data []byte }

// Type implements Payload.
func (*Nonce) Type() PayloadType { return TypeNonce }

func (*Nonce) summary() string { return "NONCE" }

func parseNonce(b []byte) (*Nonce, error) { return &Nonce{Data: b}, within(b, MinNonce, MaxNonce) }

func (p *Nonce) append(dst []byte) []byte { return append(dst, p.Data...) }

// Vendor is the Vendor ID payload; see Identify and FindNATT.
type Vendor struct{ Data []byte }

// Type implements Payload.
func (*Vendor) Type() PayloadType { return TypeVendor }

func (*Vendor) summary() string { return "V" }

func (p *Vendor) append(dst []byte) []byte { return append(dst, p.Data...) }
