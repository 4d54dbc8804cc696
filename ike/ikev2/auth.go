// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the AUTH payload covers, the shared key's AUTH value (RFC 7296, Section 2.15), and the certificates that come with it, which
// are a stranger's until they are verified.

package ikev2

import (
	"crypto/x509"
	"slices"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// Authentication methods (RFC 7296, Section 3.8; RFC 7427, Section 3).
const (
	methodRSA     = 1
	methodPSK     = 2
	methodDigital = 14
)

// authOctets is InitiatorSignedOctets or ResponderSignedOctets: the side's first message, the other side's nonce, and
// prf(SK_p, RestOfIDPayload).
func authOctets(firstMessage, nonce []byte, prf suite.PRF, skP secret.Key, idBody []byte) []byte {
	return slices.Concat(firstMessage, nonce, prf.Sum(skP, idBody))
}

// pskAuth is prf(prf(Shared Secret, "Key Pad for IKEv2"), octets).
func pskAuth(prf suite.PRF, psk secret.Key, octets []byte) []byte {
	pad := secret.New(prf.Sum(psk, []byte("Key Pad for IKEv2")))
	defer pad.Wipe()
	return prf.Sum(pad, octets)
}

// hashAlgorithms are offered in SIGNATURE_HASH_ALGORITHMS: SHA2-256, SHA2-384, SHA2-512, Identity (RFC 7427, Section 4;
// RFC 8420, Section 2). SHA-1 is not among them.
func hashAlgorithms() []uint16 { return []uint16{2, 3, 4, 5} }

// subjectOf is the subject of the first of our own certificates, as an identity.
func subjectOf(certs [][]byte) (ike.ID, bool) {
	if len(certs) == 0 {
		return ike.ID{}, false
	}
	c, err := x509.ParseCertificate(certs[0])
	if err != nil || len(c.Subject.Names) == 0 {
		return ike.ID{}, false
	}
	return ike.ID{Type: ike.IDDERASN1DN, Data: c.RawSubject}, true
}

// certsOf are the certificates of a message.
func certsOf(payloads []ikev2msg.Payload) [][]byte {
	var list [][]byte
	for _, p := range payloads {
		c, ok := p.(*ikev2msg.Cert)
		if ok && c.Encoding == ikev2msg.CertEncodingX509Signature && len(list) < maxCerts {
			list = append(list, c.Data)
		}
	}
	return list
}

// authoritiesOf are the authorities that a message asks for certificates of; nil: it asks for none.
func authoritiesOf(payloads []ikev2msg.Payload) []byte {
	var list []byte
	for _, p := range payloads {
		if c, ok := p.(*ikev2msg.CertReq); ok && c.Encoding == ikev2msg.CertEncodingX509Signature {
			list = append(append([]byte{}, list...), c.Authorities...)
		}
	}
	return list
}
