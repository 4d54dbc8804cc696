// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The words for encryption and integrity algorithms, strongSwan's.

package config

import (
	"strings"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
)

// encrWord reads "aes256gcm16", "aes", "null" and the like; zero: it is no such word.
func encrWord(w string) ike.EncrSpec {
	switch w {
	case "chacha20poly1305":
		return ike.EncrSpec{Encr: suite.EncrChaCha20Poly1305}
	case "null":
		return ike.EncrSpec{Encr: suite.EncrNULL}
	}
	rest, found := strings.CutPrefix(w, "aes")
	if !found {
		return ike.EncrSpec{}
	}
	bits := 128 // "aes" alone; all modes have their length
	for text, n := range map[string]int{"128": 128, "192": 192, "256": 256} {
		if r, ok := strings.CutPrefix(rest, text); ok {
			rest, bits, found = r, n, false
		}
	}
	if found && rest != "" {
		return ike.EncrSpec{}
	}
	var e suite.Encr
	switch rest {
	case "":
		e = suite.EncrAESCBC
	case "gcm16", "gcm128", "gcm":
		e = suite.EncrAESGCM16
	case "gcm12", "gcm96":
		e = suite.EncrAESGCM12
	case "ccm16", "ccm128", "ccm":
		e = suite.EncrAESCCM16
	case "ccm12", "ccm96":
		e = suite.EncrAESCCM12
	case "ccm8", "ccm64":
		e = suite.EncrAESCCM8
	case "ctr":
		e = suite.EncrAESCTR
	case "gmac":
		e = suite.EncrNullAESGMAC
	default:
		return ike.EncrSpec{}
	}
	return ike.EncrSpec{Encr: e, Bits: bits}
}

// integWord reads "sha256" and the like.
func integWord(w string) suite.Integ {
	switch w {
	case "sha", "sha1":
		return suite.IntegHMACSHA196
	case "sha256", "sha2_256":
		return suite.IntegHMACSHA2256128
	case "sha384", "sha2_384":
		return suite.IntegHMACSHA2384192
	case "sha512", "sha2_512":
		return suite.IntegHMACSHA2512256
	case "sha256_96", "sha2_256_96":
		return suite.IntegHMACSHA225696
	case "aesxcbc":
		return suite.IntegAESXCBC96
	case "aescmac":
		return suite.IntegAESCMAC96
	}
	return suite.IntegNone
}
