// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Algorithms: their numbers, which are the dialects', their names, which are setkey's, and which algorithms of package suite they
// are. Numbers are translated, never passed on: 15 is ChaCha20-Poly1305 in FreeBSD and AES-CCM-12 in Linux.

package pfkey

import (
	"fmt"

	"github.com/natterjack/natterjack/crypt/suite"
)

// AuthAlg is an algorithm of integrity (SADB_AALG_*).
type AuthAlg uint8

// EncryptAlg is an algorithm of encryption (SADB_EALG_*), of an SA of IPComp one of compression (SADB_X_CALG_*).
type EncryptAlg uint8

// The algorithms that have one number everywhere.
const (
	AuthNone    AuthAlg    = 0
	AuthNull    AuthAlg    = 251
	EncryptNone EncryptAlg = 0
	EncryptNull EncryptAlg = 11
	// CompressDeflate is SADB_X_CALG_DEFLATE.
	CompressDeflate EncryptAlg = 2
)

// Anybody may give meaning to the numbers 249 to 255 (RFC 2407, Section 4.4.4). In FreeBSD's dialect, which our own key daemon speaks,
// this project's are AES-CCM, AES-CMAC and SHA2-256 with 96 bits ("ours" below); no kernel of FreeBSD's has these algorithms.

// on says which dialects have a number.
type on uint8

const (
	onFreeBSD on = 1 << FreeBSD
	onNetBSD  on = 1 << NetBSD
	onLinux   on = 1 << Linux
	onOpenBSD on = 1 << OpenBSD
	onBSD        = onFreeBSD | onNetBSD
	onAll        = onBSD | onLinux | onOpenBSD
)

func (o on) has(d Dialect) bool { return d <= OpenBSD && o&(1<<d) != 0 }

// authAlgs: integ is suite.IntegNone where this project has none of it; bits 0 takes any key.
var authAlgs = [...]struct {
	on    on
	n     AuthAlg
	name  string // setkey's
	alias string
	integ suite.Integ
	bits  int
}{
	{onAll, 2, "hmac-md5", "md5", suite.IntegHMACMD596, 128},
	{onAll, 3, "hmac-sha1", "sha1", suite.IntegHMACSHA196, 160},
	{onAll, 5, "hmac-sha256", "hmac-sha2-256", suite.IntegHMACSHA2256128, 256},
	{onAll, 6, "hmac-sha384", "hmac-sha2-384", suite.IntegHMACSHA2384192, 384},
	{onAll, 7, "hmac-sha512", "hmac-sha2-512", suite.IntegHMACSHA2512256, 512},
	{onAll, 8, "hmac-ripemd160", "ripemd160", suite.IntegNone, 160},
	{onBSD | onLinux, 9, "aes-xcbc-mac", "aes-xcbc", suite.IntegAESXCBC96, 128},
	{onBSD, 11, "aes-gmac-128", "aes-128-gmac", suite.IntegAES128GMAC, 160},
	{onBSD, 12, "aes-gmac-192", "aes-192-gmac", suite.IntegAES192GMAC, 224},
	{onBSD, 13, "aes-gmac-256", "aes-256-gmac", suite.IntegAES256GMAC, 288},
	{onFreeBSD, 14, "chacha20-poly1305", "", suite.IntegNone, 256},
	{onBSD, 249, "keyed-md5", "", suite.IntegNone, 128},
	{onBSD, 250, "keyed-sha1", "", suite.IntegNone, 160},
	{onAll, AuthNull, "null", "", suite.IntegNone, 0},
	{onBSD, 252, "tcp-md5", "", suite.IntegNone, 0},
	{onFreeBSD, 253, "hmac-sha256-96", "", suite.IntegHMACSHA225696, 256}, // ours
	{onFreeBSD, 254, "aes-cmac", "", suite.IntegAESCMAC96, 128},
}

