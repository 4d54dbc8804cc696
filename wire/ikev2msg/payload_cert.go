// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Certificate and Certificate Request payloads (RFC 7296, Sections 3.6 and 3.7).

package ikev2msg

import (
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

// MaxCertData bounds one certificate in octets; those in use have 1 to 3 KiB.
const MaxCertData = 16 * 1024

// Cert is the Certificate payload.
type Cert struct {
	Encoding uint8
	Data     []byte
}

// Type implements Payload.
func (*Cert) Type() PayloadType { return TypeCert }

func (*Cert) summary() string { return "CERT" }

func parseCert(b []byte) (*Cert, error) {
	r := wire.NewReader(b)
	p := &Cert{Encoding: r.U8("encoding"), Data: r.Rest()}
	if len(p.Data) > MaxCertData {
		return nil, fmt.Errorf("certificate of %d octets, expected at most %d", len(p.Data), MaxCertData)
	}
	return p, r.Err()
}

func (p *Cert) append(dst []byte) []byte { return append(append(dst, p.Encoding), p.Data...) }

// CertReq is the Certificate Request payload; of encoding 4 the authorities are SHA-1 hashes, 20 octets each.
type CertReq struct {
	Encoding    uint8
	Authorities []byte
}

// Type implements Payload.
func (*CertReq) Type() PayloadType { return TypeCertReq }

func (*CertReq) summary() string { return "CERTREQ" }

func parseCertReq(b []byte) (*CertReq, error) {
	r := wire.NewReader(b)
	p := &CertReq{Encoding: r.U8("encoding"), Authorities: r.Rest()}
	if r.Err() == nil && p.Encoding == CertEncodingX509Signature && len(p.Authorities)%20 != 0 {
		return nil, fmt.Errorf("authorities of %d octets, expected a multiple of 20", len(p.Authorities))
	}
	return p, r.Err()
}

func (p *CertReq) append(dst []byte) []byte { return append(append(dst, p.Encoding), p.Authorities...) }
