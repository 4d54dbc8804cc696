// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Numbers of Quick Mode: the IPsec DOI (RFC 2407, Sections 4.4 and 4.5) with what IANA's registry of ISAKMP has got since
// (RFC 3947, RFC 4106, RFC 4304, RFC 4309, RFC 4312, RFC 4543, RFC 4868). What has a name here is not therefore supported.

package ikev1msg

// Attributes of a transform of Quick Mode (RFC 2407, Section 4.5).
const (
	AttrSALifeType     = 1
	AttrSALifeDuration = 2
	AttrSAGroup        = 3
	AttrSAEncap        = 4
	AttrSAAuth         = 5
	AttrSAKeyLength    = 6
	AttrSAKeyRounds    = 7
	AttrSAECN          = 10 // RFC 3168
	AttrSAESN          = 11 // RFC 4304
)

// EncapMode is an encapsulation mode. The modes in UDP have one number since draft 04 of NAT-T and another before.
type EncapMode uint16

// Encapsulation modes.
const (
	EncapTunnel            EncapMode = 1
	EncapTransport         EncapMode = 2
	EncapUDPTunnel         EncapMode = 3
	EncapUDPTransport      EncapMode = 4
	EncapUDPTunnelDraft    EncapMode = 61443 // drafts 00 to 03 of NAT-T
	EncapUDPTransportDraft EncapMode = 61444
)

// String is the name of a mode.
func (m EncapMode) String() string {
	switch m {
	case EncapUDPTunnelDraft:
		return "UDP_TUNNEL_DRAFT"
	case EncapUDPTransportDraft:
		return "UDP_TRANSPORT_DRAFT"
	}
	return nameOf(encapNames[:], "ENCAP", uint16(m))
}

var encapNames = [...]string{1: "TUNNEL", "TRANSPORT", "UDP_TUNNEL", "UDP_TRANSPORT"}

// AuthAlg is an authentication algorithm of ESP and AH.
type AuthAlg uint16

// Authentication algorithms. AuthNone is a transform without the attribute.
const (
	AuthNone       AuthAlg = 0
	AuthHMACMD5    AuthAlg = 1
	AuthHMACSHA1   AuthAlg = 2
	AuthDESMAC     AuthAlg = 3
	AuthKPDK       AuthAlg = 4
	AuthHMACSHA256 AuthAlg = 5
	AuthHMACSHA384 AuthAlg = 6
	AuthHMACSHA512 AuthAlg = 7
	AuthHMACRIPEMD AuthAlg = 8
	AuthAESXCBC    AuthAlg = 9
	AuthSigRSA     AuthAlg = 10
	AuthAES128GMAC AuthAlg = 11
	AuthAES192GMAC AuthAlg = 12
	AuthAES256GMAC AuthAlg = 13
)

// String is the name of an algorithm.
func (a AuthAlg) String() string { return nameOf(authAlgNames[:], "AUTH", uint16(a)) }

var authAlgNames = [...]string{
	0: "NONE", "HMAC_MD5", "HMAC_SHA1", "DES_MAC", "KPDK", "HMAC_SHA2_256", "HMAC_SHA2_384", "HMAC_SHA2_512", "HMAC_RIPEMD",
	"AES_XCBC_MAC", "SIG_RSA", "AES_128_GMAC", "AES_192_GMAC", "AES_256_GMAC",
}

// ESPTransform is a transform ID of ESP: its cipher.
type ESPTransform uint8

// Transforms of ESP.
const (
	ESPDESIV64  ESPTransform = 1
	ESPDES      ESPTransform = 2
	ESP3DES     ESPTransform = 3
	ESPRC5      ESPTransform = 4
	ESPIDEA     ESPTransform = 5
	ESPCAST     ESPTransform = 6
	ESPBlowfish ESPTransform = 7
	ESP3IDEA    ESPTransform = 8
	ESPDESIV32  ESPTransform = 9
	ESPRC4      ESPTransform = 10
	ESPNull     ESPTransform = 11
	ESPAESCBC   ESPTransform = 12
	ESPAESCTR   ESPTransform = 13
	ESPAESCCM8  ESPTransform = 14
	ESPAESCCM12 ESPTransform = 15
	ESPAESCCM16 ESPTransform = 16
	ESPAESGCM8  ESPTransform = 18
	ESPAESGCM12 ESPTransform = 19
	ESPAESGCM16 ESPTransform = 20
	ESPSEED     ESPTransform = 21
	ESPCamellia ESPTransform = 22
	ESPAESGMAC  ESPTransform = 23
)

// String is the name of a transform.
func (t ESPTransform) String() string { return nameOf(espNames[:], "ESP", uint16(t)) }

var espNames = [...]string{
	1: "DES_IV64", "DES", "3DES", "RC5", "IDEA", "CAST", "BLOWFISH", "3IDEA", "DES_IV32", "RC4", "NULL", "AES_CBC", "AES_CTR",
	"AES_CCM_8", "AES_CCM_12", "AES_CCM_16", 18: "AES_GCM_8", "AES_GCM_12", "AES_GCM_16", "SEED_CBC", "CAMELLIA", "NULL_AUTH_AES_GMAC",
}

// AHTransform is a transform ID of AH; the authentication algorithm has to be the same (RFC 2407, Section 4.4.3).
type AHTransform uint8

// Transforms of AH.
const (
	AHMD5        AHTransform = 2
	AHSHA1       AHTransform = 3
	AHDES        AHTransform = 4
	AHSHA256     AHTransform = 5
	AHSHA384     AHTransform = 6
	AHSHA512     AHTransform = 7
	AHRIPEMD     AHTransform = 8
	AHAESXCBC    AHTransform = 9
	AHRSA        AHTransform = 10
	AHAES128GMAC AHTransform = 11
	AHAES192GMAC AHTransform = 12
	AHAES256GMAC AHTransform = 13
)

// String is the name of a transform.
func (t AHTransform) String() string { return nameOf(ahNames[:], "AH", uint16(t)) }

var ahNames = [...]string{
	2: "MD5", "SHA1", "DES", "SHA2_256", "SHA2_384", "SHA2_512", "RIPEMD", "AES_XCBC_MAC", "RSA", "AES_128_GMAC", "AES_192_GMAC", "AES_256_GMAC",
}

// IPCompTransform is a transform ID of IPComp.
type IPCompTransform uint8

// Transforms of IPComp.
const (
	IPCompOUI     IPCompTransform = 1
	IPCompDEFLATE IPCompTransform = 2
	IPCompLZS     IPCompTransform = 3
	IPCompLZJH    IPCompTransform = 4
)

// String is the name of a transform.
func (t IPCompTransform) String() string { return nameOf(ipcompNames[:], "IPCOMP", uint16(t)) }

var ipcompNames = [...]string{1: "OUI", "DEFLATE", "LZS", "LZJH"}
