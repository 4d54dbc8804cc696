// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package sig

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
)

// rawRSA is the RSA operation on an encoded message that PKCS#1 would not make: the attacker who has a key, or a padding
// oracle's find. It is math/big on a private key, in a test.
func rawRSA(k *rsa.PrivateKey, em []byte) []byte {
	s := new(big.Int).Exp(new(big.Int).SetBytes(em), k.D, k.N)
	return s.FillBytes(make([]byte, k.Size()))
}

// emsa is EMSA-PKCS1-v1_5 (RFC 8017, Section 9.2) around any DigestInfo.
func emsa(size int, info []byte) []byte {
	em := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-3-len(info))...)
	return append(append(em, 0), info...)
}

// TestT041PKCS1 has the encoded messages by which lax verifiers were forged (CVE-2012-2388, 2018-16151, 2018-15836).
func TestT041PKCS1(t *testing.T) {
	k := key(t, "rsa2048").(*rsa.PrivateKey)
	octets := []byte("octets")
	h := sha256.Sum256(octets)
	size := k.Size()
	prefix := unhex(t, "3031300d060960864801650304020105000420")
	info := append(slices.Clone(prefix), h[:]...)
	good := emsa(size, info)
	short := func(n int) []byte {
		return append(unhex(t, "3031300d0609608648016503040201050004"), append([]byte{byte(n)}, h[:n]...)...)
	}
	mutate := func(f func(em []byte)) []byte {
		em := slices.Clone(good)
		f(em)
		return em
	}
	cases := map[string][]byte{
		"no NULL":               emsa(size, append(unhex(t, "302f300b06096086480165030402010420"), h[:]...)),
		"parameters not empty":  emsa(size, append(unhex(t, "3033300f060960864801650304020105020000"+"0420"), h[:]...)),
		"parameters are octets": emsa(size, append(unhex(t, "3034301006096086480165030402010403aabbcc"+"0420"), h[:]...)),
		"short hash":            emsa(size, short(20)),
		"empty hash":            emsa(size, short(0)),
		"BER length":            emsa(size, append(unhex(t, "308131300d060960864801650304020105000420"), h[:]...)),
		"BER length inside":     emsa(size, append(unhex(t, "303230810d060960864801650304020105000420"), h[:]...)),
		"indefinite length":     emsa(size, append(append(unhex(t, "3080300d060960864801650304020105000420"), h[:]...), 0, 0)),
		"bare hash":             emsa(size, h[:]),
		"another hash's OID":    emsa(size, append(unhex(t, "3031300d060960864801650304020205000420"), h[:]...)),
		"garbage in DigestInfo": emsa(size, append(slices.Clone(info), 0)),
		"block type 0":          mutate(func(em []byte) { em[1] = 0 }),
		"block type 2":          mutate(func(em []byte) { em[1] = 2 }),
		"first octet 1":         mutate(func(em []byte) { em[0] = 1 }),
		"padding 00":            mutate(func(em []byte) { em[10] = 0 }),
		"padding fe":            mutate(func(em []byte) { em[2] = 0xfe }),
		"no separator":          mutate(func(em []byte) { em[size-len(info)-1] = 0xff }),
		"short padding":         append(append(append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, 8)...), append([]byte{0}, info...)...), make([]byte, size-11-len(info))...),
		"garbage behind hash":   append(append(append([]byte{0, 1, 0xff}, 0), info...), bytes.Repeat([]byte{0x5a}, size-4-len(info))...),
	}
	p := Policy{Hashes: offered()}
	for name, em := range cases {
		if len(em) != size {
			t.Fatalf("%s: the encoded message has %d octets", name, len(em))
		}
		s := rawRSA(k, em)
		for _, method := range []uint8{MethodRSA, MethodDigital} {
			data := s
			if method == MethodDigital {
				data = Digital{Algorithm: identifiers(RSAPKCS1SHA256)[0], Signature: s}.Append(nil)
			}
			if scheme, err := Verify(k.Public(), method, data, octets, p); err == nil {
				t.Errorf("%s: accepted by method %d as %s", name, method, scheme)
			}
		}
	}
	// The well-formed one passes through the same code, or this test would prove nothing.
	if _, err := Verify(k.Public(), MethodRSA, rawRSA(k, good), octets, p); err != nil {
		t.Error(err)
	}
}

