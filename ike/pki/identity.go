// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The binding of an identity to a certificate (RFC 4945, Section 3.1; RFC 7296, Section 3.5). The identity is the peer's claim and
// the certificate its evidence; both are attacker controlled until the chain is verified. An identity is bound only when the
// certificate contains it: a subjectAltName of its type, the whole subject, or the key itself. No part of a subject counts as
// a name, no wildcard of a certificate is interpreted, and an identity with a wildcard is none.

package pki

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"strings"

	"github.com/natterjack/natterjack/ike"
)

// maxNamesShown bounds the names of a certificate in an error.
const maxNamesShown = 8

// Bind reports, as an error, that the end entity's certificate of a chain does not contain the identity.
func Bind(chain []*x509.Certificate, id ike.ID) error {
	if len(chain) == 0 {
		return fmt.Errorf("identity %s: no certificate", id)
	}
	end := chain[0]
	if !Contains(end, id) {
		return fmt.Errorf("identity %s (%s) is not in the certificate of %s, which is for %s", id, typeName(id.Type), Subject(end), Names(end))
	}
	// A CA with name constraints vouches for names of those forms. A subject or a key would slip through: RFC 5280,
	// Section 4.2.1.10 applies a constraint only to names of its own form.
	if id.Type == ike.IDDERASN1DN || id.Type == ike.IDKeyID {
		for _, c := range chain[1:] {
			if has(c, 30) {
				return fmt.Errorf("identity %s (%s): the CA %s has name constraints; use a name of the certificate's subjectAltName", id, typeName(id.Type), Subject(c))
			}
		}
	}
	return nil
}

// Contains reports whether a certificate contains an identity.
func Contains(c *x509.Certificate, id ike.ID) bool {
	switch id.Type {
	case ike.IDFQDN:
		return wildcardFree(id.Data) && containsName(c.DNSNames, id)
	case ike.IDRFC822:
		return wildcardFree(id.Data) && containsName(c.EmailAddresses, id)
	case ike.IDIPv4:
		return len(id.Data) == 4 && containsAddr(c, id.Data)
	case ike.IDIPv6:
		return len(id.Data) == 16 && containsAddr(c, id.Data)
	case ike.IDDERASN1DN:
		return equalDN(c.RawSubject, id.Data)
	case ike.IDKeyID:
		// The names that nobody can choose for a key: those computed from it.
		key, info := Keyid(c), AuthorityHash(c)
		return bytes.Equal(id.Data, key[:]) || bytes.Equal(id.Data, info[:])
	}
	return false
}

func wildcardFree(name []byte) bool { return len(name) > 0 && !bytes.ContainsRune(name, '*') }

func containsName(names []string, id ike.ID) bool {
	for _, n := range names {
		if id.Equal(ike.ID{Type: id.Type, Data: []byte(n)}) {
			return true
		}
	}
	return false
}

// containsAddr compares octets: an IPv4 address and the same in IPv6 are two identities.
func containsAddr(c *x509.Certificate, addr []byte) bool {
	for _, ip := range c.IPAddresses {
		if bytes.Equal(ip, addr) {
			return true
		}
	}
	return false
}

// equalDN compares distinguished names. Authorities and peers differ in the string types that they choose and in case (RFC
// 5280, Section 7.1), so values are compared as text; the number and the order of attributes is exact, and "*" is no value.
func equalDN(a, b []byte) bool {
	var p, o pkix.RDNSequence
	if rest, err := asn1.Unmarshal(a, &p); err != nil || len(rest) > 0 {
		return false
	}
	if rest, err := asn1.Unmarshal(b, &o); err != nil || len(rest) > 0 {
		return false
	}
	if len(p) == 0 || len(p) != len(o) {
		return false
	}
	for i := range p {
		if len(p[i]) != len(o[i]) {
			return false
		}
		for j := range p[i] {
			if !p[i][j].Type.Equal(o[i][j].Type) || !equalValue(p[i][j].Value, o[i][j].Value) {
				return false
			}
		}
	}
	return true
}

func equalValue(a, b any) bool {
	s, ok1 := a.(string)
	o, ok2 := b.(string)
	return ok1 && ok2 && s != "" && s != "*" && strings.EqualFold(s, o)
}

// SubjectID is the identity that a certificate's subject is; the first subjectAltName where the subject is empty.
func SubjectID(c *x509.Certificate) ike.ID {
	var seq pkix.RDNSequence
	if _, err := asn1.Unmarshal(c.RawSubject, &seq); err == nil && len(seq) > 0 {
		return ike.ID{Type: ike.IDDERASN1DN, Data: c.RawSubject}
	}
	if ids := altNames(c); len(ids) > 0 {
		return ids[0]
	}
	return ike.ID{}
}

// altNames are the identities of the subjectAltName.
func altNames(c *x509.Certificate) []ike.ID {
	var ids []ike.ID
	for _, n := range c.DNSNames {
		ids = append(ids, ike.ID{Type: ike.IDFQDN, Data: []byte(n)})
	}
	for _, n := range c.EmailAddresses {
		ids = append(ids, ike.ID{Type: ike.IDRFC822, Data: []byte(n)})
	}
	for _, ip := range c.IPAddresses {
		// Not IDFromAddr: it would unmap an IPv4 address in IPv6, which is another identity.
		switch a, ok := netip.AddrFromSlice(ip); {
		case ok && a.Is4():
			ids = append(ids, ike.ID{Type: ike.IDIPv4, Data: ip})
		case ok:
			ids = append(ids, ike.ID{Type: ike.IDIPv6, Data: ip})
		}
	}
	return ids
}

// Names lists what a certificate is for, escaped and bounded.
func Names(c *x509.Certificate) string {
	ids := altNames(c)
	var parts []string
	for i, id := range ids {
		if i == maxNamesShown {
			parts = append(parts, fmt.Sprintf("and %d more", len(ids)-i))
			break
		}
		parts = append(parts, id.String())
	}
	if len(parts) == 0 {
		return "its subject only"
	}
	return "its subject, " + strings.Join(parts, ", ")
}

func typeName(t ike.IDType) string {
	switch t {
	case ike.IDAny:
		return "none"
	case ike.IDIPv4:
		return "IPv4 address"
	case ike.IDFQDN:
		return "FQDN"
	case ike.IDRFC822:
		return "RFC822 address"
	case ike.IDIPv6:
		return "IPv6 address"
	case ike.IDDERASN1DN:
		return "distinguished name"
	case ike.IDKeyID:
		return "key ID"
	}
	return fmt.Sprintf("type %d", t)
}
