// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package config

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"hash"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/wire/vici"
)

func pkcs8(t *testing.T, k any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// pbes2Form says how a key is encrypted.
type pbes2Form struct {
	cipher, prf asn1.ObjectIdentifier // prf nil: the default
	newHash     func() hash.Hash
	keyLen      int
	iterations  int
	plain       []byte // nil: the key with its padding
}

// encryptForTest makes an EncryptedPrivateKeyInfo.
func encryptForTest(t *testing.T, der []byte, pass string, f pbes2Form) []byte {
	t.Helper()
	salt, iv := []byte("saltsalt"), bytes.Repeat([]byte{3}, aes.BlockSize)
	null := asn1.RawValue{Tag: asn1.TagNull}
	key, err := pbkdf2.Key(f.newHash, pass, salt, max(1, min(f.iterations, 1000)), f.keyLen)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := aes.NewCipher(key)
	data := f.plain
	if data == nil {
		n := aes.BlockSize - len(der)%aes.BlockSize
		data = append(bytes.Clone(der), bytes.Repeat([]byte{byte(n)}, n)...)
	}
	data = bytes.Clone(data)
	if len(data)%aes.BlockSize == 0 {
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	}
	raw := func(v any) asn1.RawValue {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: b}
	}
	kdf := struct {
		Salt       []byte
		Iterations int
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}{Salt: salt, Iterations: f.iterations}
	if f.prf != nil {
		kdf.PRF = pkix.AlgorithmIdentifier{Algorithm: f.prf, Parameters: null}
	}
	scheme := pbes2{
		KDF:    pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, Parameters: raw(kdf)},
		Scheme: pkix.AlgorithmIdentifier{Algorithm: f.cipher, Parameters: raw(iv)},
	}
	out, err := asn1.Marshal(encryptedKey{
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, Parameters: raw(scheme)},
		Data:      data,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func aesOID(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, last}
}
func hmacOID(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 2, last}
}

// TestEncryptedKeys opens every form that is known and none with another passphrase.
func TestEncryptedKeys(t *testing.T) {
	_, k, _ := ed25519.GenerateKey(rand.Reader)
	der := pkcs8(t, k)
	for name, f := range map[string]pbes2Form{
		"AES-128, default PRF": {cipher: aesOID(2), newHash: sha1.New, keyLen: 16, iterations: 10},
		"AES-192, SHA-1":       {cipher: aesOID(22), prf: hmacOID(7), newHash: sha1.New, keyLen: 24, iterations: 10},
		"AES-256, SHA-256":     {cipher: aesOID(42), prf: hmacOID(9), newHash: sha256.New, keyLen: 32, iterations: 10},
		"AES-256, SHA-384":     {cipher: aesOID(42), prf: hmacOID(10), newHash: sha512.New384, keyLen: 32, iterations: 10},
		"AES-256, SHA-512":     {cipher: aesOID(42), prf: hmacOID(11), newHash: sha512.New, keyLen: 32, iterations: 10},
	} {
		enc := encryptForTest(t, der, "sesame", f)
		for _, b := range [][]byte{enc, pemOf("ENCRYPTED PRIVATE KEY", enc)} {
			got, err := parseKey(bytes.Clone(b), secret.New([]byte("sesame")))
			if err != nil || !got.Signer.Public().(ed25519.PublicKey).Equal(k.Public()) {
				t.Errorf("%s: %v", name, err)
			}
			for _, pass := range []string{"Sesame", "sesame2", "x"} {
				if _, err := parseKey(bytes.Clone(b), secret.New([]byte(pass))); err == nil {
					t.Errorf("%s: opened by %s", name, pass)
				} else if strings.Contains(err.Error(), pass+" ") {
					t.Errorf("the error has the passphrase: %v", err)
				}
			}
			if _, err := parseKey(bytes.Clone(b), secret.Key{}); err == nil {
				t.Errorf("%s: opened without a passphrase", name)
			}
		}
	}
	good := pbes2Form{cipher: aesOID(42), prf: hmacOID(9), newHash: sha256.New, keyLen: 32, iterations: 10}
	bad := func(change func(f *pbes2Form)) []byte {
		f := good
		change(&f)
		return encryptForTest(t, der, "sesame", f)
	}
	for name, b := range map[string][]byte{
		"no iterations":       bad(func(f *pbes2Form) { f.iterations = 0 }),
		"negative iterations": bad(func(f *pbes2Form) { f.iterations = -1 }),
		"iterations for days": bad(func(f *pbes2Form) { f.iterations = 1 << 31 }),
		"cipher unknown":      bad(func(f *pbes2Form) { f.cipher = aesOID(46) }), // GCM
		"PRF unknown":         bad(func(f *pbes2Form) { f.prf = hmacOID(8) }),
		"no data":             bad(func(f *pbes2Form) { f.plain = []byte{} }),
		"not whole blocks":    bad(func(f *pbes2Form) { f.plain = make([]byte, 33) }),
		"padding 0":           bad(func(f *pbes2Form) { f.plain = make([]byte, 32) }),
		"padding 17":          bad(func(f *pbes2Form) { f.plain = bytes.Repeat([]byte{17}, 32) }),
		"padding uneven":      bad(func(f *pbes2Form) { f.plain = append(make([]byte, 31), 2) }),
		"no key inside":       bad(func(f *pbes2Form) { f.plain = bytes.Repeat([]byte{16}, 32) }),
	} {
		start := time.Now()
		if _, err := parseKey(b, secret.New([]byte("sesame"))); err == nil {
			t.Errorf("%s: opened", name)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: took %s", name, d)
		}
	}
}

