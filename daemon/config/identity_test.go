// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package config

import (
	"testing"

	"github.com/natterjack/natterjack/ike"
)

// TestParseIDTypes: a prefix decides the type, and an identity is never of another type than it was written as.
func TestParseIDTypes(t *testing.T) {
	for in, want := range map[string]ike.IDType{
		"ipv4:192.0.2.1": ike.IDIPv4, "192.0.2.1": ike.IDIPv4, "ipv6:2001:db8::1": ike.IDIPv6, "2001:db8::1": ike.IDIPv6,
		"fqdn:192.0.2.1": ike.IDFQDN, "@192.0.2.1": ike.IDFQDN, "dns:gw": ike.IDFQDN, "gw.example.com": ike.IDFQDN, "*.example.com": ike.IDFQDN,
		"email:a": ike.IDRFC822, "@@a": ike.IDRFC822, "a@example.com": ike.IDRFC822, "*@example.com": ike.IDRFC822,
		"C=CH, CN=x": ike.IDDERASN1DN, "/C=CH/CN=x": ike.IDDERASN1DN, "asn1dn:CN=x": ike.IDDERASN1DN,
		"@#00ff": ike.IDKeyID, "keyid:a": ike.IDKeyID, "%any": ike.IDAny,
	} {
		if id, ok := ParseID(in); !ok || id.Type != want {
			t.Errorf("%s: type %d, %v", in, id.Type, ok)
		}
	}
	for _, in := range []string{
		"", "@", "@@", "@#", "@#0", "@#xy", "fqdn:", "ipv4:2001:db8::1", "ipv6:192.0.2.1", "ipv6:::ffff:192.0.2.1", "ipv4:#0102", "ipv6:#01020304",
		"fe80::1%eth0", "two words", "CN=", "=x", "XX=x", "asn1gn:x", "10.0.0.0/8",
	} {
		if id, ok := ParseID(in); ok {
			t.Errorf("%q: %s of type %d", in, id, id.Type)
		}
	}
}
