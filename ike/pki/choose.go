// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Our own side: which chain to send for one of our certificates, and whether it ends where the peer's CERTREQ asks (RFC 7296,
// Section 3.7). The CERTREQ is attacker controlled and only a hint: it chooses among certificates that the configuration
// allows anyway.

package pki

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"slices"
)

// Chain is the certificates to send for end: itself and the CAs above it as far as the pool has them, without a self-signed
// one, which its receiver trusts or not but does not need. The second result has the CA at which the chain ends, where it
// is in the pool.
func Chain(end *x509.Certificate, pool []*x509.Certificate) (send, all []*x509.Certificate) {
	send, all = []*x509.Certificate{end}, []*x509.Certificate{end}
	for c := end; len(all) < MaxCerts && !selfIssued(c); {
		i := slices.IndexFunc(pool, func(ca *x509.Certificate) bool {
			return ca.IsCA && bytes.Equal(ca.RawSubject, c.RawIssuer) && !containsCert(all, ca) && c.CheckSignatureFrom(ca) == nil
		})
		if i < 0 {
			break
		}
		c = pool[i]
		all = append(all, c)
		if !selfIssued(c) {
			send = append(send, c)
		}
	}
	return send, all
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

func containsCert(list []*x509.Certificate, c *x509.Certificate) bool {
	return slices.ContainsFunc(list, func(o *x509.Certificate) bool { return o.Equal(c) })
}

// Requested reports whether one of the chain's CAs is among the hashes of a CERTREQ.
func Requested(chain []*x509.Certificate, certReq []byte) bool {
	for _, c := range chain[min(1, len(chain)):] {
		h := AuthorityHash(c)
		for list := certReq; len(list) >= sha1.Size; list = list[sha1.Size:] {
			if bytes.Equal(list[:sha1.Size], h[:]) {
				return true
			}
		}
	}
	return false
}
