// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"time"
)

func TestVerifyAccepts(t *testing.T) {
	root := ca(t, nil, "root")
	inter := ca(t, root, "inter")
	deep := ca(t, inter, "deep")
	stranger := ca(t, nil, "stranger")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	alone := leaf(t, nil)
	end, zero := leaf(t, root), ca(t, root, "zero", pathLen(0))
	eku := func(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = u }
	}
	oids := func(o ...asn1.ObjectIdentifier) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.UnknownExtKeyUsage = o }
	}
	for name, c := range map[string]struct {
		certs []*x509.Certificate
		trust Trust
		depth int
	}{
		"root and leaf":              {certs(end), trust(root), 2},
		"two intermediates":          {certs(leaf(t, deep), deep, inter), trust(root), 4},
		"any order":                  {certs(leaf(t, deep), inter, deep, root, stranger), trust(root), 4},
		"our own intermediates":      {certs(leaf(t, deep)), Trust{Now: now, Anchors: certs(root), Intermediates: certs(inter, deep)}, 4},
		"intermediate as anchor":     {certs(leaf(t, inter), inter), trust(inter), 2},
		"several anchors":            {certs(end), trust(stranger, root), 2},
		"RSA":                        {certs(issue(t, root, rsaKey)), trust(root), 2},
		"P-384":                      {certs(issue(t, root, p384)), trust(root), 2},
		"P-521":                      {certs(issue(t, root, p521)), trust(root), 2},
		"nonRepudiation":             {certs(leaf(t, root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment })), trust(root), 2},
		"no keyUsage":                {certs(leaf(t, root, func(c *x509.Certificate) { c.KeyUsage = 0 })), trust(root), 2},
		"serverAuth":                 {certs(leaf(t, root, eku(x509.ExtKeyUsageServerAuth))), trust(root), 2},
		"clientAuth":                 {certs(leaf(t, root, eku(x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageClientAuth))), trust(root), 2},
		"anyExtendedKeyUsage":        {certs(leaf(t, root, eku(x509.ExtKeyUsageAny))), trust(root), 2},
		"ipsecIKE":                   {certs(leaf(t, root, oids(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 17}))), trust(root), 2},
		"iKEIntermediate":            {certs(leaf(t, root, oids(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 8, 2, 2}))), trust(root), 2},
		"pinned":                     {certs(end), Trust{Now: now, Pinned: [][]byte{end.cert.Raw}}, 1},
		"pinned and self-signed":     {certs(alone), Trust{Now: now, Pinned: [][]byte{end.cert.Raw, alone.cert.Raw}}, 1},
		"pinned with anchor":         {certs(end), Trust{Now: now, Anchors: certs(root), Pinned: [][]byte{end.cert.Raw}, NeedAnchor: true}, 2},
		"on the first second":        {certs(end), Trust{Now: now.Add(-time.Hour), Anchors: certs(root)}, 2},
		"on the last second":         {certs(end), Trust{Now: now.Add(time.Hour), Anchors: certs(root)}, 2},
		"path length 0 holds a leaf": {certs(leaf(t, zero), zero), trust(root), 3},
		"intermediate twice in list": {certs(leaf(t, inter), inter, inter), trust(root), 3},
	} {
		t.Run(name, func(t *testing.T) {
			chain, err := Verify(c.certs, c.trust)
			if err != nil || len(chain) != c.depth {
				t.Fatalf("chain of %d: %v", len(chain), err)
			}
			if !chain[0].Equal(c.certs[0]) {
				t.Error("the chain begins with another certificate")
			}
		})
	}
}

func pathLen(n int) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
}