// TestT043Keys: which private keys are taken, and how VICI calls them.
func TestT043Keys(t *testing.T) {
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec := func(c elliptic.Curve) *ecdsa.PrivateKey { k, _ := ecdsa.GenerateKey(c, rand.Reader); return k }
	x25519, _ := ecdh.X25519().GenerateKey(rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	p256, p384 := ec(elliptic.P256()), ec(elliptic.P384())
	sec1, _ := x509.MarshalECPrivateKey(p256)
	params := pemOf("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
	load := func(kind string, data []byte) (PrivateKey, error) {
		s := &vici.Section{}
		s.Set("type", kind)
		s.Items = append(s.Items, vici.Item{Kind: vici.KindValue, Key: "data", Value: data})
		return DecodeKey(s)
	}
	for name, c := range map[string]struct {
		kind string
		data []byte
		want crypto.PublicKey
	}{
		"PKCS#1":          {"rsa", x509.MarshalPKCS1PrivateKey(rsa2048), rsa2048.Public()},
		"PKCS#1 PEM":      {"RSA", pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsa2048)), rsa2048.Public()},
		"SEC 1":           {"ecdsa", sec1, p256.Public()},
		"SEC 1 PEM":       {"any", append(params, pemOf("EC PRIVATE KEY", sec1)...), p256.Public()},
		"PKCS#8":          {"any", pkcs8(t, ed), ed.Public()},
		"PKCS#8 PEM":      {"", pemOf("PRIVATE KEY", pkcs8(t, ed)), ed.Public()},
		"P-384":           {"any", pkcs8(t, p384), p384.Public()},
		"RSA 1024":        {"any", pkcs8(t, rsa1024), nil},
		"P-224":           {"any", pkcs8(t, ec(elliptic.P224())), nil},
		"X25519":          {"any", pkcs8(t, x25519), nil},
		"wrong type":      {"rsa", pkcs8(t, ed), nil},
		"BLISS":           {"bliss", pkcs8(t, ed), nil},
		"certificate":     {"any", pemOf("CERTIFICATE", pkcs8(t, ed)), nil},
		"parameters only": {"any", params, nil},
		"old encryption":  {"any", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte{1}}), nil},
		"nothing":         {"any", nil, nil},
		"noise":           {"any", []byte("noise"), nil},
		"too long":        {"any", make([]byte, maxKey+1), nil},
	} {
		k, err := load(c.kind, c.data)
		if (err == nil) != (c.want != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (!k.Signer.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(c.want) || k.ID != KeyID(c.want) || len(k.ID) != 40) {
			t.Errorf("%s: another key, %q", name, k.ID)
		}
	}
	if _, err := load("any", []byte("x")); err == nil || !strings.Contains(err.Error(), "data") {
		t.Error(err)
	}
}

// TestKeyID: the identifier is SHA-1 of the key's octets alone.
func TestKeyID(t *testing.T) {
	if KeyID("no key") != "" || KeyID(nil) != "" {
		t.Error("something without a key has an identifier")
	}
	pub := ed25519.PublicKey(make([]byte, 32))
	if got, want := KeyID(pub), "de8a847bff8c343d69b853a215e6ee775ef2ef96"; got != want {
		t.Errorf("%s, expected SHA-1 of 32 zeros, %s", got, want)
	}
}

// TestLoadCert is VICI's load-cert.
func TestLoadCert(t *testing.T) {
	_, k, _ := ed25519.GenerateKey(rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	load := func(kind, flag string, data []byte) (Cert, error) {
		s := &vici.Section{}
		s.Set("type", kind)
		s.Set("flag", flag)
		if data != nil {
			s.Items = append(s.Items, vici.Item{Kind: vici.KindValue, Key: "data", Value: data})
		}
		return DecodeCert(s)
	}
	for _, flag := range []string{"NONE", "CA", "none", "ca"} {
		for _, b := range [][]byte{der, pemOf("CERTIFICATE", der)} {
			c, err := load("X509", flag, b)
			if err != nil || !bytes.Equal(c.DER, der) || c.CA != strings.EqualFold(flag, "ca") {
				t.Errorf("%s: %v, CA %v", flag, err, c.CA)
			}
		}
	}
	for name, c := range map[string]struct {
		kind, flag string
		data       []byte
	}{
		"revocation list": {"X509_CRL", "NONE", der}, "attributes": {"X509_AC", "NONE", der}, "OCSP": {"X509", "OCSP", der},
		"another flag": {"X509", "TRUSTED", der}, "another type": {"PGP", "NONE", der}, "nothing": {"X509", "NONE", nil},
		"no certificate": {"X509", "NONE", []byte("x")}, "octets behind": {"X509", "NONE", append(bytes.Clone(der), 0)},
		"private key": {"X509", "NONE", pemOf("PRIVATE KEY", pkcs8(t, k))}, "too long": {"X509", "NONE", make([]byte, maxCert+1)},
	} {
		if _, err := load(c.kind, c.flag, c.data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
