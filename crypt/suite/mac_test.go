// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The MACs, AES-CTR and AES-CCM against the vectors of their RFCs, Wycheproof's, and what OpenSSL calculated.

package suite

import (
	"bytes"
	"crypto/aes"
	"hash"
	"os"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
)

func TestBlockMACVectors(t *testing.T) {
	const ramp = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021"
	const nist = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
	for _, v := range []struct {
		name           string
		i              Integ
		key, msg, want string
	}{
		{"RFC 3566, Section 4.6, case 1", IntegAESXCBC96, ramp[:32], "", "75f0251d528ac01c4573dfd584d79f29"},
		{"RFC 3566, case 2", IntegAESXCBC96, ramp[:32], ramp[:6], "5b376580ae2f19afe7219ceef172756f"},
		{"RFC 3566, case 3", IntegAESXCBC96, ramp[:32], ramp[:32], "d2a246fa349b68a79998a4394ff7a263"},
		{"RFC 3566, case 4", IntegAESXCBC96, ramp[:32], ramp[:40], "47f51b4564966215b8985c63055ed308"},
		{"RFC 3566, case 5", IntegAESXCBC96, ramp[:32], ramp[:64], "f54f0ec8d2b9f3d36807734bd5283fd4"},
		{"RFC 3566, case 6", IntegAESXCBC96, ramp[:32], ramp[:68], "becbb3bccdb518a30677d5481fb6b4d8"},
		{"RFC 3566, case 7", IntegAESXCBC96, ramp[:32], strings.Repeat("00", 1000), "f0dafee895db30253761103b5d84528f"},
		{"RFC 4493, Section 4, example 1", IntegAESCMAC96, "2b7e151628aed2a6abf7158809cf4f3c", "", "bb1d6929e95937287fa37d129b756746"},
		{"RFC 4493, example 2", IntegAESCMAC96, "2b7e151628aed2a6abf7158809cf4f3c", nist[:32], "070a16b46b4d4144f79bdd9dd04a287c"},
		{"RFC 4493, example 3", IntegAESCMAC96, "2b7e151628aed2a6abf7158809cf4f3c", nist[:80], "dfa66747de9ae63030ca32611497c827"},
		{"RFC 4493, example 4", IntegAESCMAC96, "2b7e151628aed2a6abf7158809cf4f3c", nist, "51f0bebf7e3b9d92fc49741779363cfe"},
		{"RFC 2202, Section 2, case 1", IntegHMACMD596, strings.Repeat("0b", 16), "4869205468657265", "9294727a3638bb1c13f48ef8158bfc9d"},
	} {
		m, err := newMAC(v.i, secret.New(unhex(t, v.key)))
		if err != nil {
			t.Fatal(err)
		}
		msg := unhex(t, v.msg)
		for split := 0; split <= len(msg); split += 1 + len(msg)/40 {
			m.Reset()
			m.Write(msg[:split])
			m.Sum(nil) // must not disturb it
			m.Write(msg[split:])
			if got := m.Sum(nil); !bytes.Equal(got, unhex(t, v.want)) {
				t.Errorf("%s, split at %d: %x", v.name, split, got)
			}
		}
	}
}

// TestRFC3686 has test vectors 1, 2 and 9 of RFC 3686, Section 6.
func TestRFC3686(t *testing.T) {
	for _, v := range []struct{ key, nonce, iv, plain, want string }{
		{"ae6852f8121067cc4bf7a5765577f39e", "00000030", "0000000000000000", "53696e676c6520626c6f636b206d7367", "e4095d4fb7a7b3792d6175a3261311b8"},
		{
			"7e24067817fae0d743d6ce1f32539163", "006cb6db", "c0543b59da48d90b",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28",
		}, {
			"ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d", "001cc5b7", "51a51d70a1c11148",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223", "eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8",
		},
	} {
		box, err := NewBox(EncrAESCTR, len(v.key)*4, IntegHMACSHA196, secret.New(unhex(t, v.key+v.nonce)), secret.New(make([]byte, 20)))
		if err != nil {
			t.Fatal(err)
		}
		msg := append(unhex(t, v.iv+v.plain), make([]byte, box.ICVLen())...)
		box.Seal(msg, 0, nil, nil)
		if got := msg[8 : len(msg)-box.ICVLen()]; !bytes.Equal(got, unhex(t, v.want)) {
			t.Errorf("%x", got)
		}
	}
}

