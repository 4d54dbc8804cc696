// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1msg

import (
	"fmt"
	"testing"
)

// TestNumbersHaveNames: no two numbers of a registry share a name, every name can be printed, and errors and status are
// told apart by range.
func TestNumbersHaveNames(t *testing.T) {
	for what, c := range map[string]struct {
		upTo int
		name func(int) string
	}{
		"exchange":          {256, func(n int) string { return Exchange(n).String() }},
		"payload":           {256, func(n int) string { return PayloadType(n).String() }},
		"protocol":          {256, func(n int) string { return Protocol(n).String() }},
		"identity":          {256, func(n int) string { return IDType(n).String() }},
		"certificate":       {256, func(n int) string { return CertEncoding(n).String() }},
		"ESP":               {256, func(n int) string { return ESPTransform(n).String() }},
		"AH":                {256, func(n int) string { return AHTransform(n).String() }},
		"IPComp":            {256, func(n int) string { return IPCompTransform(n).String() }},
		"configuration":     {256, func(n int) string { return CfgType(n).String() }},
		"maker":             {256, func(n int) string { return Maker(n).String() }},
		"notify":            {65536, func(n int) string { return NotifyType(n).String() }},
		"encryption":        {65536, func(n int) string { return EncrAlg(n).String() }},
		"hash":              {65536, func(n int) string { return HashAlg(n).String() }},
		"method":            {65536, func(n int) string { return AuthMethod(n).String() }},
		"group":             {65536, func(n int) string { return Group(n).String() }},
		"life":              {65536, func(n int) string { return LifeType(n).String() }},
		"encapsulation":     {65536, func(n int) string { return EncapMode(n).String() }},
		"authentication":    {65536, func(n int) string { return AuthAlg(n).String() }},
		"attribute":         {65536, func(n int) string { return ConfigName(uint16(n)) }},
		"XAUTH":             {65536, func(n int) string { return XAUTHType(n).String() }},
		"names of no table": {65536, func(n int) string { return nameOf(nil, "N", uint16(n)) }},
	} {
		seen := map[string]int{}
		for n := range c.upTo {
			s := c.name(n)
			if old, ok := seen[s]; ok || s == "" {
				t.Errorf("%s: %d and %d are both %q", what, old, n, s)
			}
			seen[s] = n
		}
	}
	for n := range 1 << 16 {
		if NotifyType(n).Error() != (n > 0 && n < 16384) {
			t.Errorf("notify %d: error is %v", n, NotifyType(n).Error())
		}
	}
}