// TestT046Chains has chains that must not be accepted, with what the error must speak of.
func TestT046Chains(t *testing.T) {
	root := ca(t, nil, "root")
	inter := ca(t, root, "inter")
	rogue := ca(t, nil, "root") // the name of the trusted one, another key
	notCA := leaf(t, root, named("not a CA"))
	zero := ca(t, root, "zero", pathLen(0))
	below := ca(t, zero, "below zero")
	noUsage := ca(t, root, "no usage", usage(0))
	noSign := ca(t, root, "no sign", usage(x509.KeyUsageDigitalSignature))
	mail := ca(t, root, "mail", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} })
	old := ca(t, root, "old", times(-2*time.Hour, -time.Hour))
	oldRoot := ca(t, nil, "old root", times(-2*time.Hour, -time.Hour))
	weakKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := issue(t, root, weakKey, named("weak"), func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	critical := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
	}
	end := leaf(t, root)
	for name, c := range map[string]struct {
		certs []*x509.Certificate
		trust Trust
		says  string
	}{
		"none":                        {nil, trust(root), "no certificate"},
		"no time":                     {certs(end), Trust{Anchors: certs(root)}, "time"},
		"no anchor":                   {certs(end), Trust{Now: now}, "no CA certificate is loaded"},
		"another anchor":              {certs(end), trust(inter), "does not lead to a CA"},
		"self-signed":                 {certs(leaf(t, nil)), trust(root), "does not lead to a CA"},
		"self-signed, trusted issuer": {certs(leaf(t, rogue)), trust(root), "does not lead to a CA"},
		"rogue root sent along":       {certs(leaf(t, rogue), rogue), trust(root), "does not lead to a CA"},
		"intermediate missing":        {certs(leaf(t, inter)), trust(root), "issued by"},
		"CA:false intermediate":       {certs(leaf(t, notCA), notCA), trust(root), "does not lead to a CA"},
		"expired":                     {certs(leaf(t, root, times(-2*time.Hour, -time.Second))), trust(root), "expired at"},
		"not yet valid":               {certs(leaf(t, root, times(time.Second, time.Hour))), trust(root), "not valid before"},
		"expired intermediate":        {certs(leaf(t, old), old), trust(root), "old"},
		"expired anchor":              {certs(leaf(t, oldRoot)), trust(oldRoot), "expired"},
		"EKU e-mail":                  {certs(leaf(t, root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} })), trust(root), "extendedKeyUsage"},
		"EKU unknown":                 {certs(leaf(t, root, func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3, 4}} })), trust(root), "extendedKeyUsage"},
		"EKU of an intermediate":      {certs(leaf(t, mail), mail), trust(root), "extendedKeyUsage"},
		"keyUsage encipherment":       {certs(leaf(t, root, usage(x509.KeyUsageKeyEncipherment))), trust(root), "keyUsage"},
		"keyUsage only certSign":      {certs(leaf(t, root, usage(x509.KeyUsageCertSign))), trust(root), "keyUsage"},
		"intermediate no keyUsage":    {certs(leaf(t, noUsage), noUsage), trust(root), "keyCertSign"},
		"intermediate no keyCertSign": {certs(leaf(t, noSign), noSign), trust(root), ""},
		"path length":                 {certs(leaf(t, below), below, zero), trust(root), ""},
		"critical extension":          {certs(leaf(t, root, critical)), trust(root), "critical extension"},
		"pinned others":               {certs(end), Trust{Now: now, Anchors: certs(root), Pinned: [][]byte{inter.cert.Raw}}, "remote.certs"},
		"pinned but no anchor":        {certs(end), Trust{Now: now, Anchors: certs(inter), Pinned: [][]byte{end.cert.Raw}, NeedAnchor: true}, "does not lead to a CA"},
		"pinned but expired":          {certs(old), Trust{Now: now, Pinned: [][]byte{old.cert.Raw}}, "keyUsage"},
		"pinned, critical extension":  pinnedAlone(leaf(t, nil, critical), "critical extension"),
		"pinned, expired":             pinnedAlone(leaf(t, nil, times(-2*time.Hour, -time.Hour)), "expired"),
	} {
		t.Run(name, func(t *testing.T) {
			chain, err := Verify(c.certs, c.trust)
			if err == nil {
				t.Fatalf("accepted: a chain of %d", len(chain))
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error does not say %q: %v", c.says, err)
			}
		})
	}
	// Weak keys do not get as far as Verify.
	for name, list := range map[string][][]byte{
		"P-224":    {issue(t, root, p224).cert.Raw},
		"RSA 1024": {issue(t, root, weakKey).cert.Raw},
	} {
		if _, err := ParseAll(list); err == nil {
			t.Errorf("%s: an end entity was accepted", name)
		}
	}
	all, err := ParseAll([][]byte{leaf(t, weak).cert.Raw, weak.cert.Raw})
	if err != nil || len(all) != 1 {
		t.Fatal("the weak intermediate stays", err)
	}
	if _, err := Verify(all, trust(root)); err == nil {
		t.Error("a chain over RSA 1024 was accepted")
	}
}

