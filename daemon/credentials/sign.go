// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Our own signature: which certificate, which key, which scheme. The peer's CERTREQ and hash algorithms are attacker controlled
// hints; the certificates that may be used are the configuration's. A mistake of the configuration that every peer would
// answer with AUTHENTICATION_FAILED fails here, with a sentence that says which.

package credentials

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/natterjack/natterjack/crypt/sig"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/pki"
)

// candidate is a certificate of ours with its private key.
type candidate struct {
	cert   *x509.Certificate
	signer crypto.Signer
	send   []*x509.Certificate
	asked  bool // the peer's CERTREQ names a CA above it
}

// Sign answers ike.Sign: an AUTH payload by the private key of the local round. It may take milliseconds.
func (s *Store) Sign(now time.Time, q ike.Sign) ike.Answer {
	signed, err := s.current.Load().sign(now, q)
	if err != nil {
		return ike.Failed{Refusal: ike.RefusalAuthentication, Err: err}
	}
	return signed
}

func (s *set) sign(now time.Time, q ike.Sign) (ike.Signed, error) {
	if q.Auth == nil || q.Auth.Method != ike.AuthPubkey {
		return ike.Signed{}, errors.New("the local authentication of this connection is not by certificate")
	}
	list, reasons := s.candidates(now, q)
	for _, c := range list {
		choice, err := sig.Choose(c.cert.PublicKey, q.Auth.Schemes, q.PeerHashes)
		if err != nil {
			reasons = append(reasons, err.Error())
			continue
		}
		data, err := sig.Sign(rand.Reader, c.signer, choice, q.Octets)
		if err != nil {
			reasons = append(reasons, err.Error())
			continue
		}
		signed := ike.Signed{Method: choice.Method, Data: data, Scheme: choice.Scheme.String()}
		for _, cert := range c.send {
			signed.Certs = append(signed.Certs, cert.Raw)
		}
		return signed, nil
	}
	return ike.Signed{}, fmt.Errorf("no certificate to authenticate with as %s: %s", q.Auth.ID, strings.Join(reasons, "; "))
}

// candidates lists usable certificates, those that the peer asks for first, and says of the others why not.
func (s *set) candidates(now time.Time, q ike.Sign) (list []candidate, reasons []string) {
	certs, reasons := s.ours(q.Auth)
	pool := s.pool()
	for _, c := range certs {
		signer := s.signerOf(c)
		switch {
		case signer == nil:
			reasons = append(reasons, fmt.Sprintf("the private key of the certificate of %s is not loaded", pki.Subject(c)))
			continue
		case now.After(c.NotAfter) || now.Before(c.NotBefore):
			reasons = append(reasons, fmt.Sprintf("the certificate of %s is valid from %s to %s only", pki.Subject(c),
				c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339)))
			continue
		}
		send, all := pki.Chain(c, pool)
		list = append(list, candidate{cert: c, signer: signer, send: send, asked: pki.Requested(all, q.CertReq)})
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		switch {
		case a.asked == b.asked:
			return 0
		case a.asked:
			return -1
		}
		return 1
	})
	return list, reasons
}

// ours are the certificates that the configuration allows for its identity: those of local.certs, else the loaded ones that
// contain it.
func (s *set) ours(a *ike.Auth) (certs []*x509.Certificate, reasons []string) {
	if len(a.Certs) == 0 {
		return s.loaded(a.ID)
	}
	for i, der := range a.Certs {
		c, err := pki.Parse(der)
		switch {
		case err != nil:
			reasons = append(reasons, fmt.Sprintf("local.certs: %v", err))
		case a.ID.IsZero() && i > 0:
			// The identity that was sent is the first certificate's subject.
		case !a.ID.IsZero() && a.ID.Type != ike.IDKeyID && !pki.Contains(c, a.ID):
			reasons = append(reasons, fmt.Sprintf("local.id is not in the certificate of %s, which is for %s: peers would refuse it", pki.Subject(c), pki.Names(c)))
		default:
			certs = append(certs, c)
		}
	}
	return certs, reasons
}

// loaded finds certificates whose private key is loaded by an identity; without one there must be exactly one to choose.
func (s *set) loaded(id ike.ID) (certs []*x509.Certificate, reasons []string) {
	for _, c := range s.pool() {
		if s.signerOf(c) != nil && (id.IsZero() || pki.Contains(c, id)) && !slices.ContainsFunc(certs, c.Equal) {
			certs = append(certs, c)
		}
	}
	switch {
	case len(certs) == 0 && id.IsZero():
		return nil, []string{"no certificate with its private key is loaded; name one in local.certs"}
	case len(certs) == 0:
		return nil, []string{"no certificate that contains this identity is loaded together with its private key; name one in local.certs"}
	case len(certs) > 1 && id.IsZero():
		return nil, []string{fmt.Sprintf("%d certificates have private keys here; choose one by local.certs or local.id", len(certs))}
	}
	return certs, nil
}
