// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Certificate and Certificate Request payloads (RFC 2408, Sections 3.9 and 3.10). Certificates are opaque here.

package ikev1msg

import (
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

// MaxCertData bounds one certificate, or the authority of a request, in octets; those in use have 1 to 3 KiB.
const MaxCertData = 16 * 1024

// CertEncoding is the encoding of a certificate (RFC 2408, Section 3.9).
type CertEncoding uint8

// Encodings of certificates.
const (
	CertPKCS7         CertEncoding = 1
	CertPGP           CertEncoding = 2
	CertDNS           CertEncoding = 3
	CertX509Signature CertEncoding = 4
	CertX509KE        CertEncoding = 5
	CertKerberos      CertEncoding = 6
	CertCRL           CertEncoding = 7
	CertARL           CertEncoding = 8
	CertSPKI          CertEncoding = 9
	CertX509Attribute CertEncoding = 10
	CertRawRSA        CertEncoding = 11
)

// String is the name of an encoding.
func (e CertEncoding) String() string {
	if int(e) < len(certNames) && e > 0 {
		return certNames[e]
	}
	return fmt.Sprintf("CERT_%d", uint8(e))
}

var certNames = [...]string{
	1: "PKCS7_X509", "PGP", "DNS_SIGNED_KEY", "X509_SIGNATURE", "X509_KEY_EXCHANGE", "KERBEROS", "CRL", "ARL", "SPKI", "X509_ATTRIBUTE", "RAW_RSA",
}

// Cert is the Certificate payload.
type Cert struct {
	Encoding CertEncoding
	Data     []byte
}

// Type implements Payload.
func (*Cert) Type() PayloadType { return TypeCert }

func (*Cert) summary() string { return "CERT" }

func parseCert(b []byte) (*Cert, error) {
	r := wire.NewReader(b)
	p := &Cert{Encoding: CertEncoding(r.U8("encoding")), Data: r.Rest()}
	if r.Err() != nil {
		return nil, r.Err()
	}
	return p, within(p.Data, 0, MaxCertData)
}

func (p *Cert) append(dst []byte) []byte { return append(append(dst, uint8(p.Encoding)), p.Data...) }

// CertReq is the Certificate Request payload. Authority is the DER of a distinguished name; empty for any.
type CertReq struct {
	Encoding  CertEncoding
	Authority []byte
}

// Type implements Payload.
func (*CertReq) Type() PayloadType { return TypeCertReq }

func (*CertReq) summary() string { return "CERTREQ" }

func parseCertReq(b []byte) (*CertReq, error) {
	r := wire.NewReader(b)
	p := &CertReq{Encoding: CertEncoding(r.U8("encoding")), Authority: r.Rest()}
	if r.Err() != nil {
		return nil, r.Err()
	}
	return p, within(p.Authority, 0, MaxCertData)
}

func (p *CertReq) append(dst []byte) []byte {
	return append(append(dst, uint8(p.Encoding)), p.Authority...)
}