// TestNumbers holds numbers that were typed from the documents, where a slip of one place would give a neighbour's name.
func TestNumbers(t *testing.T) {
	for want, got := range map[string]fmt.Stringer{
		"MAIN": Exchange(2), "AGGRESSIVE": Exchange(4), "INFORMATIONAL": Exchange(5), "TRANSACTION": Exchange(6), "QUICK": Exchange(32), "NEW_GROUP": Exchange(33),
		"SA": PayloadType(1), "KE": PayloadType(4), "ID": PayloadType(5), "HASH": PayloadType(8), "NONCE": PayloadType(10), "V": PayloadType(13),
		"CONFIG": PayloadType(14), "NAT-D(15)": PayloadType(15), "NAT-OA(16)": PayloadType(16), "NAT-D": PayloadType(20), "NAT-OA": PayloadType(21),
		"GSS": PayloadType(129), "NAT-D(130)": PayloadType(130), "NAT-OA(131)": PayloadType(131), "FRAGMENT": PayloadType(132),
		"ISAKMP": Protocol(1), "AH": Protocol(2), "ESP": Protocol(3), "IPCOMP": Protocol(4),
		"IPV4_ADDR": IDType(1), "IPV6_ADDR": IDType(5), "DER_ASN1_DN": IDType(9), "KEY_ID": IDType(11),
		"X509_SIGNATURE": CertEncoding(4), "CRL": CertEncoding(7), "X509_ATTRIBUTE": CertEncoding(10),
		"3DES_CBC": EncrAlg(5), "AES_CBC": EncrAlg(7), "CAMELLIA_CBC": EncrAlg(8), "MD5": HashAlg(1), "SHA1": HashAlg(2), "SHA2_256": HashAlg(4), "SHA2_512": HashAlg(6),
		"PSK": AuthMethod(1), "RSA_SIGNATURES": AuthMethod(3), "ECDSA_256": AuthMethod(9), "ECDSA_521": AuthMethod(11),
		"HYBRID_INIT_RSA": AuthMethod(64221), "HYBRID_RESP_DSS": AuthMethod(64224), "XAUTH_INIT_PSK": AuthMethod(65001),
		"XAUTH_INIT_RSA": AuthMethod(65005), "XAUTH_RESP_RSA_REVISED": AuthMethod(65010),
		"MODP_1024": Group(2), "MODP_1536": Group(5), "MODP_2048": Group(14), "MODP_8192": Group(18), "ECP_256": Group(19), "ECP_521": Group(21),
		"SECONDS": LifeType(1), "KILOBYTES": LifeType(2), "TUNNEL": EncapMode(1), "UDP_TUNNEL": EncapMode(3), "UDP_TRANSPORT": EncapMode(4),
		"UDP_TUNNEL_DRAFT": EncapMode(61443), "UDP_TRANSPORT_DRAFT": EncapMode(61444),
		"HMAC_SHA1": AuthAlg(2), "HMAC_SHA2_256": AuthAlg(5), "HMAC_SHA2_512": AuthAlg(7), "AES_256_GMAC": AuthAlg(13),
		"3DES": ESPTransform(3), "NULL": ESPTransform(11), "AES_CTR": ESPTransform(13), "AES_CCM_16": ESPTransform(16), "AES_GCM_8": ESPTransform(18),
		"AES_GCM_16": ESPTransform(20), "NULL_AUTH_AES_GMAC": ESPTransform(23), "AES_XCBC_MAC": AHTransform(9), "AES_128_GMAC": AHTransform(11),
		"DEFLATE": IPCompTransform(2), "LZJH": IPCompTransform(4), "REPLY": CfgType(2), "ACK": CfgType(4),
		"RADIUS_CHAP": XAUTHType(1), "OTP": XAUTHType(2), "S_KEY": XAUTHType(3),
		"NO_PROPOSAL_CHOSEN": NotifyType(14), "INVALID_ID_INFORMATION": NotifyType(18), "INVALID_HASH_INFORMATION": NotifyType(23),
		"AUTHENTICATION_FAILED": NotifyType(24), "UNEQUAL_PAYLOAD_LENGTHS": NotifyType(30), "RESPONDER_LIFETIME": NotifyType(24576),
		"REPLAY_STATUS": NotifyType(24577), "INITIAL_CONTACT": NotifyType(24578), "R_U_THERE": NotifyType(36136), "R_U_THERE_ACK": NotifyType(36137),
		"UNITY_LOAD_BALANCE": NotifyType(40501),
	} {
		if got.String() != want {
			t.Errorf("%s is named %s", want, got)
		}
	}
	for kind, want := range map[uint16]string{
		1: "INTERNAL_IP4_ADDRESS", 2: "INTERNAL_IP4_NETMASK", 3: "INTERNAL_IP4_DNS", 4: "INTERNAL_IP4_NBNS", 5: "INTERNAL_ADDRESS_EXPIRY",
		6: "INTERNAL_IP4_DHCP", 7: "APPLICATION_VERSION", 8: "INTERNAL_IP6_ADDRESS", 13: "INTERNAL_IP4_SUBNET", 14: "SUPPORTED_ATTRIBUTES",
		15: "INTERNAL_IP6_SUBNET", 16520: "XAUTH_TYPE", 16521: "XAUTH_USER_NAME", 16522: "XAUTH_USER_PASSWORD", 16523: "XAUTH_PASSCODE",
		16524: "XAUTH_MESSAGE", 16525: "XAUTH_CHALLENGE", 16526: "XAUTH_DOMAIN", 16527: "XAUTH_STATUS", 16528: "XAUTH_NEXT_PIN", 16529: "XAUTH_ANSWER",
		23456: "INTERNAL_IP4_SERVER", 23457: "INTERNAL_IP6_SERVER", 28672: "UNITY_BANNER", 28673: "UNITY_SAVE_PASSWD", 28674: "UNITY_DEF_DOMAIN",
		28675: "UNITY_SPLITDNS_NAME", 28676: "UNITY_SPLIT_INCLUDE", 28677: "UNITY_NATT_PORT", 28678: "UNITY_LOCAL_LAN", 28679: "UNITY_PFS",
		28680: "UNITY_FW_TYPE", 28681: "UNITY_BACKUP_SERVERS", 28682: "UNITY_DDNS_HOSTNAME", 16387: "CHECK_POINT_16387", 16402: "CHECK_POINT_16402",
		0: "ATTRIBUTE_0", 16: "ATTRIBUTE_16", 16530: "ATTRIBUTE_16530", 28683: "ATTRIBUTE_28683", 16390: "ATTRIBUTE_16390",
	} {
		if got := ConfigName(kind); got != want {
			t.Errorf("attribute %d is %s, expected %s", kind, got, want)
		}
	}
	if AttrXAUTHAnswer != 16529 || AttrUnityDDNSHostname != 28682 || AttrIP6Subnet != 15 || AttrUnityNATTPort != 28677 || AttrMSIP6Server != 23457 {
		t.Error("constants of attributes are not their names'")
	}
}
