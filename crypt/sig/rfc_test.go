// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package sig

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"testing"
)

// TestRFC6979 verifies the signature of RFC 6979, Appendix A.2.5 (P-256, SHA-256, "sample") in both encodings.
func TestRFC6979(t *testing.T) {
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), unhex(t, "04"+
		"60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"+
		"7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"))
	if err != nil {
		t.Fatal(err)
	}
	raw := unhex(t, "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")
	if s, err := Verify(pub, MethodECDSAP256, raw, []byte("sample"), Policy{}); err != nil || s != ECDSASHA256 {
		t.Error(s, err)
	}
	der, _ := ecdsaDER(raw)
	data := Digital{Algorithm: identifiers(ECDSASHA256)[0], Signature: der}.Append(nil)
	if s, err := Verify(pub, MethodDigital, data, []byte("sample"), Policy{Hashes: offered()}); err != nil || s != ECDSASHA256 {
		t.Error(s, err)
	}
	back, err := ecdsaRaw(der, 32)
	if err != nil || !bytes.Equal(back, raw) {
		t.Errorf("%x, %v", back, err)
	}
}

// TestRFC8032 has test 2 of RFC 8032, Section 7.1, with the signature made here.
func TestRFC8032(t *testing.T) {
	k := ed25519.NewKeyFromSeed(unhex(t, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
	data, err := Sign(nil, k, Choice{MethodDigital, Ed25519}, []byte{0x72})
	if err != nil {
		t.Fatal(err)
	}
	want := "07300506032b657092a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
	if !bytes.Equal(data, unhex(t, want)) {
		t.Errorf("%x", data)
	}
}