// encryptAlgs: encr is 0 where this project has none of it. salt is how much of the key is not the cipher's, in bits.
var encryptAlgs = [...]struct {
	on    on
	n     EncryptAlg
	name  string
	alias string
	encr  suite.Encr
	salt  int
}{
	{onAll, 2, "des-cbc", "", 0, 0},
	{onAll, 3, "3des-cbc", "", suite.Encr3DESCBC, 0},
	{onAll, 6, "cast128-cbc", "", 0, 0},
	{onAll, 7, "blowfish-cbc", "", 0, 0},
	{onAll, EncryptNull, "null", "", suite.EncrNULL, 0},
	{onAll, 12, "aes-cbc", "rijndael-cbc", suite.EncrAESCBC, 0},
	{onAll, 13, "aes-ctr", "", suite.EncrAESCTR, 32},
	{onLinux, 14, "aes-ccm-8", "", suite.EncrAESCCM8, 24},
	{onLinux, 15, "aes-ccm-12", "", suite.EncrAESCCM12, 24},
	{onLinux, 16, "aes-ccm-16", "", suite.EncrAESCCM16, 24},
	{onFreeBSD, 15, "chacha20-poly1305", "", suite.EncrChaCha20Poly1305, 32},
	{onBSD | onLinux, 18, "aes-gcm-8", "", 0, 32},
	{onBSD | onLinux, 19, "aes-gcm-12", "", suite.EncrAESGCM12, 32},
	{onAll, 20, "aes-gcm-16", "aes-gcm", suite.EncrAESGCM16, 32},
	{onBSD | onLinux, 22, "camellia-cbc", "", 0, 0},
	{onBSD | onLinux, 23, "aes-gmac", "null-aes-gmac", suite.EncrNullAESGMAC, 32},
	{onFreeBSD, 249, "aes-ccm-8", "", suite.EncrAESCCM8, 24}, // ours
	{onFreeBSD, 250, "aes-ccm-12", "", suite.EncrAESCCM12, 24},
	{onFreeBSD, 251, "aes-ccm-16", "", suite.EncrAESCCM16, 24},
	{onLinux, 252, "serpent-cbc", "", 0, 0},
	{onLinux, 253, "twofish-cbc", "", 0, 0},
}

var compressAlgs = [...]string{"none", "oui", "deflate", "lzs", "lzjh"}

// Name is setkey's name of the algorithm in the dialect, or its number.
func (a AuthAlg) Name(d Dialect) string {
	if a == AuthNone {
		return "none"
	}
	for _, k := range authAlgs {
		if k.n == a && k.on.has(d) {
			return k.name
		}
	}
	return fmt.Sprint(uint8(a))
}

// Name is setkey's name of the algorithm in the dialect, or its number.
func (e EncryptAlg) Name(d Dialect) string {
	if e == EncryptNone {
		return "none"
	}
	for _, k := range encryptAlgs {
		if k.n == e && k.on.has(d) {
			return k.name
		}
	}
	return fmt.Sprint(uint8(e))
}

// CompressName is the name of a compression, which an SA of IPComp has in the place of its encryption.
func (e EncryptAlg) CompressName() string {
	if int(e) < len(compressAlgs) {
		return compressAlgs[e]
	}
	return fmt.Sprint(uint8(e))
}

// AuthNamed is the algorithm that setkey calls so; ok is false where the dialect has none.
func (d Dialect) AuthNamed(name string) (a AuthAlg, ok bool) {
	for _, k := range authAlgs {
		if k.on.has(d) && name != "" && (k.name == name || k.alias == name) {
			return k.n, true
		}
	}
	return 0, false
}

// EncryptNamed is the algorithm that setkey calls so; ok is false where the dialect has none.
func (d Dialect) EncryptNamed(name string) (e EncryptAlg, ok bool) {
	for _, k := range encryptAlgs {
		if k.on.has(d) && name != "" && (k.name == name || k.alias == name) {
			return k.n, true
		}
	}
	return 0, false
}

