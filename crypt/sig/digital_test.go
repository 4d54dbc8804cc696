// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package sig

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRFC7427Identifiers has the AlgorithmIdentifiers of RFC 7427, Appendix A and RFC 8420, Appendix A.
func TestRFC7427Identifiers(t *testing.T) {
	for _, c := range []struct {
		hex    string
		scheme Scheme // zero: refused
		sent   bool
	}{
		{"300d06092a864886f70d01010b0500", RSAPKCS1SHA256, true},
		{"300d06092a864886f70d01010c0500", RSAPKCS1SHA384, true},
		{"300d06092a864886f70d01010d0500", RSAPKCS1SHA512, true},
		{"300b06092a864886f70d01010b", RSAPKCS1SHA256, false},
		{"300a06082a8648ce3d040302", ECDSASHA256, true},
		{"300a06082a8648ce3d040303", ECDSASHA384, true},
		{"300a06082a8648ce3d040304", ECDSASHA512, true},
		{"300506032b6570", Ed25519, true},
		{"304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120", RSAPSSSHA256, true},
		{"304106092a864886f70d01010a3034a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130", RSAPSSSHA384, true},
		{"304106092a864886f70d01010a3034a00f300d06096086480165030402030500a11c301a06092a864886f70d010108300d06096086480165030402030500a203020140", RSAPSSSHA512, true},
		// The trailer field written although it is the default.
		{"304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120a303020101", RSAPSSSHA256, false},
		// The hash without NULL in one or both places.
		{"303f06092a864886f70d01010a3032a00d300b0609608648016503040201a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120", RSAPSSSHA256, false},
		{"303d06092a864886f70d01010a3030a00d300b0609608648016503040201a11a301806092a864886f70d010108300b0609608648016503040201a203020120", RSAPSSSHA256, false},

		// T-041, T-042, T-044.
		{hex: "300d06092a864886f70d0101050500"}, // RSA with SHA-1
		{hex: "300906072a8648ce3d0401"},         // ECDSA with SHA-1
		{hex: "300906072a8648ce380403"},         // DSA with SHA-1
		{hex: "300d06092a864886f70d0101040500"}, // RSA with MD5
		{hex: "300d06092a864886f70d01010e0500"}, // RSA with SHA-224
		{hex: "300d06092a864886f70d0101010500"}, // rsaEncryption
		{hex: "300d06092a864886f70d01010a3000"}, // PSS without parameters: SHA-1 (Appendix A.4.1)
		{hex: "300b06092a864886f70d01010a"},
		{hex: "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020114"},           // salt 20
		{hex: "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a2030201ff"},           // salt -1
		{hex: "303c06092a864886f70d01010a302fa00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500"},                     // salt absent
		{hex: "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020120"},           // two hashes
		{hex: "304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120a303020102"}, // trailer 2
		{hex: "300c06082a8648ce3d0403020500"},       // ECDSA with NULL
		{hex: "300706032b65700500"},                 // Ed25519 with NULL
		{hex: "300506032b6571"},                     // Ed448
		{hex: "30810d06092a864886f70d01010b0500"},   // length in a longer form
		{hex: "308006092a864886f70d01010b05000000"}, // indefinite length
		{hex: "300d06092a864886f70d01010b0501"},
		{hex: "310d06092a864886f70d01010b0500"},
		{hex: "30"}, {hex: "3000"},
	} {
		d := Digital{Algorithm: unhex(t, c.hex), Signature: []byte{1}}
		got, err := d.Scheme()
		if got != c.scheme || (err == nil) != (c.scheme != 0) {
			t.Errorf("%s: %s (%v)", c.hex, got, err)
		}
		if c.sent && !bytes.Equal(identifiers(c.scheme)[0], d.Algorithm) {
			t.Errorf("%s is sent as %x, expected %s", c.scheme, identifiers(c.scheme)[0], c.hex)
		}
		for n := range d.Algorithm {
			if s, err := (Digital{Algorithm: d.Algorithm[:n], Signature: []byte{1}}).Scheme(); err == nil {
				t.Errorf("%d octets of %s are %s", n, c.hex, s)
			}
		}
	}
}

