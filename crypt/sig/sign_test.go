// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package sig

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func offered() []uint16 { return []uint16{HashSHA256, HashSHA384, HashSHA512, HashIdentity} }

// schemesOf are all schemes of RFC 7427 for a key.
func schemesOf(name string) []Scheme {
	switch {
	case strings.HasPrefix(name, "rsa"):
		return []Scheme{RSAPKCS1SHA256, RSAPKCS1SHA384, RSAPKCS1SHA512, RSAPSSSHA256, RSAPSSSHA384, RSAPSSSHA512}
	case name == "ed25519":
		return []Scheme{Ed25519}
	}
	return []Scheme{ECDSASHA256, ECDSASHA384, ECDSASHA512}
}

func usableKeys() []string {
	return []string{"rsa2048", "rsa3072", "p256", "p384", "p521", "ed25519"}
}

// everyChoice calls f with each usable key and each way to sign with it.
func everyChoice(f func(name string, c Choice)) {
	for _, name := range usableKeys() {
		for _, s := range schemesOf(name) {
			f(name, Choice{MethodDigital, s})
		}
	}
	f("rsa2048", Choice{MethodRSA, RSAPKCS1SHA1})
	f("rsa2048", Choice{MethodRSA, RSAPKCS1SHA256})
	f("rsa3072", Choice{MethodRSA, RSAPKCS1SHA512})
	f("p256", Choice{MethodECDSAP256, ECDSASHA256})
	f("p384", Choice{MethodECDSAP384, ECDSASHA384})
	f("p521", Choice{MethodECDSAP521, ECDSASHA512})
}

// TestSignVerify: each way to sign verifies as itself, and nothing near it does: another key, other octets, each strict
// prefix, an octet too many, each octet changed, each other method.
func TestSignVerify(t *testing.T) {
	octets := bytes.Repeat([]byte("signed octets "), 40)
	other := map[string]string{"rsa2048": "rsa3072", "rsa3072": "rsa2048", "p256": "p384", "p384": "p256", "p521": "p256", "ed25519": "p256"}
	everyChoice(func(name string, c Choice) {
		t.Run(name+" "+c.Scheme.String()+" "+string(rune('a'+c.Method)), func(t *testing.T) {
			pub, p := key(t, name).Public(), Policy{Hashes: offered()}
			data, err := Sign(rand.Reader, key(t, name), c, octets)
			if err != nil {
				t.Fatal(err)
			}
			if s, err := Verify(pub, c.Method, data, octets, p); err != nil || s != c.Scheme {
				t.Fatal(s, err)
			}
			refuse := func(what string, pub any, method uint8, data, octets []byte) {
				t.Helper()
				if s, err := Verify(pub, method, data, octets, p); err == nil {
					t.Errorf("%s: accepted as %s", what, s)
				}
			}
			refuse("another key", key(t, other[name]).Public(), c.Method, data, octets)
			refuse("other octets", pub, c.Method, data, octets[1:])
			for n := range data {
				refuse("prefix", pub, c.Method, data[:n], octets)
			}
			refuse("octet too many", pub, c.Method, append(slices.Clone(data), 0), octets)
			refuse("octet before", pub, c.Method, append([]byte{0}, data...), octets)
			for i := range data {
				bad := slices.Clone(data)
				bad[i] ^= 0x40
				refuse("changed octet", pub, c.Method, bad, octets)
			}
			for m := range 20 {
				if uint8(m) != c.Method {
					refuse("another method", pub, uint8(m), data, octets)
				}
			}
		})
	})
}

