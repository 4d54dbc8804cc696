// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package suite

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
)

// TestRFC2202MD5 is RFC 2202, Section 2, test cases 1, 2 and 6: the PRF of the oldest gateways.
func TestRFC2202MD5(t *testing.T) {
	for i, c := range []struct{ key, data, digest string }{
		{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", hex.EncodeToString([]byte("Hi There")), "9294727a3638bb1c13f48ef8158bfc9d"},
		{hex.EncodeToString([]byte("Jefe")), hex.EncodeToString([]byte("what do ya want for nothing?")), "750c783e6ab0b503eaa86e310a5db738"},
		{hex.EncodeToString(bytes.Repeat([]byte{0xaa}, 80)), hex.EncodeToString([]byte("Test Using Larger Than Block-Size Key - Hash Key First")),
			"6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"},
	} {
		if got := PRFHMACMD5.Sum(secret.New(unhex(t, c.key)), unhex(t, c.data)); hex.EncodeToString(got) != c.digest {
			t.Errorf("case %d: %x", i, got)
		}
	}
}

// TestDigest: RFC 1321, Appendix A.5, and FIPS 180 on "abc", given in parts.
func TestDigest(t *testing.T) {
	for p, want := range map[PRF]string{
		PRFHMACMD5:     "900150983cd24fb0d6963f7d28e17f72",
		PRFHMACSHA1:    "a9993e364706816aba3e25717850c26c9cd0d89d",
		PRFHMACSHA2256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		PRFHMACSHA2384: "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
		PRFHMACSHA2512: "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	} {
		if got := hex.EncodeToString(p.Digest([]byte("a"), nil, []byte("bc"))); got != want || len(want) != 2*p.Size() {
			t.Errorf("%s: %s", p, got)
		}
	}
}

// TestRFC3602CBC is RFC 3602, Section 4, cases 2 and 4 (AES-CBC), and SP 800-67's triple DES in CBC as NIST SP 800-38A-style
// chaining gives it: one block at a time from the cipher must be what CBC makes of two.
func TestRFC3602CBC(t *testing.T) {
	for i, c := range []struct{ key, iv, plain, sealed string }{
		{"c286696d887c9aa0611bbb3e2025a45a", "562e17996d093d28ddb3ba695a2e6f58",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"},
		{"56e47a38c5598974bc46903dba290349", "8ce82eefbea0da3c44699ed7db51b7d9",
			"a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf",
			"c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55"},
	} {
		cbc, err := NewCBC(EncrAESCBC, 128, secret.New(unhex(t, c.key)))
		if err != nil {
			t.Fatal(err)
		}
		b := unhex(t, c.plain)
		if cbc.Encrypt(unhex(t, c.iv), b); hex.EncodeToString(b) != c.sealed {
			t.Errorf("case %d: %x", i, b)
		}
		if cbc.Decrypt(unhex(t, c.iv), b); hex.EncodeToString(b) != c.plain {
			t.Errorf("case %d does not decrypt", i)
		}
	}
}

// TestTripleDES is NIST SP 800-20's sample for three keys ("The quick brown fox jump", SP 800-67, Appendix B.1), which is ECB: CBC
// with the block before as its IV taken away again.
func TestTripleDES(t *testing.T) {
	cbc, err := NewCBC(Encr3DESCBC, 0, secret.New(unhex(t, "0123456789abcdef23456789abcdef01456789abcdef0123")))
	if err != nil {
		t.Fatal(err)
	}
	plain, sealed := unhex(t, "5468652071756663"+"6b2062726f776e20"+"666f78206a756d70"), unhex(t, "a826fd8ce53b855f"+"cce21c8112256fe6"+"68d5c05dd9b6b900")
	b := bytes.Clone(plain)
	for i := 8; i < len(b); i++ {
		b[i] ^= sealed[i-8]
	}
	if cbc.Encrypt(make([]byte, 8), b); !bytes.Equal(b, sealed) {
		t.Errorf("%x", b)
	}
}

func TestNewCBCRefuses(t *testing.T) {
	for i, c := range []struct {
		e    Encr
		bits int
		key  int
	}{
		{EncrAESGCM16, 128, 20}, {EncrAESCTR, 128, 20}, {EncrNULL, 0, 0}, {2, 0, 8}, {EncrAESCBC, 0, 16}, {EncrAESCBC, 128, 24}, {EncrAESCBC, 65535, 16},
		{Encr3DESCBC, 192, 24}, {Encr3DESCBC, 0, 16}, {EncrChaCha20Poly1305, 0, 36},
	} {
		if _, err := NewCBC(c.e, c.bits, secret.New(make([]byte, c.key))); err == nil {
			t.Errorf("case %d was accepted", i)
		}
	}
}

// TestT012WeakIsForIKEv1Only: what IKEv2 asks, Known, is never true for what IKEv1 has beyond it.
func TestT012WeakIsForIKEv1Only(t *testing.T) {
	for n := range uint16(64) {
		k, p := KE(n), PRF(n)
		if k.Known() && k.Weak() || p.Known() && p.Weak() || Encr(n).KnownIKE() && Encr(n).Weak() {
			t.Errorf("%s, %s or %s is weak and known", k, p, Encr(n))
		}
		if !k.Known() && k.KnownIKEv1() != k.Weak() {
			t.Errorf("%s: IKEv1 has it, IKEv2 not, and it is not called weak", k)
		}
	}
	if !KEMODP1024.KnownIKEv1() || !PRFHMACMD5.KnownIKEv1() || !Encr3DESCBC.KnownIKEv1() || KECurve25519.KnownIKEv1() || EncrAESGCM16.KnownIKEv1() {
		t.Error("IKEv1 has not what it should")
	}
}
