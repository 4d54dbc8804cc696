// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package credentials is the daemon's store of certificates, authorities, private keys and shared secrets, from files and from
// the control socket, and answers the questions of machines about them. What it stores is written by an administrator; what
// it is asked about (identities, certificates, signatures, requests) is a peer's and attacker controlled. It is safe for
// concurrent use: readers see one immutable set, a change publishes a new one whole. Private keys never leave it, and no
// error and no listing contains a secret.
package credentials

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/natterjack/natterjack/crypt/sig"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/ike/pki"
)

// maxEntries bounds each kind of credential, as daemon/config bounds a file: a control client in a loop must not exhaust
// memory.
const maxEntries = 10000

// origin says where an entry came from: a reload of files replaces what came from files and nothing else.
type origin uint8

const (
	fromFiles origin = iota
	fromControl
)

type certEntry struct {
	cert   *x509.Certificate
	anchor bool
	from   origin
}

type keyEntry struct {
	id     string
	signer crypto.Signer
	from   origin
}

type sharedEntry struct {
	config.Shared
	from origin
}

type authorityEntry struct {
	config.Authority
	cert *x509.Certificate
	from origin
}

// set is everything that is loaded. Immutable after publish.
type set struct {
	certs       []certEntry
	keys        []keyEntry
	shared      []sharedEntry
	authorities []authorityEntry
}

// Store holds the credentials. The zero value is not usable; New makes one.
type Store struct {
	current atomic.Pointer[set]
	mu      sync.Mutex // serializes writers
}

// New returns an empty store.
func New() *Store {
	s := &Store{}
	s.current.Store(&set{})
	return s
}

// change publishes what f makes of a copy of the current set, unless f fails.
func (s *Store) change(f func(next *set) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current.Load()
	next := &set{
		certs: slices.Clone(old.certs), keys: slices.Clone(old.keys),
		shared: slices.Clone(old.shared), authorities: slices.Clone(old.authorities),
	}
	if err := f(next); err != nil {
		return err
	}
	if n := max(len(next.certs), len(next.keys), len(next.shared), len(next.authorities)); n > maxEntries {
		return fmt.Errorf("%d credentials of one kind, at most %d", n, maxEntries)
	}
	s.current.Store(next)
	return nil
}

// Replace puts a configuration's credentials in the place of those of the configuration before, in one step; those of the
// control socket stay. The sentences it returns are for the log: certificates and keys that are not used and why.
func (s *Store) Replace(c *config.Config) ([]string, error) {
	var warnings []string
	err := s.change(func(next *set) error {
		next.remove(func(o origin) bool { return o == fromFiles })
		for _, a := range c.Authorities {
			if err := next.addAuthority(a, fromFiles); err != nil {
				warnings = append(warnings, fmt.Sprintf("authority %s is not used: %v", a.Name, err))
			}
		}
		for _, cert := range c.Certs {
			if ofAuthority(c.Authorities, cert) {
				continue // listed and removed with its authority
			}
			if err := next.addCert(cert, fromFiles); err != nil {
				warnings = append(warnings, fmt.Sprintf("%s is not used: %v", cert.Source, err))
			}
		}
		for _, k := range c.Keys {
			if err := next.addKey(k, fromFiles); err != nil {
				warnings = append(warnings, fmt.Sprintf("%s is not used: %v", k.Source, err))
			}
		}
		for _, sh := range c.Shared {
			next.addShared(sh, fromFiles)
		}
		return nil
	})
	return warnings, err
}

func ofAuthority(list []config.Authority, c config.Cert) bool {
	return c.CA && slices.ContainsFunc(list, func(a config.Authority) bool {
		return a.Cert.Source == c.Source && bytes.Equal(a.Cert.DER, c.DER)
	})
}

// AddCert adds a certificate (load-cert). One that is there already stays as it is.
func (s *Store) AddCert(c config.Cert) error {
	return s.change(func(next *set) error { return next.addCert(c, fromControl) })
}

// AddKey adds a private key (load-key) and returns its identifier.
func (s *Store) AddKey(k config.PrivateKey) (string, error) {
	return k.ID, s.change(func(next *set) error { return next.addKey(k, fromControl) })
}

// AddShared adds a shared secret (load-shared) in the place of one with the same identifier.
func (s *Store) AddShared(sh config.Shared) error {
	return s.change(func(next *set) error { next.addShared(sh, fromControl); return nil })
}

// AddAuthority adds an authority (load-authority) in the place of one with the same name.
func (s *Store) AddAuthority(a config.Authority) error {
	return s.change(func(next *set) error { return next.addAuthority(a, fromControl) })
}

