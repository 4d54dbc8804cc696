// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Algorithms of an SA, and the lists of them in the answer to REGISTER (RFC 2367, Section 3.1.7). The list is what package suite can do
// and the dialect has a number for, in the order of the numbers as the kernels have it.

package keysock

import (
	"cmp"
	"slices"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// integs and encrs are what can be offered.
func integs() []suite.Integ {
	return []suite.Integ{
		suite.IntegHMACMD596, suite.IntegHMACSHA196, suite.IntegHMACSHA2256128, suite.IntegHMACSHA2384192, suite.IntegHMACSHA2512256,
		suite.IntegAESXCBC96, suite.IntegAESCMAC96, suite.IntegHMACSHA225696, suite.IntegAES128GMAC, suite.IntegAES192GMAC, suite.IntegAES256GMAC,
	}
}

func encrs() []suite.Encr {
	return []suite.Encr{
		suite.Encr3DESCBC, suite.EncrNULL, suite.EncrAESCBC, suite.EncrAESCTR, suite.EncrAESCCM8, suite.EncrAESCCM12, suite.EncrAESCCM16,
		suite.EncrChaCha20Poly1305, suite.EncrAESGCM12, suite.EncrAESGCM16, suite.EncrNullAESGMAC,
	}
}

const bitsInOctet = 8

// supported answers REGISTER.
func supported(d pfkey.Dialect, h pfkey.Header) *pfkey.Message {
	h.Errno = pfkey.OK
	m := &pfkey.Message{Header: h, SupportedAuth: []pfkey.Supported{}, SupportedEncrypt: []pfkey.Supported{}}
	for _, i := range integs() {
		bits := uint16(i.KeyLen() * bitsInOctet)
		n, ok := d.Auth(i)
		if meant, _ := d.Integ(n, int(bits)); ok && meant == i && i.KnownAH() {
			m.SupportedAuth = append(m.SupportedAuth, pfkey.Supported{ID: uint8(n), MinBits: bits, MaxBits: bits})
		}
	}
	for _, e := range encrs() {
		n, ok := d.Encrypt(e)
		if !ok || !e.KnownESP() {
			continue
		}
		least, most := keyBits(e)
		m.SupportedEncrypt = append(m.SupportedEncrypt, pfkey.Supported{ID: uint8(n), IVLen: ivLen(e), MinBits: least, MaxBits: most})
	}
	byID := func(a, b pfkey.Supported) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortFunc(m.SupportedAuth, byID)
	slices.SortFunc(m.SupportedEncrypt, byID)
	return m
}

// keyBits are the shortest and the longest key, with its salt.
func keyBits(e suite.Encr) (least, most uint16) {
	for _, bits := range [...]int{0, 128, 192, 256} {
		if !e.ValidBits(bits) {
			continue
		}
		most = uint16(e.KeyLen(bits) * bitsInOctet)
		if least == 0 {
			least = most
		}
	}
	return least, most
}

// ivLen is what precedes the payload, in octets.
func ivLen(e suite.Encr) uint8 {
	switch e {
	case suite.EncrNULL:
		return 0
	case suite.EncrAESCBC:
		return 16
	}
	return 8
}

// algorithmsOf reads algorithms and keys of a request into the SA. Unknown algorithms are ENOSYS in Linux and EINVAL in the BSDs.
//
// Deviation: keys of a wrong length are EINVAL. Linux takes any for HMAC.
func algorithmsOf(d pfkey.Dialect, m *pfkey.Message, sa *sadb.SA) error {
	switch sa.Proto {
	case sadb.ProtoIPComp:
		switch m.SA.Encrypt {
		case pfkey.CompressDeflate:
			return nil
		case pfkey.EncryptNone:
			return pfkey.EINVAL
		}
		return unknownAlgorithm(d)
	case sadb.ProtoAH:
		if m.KeyAuth == nil || m.SA.Encrypt != pfkey.EncryptNone {
			return pfkey.EINVAL
		}
	default:
		if m.KeyEncrypt == nil {
			return pfkey.EINVAL
		}
		if err := encryption(d, m, sa); err != nil {
			return err
		}
	}
	return integrity(d, m, sa)
}

func unknownAlgorithm(d pfkey.Dialect) error {
	if d == pfkey.Linux {
		return pfkey.ENOSYS
	}
	return pfkey.EINVAL
}

func encryption(d pfkey.Dialect, m *pfkey.Message, sa *sadb.SA) error {
	known := slices.ContainsFunc(encrs(), func(e suite.Encr) bool {
		n, ok := d.Encrypt(e)
		return ok && n == m.SA.Encrypt && e.KnownESP()
	})
	if !known {
		return unknownAlgorithm(d)
	}
	var ok bool
	if sa.Suite.Encr, sa.Suite.EncrBits, ok = d.Encr(m.SA.Encrypt, m.KeyEncrypt.Len()*bitsInOctet); !ok {
		return pfkey.EINVAL
	}
	sa.Key = *m.KeyEncrypt
	return nil
}

// integrity: RFC 8221, Section 4: encryption without integrity is open to whoever can change packets.
//
// Deviation: the kernels take ESP without it.
func integrity(d pfkey.Dialect, m *pfkey.Message, sa *sadb.SA) error {
	none := m.SA.Auth == pfkey.AuthNone || m.SA.Auth == pfkey.AuthNull
	if sa.Suite.Encr.AEAD() {
		if none {
			return nil
		}
		return pfkey.EINVAL
	}
	if none || m.KeyAuth == nil {
		return pfkey.EINVAL
	}
	known := slices.ContainsFunc(integs(), func(i suite.Integ) bool {
		n, ok := d.Auth(i)
		return ok && n == m.SA.Auth && (i.KnownESP() || sa.Proto == sadb.ProtoAH && i.KnownAH())
	})
	if !known {
		return unknownAlgorithm(d)
	}
	var ok bool
	if sa.Suite.Integ, ok = d.Integ(m.SA.Auth, m.KeyAuth.Len()*bitsInOctet); !ok {
		return pfkey.EINVAL
	}
	sa.Integ = *m.KeyAuth
	return nil
}

// numbersOf are the algorithms of an SA in the dialect that it is shown in; zero where it has no number.
func numbersOf(d pfkey.Dialect, sa *sadb.SA) (pfkey.AuthAlg, pfkey.EncryptAlg) {
	if sa.Proto == sadb.ProtoIPComp {
		return pfkey.AuthNone, pfkey.CompressDeflate
	}
	auth, _ := d.Auth(sa.Suite.Integ)
	encrypt, _ := d.Encrypt(sa.Suite.Encr)
	return auth, encrypt
}
