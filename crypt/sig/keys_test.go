// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package sig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"sync"
	"testing"
)

// keys are made once a test binary: RSA keys take a while.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	m := map[string]crypto.Signer{}
	for name, bits := range map[string]int{"rsa2048": 2048, "rsa3072": 3072} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		m[name] = k
	}
	for name, c := range map[string]elliptic.Curve{"p224": elliptic.P224(), "p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			panic(err)
		}
		m[name] = k
	}
	_, m["ed25519"], _ = ed25519.GenerateKey(rand.Reader)
	return m
})

func key(t testing.TB, name string) crypto.Signer {
	t.Helper()
	k := testKeys()[name]
	if k == nil {
		t.Fatalf("no key %s", name)
	}
	return k
}

// TestT043Keys refuses keys before anything is calculated with them.
func TestT043Keys(t *testing.T) {
	good := key(t, "rsa2048").Public().(*rsa.PublicKey)
	two := func(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }
	odd := func(n uint) *big.Int { return new(big.Int).Sub(two(n), big.NewInt(1)) }
	for name, k := range map[string]crypto.PublicKey{
		"nothing":            nil,
		"RSA value":          *good,
		"RSA no modulus":     &rsa.PublicKey{E: 65537},
		"RSA zero":           &rsa.PublicKey{N: new(big.Int), E: 65537},
		"RSA negative":       &rsa.PublicKey{N: new(big.Int).Neg(good.N), E: 65537},
		"RSA 1024":           &rsa.PublicKey{N: odd(1024), E: 65537},
		"RSA 2047":           &rsa.PublicKey{N: odd(2047), E: 65537},
		"RSA 8193":           &rsa.PublicKey{N: odd(8193), E: 65537},
		"RSA 16384":          &rsa.PublicKey{N: odd(16384), E: 65537},
		"RSA even":           &rsa.PublicKey{N: two(2047), E: 65537},
		"RSA e=0":            &rsa.PublicKey{N: good.N, E: 0},
		"RSA e=1":            &rsa.PublicKey{N: good.N, E: 1},
		"RSA e=3":            &rsa.PublicKey{N: good.N, E: 3},
		"RSA e=65536":        &rsa.PublicKey{N: good.N, E: 65536},
		"RSA e=65538":        &rsa.PublicKey{N: good.N, E: 65538},
		"RSA e=2^31+1":       &rsa.PublicKey{N: good.N, E: 1<<31 + 1},
		"RSA e<0":            &rsa.PublicKey{N: good.N, E: -65537},
		"P-224":              key(t, "p224").Public(),
		"Ed25519 31":         key(t, "ed25519").Public().(ed25519.PublicKey)[:31],
		"Ed25519 empty":      ed25519.PublicKey{},
		"something else":     "key",
		"Ed25519 by pointer": new(ed25519.PublicKey),
	} {
		t.Run(name, func(t *testing.T) {
			if err := CheckKey(k); err == nil {
				t.Error("the key was accepted")
			}
			if _, err := Verify(k, MethodDigital, []byte{1, 2, 3}, []byte("x"), Policy{Hashes: offered()}); err == nil {
				t.Error("a signature was accepted")
			}
		})
	}
	for name, k := range testKeys() {
		if err := CheckKey(k.Public()); (err == nil) == (name == "p224") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyName(t *testing.T) {
	for name, want := range map[string]string{"rsa3072": "RSA 3072", "p384": "ECDSA P-384", "ed25519": "Ed25519", "p224": "unknown"} {
		if got := KeyName(key(t, name).Public()); got != want {
			t.Errorf("%s: %q, expected %q", name, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for s := RSAPKCS1SHA1; s <= Ed25519; s++ {
		if s.Name() == "unknown" || s.String() == "UNKNOWN" || seen[s.Name()] || seen[s.String()] || s.kind() == 0 {
			t.Errorf("scheme %d: %s, %s", s, s.Name(), s)
		}
		seen[s.Name()], seen[s.String()] = true, true
	}
	if Scheme(0).Name() != "unknown" || Scheme(99).String() != "UNKNOWN" || Scheme(99).kind() != 0 {
		t.Error("a scheme that is none has a name")
	}
}

func TestPermits(t *testing.T) {
	for _, c := range []struct {
		constraints string
		scheme      Scheme
		want        bool
	}{
		{"", RSAPKCS1SHA1, true},
		{"rsa", RSAPKCS1SHA1, true},
		{"rsa", RSAPSSSHA512, true},
		{"rsa", ECDSASHA256, false},
		{"rsa-pss", RSAPKCS1SHA256, false},
		{"rsa-pss", RSAPSSSHA384, true},
		{"rsa-pkcs1-sha256", RSAPKCS1SHA256, true},
		{"rsa-pkcs1-sha256", RSAPKCS1SHA1, false},
		{"rsa-pkcs1-sha", RSAPKCS1SHA256, false}, // not a whole word
		{"ecdsa ed25519", Ed25519, true},
		{"ecdsa", Ed25519, false},
		{"ecdsa-sha384", ECDSASHA256, false},
	} {
		if got := Permits(strings.Fields(c.constraints), c.scheme); got != c.want {
			t.Errorf("%q and %s: %v", c.constraints, c.scheme, got)
		}
	}
	if Permits([]string{""}, Ed25519) {
		t.Error("an empty constraint allows")
	}
}
