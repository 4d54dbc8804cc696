// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The verification of a peer, in an order that reveals nothing and wastes little: is the identity one that the connection
// accepts, does the chain end at a CA that it accepts, is the identity in the certificate, is the signature by its key. All of
// the question but Auth is attacker controlled. Whatever fails, the peer gets AUTHENTICATION_FAILED; the error is for us.

package credentials

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/natterjack/natterjack/crypt/sig"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/pki"
)

// maxTries bounds the loaded certificates that are tried for a peer that sent none (T-043: work per attempt).
const maxTries = 4

// methodPSK is RFC 7296, Section 3.8's shared key.
const methodPSK = 2

// Verify answers ike.Verify. It may take milliseconds.
func (s *Store) Verify(now time.Time, q ike.Verify) ike.Answer {
	scheme, err := s.current.Load().verify(now, q)
	if err != nil {
		return ike.Failed{Refusal: ike.RefusalAuthentication, Err: err}
	}
	return ike.Verified{Scheme: scheme.String()}
}

func (s *set) verify(now time.Time, q ike.Verify) (sig.Scheme, error) {
	switch {
	case q.Auth == nil || q.Auth.Method != ike.AuthPubkey:
		return 0, errors.New("the remote authentication of this connection is not by certificate")
	case q.Method == methodPSK:
		return 0, fmt.Errorf("%s authenticates with a shared key, this connection expects a certificate (remote.auth)", q.ID)
	case q.ID.IsZero():
		return 0, errors.New("the peer has no identity")
	case !q.Auth.ID.Matches(q.ID):
		return 0, fmt.Errorf("the peer's identity is %s, this connection expects %s (remote.id)", q.ID, q.Auth.ID)
	}
	trust, err := s.trust(now, q.Auth)
	if err != nil {
		return 0, err
	}
	if len(q.Certs) > 0 {
		certs, err := pki.ParseAll(q.Certs)
		if err != nil {
			return 0, err
		}
		return verifyBy(certs, trust, q)
	}
	tries, err := s.known(q)
	if err != nil {
		return 0, err
	}
	for _, c := range tries {
		var scheme sig.Scheme
		if scheme, err = verifyBy([]*x509.Certificate{c}, trust, q); err == nil {
			return scheme, nil
		}
	}
	return 0, err
}

// verifyBy verifies with the first of certs: the one that the peer says it signs with (RFC 7296, Section 3.6), and no other.
func verifyBy(certs []*x509.Certificate, trust pki.Trust, q ike.Verify) (sig.Scheme, error) {
	chain, err := pki.Verify(certs, trust)
	if err != nil {
		return 0, err
	}
	if err := pki.Bind(chain, q.ID); err != nil {
		return 0, err
	}
	scheme, err := sig.Verify(chain[0].PublicKey, q.Method, q.Data, q.Octets, sig.Policy{Constraints: q.Auth.Schemes, Hashes: q.Allowed})
	if err != nil {
		return 0, fmt.Errorf("signature of %s with the certificate of %s: %w", q.ID, pki.Subject(chain[0]), err)
	}
	return scheme, nil
}

// trust is what a remote round accepts: its own CAs, or every loaded one.
func (s *set) trust(now time.Time, a *ike.Auth) (pki.Trust, error) {
	t := pki.Trust{Now: now, Pinned: a.Certs, NeedAnchor: len(a.CACerts) > 0, Intermediates: s.pool()}
	if len(a.CACerts) == 0 {
		t.Anchors = s.anchors()
		return t, nil
	}
	for _, der := range a.CACerts {
		c, err := pki.Parse(der)
		if err != nil {
			return t, fmt.Errorf("remote.cacerts: %w", err)
		}
		t.Anchors = append(t.Anchors, c)
	}
	return t, nil
}

// known finds certificates for a peer that sent none: those the connection pins, else the loaded ones that contain its
// identity.
func (s *set) known(q ike.Verify) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	add := func(c *x509.Certificate) {
		if len(list) < maxTries && pki.Contains(c, q.ID) {
			list = append(list, c)
		}
	}
	for _, der := range q.Auth.Certs {
		c, err := pki.Parse(der)
		if err != nil {
			return nil, fmt.Errorf("remote.certs: %w", err)
		}
		add(c)
	}
	if len(q.Auth.Certs) == 0 {
		for _, c := range s.pool() {
			add(c)
		}
	}
	if len(list) == 0 && len(q.Auth.Certs)+len(q.Auth.CACerts)+len(s.anchors()) == 0 {
		// Without a CA there is no CERTREQ, and without that most peers send nothing.
		return nil, fmt.Errorf("%s sent no certificate, for no CA certificate is loaded here to ask for one of; put its CA into the folder x509ca, or name it in remote.cacerts", q.ID)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s sent no certificate and none for it is loaded; set send_cert = always at the peer, or name its certificate in remote.certs", q.ID)
	}
	return list, nil
}

// FindPSK answers ike.FindPSK. An initiator that does not know the peer's identity yet asks with the pattern that its
// connection accepts; a pattern from anybody else is a peer's attempt to be everybody.
func (s *Store) FindPSK(q ike.FindPSK) ike.Answer {
	remote := q.Remote
	if remote.Wildcard() && !remote.IsZero() {
		if q.Connection == nil || len(q.Connection.Remote) == 0 || !q.Connection.Remote[0].ID.Equal(remote) {
			return ike.Failed{Refusal: ike.RefusalAuthentication, Err: fmt.Errorf("the peer's identity %s is a pattern", remote)}
		}
		remote = ike.ID{}
	}
	var list []config.Shared
	for _, e := range s.current.Load().shared {
		list = append(list, e.Shared)
	}
	key, ok := config.FindShared(list, q.Local, remote)
	if !ok {
		return ike.Failed{Refusal: ike.RefusalAuthentication, Err: fmt.Errorf(
			"no shared key for %s (here) and %s (peer); add a section ike-… to secrets with their identities as id options", q.Local, q.Remote)}
	}
	// A copy: whoever asked wipes it.
	return ike.PSK{Key: key.Clone()}
}
