// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The vectors of C2SP/wycheproof, which lie beside the tree and not in it: NATTERJACK_VECTORS names their folder, and .ci/run
// sets it. Without it there are the vectors of the RFCs in the other test files, which run always.

package suite

import (
	"bytes"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
)

// octets are hexadecimal in JSON.
type octets []byte

func (o *octets) UnmarshalText(b []byte) (err error) {
	*o, err = hex.DecodeString(string(b))
	return err
}

// vectors is the part of Wycheproof's files that is used here.
type vectors struct {
	NumberOfTests int
	TestGroups    []struct {
		IVSize, KeySize, TagSize int
		Tests                    []vector
	}
}

type vector struct {
	TCID                        int
	Comment, Result             string
	Flags                       []string
	Key, IV, AAD, Msg, CT, Tag  octets
	Public, Shared              octets
	Private                     string // hexadecimal with an odd number of digits sometimes
	ivSize, keySize, tagSizeOct int
}

// wycheproof calls f with every vector of a file, and fails when there is none.
func wycheproof(t *testing.T, name string, f func(t *testing.T, v vector)) {
	t.Helper()
	dir := os.Getenv("NATTERJACK_VECTORS")
	if dir == "" {
		t.Log("NATTERJACK_VECTORS is not set: only the RFCs' vectors are tested")
		return
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	var all vectors
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range all.TestGroups {
		for _, v := range g.Tests {
			v.ivSize, v.keySize, v.tagSizeOct = g.IVSize, g.KeySize, g.TagSize/8
			n++
			f(t, v)
		}
	}
	if n == 0 || n != all.NumberOfTests {
		t.Fatalf("%s: %d vectors, expected %d", name, n, all.NumberOfTests)
	}
}

func TestWycheproofAEAD(t *testing.T) {
	for name, e := range map[string]Encr{"aes_gcm_test.json": EncrAESGCM16, "chacha20_poly1305_test.json": EncrChaCha20Poly1305} {
		done := 0
		wycheproof(t, name, func(t *testing.T, v vector) {
			if v.ivSize != 96 || v.tagSizeOct != e.ICVLen() {
				return // not of RFC 4106 or RFC 7634
			}
			done++
			bits := v.keySize
			if e == EncrChaCha20Poly1305 {
				bits = 0
			}
			checkAEAD(t, e, bits, v)
		})
		if done < 100 && os.Getenv("NATTERJACK_VECTORS") != "" {
			t.Errorf("%s: %d vectors fit, expected more", name, done)
		}
	}
}

// checkAEAD opens and, where the vector is valid, seals. A nonce of 12 octets is salt | IV.
func checkAEAD(t *testing.T, e Encr, bits int, v vector) {
	t.Helper()
	key := secret.New(append(append([]byte(nil), v.Key...), v.IV[:e.SaltLen()]...))
	box, err := NewBox(e, bits, IntegNone, key, secret.Key{})
	if err != nil {
		t.Errorf("vector %d: %v", v.TCID, err)
		return
	}
	aad := append([]byte{}, v.AAD...) // not nil, which would mean the header
	sealed := append(append(append([]byte("head"), v.IV[e.SaltLen():]...), v.CT...), v.Tag...)
	msg := append([]byte(nil), sealed...)
	err = box.Open(msg, 4, aad, nil)
	if (err == nil) != (v.Result == "valid") {
		t.Errorf("vector %d (%s, %s): %v", v.TCID, v.Result, v.Comment, err)
	}
	if v.Result != "valid" {
		return
	}
	if got := msg[4+aeadIVLen : len(msg)-e.ICVLen()]; !bytes.Equal(got, v.Msg) {
		t.Errorf("vector %d: opened to %x", v.TCID, got)
	}
	msg = append(append(append([]byte("head"), v.IV[e.SaltLen():]...), v.Msg...), make([]byte, e.ICVLen())...)
	box.Seal(msg, 4, aad, nil)
	if !bytes.Equal(msg, sealed) {
		t.Errorf("vector %d: sealed to %x", v.TCID, msg)
	}
}

func TestWycheproofHMAC(t *testing.T) {
	for name, p := range map[string]PRF{
		"hmac_sha1_test.json": PRFHMACSHA1, "hmac_sha256_test.json": PRFHMACSHA2256,
		"hmac_sha384_test.json": PRFHMACSHA2384, "hmac_sha512_test.json": PRFHMACSHA2512,
	} {
		wycheproof(t, name, func(t *testing.T, v vector) {
			sum := p.Sum(secret.New(v.Key), v.Msg)[:v.tagSizeOct]
			if bytes.Equal(sum, v.Tag) != (v.Result == "valid") {
				t.Errorf("%s, vector %d (%s, %s): %x", name, v.TCID, v.Result, v.Comment, sum)
			}
		})
	}
}

// TestT009WycheproofECP: points off the curve, at infinity, of other curves and in other forms. A vector that Wycheproof
// calls acceptable has a compressed point, which RFC 5903 does not have.
func TestT009WycheproofECP(t *testing.T) {
	for name, c := range map[string]struct {
		k     KE
		curve elliptic.Curve
	}{
		"ecdh_secp256r1_ecpoint_test.json": {KEECP256, elliptic.P256()},
		"ecdh_secp384r1_ecpoint_test.json": {KEECP384, elliptic.P384()},
		"ecdh_secp521r1_ecpoint_test.json": {KEECP521, elliptic.P521()},
	} {
		accepted := 0
		wycheproof(t, name, func(t *testing.T, v vector) {
			d, ok := new(big.Int).SetString(v.Private, 16)
			if !ok || d.Sign() <= 0 || d.Cmp(c.curve.Params().N) >= 0 {
				t.Errorf("vector %d: the private value is out of range", v.TCID)
				return
			}
			private := secret.New(d.FillBytes(make([]byte, c.k.scalarLen())))
			peer, whole := bytes.CutPrefix(v.Public, []byte{4})
			shared, err := c.k.Shared(private, peer)
			switch {
			case v.Result == "valid" && whole:
				accepted++
				if err != nil || !bytes.Equal(shared.Bytes(), v.Shared) {
					t.Errorf("%s, vector %d (%s): %v", name, v.TCID, v.Comment, err)
				}
			case err == nil:
				t.Errorf("%s, vector %d (%s, %s): accepted", name, v.TCID, v.Result, v.Comment)
			}
		})
		if accepted < 100 && os.Getenv("NATTERJACK_VECTORS") != "" {
			t.Errorf("%s: %d accepted, expected more", name, accepted)
		}
	}
}

// TestT009WycheproofX25519: what gives an all-zero secret is refused (RFC 8031, Section 3), everything else is calculated, also
// where the peer's value is on the twist or not reduced.
func TestT009WycheproofX25519(t *testing.T) {
	refused := 0
	wycheproof(t, "x25519_test.json", func(t *testing.T, v vector) {
		private, err := hex.DecodeString(v.Private)
		if err != nil {
			t.Fatal(err)
		}
		shared, err := KECurve25519.Shared(secret.New(private), v.Public)
		zero := bytes.Equal(v.Shared, make([]byte, 32))
		switch {
		case zero && err == nil:
			t.Errorf("vector %d (%s): an all-zero secret", v.TCID, v.Comment)
		case zero:
			refused++
		case err != nil || !bytes.Equal(shared.Bytes(), v.Shared):
			t.Errorf("vector %d (%s): %v", v.TCID, v.Comment, err)
		}
	})
	if refused == 0 && os.Getenv("NATTERJACK_VECTORS") != "" {
		t.Error("no vector with a secret of zeros")
	}
}
