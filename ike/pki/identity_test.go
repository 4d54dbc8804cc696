// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pki

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/ike"
)

func email(s string) ike.ID { return ike.ID{Type: ike.IDRFC822, Data: []byte(s)} }
func addr(s string) ike.ID  { return ike.IDFromAddr(netip.MustParseAddr(s)) }
func keyID(b []byte) ike.ID { return ike.ID{Type: ike.IDKeyID, Data: b} }

// dn encodes a name with string types of its own: UTF8String throughout.
func dn(t *testing.T, attrs ...string) ike.ID {
	t.Helper()
	oids := map[string]asn1.ObjectIdentifier{"C": {2, 5, 4, 6}, "O": {2, 5, 4, 10}, "CN": {2, 5, 4, 3}}
	var seq pkix.RDNSequence
	for _, a := range attrs {
		k, v, _ := strings.Cut(a, "=")
		seq = append(seq, pkix.RelativeDistinguishedNameSET{{Type: oids[k], Value: asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(v)}}})
	}
	der, err := asn1.Marshal(seq)
	if err != nil {
		t.Fatal(err)
	}
	return ike.ID{Type: ike.IDDERASN1DN, Data: der}
}

// TestT046Identity: which identities a certificate is evidence for.
func TestT046Identity(t *testing.T) {
	c := leaf(t, nil, func(c *x509.Certificate) {
		c.Subject.CommonName = "cn.example.com"
		c.DNSNames = append(c.DNSNames, "*.wild.example.com", "198.51.100.7")
		c.SubjectKeyId = bytes.Repeat([]byte{9}, 20)
	}).cert
	key, info := Keyid(c), AuthorityHash(c)
	mapped := netip.MustParseAddr("::ffff:192.0.2.1").As16()
	for name, id := range map[string]ike.ID{
		"FQDN":                   fqdn("gw.example.com"),
		"FQDN, other case":       fqdn("GW.Example.COM"),
		"e-mail":                 email("carol@example.com"),
		"IPv4":                   addr("192.0.2.1"),
		"IPv6":                   addr("2001:db8::1"),
		"subject":                {Type: ike.IDDERASN1DN, Data: c.RawSubject},
		"subject, other strings": dn(t, "C=CH", "O=Example", "CN=cn.example.com"),
		"subject, other case":    dn(t, "C=CH", "O=EXAMPLE", "CN=CN.example.com"),
		"key":                    keyID(key[:]),
		"key info":               keyID(info[:]),
	} {
		if err := Bind([]*x509.Certificate{c}, id); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, id := range map[string]ike.ID{
		"none":                        {},
		"FQDN empty":                  fqdn(""),
		"FQDN other":                  fqdn("gw2.example.com"),
		"FQDN with dot":               fqdn("gw.example.com."),
		"FQDN prefix":                 fqdn("gw.example.co"),
		"FQDN NUL":                    fqdn("gw.example.com\x00.evil.example"),
		"CN only":                     fqdn("cn.example.com"),
		"wildcard of the certificate": fqdn("a.wild.example.com"),
		"wildcard as identity":        fqdn("*.wild.example.com"),
		"star":                        fqdn("*"),
		"address as FQDN":             fqdn("192.0.2.1"),
		"FQDN as address":             addr("198.51.100.7"),
		"e-mail other":                email("mallory@example.com"),
		"e-mail star":                 email("*@example.com"),
		"e-mail as FQDN":              fqdn("carol@example.com"),
		"FQDN as e-mail":              email("gw.example.com"),
		"address empty":               {Type: ike.IDIPv4},
		"address of other family":     {Type: ike.IDIPv4, Data: net.ParseIP("2001:db8::1")},
		"part of the subject":         dn(t, "CN=cn.example.com"),
		"subject with more":           dn(t, "C=CH", "O=Example", "CN=cn.example.com", "CN=x"),
		"subject in other order":      dn(t, "CN=cn.example.com", "O=Example", "C=CH"),
		"subject with star":           dn(t, "C=CH", "O=Example", "CN=*"),
		"subject all stars":           dn(t, "C=*", "O=*", "CN=*"),
		"subject other":               dn(t, "C=CH", "O=Example", "CN=cn.example.org"),
		"empty name":                  {Type: ike.IDDERASN1DN, Data: []byte{0x30, 0}},
		"name cut off":                {Type: ike.IDDERASN1DN, Data: c.RawSubject[:len(c.RawSubject)-1]},
		"name with octets behind":     {Type: ike.IDDERASN1DN, Data: append(slices.Clone(c.RawSubject), 0)},
		"no DER":                      {Type: ike.IDDERASN1DN, Data: []byte("C=CH")},
		"general name":                {Type: ike.IDDERASN1GN, Data: c.RawSubject},
		"key ID that somebody wrote":  keyID(c.SubjectKeyId),
		"key ID empty":                keyID(nil),
		"key ID as text":              keyID([]byte("gw.example.com")),
		"type 200":                    {Type: 200, Data: []byte("gw.example.com")},
		"IPv6 of an IPv4 address":     {Type: ike.IDIPv6, Data: mapped[:]},
		"IPv6 of four octets":         {Type: ike.IDIPv6, Data: mapped[12:]},
	} {
		err := Bind([]*x509.Certificate{c}, id)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if !strings.Contains(err.Error(), "gw.example.com") {
			t.Errorf("%s: the error does not say what the certificate is for: %v", name, err)
		}
	}
	if Bind(nil, fqdn("gw.example.com")) == nil {
		t.Error("bound to no certificate")
	}
}

// TestEmptySubject: a certificate without subject is for its names, never for the empty name.
func TestEmptySubject(t *testing.T) {
	c := leaf(t, nil, func(c *x509.Certificate) { c.Subject = pkix.Name{} }).cert
	if id := SubjectID(c); !id.Equal(fqdn("gw.example.com")) {
		t.Errorf("%v", id)
	}
	if Contains(c, ike.ID{Type: ike.IDDERASN1DN, Data: c.RawSubject}) {
		t.Error("the empty name is an identity")
	}
	bare := issue(t, nil, ed(t), func(c *x509.Certificate) { c.Subject = pkix.Name{} }).cert
	if id := SubjectID(bare); !id.IsZero() {
		t.Errorf("%v", id)
	}
	if Subject(bare) != "an empty name" || Names(bare) != "its subject only" {
		t.Error(Subject(bare), Names(bare))
	}
}

// TestErrorsAreHarmless: names of a peer's certificate are escaped and bounded in errors.
func TestErrorsAreHarmless(t *testing.T) {
	c := leaf(t, nil, named("evil\n2026 ERROR \x1b[31m"+strings.Repeat("x", 60)), func(c *x509.Certificate) {
		for i := range 100 {
			c.DNSNames = append(c.DNSNames, strings.Repeat(string(rune('a'+i%26)), 60))
		}
	}).cert
	err := Bind([]*x509.Certificate{c}, fqdn("a\nb"))
	if err == nil || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 2000 {
		t.Errorf("%q", err)
	}
}

func TestChoose(t *testing.T) {
	root, other := ca(t, nil, "root"), ca(t, nil, "other")
	inter := ca(t, root, "inter")
	impostor := ca(t, nil, "inter") // the name alone does not make a parent
	end := leaf(t, inter)
	send, all := Chain(end.cert, certs(other, impostor, root, end, inter))
	if len(send) != 2 || len(all) != 3 || !send[1].Equal(inter.cert) || !all[2].Equal(root.cert) {
		t.Fatalf("send %d, all %d", len(send), len(all))
	}
	if send, all := Chain(end.cert, nil); len(send) != 1 || len(all) != 1 {
		t.Error("a chain out of nothing")
	}
	if send, all := Chain(root.cert, certs(root)); len(send) != 1 || len(all) != 1 {
		t.Error("a self-signed end entity")
	}
	hash := func(n *node) []byte { h := AuthorityHash(n.cert); return h[:] }
	for name, c := range map[string]struct {
		request []byte
		want    bool
	}{
		"nothing": {nil, false},
		"root":    {hash(root), true},
		"inter":   {slices.Concat(hash(other), hash(inter)), true},
		"other":   {hash(other), false},
		"itself":  {hash(end), false},
		"cut off": {hash(root)[:19], false},
		"shifted": {append([]byte{0}, hash(root)...), false},
	} {
		if got := Requested(all, c.request); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if Requested(nil, hash(root)) {
		t.Error("no chain was requested")
	}
}
