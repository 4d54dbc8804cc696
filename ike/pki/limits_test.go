// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// TestT043Limits: numbers, lengths and work are bounded.
func TestT043Limits(t *testing.T) {
	root := ca(t, nil, "root")
	end := leaf(t, root)
	many := [][]byte{end.cert.Raw}
	for range MaxCerts {
		many = append(many, root.cert.Raw)
	}
	if _, err := ParseAll(many); err == nil {
		t.Errorf("%d certificates", len(many))
	}
	if list, err := ParseAll(many[:MaxCerts]); err != nil || len(list) != MaxCerts {
		t.Error(err)
	}
	if _, err := Verify(make([]*x509.Certificate, MaxCerts+1), trust(root)); err == nil {
		t.Error("Verify takes any number")
	}
	long := leaf(t, root, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, MaxCertLen)}}
	}).cert.Raw
	for name, list := range map[string][][]byte{
		"long":           {long},
		"long behind":    {end.cert.Raw, long},
		"empty":          {nil},
		"no certificate": {[]byte("certificate")},
		"trailing":       {append(bytes.Clone(end.cert.Raw), 0)},
		"deep":           {bytes.Repeat([]byte{0x30, 0x80}, 5000)},
		"deep definite":  {nested(4000)},
		"PKCS#7":         {[]byte("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")},
	} {
		if _, err := ParseAll(list); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// Garbage behind the end entity is left out.
	if list, err := ParseAll([][]byte{end.cert.Raw, []byte("x"), root.cert.Raw}); err != nil || len(list) != 2 {
		t.Error(len(list), err)
	}
	for n := range end.cert.Raw {
		if _, err := Parse(end.cert.Raw[:n]); err == nil {
			t.Fatalf("prefix of %d octets", n)
		}
	}
}

// nested is n sequences within each other.
func nested(n int) []byte {
	b := []byte{5, 0}
	for len(b) < n {
		b = append([]byte{0x30, 0x82, byte(len(b) >> 8), byte(len(b))}, b...)
	}
	return b
}

// maxWork is ten times HOSTILE T-043's CPU time of one attempt, for slow and busy machines.
const maxWork = 10 * 50 * time.Millisecond

// TestT043Work: eight certificates with the costliest keys are refused in bounded time, however they are named.
func TestT043Work(t *testing.T) {
	root := ca(t, nil, "another")
	// The attacker signs with keys of its own, so that every step of the search goes on.
	chainOf := func(names func(i int) string) []*x509.Certificate {
		var last *node
		var list []*x509.Certificate
		for i := range MaxCerts - 1 {
			k, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			last = issue(t, last, k, named(names(i)), func(c *x509.Certificate) {
				c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
			})
			list = append(list, last.cert)
		}
		return append(certs(leaf(t, last)), list...)
	}
	attempts := map[string][]*x509.Certificate{
		"one name":      chainOf(func(int) string { return "x" }),
		"names in twos": chainOf(func(i int) string { return string(rune('a' + i/2)) }),
		"all different": chainOf(func(i int) string { return string(rune('a' + i)) }),
	}
	// RSA keys that nobody has: random odd numbers of the largest length.
	stranger := ca(t, nil, "stranger")
	wide := certs(leaf(t, stranger))
	for range maxKeysOfName {
		wide = append(wide, bogusRSA(t, stranger))
	}
	attempts["RSA 8192"] = wide
	// The unit is one verification here and now: busy machines and the race detector make times that cannot be compared with
	// HOSTILE's 50 ms, which are 25 verifications by RSA 8192 on a slow core. Two keys a name are 14; the factor is for noise.
	deep := attempts["all different"]
	unit := fastest(func() {
		if err := deep[2].CheckSignatureFrom(deep[1]); err != nil {
			t.Fatal(err)
		}
	})
	for name, c := range attempts {
		d := fastest(func() {
			_, err := Verify(c, trust(root))
			if err == nil || strings.Contains(err.Error(), "7 keys under the name") != (name == "one name") {
				t.Errorf("%s: %v", name, err)
			}
		})
		if d > 4*14*unit {
			t.Errorf("%s: %s, and one verification takes %s", name, d, unit)
		}
	}
}

// fastest is the shortest of a few runs.
func fastest(f func()) time.Duration {
	best := time.Hour
	for range 3 {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best
}

type publicOnly struct{ crypto.Signer }

func bogusRSA(t *testing.T, by *node) *x509.Certificate {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 8191))
	if err != nil {
		t.Fatal(err)
	}
	n.SetBit(n, 0, 1).SetBit(n, 8191, 1)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), Subject: by.cert.Subject,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &rsa.PublicKey{N: n, E: 65537}, publicOnly{by.key})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestT044ManyNames: as many names and constraints as fit in the longest certificates are refused or verified in bounded time.
func TestT044ManyNames(t *testing.T) {
	root := ca(t, nil, "root")
	name := func(i int) string { return fmt.Sprintf("%x.example", i) }
	constrained := ca(t, root, "constrained", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical = true
		for i := range 800 {
			c.ExcludedDNSDomains = append(c.ExcludedDNSDomains, "x"+name(i))
		}
	})
	end := leaf(t, constrained, func(c *x509.Certificate) {
		for i := range 900 {
			c.DNSNames = append(c.DNSNames, name(i))
		}
	})
	for what, n := range map[string]*node{"constraints": constrained, "names": end} {
		if l := len(n.cert.Raw); l > MaxCertLen || l < MaxCertLen/2 {
			t.Fatalf("%s: %d octets", what, l)
		}
	}
	start := time.Now()
	list, err := ParseAll([][]byte{end.cert.Raw, constrained.cert.Raw})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := Verify(list, trust(root))
	if err == nil {
		err = Bind(chain, fqdn("mallory.example"))
	}
	if err == nil || len(err.Error()) > 2000 {
		t.Errorf("%v", err)
	}
	if d := time.Since(start); d > maxWork {
		t.Errorf("%s", d)
	} else {
		t.Logf("%s: %v", d, err)
	}
}

// FuzzParseAll: nothing panics, and what parses has a key that may sign.
func FuzzParseAll(f *testing.F) {
	root := ca(f, nil, "root")
	f.Add(root.cert.Raw, leaf(f, root).cert.Raw)
	f.Add(nested(4000), []byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		list, err := ParseAll([][]byte{a, b})
		if err != nil {
			return
		}
		if len(list) == 0 || len(list[0].Raw) != len(a) {
			t.Fatal("the end entity is another")
		}
		if chain, err := Verify(list, trust(root)); err == nil && !chain[len(chain)-1].Equal(root.cert) {
			t.Fatal("a chain ends elsewhere")
		}
	})
}