type chainCase = struct {
	certs []*x509.Certificate
	trust Trust
	says  string
}

func pinnedAlone(n *node, says string) chainCase {
	return chainCase{certs(n), Trust{Now: now, Pinned: [][]byte{n.cert.Raw}}, says}
}

func usage(u x509.KeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.KeyUsage = u }
}

func times(from, to time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(from), now.Add(to) }
}

// TestT046NameConstraints: constraints hold in any case and for every kind of name, and a subject does not slip past them.
func TestT046NameConstraints(t *testing.T) {
	root := ca(t, nil, "root")
	within := func(f func(*x509.Certificate)) *node {
		return ca(t, root, "constrained", func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = true; f(c) })
	}
	permitted := within(func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} })
	excluded := within(func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"EXAMPLE.com"} })
	mail := within(func(c *x509.Certificate) { c.ExcludedEmailAddresses = []string{"example.com"} })
	dns := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames, c.EmailAddresses, c.IPAddresses = names, nil, nil }
	}
	for _, c := range []struct {
		name string
		by   *node
		f    func(*x509.Certificate)
		ok   bool
	}{
		{"permitted", permitted, dns("gw.example.com"), true},
		{"permitted, other case", permitted, dns("GW.EXAMPLE.COM"), true},
		{"outside", permitted, dns("gw.example.org"), false},
		{"one of two outside", permitted, dns("gw.example.com", "gw.example.org"), false},
		{"suffix that is no label", permitted, dns("evilexample.com"), false},
		{"excluded", excluded, dns("gw.example.com"), false},
		{"excluded, other case", excluded, dns("gw.Example.Com"), false},
		{"not excluded", excluded, dns("gw.example.org"), true},
		{"excluded e-mail", mail, func(*x509.Certificate) {}, false},
	} {
		end := leaf(t, c.by, c.f)
		if _, err := Verify(certs(end, c.by), trust(root)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	end := leaf(t, permitted, dns("gw.example.com"), named("admin"))
	chain, err := Verify(certs(end, permitted), trust(root))
	if err != nil {
		t.Fatal(err)
	}
	if err := Bind(chain, fqdn("gw.example.com")); err != nil {
		t.Error(err)
	}
	if err := Bind(chain, SubjectID(end.cert)); err == nil || !strings.Contains(err.Error(), "name constraints") {
		t.Errorf("a subject under a constrained CA: %v", err)
	}
}

// TestT046Loop: authorities that sign each other and themselves end the search, with and without a way out.
func TestT046Loop(t *testing.T) {
	root := ca(t, nil, "root")
	a, b := ca(t, nil, "a"), ca(t, nil, "b")
	cross := func(subject, by *node) *node {
		return issue(t, by, subject.key, named(subject.cert.Subject.CommonName), func(c *x509.Certificate) {
			c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		})
	}
	ab, ba := cross(a, b), cross(b, a)
	end := leaf(t, a)
	if _, err := Verify(certs(end, ab, ba, a, b), trust(root)); err == nil {
		t.Error("a loop was accepted")
	}
	if chain, err := Verify(certs(end, ab, ba, cross(b, root)), trust(root)); err != nil || len(chain) != 4 {
		t.Errorf("a loop with a way out: %d, %v", len(chain), err)
	}
}