func TestChoose(t *testing.T) {
	no := []uint16(nil)
	for _, c := range []struct {
		key, constraints string
		hashes           []uint16
		want             Choice // zero: an error
	}{
		{"rsa2048", "", offered(), Choice{MethodDigital, RSAPKCS1SHA256}},
		{"rsa3072", "rsa", offered(), Choice{MethodDigital, RSAPKCS1SHA256}},
		{"rsa2048", "rsa-pss", offered(), Choice{MethodDigital, RSAPSSSHA256}},
		{"rsa2048", "rsa-pss-sha384 rsa-pss-sha512", offered(), Choice{MethodDigital, RSAPSSSHA384}},
		{"rsa2048", "rsa-pkcs1-sha512", offered(), Choice{MethodDigital, RSAPKCS1SHA512}},
		{"rsa2048", "", []uint16{HashSHA512}, Choice{MethodDigital, RSAPKCS1SHA512}},
		{"rsa2048", "", []uint16{HashSHA1}, Choice{MethodRSA, RSAPKCS1SHA1}}, // T-042: never SHA-1 with RFC 7427
		{"rsa2048", "", no, Choice{MethodRSA, RSAPKCS1SHA1}},
		{"rsa2048", "rsa-pss", no, Choice{}},
		{"rsa2048", "rsa-pkcs1-sha256", no, Choice{}},
		{"rsa2048", "ecdsa", offered(), Choice{}},
		{"p256", "", offered(), Choice{MethodDigital, ECDSASHA256}},
		{"p384", "", offered(), Choice{MethodDigital, ECDSASHA384}},
		{"p521", "", offered(), Choice{MethodDigital, ECDSASHA512}},
		{"p384", "", []uint16{HashSHA256, HashSHA512}, Choice{MethodDigital, ECDSASHA512}},
		{"p521", "", []uint16{HashSHA256}, Choice{MethodDigital, ECDSASHA256}},
		{"p256", "", no, Choice{MethodECDSAP256, ECDSASHA256}},
		{"p384", "", no, Choice{MethodECDSAP384, ECDSASHA384}},
		{"p521", "", no, Choice{MethodECDSAP521, ECDSASHA512}},
		{"p384", "ecdsa-sha256", no, Choice{}},
		{"p256", "rsa", no, Choice{}},
		{"ed25519", "", offered(), Choice{MethodDigital, Ed25519}},
		{"ed25519", "", []uint16{HashSHA256}, Choice{}},
		{"ed25519", "", no, Choice{}},
		{"p224", "", offered(), Choice{}},
	} {
		got, err := Choose(key(t, c.key).Public(), strings.Fields(c.constraints), c.hashes)
		if got != c.want || (err == nil) != (c.want != Choice{}) {
			t.Errorf("%s, %q, hashes %v: %v (%v), expected %v", c.key, c.constraints, c.hashes, got, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), "key") {
			t.Errorf("the error does not speak of the key: %v", err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	for _, c := range []struct {
		key    string
		choice Choice
	}{
		{"rsa2048", Choice{MethodDigital, RSAPKCS1SHA1}}, // T-042
		{"rsa2048", Choice{MethodRSA, RSAPSSSHA256}},
		{"rsa2048", Choice{MethodDigital, ECDSASHA256}},
		{"rsa2048", Choice{MethodECDSAP256, RSAPKCS1SHA256}},
		{"p256", Choice{MethodECDSAP384, ECDSASHA384}},
		{"p256", Choice{MethodECDSAP256, ECDSASHA384}},
		{"p256", Choice{MethodRSA, ECDSASHA256}},
		{"p256", Choice{MethodDigital, Ed25519}},
		{"ed25519", Choice{MethodDigital, ECDSASHA256}},
		{"ed25519", Choice{2, Ed25519}},
		{"p224", Choice{MethodDigital, ECDSASHA256}},
	} {
		if data, err := Sign(rand.Reader, key(t, c.key), c.choice, []byte("x")); err == nil {
			t.Errorf("%s, %v: %d octets", c.key, c.choice, len(data))
		}
	}
	if _, err := Sign(failing{}, key(t, "rsa2048"), Choice{MethodDigital, RSAPSSSHA256}, []byte("x")); err == nil {
		t.Error("a PSS signature without a salt")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

var _ io.Reader = failing{}