// TestOpenSSLCCM: RFC 3610's own vectors have nonces of 13 octets; these, with the 11 of RFC 4309, were calculated by OpenSSL 3.
func TestOpenSSLCCM(t *testing.T) {
	const key, salt, iv, aad = "000102030405060708090a0b0c0d0e0f", "a0a1a2", "1011121314151617", "c0ffee0100000001"
	plain := "45000014" + strings.Repeat("ab", 33) + "01020204"
	for e, want := range map[Encr]string{
		EncrAESCCM8:  ccm8,
		EncrAESCCM12: ccm12,
		EncrAESCCM16: ccm16,
	} {
		box, err := NewBox(e, 128, IntegNone, secret.New(unhex(t, key+salt)), secret.Key{})
		if err != nil {
			t.Fatal(err)
		}
		msg := append(unhex(t, aad+iv+plain), make([]byte, box.ICVLen())...)
		box.Seal(msg, 8, nil, nil)
		if got := msg[16:]; !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%s: %x", e, got)
		}
	}
}

const (
	ccm8   = "8baa7a694b57a11b5d64639471465f92d6e7269582dcb8c807f27f1ae7413cda69aac977d75280b38ae4a16925ae14f4f9"
	ccm12  = "8baa7a694b57a11b5d64639471465f92d6e7269582dcb8c807f27f1ae7413cda69aac977d75280b38a7240a7e9976a99d27891d3a6"
	ccm16  = "8baa7a694b57a11b5d64639471465f92d6e7269582dcb8c807f27f1ae7413cda69aac977d75280b38acf3a57d8dfe75d3fda29e072cee2a67a"
	gmac32 = "f791b54c8c9884970f0e5e798efe5940"
	gmac64 = "c46b1b86007e13d157b6a26f5278df74"
)

// TestOpenSSLGMAC: ESP of RFC 4543 with and without ESN, calculated by OpenSSL 3.
func TestOpenSSLGMAC(t *testing.T) {
	const key, salt = "000102030405060708090a0b0c0d0e0f", "a0a1a2a3"
	const head, iv, body = "c0ffee0100000001", "1011121314151617", "450000140102030401020204"
	for _, v := range []struct{ aad, want string }{{"", gmac32}, {"c0ffee010000000500000001", gmac64}} {
		box, err := NewBox(EncrNullAESGMAC, 128, IntegNone, secret.New(unhex(t, key+salt)), secret.Key{})
		if err != nil {
			t.Fatal(err)
		}
		var aad []byte
		if v.aad != "" {
			aad = unhex(t, v.aad)
		}
		msg := append(unhex(t, head+iv+body), make([]byte, box.ICVLen())...)
		box.Seal(msg, 8, aad, nil)
		if !bytes.Equal(msg, unhex(t, head+iv+body+v.want)) {
			t.Errorf("%x", msg)
		}
	}
}

func TestWycheproofCMAC(t *testing.T) {
	done := 0
	wycheproof(t, "aes_cmac_test.json", func(t *testing.T, v vector) {
		block, err := aes.NewCipher(v.Key)
		if err != nil {
			if v.Result == "valid" {
				t.Errorf("vector %d: %v", v.TCID, err)
			}
			return
		}
		done++
		var m hash.Hash = newCMAC(block)
		m.Write(v.Msg)
		if got := m.Sum(nil)[:v.tagSizeOct]; bytes.Equal(got, v.Tag) != (v.Result == "valid") {
			t.Errorf("vector %d (%s, %s): %x", v.TCID, v.Result, v.Comment, got)
		}
	})
	enough(t, done)
}

// TestWycheproofGMAC goes through the MAC of AH, and, where the message is long enough for a header, through a Box.
func TestWycheproofGMAC(t *testing.T) {
	done := 0
	wycheproof(t, "aes_gmac_test.json", func(t *testing.T, v vector) {
		if v.ivSize != 96 || v.tagSizeOct != gmacICVLen {
			return
		}
		done++
		i := map[int]Integ{16: IntegAES128GMAC, 24: IntegAES192GMAC, 32: IntegAES256GMAC}[len(v.Key)]
		m, err := NewMAC(i, secret.New(append(bytes.Clone(v.Key), v.IV[:saltLen]...)))
		if err != nil {
			t.Fatal(err)
		}
		m.Reset()
		m.Cover(v.Msg[:len(v.Msg)/2])
		m.Cover(v.Msg[len(v.Msg)/2:])
		if got := m.Sum(v.IV[saltLen:]); bytes.Equal(got, v.Tag) != (v.Result == "valid") {
			t.Errorf("vector %d (%s, %s): %x", v.TCID, v.Result, v.Comment, got)
		}
	})
	enough(t, done)
}