// TestIdentifiersAreDER: lengths in the definite short form, all of one scheme different.
func TestIdentifiersAreDER(t *testing.T) {
	seen := map[string]Scheme{}
	for s := RSAPKCS1SHA1; s <= Ed25519; s++ {
		for _, id := range identifiers(s) {
			if len(id) > 127 || int(id[1]) != len(id)-2 {
				t.Errorf("%s: %x", s, id)
			}
			if o, ok := seen[string(id)]; ok {
				t.Errorf("%x is of %s and %s", id, o, s)
			}
			seen[string(id)] = s
		}
	}
	if len(identifiers(RSAPKCS1SHA1)) != 0 {
		t.Error("SHA-1 has an identifier of RFC 7427")
	}
}

// TestTolerantPSS: a signature verifies under each spelling of its algorithm.
func TestTolerantPSS(t *testing.T) {
	octets := []byte("octets")
	for s := RSAPSSSHA256; s <= RSAPSSSHA512; s++ {
		data, err := Sign(rand.Reader, key(t, "rsa2048"), Choice{MethodDigital, s}, octets)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := ParseDigital(data)
		ids := identifiers(s)
		if len(ids) != 8 {
			t.Fatalf("%d encodings", len(ids))
		}
		for _, id := range ids {
			data := Digital{Algorithm: id, Signature: d.Signature}.Append(nil)
			if got, err := Verify(key(t, "rsa2048").Public(), MethodDigital, data, octets, Policy{Hashes: offered()}); err != nil || got != s {
				t.Errorf("%x: %v, %v", id, got, err)
			}
		}
	}
}

func TestParseDigital(t *testing.T) {
	for _, bad := range []string{"", "00", "0001", "01", "0130", "0330", "03300506", "ff" + "30"} {
		if d, err := ParseDigital(unhex(t, bad)); err == nil {
			t.Errorf("%q: %v", bad, d)
		}
	}
	b := unhex(t, "07300506032b6570aabb")
	d, err := ParseDigital(b)
	if err != nil || !bytes.Equal(d.Append(nil), b) || len(d.Signature) != 2 {
		t.Error(d, err)
	}
	// Every prefix that ends before the signature is refused; the signature's own length is its scheme's.
	for n := range 9 {
		if _, err := ParseDigital(b[:n]); err == nil && n < 9 {
			t.Errorf("prefix of %d octets", n)
		}
	}
	// An append to the algorithm must not reach the signature.
	_ = append(d.Algorithm, 0xff)
	if d.Signature[0] != 0xaa {
		t.Error("the algorithm's capacity covers the signature")
	}
}

func FuzzParseDigital(f *testing.F) {
	for s := RSAPKCS1SHA256; s <= Ed25519; s++ {
		for _, id := range identifiers(s) {
			f.Add(Digital{Algorithm: id, Signature: bytes.Repeat([]byte{7}, 64)}.Append(nil))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDigital(b)
		if err != nil {
			return
		}
		if !bytes.Equal(d.Append(nil), b) {
			t.Fatalf("%x became %x", b, d.Append(nil))
		}
		s, err := d.Scheme()
		if err == nil && !slices.ContainsFunc(identifiers(s), func(id []byte) bool { return bytes.Equal(id, d.Algorithm) }) {
			t.Fatalf("%x is %s", d.Algorithm, s)
		}
	})
}

// FuzzVerify: no data is a signature by a key whose private half signs nothing, and nothing panics.
func FuzzVerify(f *testing.F) {
	octets := []byte("octets that nobody signed")
	everyChoice(func(name string, c Choice) {
		data, err := Sign(rand.Reader, key(f, name), c, []byte("other octets"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.Method, data)
	})
	f.Fuzz(func(t *testing.T, method uint8, data []byte) {
		for _, name := range []string{"rsa2048", "p256", "p384", "p521", "ed25519"} {
			if s, err := Verify(key(t, name).Public(), method, data, octets, Policy{Hashes: offered()}); err == nil {
				t.Fatalf("%s: a signature of %s", name, s)
			}
		}
	})
}