// TestT041RSANumbers: numbers that are no signatures, in every scheme of RSA.
func TestT041RSANumbers(t *testing.T) {
	k := key(t, "rsa2048").(*rsa.PrivateKey)
	octets := []byte("octets")
	size := k.Size()
	n := k.N.FillBytes(make([]byte, size))
	numbers := map[string][]byte{
		"empty":    {},
		"zero":     make([]byte, size),
		"one":      append(make([]byte, size-1), 1),
		"n":        n,
		"n-1":      new(big.Int).Sub(k.N, big.NewInt(1)).FillBytes(make([]byte, size)),
		"n+1":      new(big.Int).Add(k.N, big.NewInt(1)).FillBytes(make([]byte, size)),
		"all ones": bytes.Repeat([]byte{0xff}, size),
	}
	for s := RSAPKCS1SHA256; s <= RSAPSSSHA512; s++ {
		data, err := Sign(rand.Reader, k, Choice{MethodDigital, s}, octets)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := ParseDigital(data)
		numbers["leading zero"] = append([]byte{0}, d.Signature...)
		numbers["cut off"] = d.Signature[:size-1]
		// s + n is the same residue, and one octet longer or not below n.
		plus := new(big.Int).Add(new(big.Int).SetBytes(d.Signature), k.N)
		if plus.BitLen() <= 8*size {
			numbers["s + n"] = plus.FillBytes(make([]byte, size))
		} else {
			numbers["s + n"] = plus.Bytes()
		}
		for name, v := range numbers {
			data := Digital{Algorithm: d.Algorithm, Signature: v}.Append(nil)
			if _, err := Verify(k.Public(), MethodDigital, data, octets, Policy{Hashes: offered()}); err == nil {
				t.Errorf("%s, %s: accepted", s, name)
			}
			if _, err := Verify(k.Public(), MethodRSA, v, octets, Policy{Hashes: offered()}); err == nil {
				t.Errorf("method 1, %s: accepted", name)
			}
		}
	}
}

// TestT041PSS: salts of another length, another mask, and the other padding.
func TestT041PSS(t *testing.T) {
	k := key(t, "rsa2048").(*rsa.PrivateKey)
	octets := []byte("octets")
	for s := RSAPSSSHA256; s <= RSAPSSSHA512; s++ {
		digest := s.digest(octets)
		for _, salt := range []int{1, 20, s.hash().Size() - 1, s.hash().Size() + 1, k.Size() - s.hash().Size() - 2} {
			sig, err := rsa.SignPSS(rand.Reader, k, s.hash(), digest, &rsa.PSSOptions{SaltLength: salt})
			if err != nil {
				t.Fatal(err)
			}
			data := Digital{Algorithm: identifiers(s)[0], Signature: sig}.Append(nil)
			if _, err := Verify(k.Public(), MethodDigital, data, octets, Policy{Hashes: offered()}); err == nil {
				t.Errorf("%s: salt of %d octets accepted", s, salt)
			}
		}
		pkcs1, _ := rsa.SignPKCS1v15(nil, k, s.hash(), digest)
		data := Digital{Algorithm: identifiers(s)[0], Signature: pkcs1}.Append(nil)
		if _, err := Verify(k.Public(), MethodDigital, data, octets, Policy{Hashes: offered()}); err == nil {
			t.Errorf("%s: PKCS#1 v1.5 accepted", s)
		}
		pss, _ := rsa.SignPSS(rand.Reader, k, s.hash(), digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		if _, err := Verify(k.Public(), MethodRSA, pss, octets, Policy{Hashes: offered()}); err == nil {
			t.Errorf("%s: accepted by method 1", s)
		}
	}
}

// TestT041SmallExponent: with e = 3 a forger makes the cube root of a message with garbage; the key itself is refused, also
// when the signature is honest.
func TestT041SmallExponent(t *testing.T) {
	k := smallExponent(t)
	octets := []byte("octets")
	h := sha256.Sum256(octets)
	honest := rawRSA(k, emsa(k.Size(), append(unhex(t, "3031300d060960864801650304020105000420"), h[:]...)))
	if rsa.VerifyPKCS1v15(&k.PublicKey, crypto.SHA256, h[:], honest) != nil {
		t.Fatal("the test's own key does not work")
	}
	if _, err := Verify(k.Public(), MethodRSA, honest, octets, Policy{Hashes: offered()}); err == nil {
		t.Error("a key with e = 3 was accepted")
	}
}

func smallExponent(t *testing.T) *rsa.PrivateKey {
	three, one := big.NewInt(3), big.NewInt(1)
	prime := func() *big.Int {
		for {
			p, err := rand.Prime(rand.Reader, 1024)
			if err != nil {
				t.Fatal(err)
			}
			if new(big.Int).Mod(p, three).Cmp(one) != 0 {
				return p
			}
		}
	}
	p, q := prime(), prime()
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 3}, D: new(big.Int).ModInverse(three, phi), Primes: []*big.Int{p, q}}
	return k
}

