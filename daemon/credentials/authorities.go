// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The authorities that a peer is asked for (RFC 7296, Section 3.7).

package credentials

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/pki"
)

// maxRequested bounds the hashes of one CERTREQ: a responder sends it in IKE_SA_INIT, which cannot be fragmented (RFC 7383,
// Section 1), and 16 of them, 320 octets, leave room for the largest KE payload in a packet of 1,280 octets.
const maxRequested = 16

// Authorities answers ike.CertRequests: the CAs that the remote rounds of the connections accept, each once. A connection
// that names none accepts every loaded one. No hashes: there is nothing to ask for.
func (s *Store) Authorities(q ike.CertRequests) ike.Answer {
	now := s.current.Load()
	var hashes []byte
	add := func(c *x509.Certificate) {
		h := pki.AuthorityHash(c)
		for at := 0; at < len(hashes); at += sha1.Size {
			if bytes.Equal(hashes[at:at+sha1.Size], h[:]) {
				return
			}
		}
		if len(hashes) < maxRequested*sha1.Size {
			hashes = append(hashes, h[:]...)
		}
	}
	all := false
	for _, c := range q.Connections {
		if !c.SendCertReq {
			continue
		}
		for _, a := range c.Remote {
			if a.Method != ike.AuthPubkey {
				continue
			}
			all = all || len(a.CACerts) == 0
			for _, der := range append(a.CACerts[:len(a.CACerts):len(a.CACerts)], selfSigned(a.Certs)...) {
				if cert, err := pki.Parse(der); err == nil {
					add(cert)
				}
			}
		}
	}
	if all {
		for _, c := range now.anchors() {
			add(c)
		}
	}
	return ike.CertAuthorities{Hashes: hashes}
}

// selfSigned are those pinned certificates that are their own authority.
func selfSigned(ders [][]byte) [][]byte {
	var list [][]byte
	for _, der := range ders {
		if c, err := pki.Parse(der); err == nil && bytes.Equal(c.RawSubject, c.RawIssuer) {
			list = append(list, der)
		}
	}
	return list
}