// CompressNamed is the compression that setkey calls so.
func CompressNamed(name string) (e EncryptAlg, ok bool) {
	for i, n := range compressAlgs {
		if n == name && i > 0 {
			return EncryptAlg(i), true
		}
	}
	return 0, false
}

// Integ is the algorithm with a key of keyBits; ok is false where the dialect has no such number, this project no such algorithm, or the
// key another length. AuthNone and AuthNull are suite.IntegNone.
//
// Deviation: SHA2-256 is truncated to 128 bits in every dialect, as RFC 4868 has it and every key daemon negotiates. The Linux
// kernel truncates to 96 over PF_KEY, for which reason OpenIKED refuses to use it there. Who wants 96 sets it by suite.IntegHMACSHA225696.
func (d Dialect) Integ(a AuthAlg, keyBits int) (integ suite.Integ, ok bool) {
	if a == AuthNone || a == AuthNull {
		return suite.IntegNone, keyBits == 0
	}
	for _, k := range authAlgs {
		if k.n == a && k.on.has(d) {
			return k.integ, k.integ != suite.IntegNone && keyBits == k.bits
		}
	}
	return suite.IntegNone, false
}

// Auth is the number of an algorithm; ok is false where the dialect has none. IntegNone is AuthNone. SHA2-256 has one number however it
// is truncated, but in FreeBSD's dialect.
func (d Dialect) Auth(integ suite.Integ) (a AuthAlg, ok bool) {
	switch {
	case integ == suite.IntegNone:
		return AuthNone, true
	case integ == suite.IntegHMACSHA225696 && d != FreeBSD:
		integ = suite.IntegHMACSHA2256128
	}
	for _, k := range authAlgs {
		if k.integ == integ && k.on.has(d) {
			return k.n, true
		}
	}
	return AuthNone, false
}

// Encr is the algorithm with a key of keyBits, salt included, and the bits that package suite gives it; ok is false where the dialect has
// no such number, this project no such algorithm, or the key another length.
func (d Dialect) Encr(e EncryptAlg, keyBits int) (encr suite.Encr, bits int, ok bool) {
	for _, k := range encryptAlgs {
		if k.n != e || !k.on.has(d) || k.encr == 0 {
			continue
		}
		bits = keyBits - k.salt
		if !k.encr.ValidBits(bits) {
			bits = 0 // of a fixed length, which is the suite's to know
		}
		return k.encr, bits, k.encr.ValidBits(bits) && k.encr.KeyLen(bits)*bitsInOctet == keyBits
	}
	return 0, 0, false
}

// Encrypt is the number of an algorithm; ok is false where the dialect has none.
func (d Dialect) Encrypt(encr suite.Encr) (e EncryptAlg, ok bool) {
	for _, k := range encryptAlgs {
		if k.encr == encr && encr != 0 && k.on.has(d) {
			return k.n, true
		}
	}
	return EncryptNone, false
}

// Window is the SA's replay window in packets: SA.Replay counts 8 packets each in the BSDs, and SAReplay is FreeBSD's for one that
// does not fit.
func (d Dialect) Window(m *Message) int {
	switch {
	case m.SA == nil:
		return 0
	case d == Linux:
		return int(m.SA.Replay)
	case m.SAReplay != nil && *m.SAReplay > 0:
		return int(*m.SAReplay)
	}
	return int(m.SA.Replay) * 8
}

// SetWindow is the inverse of Window: the nearest that the dialect can say, not above it but for SAReplay.
func (d Dialect) SetWindow(m *Message, packets int) {
	const most = 255
	packets = max(0, packets)
	switch {
	case d == Linux:
		m.SA.Replay = uint8(min(most, packets))
	case packets > most*8 && d == FreeBSD:
		v := uint32(packets)
		m.SA.Replay, m.SAReplay = most, &v
	default:
		m.SA.Replay = uint8(min(most, (packets+7)/8))
	}
}
