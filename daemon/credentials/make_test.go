// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package credentials

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/ike"
)

// now is the time of every question here.
var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

var rsa2048 = sync.OnceValue(func() crypto.Signer {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	curve := map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()}[kind]
	switch {
	case kind == "rsa":
		return rsa2048()
	case curve != nil:
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// node is a certificate with its private key.
type node struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (n *node) der() []byte { return n.cert.Raw }

func (n *node) private() config.PrivateKey {
	return config.PrivateKey{ID: config.KeyID(n.key.Public()), Signer: n.key, Source: "private/" + n.cert.Subject.CommonName}
}

func (n *node) authorityHash() []byte {
	h := sha1.Sum(n.cert.RawSubjectPublicKeyInfo)
	return h[:]
}

func issue(t testing.TB, by *node, key crypto.Signer, name string, changes ...func(*x509.Certificate)) *node {
	t.Helper()
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"Example"}, CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
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

func ca(t testing.TB, by *node, name string) *node {
	return issue(t, by, newKey(t, "p256"), name, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
}

// host makes an end entity with a host name.
func host(t testing.TB, by *node, kind, name string, changes ...func(*x509.Certificate)) *node {
	return issue(t, by, newKey(t, kind), name, append([]func(*x509.Certificate){func(c *x509.Certificate) {
		c.DNSNames = []string{name}
	}}, changes...)...)
}

func fqdn(s string) ike.ID { return ike.ID{Type: ike.IDFQDN, Data: []byte(s)} }

func anchor(n *node) config.Cert { return config.Cert{DER: n.der(), CA: true, Source: "x509ca/x"} }
func plain(n *node) config.Cert  { return config.Cert{DER: n.der(), Source: "x509/x"} }

func sharedKey(id, key string, owners ...string) config.Shared {
	s := config.Shared{ID: id, Secret: secret.New([]byte(key))}
	for _, o := range owners {
		v, ok := config.ParseID(o)
		if !ok {
			panic(o)
		}
		s.Owners = append(s.Owners, v)
	}
	return s
}

// storeOf makes a store that was loaded from files.
func storeOf(t testing.TB, c *config.Config) *Store {
	t.Helper()
	s := New()
	warnings, err := s.Replace(c)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	return s
}
