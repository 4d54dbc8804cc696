// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// now is the time of every verification here.
var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// node is a certificate with its private key.
type node struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ed(t testing.TB) crypto.Signer {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// issue makes a certificate. by is nil for a self-signed one; changes are applied to the template.
func issue(t testing.TB, by *node, key crypto.Signer, changes ...func(*x509.Certificate)) *node {
	t.Helper()
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		Subject: pkix.Name{Country: []string{"CH"}, Organization: []string{"Example"}, CommonName: "leaf"},
	}
	for _, f := range changes {
		f(template)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &node{c, key}
}

// ca makes an authority of a name.
func ca(t testing.TB, by *node, name string, changes ...func(*x509.Certificate)) *node {
	t.Helper()
	return issue(t, by, p256(t), append([]func(*x509.Certificate){named(name), func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid = true, true
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}}, changes...)...)
}

// leaf makes an end entity with one name of each kind.
func leaf(t testing.TB, by *node, changes ...func(*x509.Certificate)) *node {
	t.Helper()
	return issue(t, by, ed(t), append([]func(*x509.Certificate){func(c *x509.Certificate) {
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.DNSNames = []string{"gw.example.com"}
		c.EmailAddresses = []string{"carol@example.com"}
		c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1).To4(), net.ParseIP("2001:db8::1")}
	}}, changes...)...)
}

func named(cn string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName = cn }
}

func trust(anchors ...*node) Trust {
	t := Trust{Now: now}
	for _, a := range anchors {
		t.Anchors = append(t.Anchors, a.cert)
	}
	return t
}

func certs(nodes ...*node) []*x509.Certificate {
	var list []*x509.Certificate
	for _, n := range nodes {
		list = append(list, n.cert)
	}
	return list
}

func fqdn(s string) ike.ID { return ike.ID{Type: ike.IDFQDN, Data: []byte(s)} }
