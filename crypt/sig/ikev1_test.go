// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package sig

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// hashes are lengths of HASHes that a key can sign.
func hashesOf(name string) []int {
	return map[string][]int{"rsa2048": {16, 20, 32, 48, 64}, "rsa3072": {16, 64}, "p256": {32}, "p384": {48}, "p521": {64}}[name]
}

func hashOf(n int) []byte { return bytes.Repeat([]byte{0xa5, 0x5a, 1, 2}, n/4) }

// TestIKEv1SignVerify: what is signed verifies, and nothing near it does: another hash, another key, each strict prefix, an octet
// too many, each octet changed.
func TestIKEv1SignVerify(t *testing.T) {
	other := map[string]string{"rsa2048": "rsa3072", "rsa3072": "rsa2048", "p256": "p384", "p384": "p521", "p521": "p256"}
	for name, foreign := range other {
		for _, n := range hashesOf(name) {
			hash, pub := hashOf(n), key(t, name).Public()
			data, err := SignIKEv1(rand.Reader, key(t, name), hash)
			if err != nil {
				t.Fatal(name, err)
			}
			if err := VerifyIKEv1(pub, data, hash, nil); err != nil {
				t.Fatal(name, err)
			}
			if VerifyIKEv1(key(t, foreign).Public(), data, hash, nil) == nil {
				t.Errorf("%s: verifies with another key", name)
			}
			wrong := bytes.Clone(hash)
			wrong[0] ^= 1
			if err := VerifyIKEv1(pub, data, wrong, nil); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: another hash: %v", name, err)
			}
			for i := range data {
				bad := bytes.Clone(data)
				bad[i] ^= 0x40
				if VerifyIKEv1(pub, data[:i], hash, nil) == nil || VerifyIKEv1(pub, bad, hash, nil) == nil {
					t.Fatalf("%s: a prefix of %d octets, or a changed octet there, verifies", name, i)
				}
			}
			if VerifyIKEv1(pub, append(bytes.Clone(data), 0), hash, nil) == nil {
				t.Errorf("%s: an octet too many verifies", name)
			}
		}
	}
}

// TestIKEv1RSAHasNoDigestInfo: RFC 2409, Section 5.1: what is encrypted is 00 01 ff … 00 and the HASH, nothing else. A signature
// that names a hash, as every other protocol's, is refused, and so is one of a HASH with octets before it.
func TestIKEv1RSAHasNoDigestInfo(t *testing.T) {
	k := key(t, "rsa2048").(*rsa.PrivateKey)
	hash := hashOf(20)
	data, err := SignIKEv1(rand.Reader, k, hash)
	if err != nil {
		t.Fatal(err)
	}
	m := new(big.Int).Exp(new(big.Int).SetBytes(data), big.NewInt(int64(k.E)), k.N).FillBytes(make([]byte, k.Size()))
	want := slices.Concat([]byte{0, 1}, bytes.Repeat([]byte{0xff}, k.Size()-3-len(hash)), []byte{0}, hash)
	if !bytes.Equal(m, want) {
		t.Errorf("encoded as %x", m)
	}
	sum := sha256.Sum256([]byte("octets"))
	named, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	if VerifyIKEv1(k.Public(), named, sum[:], nil) == nil {
		t.Error("a signature with a DigestInfo verifies")
	}
	longer, _ := rsa.SignPKCS1v15(rand.Reader, k, 0, append([]byte{1, 2, 3}, hash...))
	if VerifyIKEv1(k.Public(), longer, hash, nil) == nil {
		t.Error("a signature of more than the hash verifies")
	}
}

// TestRFC6979IKEv1 is the signature of RFC 6979, Appendix A.2.5, given the hash itself: ECDSA does not hash a HASH again.
func TestRFC6979IKEv1(t *testing.T) {
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), unhex(t, "04"+
		"60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"+
		"7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"))
	if err != nil {
		t.Fatal(err)
	}
	raw := unhex(t, "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")
	sum := sha256.Sum256([]byte("sample"))
	if err := VerifyIKEv1(pub, raw, sum[:], nil); err != nil {
		t.Error(err)
	}
	again := sha256.Sum256(sum[:])
	if VerifyIKEv1(pub, raw, again[:], nil) == nil {
		t.Error("verifies over the hash of the hash")
	}
}

// TestT043IKEv1Refuses: keys that must not sign, hashes of a wrong length, and r or s of 0 or the order.
func TestT043IKEv1Refuses(t *testing.T) {
	for name, lengths := range map[string][]int{"rsa2048": {0, 4, 12, 68}, "p256": {0, 20, 48, 64}, "p384": {32, 64}, "p521": {32, 48}, "ed25519": {32, 64}, "p224": {28, 32}} {
		for _, n := range lengths {
			if _, err := SignIKEv1(rand.Reader, key(t, name), hashOf(n)); err == nil {
				t.Errorf("%s signed %d octets", name, n)
			}
			if err := VerifyIKEv1(key(t, name).Public(), make([]byte, 64), hashOf(n), nil); err == nil || errors.Is(err, ErrSignature) {
				t.Errorf("%s verified over %d octets: %v", name, n, err)
			}
		}
	}
	small := &rsa.PublicKey{N: new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 1024), big.NewInt(1)), E: 65537}
	if err := VerifyIKEv1(small, make([]byte, 128), hashOf(20), nil); err == nil || !strings.Contains(err.Error(), "1024 bits") {
		t.Errorf("RSA 1024: %v", err)
	}
	p256 := key(t, "p256").Public()
	data, err := SignIKEv1(rand.Reader, key(t, "p256"), hashOf(32))
	if err != nil {
		t.Fatal(err)
	}
	wide := slices.Concat([]byte{0}, data[:32], []byte{0}, data[32:]) // the same r and s, with an octet of zeros before each
	if err := VerifyIKEv1(p256, wide, hashOf(32), nil); err == nil || errors.Is(err, ErrSignature) {
		t.Errorf("scalars of 33 octets: %v", err)
	}
	order := elliptic.P256().Params().N.FillBytes(make([]byte, 32))
	for i, bad := range [][]byte{make([]byte, 64), append(make([]byte, 32), order...), append(bytes.Clone(order), order...), bytes.Repeat([]byte{0xff}, 64)} {
		if err := VerifyIKEv1(p256, bad, hashOf(32), nil); !errors.Is(err, ErrSignature) {
			t.Errorf("r, s of case %d: %v", i, err)
		}
	}
}

func TestIKEv1Constraints(t *testing.T) {
	for _, c := range []struct {
		key, constraints string
		want             bool
	}{
		{"rsa2048", "", true}, {"rsa2048", "rsa", true}, {"rsa2048", "rsa-pkcs1", true}, {"rsa2048", "rsa-pss", false},
		{"rsa2048", "rsa-pkcs1-sha256", false}, {"rsa2048", "ecdsa", false},
		{"p256", "ecdsa", true}, {"p256", "ecdsa-sha256", true}, {"p256", "ecdsa-sha384", false}, {"p384", "ecdsa-sha384", true}, {"p256", "rsa", false},
	} {
		hash := hashOf(hashesOf(c.key)[0])
		data, err := SignIKEv1(rand.Reader, key(t, c.key), hash)
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyIKEv1(key(t, c.key).Public(), data, hash, strings.Fields(c.constraints)); (err == nil) != c.want {
			t.Errorf("%s with %q: %v", c.key, c.constraints, err)
		}
	}
}
