// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Identities in strongSwan's notation: the type is guessed from the text, or a prefix says it.

package config

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/natterjack/natterjack/ike"
)

const expectedID = "an identity (a host name, user@host, an address, a distinguished name like \"C=CH, CN=x\", %any, @name, @@user@host, " +
	"@#hex, or one with its type: fqdn: email: ipv4: ipv6: asn1dn: keyid:)"

// identity returns an option that is an identity; absent is the zero ID.
func (d *decoder) identity(key string) ike.ID {
	v, found := d.text(key)
	if !found || v == "" {
		return ike.ID{}
	}
	id, ok := ParseID(v)
	if !ok {
		d.fail(key, expectedID, quote(v))
	}
	return id
}

// ParseID parses an identity.
func ParseID(v string) (ike.ID, bool) {
	v = strings.TrimSpace(v)
	switch v {
	case "%any", "%any6", "0.0.0.0", "::", "*":
		return ike.ID{}, true
	case "":
		return ike.ID{}, false
	}
	if prefix, rest, ok := strings.Cut(v, ":"); ok {
		if t := idPrefix(prefix); t != 0 {
			return typedID(t, rest)
		}
	}
	switch {
	case strings.HasPrefix(v, "@#"):
		return hexID(ike.IDKeyID, v[2:])
	case strings.HasPrefix(v, "@@"):
		return ike.ID{Type: ike.IDRFC822, Data: []byte(v[2:])}, len(v) > 2
	case strings.HasPrefix(v, "@"):
		return ike.ID{Type: ike.IDFQDN, Data: []byte(v[1:])}, len(v) > 1
	case strings.Contains(v, "="):
		return parseDN(v)
	case strings.Contains(v, "@"):
		return ike.ID{Type: ike.IDRFC822, Data: []byte(v)}, true
	}
	if a, err := netip.ParseAddr(v); err == nil && a.Zone() == "" {
		return ike.IDFromAddr(a), true
	}
	if strings.ContainsAny(v, ": /") {
		return ike.ID{}, false
	}
	return ike.ID{Type: ike.IDFQDN, Data: []byte(v)}, true
}

func idPrefix(p string) ike.IDType {
	switch strings.ToLower(p) {
	case "ipv4":
		return ike.IDIPv4
	case "ipv6":
		return ike.IDIPv6
	case "fqdn", "dns":
		return ike.IDFQDN
	case "email", "rfc822", "userfqdn":
		return ike.IDRFC822
	case "asn1dn":
		return ike.IDDERASN1DN
	case "asn1gn":
		return ike.IDDERASN1GN
	case "keyid":
		return ike.IDKeyID
	}
	return 0
}

// typedID parses what follows a type prefix; "#" begins hexadecimal octets.
func typedID(t ike.IDType, v string) (ike.ID, bool) {
	if h, ok := strings.CutPrefix(v, "#"); ok {
		return hexID(t, h)
	}
	switch t {
	case ike.IDIPv4, ike.IDIPv6:
		a, err := netip.ParseAddr(v)
		// An IPv4 address in IPv6 is ambiguous: it would become an identity of the other type.
		if err != nil || a.Zone() != "" || a.Is4() != (t == ike.IDIPv4) || a.Is4In6() {
			return ike.ID{}, false
		}
		return ike.IDFromAddr(a), true
	case ike.IDDERASN1DN:
		return parseDN(v)
	case ike.IDDERASN1GN:
		return ike.ID{}, false
	}
	return ike.ID{Type: t, Data: []byte(v)}, v != ""
}

func hexID(t ike.IDType, h string) (ike.ID, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(h, ":", ""))
	if err != nil || len(b) == 0 || t == ike.IDIPv4 && len(b) != 4 || t == ike.IDIPv6 && len(b) != 16 {
		return ike.ID{}, false
	}
	return ike.ID{Type: t, Data: b}, true
}

