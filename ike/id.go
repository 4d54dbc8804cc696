// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Identities (RFC 7296, Section 3.5). Data of a peer's ID is attacker controlled: String escapes it, Matches compares
// octets and never interprets them as anything else.

package ike

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"net/netip"
	"strings"
)

// IDType is the ID Type of RFC 7296, Section 3.5.
type IDType uint8

const (
	IDAny        IDType = 0 // not on the wire: the zero ID, and %any in configuration
	IDIPv4       IDType = 1
	IDFQDN       IDType = 2
	IDRFC822     IDType = 3
	IDIPv6       IDType = 5
	IDDERASN1DN  IDType = 9
	IDDERASN1GN  IDType = 10
	IDKeyID      IDType = 11
	maxIDDisplay        = 256 // octets of an identity that are ever shown
)

// ID is an identity. Data is as on the wire: 4 or 16 octets of address, the string, or DER.
type ID struct {
	Type IDType
	Data []byte
}

// IDFromAddr is the identity that an address is.
func IDFromAddr(a netip.Addr) ID {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return ID{Type: IDIPv4, Data: b[:]}
	}
	b := a.As16()
	return ID{Type: IDIPv6, Data: b[:]}
}

// IsZero reports whether the identity is unset (%any).
func (id ID) IsZero() bool { return id.Type == IDAny }

// Equal compares type and octets; FQDN and RFC822 without regard to ASCII case (RFC 7296, Section 3.5 leaves the
// comparison to policy; host names have no case).
func (id ID) Equal(o ID) bool {
	if id.Type != o.Type {
		return false
	}
	if id.Type == IDFQDN || id.Type == IDRFC822 {
		return equalFold(id.Data, o.Data)
	}
	return bytes.Equal(id.Data, o.Data)
}

// Matches reports whether id, as a configured pattern, accepts the peer's identity o. A zero pattern accepts all;
// FQDN and RFC822 patterns may be "*" or begin with "*." or "*@"; a pattern and KEY_ID of the same string are not
// the same identity.
func (id ID) Matches(o ID) bool {
	if id.IsZero() {
		return true
	}
	if id.Type != o.Type {
		return false
	}
	switch id.Type {
	case IDFQDN, IDRFC822:
		return matchString(id.Data, o.Data)
	case IDDERASN1DN:
		return matchDN(id.Data, o.Data)
	}
	return id.Equal(o)
}

// Wildcard reports whether the pattern accepts more than one identity.
func (id ID) Wildcard() bool {
	return id.IsZero() || (id.Type == IDFQDN || id.Type == IDRFC822) && bytes.HasPrefix(id.Data, []byte("*")) ||
		id.Type == IDDERASN1DN && bytes.Contains(id.Data, []byte("*"))
}

// String is the identity as swanctl prints it, escaped and cut to a bounded length.
func (id ID) String() string {
	d := id.Data
	if len(d) > maxIDDisplay {
		d = d[:maxIDDisplay]
	}
	switch id.Type {
	case IDAny:
		return "%any"
	case IDIPv4, IDIPv6:
		if a, ok := netip.AddrFromSlice(d); ok {
			return a.String()
		}
	case IDFQDN, IDRFC822:
		return escape(d)
	case IDDERASN1DN:
		var seq pkix.RDNSequence
		if rest, err := asn1.Unmarshal(id.Data, &seq); err == nil && len(rest) == 0 {
			return formatDN(seq)
		}
	case IDKeyID:
		if printable(d) {
			return escape(d)
		}
	}
	return hex.EncodeToString(d)
}

func matchString(pattern, s []byte) bool {
	if len(pattern) > 0 && pattern[0] == '*' {
		tail := pattern[1:]
		return len(s) >= len(tail) && equalFold(tail, s[len(s)-len(tail):])
	}
	return equalFold(pattern, s)
}

// matchDN compares relative distinguished names in order; a value "*" in the pattern accepts any value of that type.
func matchDN(pattern, s []byte) bool {
	if bytes.Equal(pattern, s) {
		return true
	}
	var p, o pkix.RDNSequence
	if rest, err := asn1.Unmarshal(pattern, &p); err != nil || len(rest) > 0 {
		return false
	}
	if rest, err := asn1.Unmarshal(s, &o); err != nil || len(rest) > 0 {
		return false
	}
	if len(p) != len(o) {
		return false
	}
	for i := range p {
		if len(p[i]) != len(o[i]) {
			return false
		}
		for j := range p[i] {
			if !p[i][j].Type.Equal(o[i][j].Type) {
				return false
			}
			pv, ok1 := p[i][j].Value.(string)
			ov, ok2 := o[i][j].Value.(string)
			if !ok1 || !ok2 || pv != "*" && !strings.EqualFold(pv, ov) {
				return false
			}
		}
	}
	return true
}

func formatDN(seq pkix.RDNSequence) string {
	var b strings.Builder
	for _, rdn := range seq {
		for _, a := range rdn {
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			b.WriteString(dnName(a.Type))
			b.WriteByte('=')
			if v, ok := a.Value.(string); ok {
				b.WriteString(escape([]byte(v)))
			}
			if b.Len() > maxIDDisplay {
				return b.String()[:maxIDDisplay]
			}
		}
	}
	return b.String()
}

func dnName(oid asn1.ObjectIdentifier) string {
	switch oid.String() {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.5":
		return "serialNumber"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.9":
		return "STREET"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "1.2.840.113549.1.9.1":
		return "E"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "0.9.2342.19200300.100.1.1":
		return "UID"
	}
	return oid.String()
}

// equalFold compares ASCII letters without case and everything else exactly.
func equalFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return len(b) > 0
}

// escape keeps printable ASCII and writes every other octet as \xhh, so that one identity is one harmless word of a
// log line (a peer chooses its identity).
func escape(b []byte) string {
	if printable(b) && !bytes.ContainsRune(b, '\\') {
		return string(b)
	}
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		if c < 0x20 || c > 0x7e || c == '\\' {
			s.WriteString(`\x`)
			s.WriteByte(digits[c>>4])
			s.WriteByte(digits[c&15])
			continue
		}
		s.WriteByte(c)
	}
	return s.String()
}
