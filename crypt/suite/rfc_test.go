// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package suite

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
)

// unhex reads hexadecimal with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKeyExchangeVectors has RFC 5903, Sections 8.1 and 8.2, and RFC 7748, Section 6.1.
func TestKeyExchangeVectors(t *testing.T) {
	for _, c := range []struct {
		k                      KE
		i, gi, r, gr, expected string
	}{
		{
			KEECP256,
			"c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
			"dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180 5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
			"c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
			"d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63 56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
			"d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
		},
		{
			KEECP384,
			"099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896783ab194",
			"667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732aee95f41aa" +
				"9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c634573a81c",
			"41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942e0308312916b8ed2960e4bd55a7448fc",
			"e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0774a3571" +
				"dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96db9e6386c",
			"11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270f59746",
		},
		{
			KECurve25519,
			"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
			"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
			"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
			"de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
			"4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
		},
	} {
		i, r := secret.New(unhex(t, c.i)), secret.New(unhex(t, c.r))
		for _, side := range []struct {
			private        secret.Key
			public, theirs string
		}{{i, c.gi, c.gr}, {r, c.gr, c.gi}} {
			if got, err := c.k.Public(side.private); err != nil || !bytes.Equal(got, unhex(t, side.public)) {
				t.Errorf("%s: public value %x, %v", c.k, got, err)
			}
			got, err := c.k.Shared(side.private, unhex(t, side.theirs))
			if err != nil || !bytes.Equal(got.Bytes(), unhex(t, c.expected)) {
				t.Errorf("%s: another shared secret (%v)", c.k, err)
			}
		}
	}
}

// TestHMACVectors has RFC 2202, Section 3 and RFC 4231, Section 4 (test case 2) and RFC 4868, Section 2.7.2 (AUTH256-1).
func TestHMACVectors(t *testing.T) {
	for _, c := range []struct {
		p              PRF
		key, msg, want string
	}{
		{PRFHMACSHA1, hex.EncodeToString([]byte("Jefe")), "what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
		{PRFHMACSHA2256, hex.EncodeToString([]byte("Jefe")), "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{
			PRFHMACSHA2384, hex.EncodeToString([]byte("Jefe")), "what do ya want for nothing?",
			"af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
		},
		{
			PRFHMACSHA2512, hex.EncodeToString([]byte("Jefe")), "what do ya want for nothing?",
			"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
		},
		{PRFHMACSHA2256, strings.Repeat("0b", 32), "Hi There", "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"},
	} {
		if got := c.p.Sum(secret.New(unhex(t, c.key)), []byte(c.msg)); !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: %x", c.p, got)
		}
		if got := c.p.Sum(secret.New(unhex(t, c.key)), []byte(c.msg[:3]), nil, []byte(c.msg[3:])); !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s in parts: %x", c.p, got)
		}
	}
}

// TestRFC3602 has test case 1 of RFC 3602, Section 4, through a Box.
func TestRFC3602(t *testing.T) {
	keyA := secret.New(bytes.Repeat([]byte{1}, 32))
	b, err := NewBox(EncrAESCBC, 128, IntegHMACSHA2256128, secret.New(unhex(t, "06a9214036b8a15b512e03d534120006")), keyA)
	if err != nil {
		t.Fatal(err)
	}
	msg := append(append(unhex(t, "3dafba429d9eb430b422da802c9fac41"), "Single block msg"...), make([]byte, b.ICVLen())...)
	b.Seal(msg, 0, nil, nil)
	if !bytes.Equal(msg[16:32], unhex(t, "e353779c1079aeb82708942dbe77181a")) {
		t.Errorf("%x", msg[16:32])
	}
	// RFC 4868, Section 2.3: the leftmost half of the HMAC over IV and ciphertext.
	if want := PRFHMACSHA2256.Sum(keyA, msg[:32])[:16]; !bytes.Equal(msg[32:], want) {
		t.Errorf("ICV %x, expected %x", msg[32:], want)
	}
}

// TestRFC7634 has Appendix A of RFC 7634: ESP with ChaCha20-Poly1305.
func TestRFC7634(t *testing.T) {
	key := unhex(t, "808182838485868788898a8b8c8d8e8f 909192939495969798999a9b9c9d9e9f a0a1a2a3")
	b, err := NewBox(EncrChaCha20Poly1305, 0, IntegNone, secret.New(key), secret.Key{})
	if err != nil {
		t.Fatal(err)
	}
	plain := unhex(t, `45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f10111213
		1415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637 01020204`)
	want := unhex(t, `0102030400000005 1011121314151617
		24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f7
		2aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0
		76aaa8266b7fb0f7b11b369907e1ad43`)
	msg := append(append(bytes.Clone(want[:16]), plain...), make([]byte, 16)...)
	b.Seal(msg, 8, nil, nil)
	if !bytes.Equal(msg, want) {
		t.Errorf("%x", msg)
	}
}

// TestPlusLeavesNothing: no octet of prf+ beyond what was asked for stays in the slice's memory.
func TestPlusLeavesNothing(t *testing.T) {
	key := secret.New([]byte("key"))
	long := PRFHMACSHA2256.Plus(key, 100, []byte("seed"))
	short := PRFHMACSHA2256.Plus(key, 33, []byte("seed"))
	if !bytes.Equal(long[:33], short) || cap(short) != 33 {
		t.Errorf("cap %d", cap(short))
	}
}
