// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Certificates of the labs: one authority and one certificate for each end, all of one kind of key.

package netlab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// KeyKind is a kind of key.
type KeyKind string

// The kinds that peers know.
const (
	RSA       KeyKind = "rsa"
	ECDSA256  KeyKind = "ecdsa-p256"
	ECDSA384  KeyKind = "ecdsa-p384"
	ECDSA521  KeyKind = "ecdsa-p521"
	Ed25519   KeyKind = "ed25519"
	rsaLength         = 2048
)

func (k KeyKind) generate() (crypto.Signer, error) {
	switch k {
	case RSA:
		return rsa.GenerateKey(rand.Reader, rsaLength)
	case ECDSA256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSA384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ECDSA521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("key kind %q: unknown", string(k))
}

// Authority issues certificates.
type Authority struct {
	Kind KeyKind
	cert *x509.Certificate
	key  crypto.Signer
	n    int64
}

// NewAuthority makes a self-signed authority.
func NewAuthority(t testing.TB, kind KeyKind) *Authority {
	t.Helper()
	key, err := kind.generate()
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{Kind: kind, key: key, n: 1}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"lab"}, CommonName: "lab CA " + string(kind)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// Credential is a certificate with its key and authority, in PEM.
type Credential struct {
	Name          string
	Cert, Key, CA []byte
}

// Issue makes a certificate whose subjectAltName is the DNS name.
func (a *Authority) Issue(t testing.TB, name string) *Credential {
	t.Helper()
	key, err := a.Kind.generate()
	if err != nil {
		t.Fatal(err)
	}
	a.n++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.n), Subject: pkix.Name{Organization: []string{"lab"}, CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &Credential{Name: name, Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		CA:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})}
}

// write puts a credential into the folders of swanctl.
func (c *Credential) write(dir string) error {
	for _, f := range []struct {
		folder, name string
		b            []byte
	}{{"x509", c.Name + ".pem", c.Cert}, {"private", c.Name + ".pem", c.Key}, {"x509ca", "ca.pem", c.CA}} {
		if err := os.MkdirAll(filepath.Join(dir, f.folder), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f.folder, f.name), f.b, 0o600); err != nil {
			return err
		}
	}
	return nil
}
