// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Certificates and private keys, in DER or PEM: PKCS#1, SEC 1 and PKCS#8, the last also encrypted with PBES2 (RFC 8018).
// Sizes are bounded, and so is what a passphrase may cost.

package config

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/sig"
)

// maxCert is HOSTILE G21's bound of a certificate; maxKey fits an RSA key of 16,384 bits in PEM.
const maxCert, maxKey = 16 << 10, 32 << 10

// maxIterations bounds PBKDF2: OpenSSL's default is 2,048, 600,000 is what is recommended, ten million is seconds.
const maxIterations = 10_000_000

// parseCert returns the DER of a certificate.
func parseCert(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errors.New("nothing")
	}
	if block, _ := pem.Decode(b); block != nil {
		if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			return nil, fmt.Errorf("PEM of type %s", quote(block.Type))
		}
		b = block.Bytes
	}
	if len(b) > maxCert {
		return nil, fmt.Errorf("%d octets, at most %d", len(b), maxCert)
	}
	cert, err := x509.ParseCertificate(b)
	if err != nil {
		return nil, fmt.Errorf("what is not a certificate (%w)", err)
	}
	return bytes.Clone(cert.Raw), nil
}

// rawSubject is the subject of a certificate that was parsed before.
func rawSubject(der []byte) []byte {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return cert.RawSubject
}

// errEncrypted: the key needs a passphrase.
var errEncrypted = errors.New("an encrypted key")

// parseKey returns the private key of a DER or PEM.
func parseKey(b []byte, passphrase secret.Key) (PrivateKey, error) {
	if len(b) == 0 || len(b) > maxKey {
		return PrivateKey{}, fmt.Errorf("%d octets, at most %d", len(b), maxKey)
	}
	for rest := b; ; {
		block, next := pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "EC PARAMETERS" { // which stand before the key that repeats them
			return parseBlock(block, passphrase)
		}
		rest = next
	}
	return parseDER(b, passphrase)
}

func parseBlock(block *pem.Block, passphrase secret.Key) (PrivateKey, error) {
	switch block.Type {
	case "RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
	default:
		return PrivateKey{}, fmt.Errorf("PEM of type %s", quote(block.Type))
	}
	if block.Headers["DEK-Info"] != "" {
		// Its key derivation is one MD5 without a check of integrity.
		return PrivateKey{}, errors.New("a key in OpenSSL's old encryption (convert it: openssl pkcs8 -topk8)")
	}
	defer clear(block.Bytes)
	return parseDER(block.Bytes, passphrase)
}

func parseDER(der []byte, passphrase secret.Key) (PrivateKey, error) {
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return signer(k)
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return signer(k)
	}
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return signer(k)
	}
	plain, err := decryptPKCS8(der, passphrase)
	if err != nil {
		return PrivateKey{}, err
	}
	defer clear(plain)
	k, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return PrivateKey{}, errors.New("a key that its passphrase does not open")
	}
	return signer(k)
}

// signer takes the keys that crypt/sig can use.
func signer(key any) (PrivateKey, error) {
	k, ok := key.(crypto.Signer)
	if !ok {
		return PrivateKey{}, errors.New("a key that does not sign")
	}
	if err := sig.CheckKey(k.Public()); err != nil {
		return PrivateKey{}, fmt.Errorf("an %w", err)
	}
	return PrivateKey{ID: KeyID(k.Public()), Signer: k}, nil
}

// keyKind is VICI's name of a key's type.
func keyKind(k crypto.Signer) string {
	switch k.(type) {
	case *rsa.PrivateKey:
		return "rsa"
	case *ecdsa.PrivateKey:
		return "ecdsa"
	case ed25519.PrivateKey:
		return "ed25519"
	}
	return "any"
}

// KeyID is how VICI names a key: the SHA-1 of the public key's bit string (RFC 7296, Section 3.7 hashes the whole info).
func KeyID(pub crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return ""
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return ""
	}
	sum := sha1.Sum(info.Key.Bytes)
	return hex.EncodeToString(sum[:])
}

// The structures of RFC 5958 and RFC 8018, Appendix A.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2 struct {
	KDF    pkix.AlgorithmIdentifier
	Scheme pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLen     int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// decryptPKCS8 opens an EncryptedPrivateKeyInfo with PBES2, PBKDF2 and AES-CBC.
func decryptPKCS8(der []byte, passphrase secret.Key) ([]byte, error) {
	var e encryptedKey
	if rest, err := asn1.Unmarshal(der, &e); err != nil || len(rest) > 0 {
		return nil, errors.New("what is not a private key")
	}
	if passphrase.IsZero() {
		return nil, errEncrypted
	}
	var scheme pbes2
	var kdf pbkdf2Params
	var iv []byte
	if !e.Algorithm.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}) ||
		unmarshal(e.Algorithm.Parameters.FullBytes, &scheme) != nil ||
		!scheme.KDF.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}) ||
		unmarshal(scheme.KDF.Parameters.FullBytes, &kdf) != nil {
		return nil, errors.New("a key in an encryption other than PBES2 with PBKDF2")
	}
	if kdf.Iterations < 1 || kdf.Iterations > maxIterations {
		return nil, fmt.Errorf("a key with %d iterations of PBKDF2, at most %d", kdf.Iterations, maxIterations)
	}
	bits := aesBits(scheme.Scheme.Algorithm)
	newHash := kdfHash(kdf.PRF.Algorithm)
	if bits == 0 || newHash == nil || unmarshal(scheme.Scheme.Parameters.FullBytes, &iv) != nil || len(iv) != aes.BlockSize {
		return nil, errors.New("a key in an encryption other than AES-CBC with PBKDF2 of HMAC-SHA1 or SHA-2")
	}
	return decryptCBC(e.Data, iv, func() ([]byte, error) {
		return pbkdf2.Key(newHash, string(passphrase.Bytes()), kdf.Salt, kdf.Iterations, bits/8)
	})
}

func decryptCBC(data, iv []byte, derive func() ([]byte, error)) ([]byte, error) {
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errors.New("an encrypted key that is cut off")
	}
	key, err := derive()
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	// RFC 8018, Section 6.1.1: padding of 1 to 16 octets, each the number of them.
	n := int(plain[len(plain)-1])
	if n < 1 || n > aes.BlockSize || !bytes.Equal(plain[len(plain)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, errors.New("a key that its passphrase does not open")
	}
	return plain[:len(plain)-n], nil
}

func unmarshal(b []byte, v any) error {
	rest, err := asn1.Unmarshal(b, v)
	if err == nil && len(rest) > 0 {
		return errors.New("octets too many")
	}
	return err
}

// aesBits knows the CBC modes of NIST's object identifiers.
func aesBits(oid asn1.ObjectIdentifier) int {
	switch oid.String() {
	case "2.16.840.1.101.3.4.1.2":
		return 128
	case "2.16.840.1.101.3.4.1.22":
		return 192
	case "2.16.840.1.101.3.4.1.42":
		return 256
	}
	return 0
}

// kdfHash is the hash of PBKDF2's PRF; HMAC-SHA1 where none is named (RFC 8018, Appendix A.2).
func kdfHash(oid asn1.ObjectIdentifier) func() hash.Hash {
	switch oid.String() {
	case "", "1.2.840.113549.2.7":
		return sha1.New
	case "1.2.840.113549.2.9":
		return sha256.New
	case "1.2.840.113549.2.10":
		return sha512.New384
	case "1.2.840.113549.2.11":
		return sha512.New
	}
	return nil
}