// RemoveKey removes a private key by its identifier and reports whether there was one.
func (s *Store) RemoveKey(id string) bool {
	return s.drop(func(next *set) {
		next.keys = slices.DeleteFunc(next.keys, func(k keyEntry) bool { return k.id == id })
	})
}

// RemoveShared removes a shared secret by its identifier and reports whether there was one.
func (s *Store) RemoveShared(id string) bool {
	return s.drop(func(next *set) {
		next.shared = slices.DeleteFunc(next.shared, func(sh sharedEntry) bool { return sh.ID == id })
	})
}

// RemoveAuthority removes an authority by its name and reports whether there was one.
func (s *Store) RemoveAuthority(name string) bool {
	return s.drop(func(next *set) {
		next.authorities = slices.DeleteFunc(next.authorities, func(a authorityEntry) bool { return a.Name == name })
	})
}

// Clear removes all certificates, private keys and shared secrets (clear-creds). Authorities stay, as charon's do.
func (s *Store) Clear() {
	s.drop(func(next *set) { next.certs, next.keys, next.shared = nil, nil, nil })
}

// drop applies a removal and reports whether anything went.
func (s *Store) drop(f func(next *set)) (removed bool) {
	// A removal does not fail: the bound of entries holds already.
	_ = s.change(func(next *set) error {
		before := next.len()
		f(next)
		removed = next.len() < before
		return nil
	})
	return removed
}

func (s *set) len() int { return len(s.certs) + len(s.keys) + len(s.shared) + len(s.authorities) }

// remove drops the entries of some origins.
func (s *set) remove(gone func(origin) bool) {
	s.certs = slices.DeleteFunc(s.certs, func(e certEntry) bool { return gone(e.from) })
	s.keys = slices.DeleteFunc(s.keys, func(e keyEntry) bool { return gone(e.from) })
	s.shared = slices.DeleteFunc(s.shared, func(e sharedEntry) bool { return gone(e.from) })
	s.authorities = slices.DeleteFunc(s.authorities, func(e authorityEntry) bool { return gone(e.from) })
}

func (s *set) addCert(c config.Cert, from origin) error {
	parsed, err := pki.Parse(c.DER)
	if err != nil {
		return err
	}
	same := func(e certEntry) bool { return e.anchor == c.CA && bytes.Equal(e.cert.Raw, c.DER) }
	if !slices.ContainsFunc(s.certs, same) {
		s.certs = append(s.certs, certEntry{cert: parsed, anchor: c.CA, from: from})
	}
	return nil
}

func (s *set) addKey(k config.PrivateKey, from origin) error {
	if err := sig.CheckKey(k.Signer.Public()); err != nil {
		return err
	}
	s.keys = slices.DeleteFunc(s.keys, func(e keyEntry) bool { return e.id == k.ID })
	s.keys = append(s.keys, keyEntry{id: k.ID, signer: k.Signer, from: from})
	return nil
}

func (s *set) addShared(sh config.Shared, from origin) {
	s.shared = slices.DeleteFunc(s.shared, func(e sharedEntry) bool { return e.ID == sh.ID })
	s.shared = append(s.shared, sharedEntry{Shared: sh, from: from})
}

func (s *set) addAuthority(a config.Authority, from origin) error {
	e := authorityEntry{Authority: a, from: from}
	if a.Cert.DER != nil {
		var err error
		if e.cert, err = pki.Parse(a.Cert.DER); err != nil {
			return err
		}
	}
	s.authorities = slices.DeleteFunc(s.authorities, func(o authorityEntry) bool { return o.Name == a.Name })
	s.authorities = append(s.authorities, e)
	return nil
}

// anchors are the CAs that are trusted where a connection names none.
func (s *set) anchors() []*x509.Certificate {
	var list []*x509.Certificate
	for _, e := range s.certs {
		if e.anchor {
			list = append(list, e.cert)
		}
	}
	for _, a := range s.authorities {
		if a.cert != nil {
			list = append(list, a.cert)
		}
	}
	return list
}

// pool is every certificate, of which chains are made.
func (s *set) pool() []*x509.Certificate {
	list := s.anchors()
	for _, e := range s.certs {
		if !e.anchor {
			list = append(list, e.cert)
		}
	}
	return list
}

// signerOf is the private key of a certificate's public key.
func (s *set) signerOf(c *x509.Certificate) crypto.Signer {
	for _, k := range s.keys {
		if pub, ok := k.signer.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && pub.Equal(c.PublicKey) {
			return k.signer
		}
	}
	return nil
}