// TestT041ECDSA: r and s out of range, in DER and raw; DER that is not DER; DER where raw is due and the reverse.
func TestT041ECDSA(t *testing.T) {
	octets := []byte("octets")
	for _, c := range []struct {
		name   string
		method uint8
		scheme Scheme
	}{{"p256", MethodECDSAP256, ECDSASHA256}, {"p384", MethodECDSAP384, ECDSASHA384}, {"p521", MethodECDSAP521, ECDSASHA512}} {
		k := key(t, c.name).(*ecdsa.PrivateKey)
		size, n := curveLen(k.Curve), k.Params().N
		raw, err := Sign(rand.Reader, k, Choice{c.method, c.scheme}, octets)
		if err != nil {
			t.Fatal(err)
		}
		r, s := new(big.Int).SetBytes(raw[:size]), new(big.Int).SetBytes(raw[size:])
		zero, one := new(big.Int), big.NewInt(1)
		minus := func(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }
		plus := func(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
		for i, v := range [][2]*big.Int{
			{zero, zero}, {zero, s}, {r, zero}, {zero, one}, {one, zero}, {one, one}, {n, n}, {n, s}, {r, n}, {n, one}, {one, n},
			{minus(n, one), minus(n, one)}, {plus(n, one), one}, {k.Params().P, one}, {s, r}, {r, r},
			{plus(r, n), s}, {r, plus(s, n)}, {minus(zero, r), s}, {r, minus(zero, s)}, {minus(r, n), s}, {r, minus(s, n)},
			{new(big.Int).Lsh(one, uint(8*size)-1), one},
		} {
			der, err := asn1.Marshal(struct{ R, S *big.Int }{v[0], v[1]})
			if err != nil {
				t.Fatal(err)
			}
			refuseECDSA(t, k, c.method, c.scheme, der, octets, i)
			if v[0].Sign() >= 0 && v[1].Sign() >= 0 && v[0].BitLen() <= 8*size && v[1].BitLen() <= 8*size {
				refuseECDSA(t, k, c.method, c.scheme, append(v[0].FillBytes(make([]byte, size)), v[1].FillBytes(make([]byte, size))...), octets, i)
			}
		}
		der, _ := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		digital := Digital{Algorithm: identifiers(c.scheme)[0], Signature: der}.Append(nil)
		if _, err := Verify(k.Public(), MethodDigital, digital, octets, Policy{Hashes: offered()}); err != nil {
			t.Fatalf("%s: the honest signature: %v", c.name, err)
		}
		for i, bad := range notDER(der, r, s) {
			refuseECDSA(t, k, c.method, c.scheme, bad, octets, 100+i)
		}
		// Raw where DER is due, DER where raw is due.
		if _, err := Verify(k.Public(), MethodDigital, Digital{Algorithm: identifiers(c.scheme)[0], Signature: raw}.Append(nil), octets, Policy{Hashes: offered()}); err == nil {
			t.Errorf("%s: r | s accepted by method 14", c.name)
		}
		if _, err := Verify(k.Public(), c.method, der, octets, Policy{Hashes: offered()}); err == nil {
			t.Errorf("%s: DER accepted by method %d", c.name, c.method)
		}
	}
}

func refuseECDSA(t *testing.T, k *ecdsa.PrivateKey, method uint8, s Scheme, signature, octets []byte, i int) {
	t.Helper()
	p := Policy{Hashes: offered()}
	if _, err := Verify(k.Public(), method, signature, octets, p); err == nil {
		t.Errorf("%s: case %d accepted by method %d", s, i, method)
	}
	if _, err := Verify(k.Public(), MethodDigital, Digital{Algorithm: identifiers(s)[0], Signature: signature}.Append(nil), octets, p); err == nil {
		t.Errorf("%s: case %d accepted by method 14", s, i)
	}
}

// notDER spells one signature in ways that BER or a lax parser would take.
func notDER(der []byte, r, s *big.Int) [][]byte {
	integer := func(v *big.Int, pad ...byte) []byte {
		b := v.Bytes()
		if b[0]&0x80 != 0 {
			b = append([]byte{0}, b...)
		}
		return tlvLong(2, append(slices.Clone(pad), b...))
	}
	unsigned := append([]byte{2, byte(len(r.Bytes()))}, r.Bytes()...)
	list := [][]byte{
		nil,
		append(slices.Clone(der), 0),
		append(slices.Clone(der), 5, 0),
		tlvLong(0x30, append(append(integer(r), integer(s)...), 5, 0)),
		tlvLong(0x30, append(integer(r, 0, 0), integer(s)...)),
		tlvLong(0x30, append(integer(r), integer(s, 0, 0)...)),
		tlvLong(0x31, append(integer(r), integer(s)...)),
		tlvLong(0x30, integer(r)),
		tlvLong(0x30, nil),
		append([]byte{0x30, 0x80}, append(append(integer(r), integer(s)...), 0, 0)...),
		append([]byte{0x30, 0x82, 0, byte(len(der) - 2)}, append(integer(r), integer(s)...)...),
		tlvLong(0x30, append(tlvLong(4, r.Bytes()), integer(s)...)),
		tlvLong(0x30, append([]byte{2, 0}, integer(s)...)),
		tlvLong(0x30, append([]byte{9, 1, 0x40}, integer(s)...)), // REAL infinity
	}
	if r.Bytes()[0]&0x80 != 0 {
		list = append(list, tlvLong(0x30, append(unsigned, integer(s)...)))
	}
	return list
}

func tlvLong(tag byte, v []byte) []byte {
	if len(v) < 128 {
		return append([]byte{tag, byte(len(v))}, v...)
	}
	return append([]byte{tag, 0x81, byte(len(v))}, v...)
}

// TestT041Ed25519: small order points, s not below the group's order, wrong lengths.
func TestT041Ed25519(t *testing.T) {
	k := key(t, "ed25519")
	octets := []byte("octets")
	data, err := Sign(rand.Reader, k, Choice{MethodDigital, Ed25519}, octets)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := ParseDigital(data)
	// RFC 8032, Section 5.1.7: s must be below L. s + L is the malleable twin, little-endian.
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	le := func(b []byte) []byte { c := slices.Clone(b); slices.Reverse(c); return c }
	s := new(big.Int).SetBytes(le(d.Signature[32:]))
	twin := le(new(big.Int).Add(s, l).FillBytes(make([]byte, 32)))
	for name, v := range map[string][]byte{
		"zero":        make([]byte, 64),
		"short":       d.Signature[:63],
		"long":        append(slices.Clone(d.Signature), 0),
		"s + L":       append(slices.Clone(d.Signature[:32]), twin...),
		"R only":      append(slices.Clone(d.Signature[:32]), make([]byte, 32)...),
		"identity R":  append(append([]byte{1}, make([]byte, 31)...), make([]byte, 32)...),
		"swapped":     append(slices.Clone(d.Signature[32:]), d.Signature[:32]...),
		"bad point":   append(bytes.Repeat([]byte{0xff}, 32), d.Signature[32:]...),
		"of a digest": ed25519.Sign(k.(ed25519.PrivateKey), ECDSASHA512.digest(octets)),
	} {
		bad := Digital{Algorithm: d.Algorithm, Signature: v}.Append(nil)
		if _, err := Verify(k.Public(), MethodDigital, bad, octets, Policy{Hashes: offered()}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// Ed25519 has no older method (RFC 8420, Section 2).
	for m := range 14 {
		if _, err := Verify(k.Public(), uint8(m), d.Signature, octets, Policy{Hashes: offered()}); err == nil {
			t.Errorf("accepted by method %d", m)
		}
	}
}

// TestT042Policy: hashes that were not offered, SHA-1, constraints.
func TestT042Policy(t *testing.T) {
	octets := []byte("octets")
	everyChoice(func(name string, c Choice) {
		data, err := Sign(rand.Reader, key(t, name), c, octets)
		if err != nil {
			t.Fatal(err)
		}
		verify := func(p Policy) error {
			_, err := Verify(key(t, name).Public(), c.Method, data, octets, p)
			return err
		}
		if c.Method == MethodDigital {
			others := slices.DeleteFunc(offered(), func(h uint16) bool { return h == c.Scheme.hashNumber() })
			if verify(Policy{Hashes: others}) == nil || verify(Policy{}) == nil {
				t.Errorf("%s: a hash that was not offered was accepted", c.Scheme)
			}
		}
		for s := RSAPKCS1SHA1; s <= Ed25519; s++ {
			if got := verify(Policy{Hashes: offered(), Constraints: []string{s.Name()}}) == nil; got != (s == c.Scheme) {
				t.Errorf("signature of %s, constraint %s: %v", c.Scheme, s.Name(), got)
			}
		}
	})
	// SHA-1 in method 14, although somebody should offer it.
	k := key(t, "rsa2048").(*rsa.PrivateKey)
	s, _ := rsa.SignPKCS1v15(nil, k, crypto.SHA1, RSAPKCS1SHA1.digest(octets))
	data := Digital{Algorithm: unhex(t, "300d06092a864886f70d0101050500"), Signature: s}.Append(nil)
	if _, err := Verify(k.Public(), MethodDigital, data, octets, Policy{Hashes: append(offered(), HashSHA1)}); err == nil {
		t.Error("SHA-1 accepted by RFC 7427")
	}
	// A PKCS#1 signature by SHA-256 under the identifier of SHA-384.
	s, _ = rsa.SignPKCS1v15(nil, k, crypto.SHA256, RSAPKCS1SHA256.digest(octets))
	data = Digital{Algorithm: identifiers(RSAPKCS1SHA384)[0], Signature: s}.Append(nil)
	if _, err := Verify(k.Public(), MethodDigital, data, octets, Policy{Hashes: offered()}); err == nil {
		t.Error("the identifier and the DigestInfo name different hashes")
	}
}