func TestWycheproofCCM(t *testing.T) {
	done := 0
	wycheproof(t, "aes_ccm_test.json", func(t *testing.T, v vector) {
		e := map[int]Encr{8: EncrAESCCM8, 12: EncrAESCCM12, 16: EncrAESCCM16}[v.tagSizeOct]
		if v.ivSize != ccmNonceLen*8 || len(v.IV) != ccmNonceLen || e == 0 {
			return // not of RFC 4309
		}
		done++
		checkAEAD(t, e, v.keySize, v)
	})
	if os.Getenv("NATTERJACK_VECTORS") != "" && done == 0 {
		t.Error("no vector fits")
	}
}

func enough(t *testing.T, done int) {
	t.Helper()
	if done < 100 && os.Getenv("NATTERJACK_VECTORS") != "" {
		t.Errorf("%d vectors fit, expected more", done)
	}
}

// TestCCMHeader: additional data of a length that takes several blocks and ends within one, as IKE's and longer: opened by what
// sealed it only.
func TestCCMHeader(t *testing.T) {
	for _, n := range []int{0, 1, 13, 14, 15, 16, 30, 31, 200, maxCCMAAD} {
		box, err := NewBox(EncrAESCCM16, 256, IntegNone, secret.New(make([]byte, 35)), secret.Key{})
		if err != nil {
			t.Fatal(err)
		}
		msg := append(make([]byte, n+8), "the plaintext"...)
		msg = append(msg, make([]byte, 16)...)
		box.Seal(msg, n, nil, nil)
		if n > 0 {
			bad := bytes.Clone(msg)
			bad[n-1] ^= 1
			if box.Open(bad, n, nil, nil) == nil {
				t.Errorf("header of %d octets: the last is not authenticated", n)
			}
			if !bytes.Equal(bad[n+8:len(bad)-16], make([]byte, 13)) {
				t.Errorf("unauthentic plaintext was left: %q", bad[n+8:])
			}
		}
		if err := box.Open(msg, n, nil, nil); err != nil || string(msg[n+8:len(msg)-16]) != "the plaintext" {
			t.Errorf("header of %d octets: %v", n, err)
		}
	}
}

// TestT012WhatIKEMayHave: NULL, GMAC, MD5 and truncations of ESP are not for IKE SAs, whatever the name is that asks for them; what is
// known has a key length, and NewBox makes it.
func TestT012WhatIKEMayHave(t *testing.T) {
	for n := range 2048 {
		e, i := Encr(n), Integ(n)
		if e.KnownIKE() && (!e.KnownESP() || !e.Encrypts() || e.Weak()) {
			t.Errorf("%s in IKE", e)
		}
		if i.KnownIKE() && (!i.KnownESP() || i.Weak()) || i.KnownESP() && !i.KnownAH() {
			t.Errorf("%s in IKE", i)
		}
		if i.KnownAH() != (i.KeyLen() > 0) || i.KnownAH() != (i.ICVLen() > 0) {
			t.Errorf("%s: key of %d octets, ICV of %d", i, i.KeyLen(), i.ICVLen())
		}
		for _, bits := range []int{0, 64, 128, 192, 256, 512} {
			auth := IntegNone
			if !e.AEAD() {
				auth = IntegHMACSHA2256128
			}
			_, err := NewBox(e, bits, auth, secret.New(make([]byte, e.KeyLen(bits))), secret.New(make([]byte, auth.KeyLen())))
			if (err == nil) != (e.KnownESP() && e.ValidBits(bits)) {
				t.Errorf("%s with %d bits: %v", e, bits, err)
			}
		}
	}
	for _, e := range []Encr{EncrNULL, EncrNullAESGMAC, EncrAESCTR, Encr3DESCBC} {
		if e.KnownIKE() {
			t.Errorf("%s in IKE", e)
		}
	}
}

// TestCCMLongHeader: a message whose header is longer than CCM's short form has room for is refused, not a panic.
func TestCCMLongHeader(t *testing.T) {
	box, err := NewBox(EncrAESCCM8, 128, IntegNone, secret.New(make([]byte, 19)), secret.Key{})
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Open(make([]byte, maxCCMAAD+200), maxCCMAAD+1, nil, nil); err != ErrICV {
		t.Errorf("%v", err)
	}
}

func TestMACAllocatesNothing(t *testing.T) {
	for _, i := range []Integ{IntegHMACMD596, IntegAESXCBC96, IntegAESCMAC96, IntegAES256GMAC, IntegHMACSHA2512256} {
		m, err := NewMAC(i, secret.New(make([]byte, i.KeyLen())))
		if err != nil {
			t.Fatal(err)
		}
		msg, iv := make([]byte, 1400), make([]byte, 8)
		if n := testing.AllocsPerRun(100, func() {
			m.Reset()
			m.Cover(msg)
			m.Cover(iv)
			m.Sum(iv[:m.IVLen()])
		}); n != 0 {
			t.Errorf("%s: %v allocations", i, n)
		}
	}
}
