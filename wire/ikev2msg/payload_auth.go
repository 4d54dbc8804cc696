// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Authentication, Nonce, Vendor ID, EAP and unknown payloads (RFC 7296, Sections 3.8, 3.9, 3.12, 3.16, 2.5).

package ikev2msg

import (
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

// Auth is the Authentication payload.
type Auth struct {
	Method uint8
	Data   []byte
}

// Type implements Payload.
func (*Auth) Type() PayloadType { return TypeAuth }

func (*Auth) summary() string { return "AUTH" }

func parseAuth(b []byte) (*Auth, error) {
	r := wire.NewReader(b)
	p := &Auth{Method: r.U8("method")}
	r.Bytes("reserved", 3)
	p.Data = r.Rest()
	return p, r.Err()
}

func (p *Auth) append(dst []byte) []byte { return append(append(dst, p.Method, 0, 0, 0), p.Data...) }

// Nonce lengths in octets (RFC 7296, Section 3.9).
const (
	MinNonce = 16
	MaxNonce = 256
)

// Nonce is the Nonce payload.
type Nonce struct{ Data []byte }

// Type implements Payload.
func (*Nonce) Type() PayloadType { return TypeNonce }

func (*Nonce) summary() string { return "No" }

func parseNonce(b []byte) (*Nonce, error) {
	if len(b) < MinNonce || len(b) > MaxNonce {
		return nil, fmt.Errorf("%d octets, expected %d to %d", len(b), MinNonce, MaxNonce)
	}
	return &Nonce{Data: b}, nil
}

func (p *Nonce) append(dst []byte) []byte { return append(dst, p.Data...) }

// Vendor is the Vendor ID payload.
type Vendor struct{ Data []byte }

// Type implements Payload.
func (*Vendor) Type() PayloadType { return TypeVendor }

func (*Vendor) summary() string { return "V" }

func (p *Vendor) append(dst []byte) []byte { return append(dst, p.Data...) }

// EAP is the Extensible Authentication Protocol payload, opaque here.
type EAP struct{ Data []byte }

// Type implements Payload.
func (*EAP) Type() PayloadType { return TypeEAP }

func (*EAP) summary() string { return "EAP" }

func (p *EAP) append(dst []byte) []byte { return append(dst, p.Data...) }

// Unknown is a payload of a type that has no codec, not critical when it was read.
type Unknown struct {
	Num      PayloadType
	Critical bool
	Body     []byte
}

// Type implements Payload.
func (p *Unknown) Type() PayloadType { return p.Num }

func (p *Unknown) summary() string { return p.Num.String() }

func (p *Unknown) append(dst []byte) []byte { return append(dst, p.Body...) }