// parseDN parses "C=CH, O=Example, CN=*" or "/C=CH/O=Example/CN=*" and encodes it as DER.
func parseDN(v string) (ike.ID, bool) {
	sep := byte(',')
	if strings.HasPrefix(v, "/") {
		v, sep = v[1:], '/'
	}
	var seq pkix.RDNSequence
	for _, part := range splitDN(v, sep) {
		name, value, ok := strings.Cut(part, "=")
		oid := dnOID(strings.TrimSpace(name))
		value = strings.Trim(strings.TrimSpace(value), `"`)
		if !ok || oid == nil || value == "" {
			return ike.ID{}, false
		}
		seq = append(seq, pkix.RelativeDistinguishedNameSET{{Type: oid, Value: dnValue(oid, value)}})
	}
	der, err := asn1.Marshal(seq)
	if err != nil || len(seq) == 0 {
		return ike.ID{}, false
	}
	return ike.ID{Type: ike.IDDERASN1DN, Data: der}, true
}

// splitDN splits at the separator outside of quotation marks; a backslash takes the next octet as it is.
func splitDN(v string, sep byte) []string {
	var parts []string
	var b strings.Builder
	quoted := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '\\' && i+1 < len(v):
			i++
			b.WriteByte(v[i])
		case c == '"':
			quoted = !quoted
			b.WriteByte(c)
		case c == sep && !quoted:
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(c)
		}
	}
	return append(parts, b.String())
}

// dnValue chooses the string type that certificate authorities use for the attribute.
func dnValue(oid asn1.ObjectIdentifier, v string) any {
	switch oid.String() {
	case "1.2.840.113549.1.9.1", "0.9.2342.19200300.100.1.25": // RFC 5280, Section 4.1.2.6 and Appendix A
		return asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(v)}
	}
	return v
}

// dnOID are the attributes of RFC 4519 that strongSwan names.
func dnOID(name string) asn1.ObjectIdentifier {
	switch strings.ToUpper(name) {
	case "CN":
		return asn1.ObjectIdentifier{2, 5, 4, 3}
	case "S", "SN", "SURNAME":
		return asn1.ObjectIdentifier{2, 5, 4, 4}
	case "SERIALNUMBER":
		return asn1.ObjectIdentifier{2, 5, 4, 5}
	case "C":
		return asn1.ObjectIdentifier{2, 5, 4, 6}
	case "L":
		return asn1.ObjectIdentifier{2, 5, 4, 7}
	case "ST":
		return asn1.ObjectIdentifier{2, 5, 4, 8}
	case "STREET":
		return asn1.ObjectIdentifier{2, 5, 4, 9}
	case "O":
		return asn1.ObjectIdentifier{2, 5, 4, 10}
	case "OU":
		return asn1.ObjectIdentifier{2, 5, 4, 11}
	case "T":
		return asn1.ObjectIdentifier{2, 5, 4, 12}
	case "D":
		return asn1.ObjectIdentifier{2, 5, 4, 13}
	case "N":
		return asn1.ObjectIdentifier{2, 5, 4, 41}
	case "G", "GN":
		return asn1.ObjectIdentifier{2, 5, 4, 42}
	case "I":
		return asn1.ObjectIdentifier{2, 5, 4, 43}
	case "E", "EMAIL", "EMAILADDRESS":
		return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	case "DC":
		return asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	case "UID":
		return asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	}
	return nil
}

// asSubject gives a distinguished name the exact octets of the certificate's subject it stands for: configured text does
// not say which string types the authority chose, and some peers compare octets.
func asSubject(id ike.ID, rawSubject []byte) ike.ID {
	subject := ike.ID{Type: ike.IDDERASN1DN, Data: rawSubject}
	if id.Type == ike.IDDERASN1DN && !bytes.Equal(id.Data, rawSubject) && !id.Wildcard() && id.Matches(subject) {
		return subject
	}
	return id
}
