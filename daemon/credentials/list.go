// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the control socket may list: names and public parts.

package credentials

import (
	"slices"

	"github.com/natterjack/natterjack/daemon/config"
)

// Cert is a loaded certificate as list-certs shows it.
type Cert struct {
	DER    []byte // not to be changed
	CA     bool   // a trust anchor
	HasKey bool   // its private key is loaded
}

// Certs lists the certificates, those of authorities included, each once.
func (s *Store) Certs() []Cert {
	now := s.current.Load()
	var list []Cert
	add := func(c Cert) {
		if !slices.ContainsFunc(list, func(o Cert) bool { return o.CA == c.CA && string(o.DER) == string(c.DER) }) {
			list = append(list, c)
		}
	}
	for _, e := range now.certs {
		add(Cert{DER: e.cert.Raw, CA: e.anchor, HasKey: now.signerOf(e.cert) != nil})
	}
	for _, a := range now.authorities {
		if a.cert != nil {
			add(Cert{DER: a.cert.Raw, CA: true, HasKey: now.signerOf(a.cert) != nil})
		}
	}
	return list
}

// KeyIDs lists the identifiers of the private keys (get-keys).
func (s *Store) KeyIDs() []string {
	var list []string
	for _, k := range s.current.Load().keys {
		list = append(list, k.id)
	}
	return list
}

// SharedIDs lists the identifiers of the shared secrets (get-shared).
func (s *Store) SharedIDs() []string {
	var list []string
	for _, sh := range s.current.Load().shared {
		list = append(list, sh.ID)
	}
	return list
}

// AuthorityList lists the authorities (get-authorities, list-authorities). The values are immutable.
func (s *Store) AuthorityList() []config.Authority {
	var list []config.Authority
	for _, a := range s.current.Load().authorities {
		list = append(list, a.Authority)
	}
	return list
}
