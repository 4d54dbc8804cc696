// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The extensions by name. Where systems gave one number to different extensions, each has a value of its own here, and
// Dialect.Number is what is on the wire.

package pfkey

import "fmt"

// ExtType names an extension, whatever number it has in which dialect.
type ExtType uint16

// The extensions. Up to ExtNATOAi every dialect but OpenBSD has these numbers; OpenBSD has them up to ExtSPIRange.
const (
	ExtSA               ExtType = 1
	ExtLifetimeCurrent  ExtType = 2
	ExtLifetimeHard     ExtType = 3
	ExtLifetimeSoft     ExtType = 4
	ExtAddressSrc       ExtType = 5
	ExtAddressDst       ExtType = 6
	ExtAddressProxy     ExtType = 7
	ExtKeyAuth          ExtType = 8
	ExtKeyEncrypt       ExtType = 9
	ExtIdentitySrc      ExtType = 10
	ExtIdentityDst      ExtType = 11
	ExtSensitivity      ExtType = 12
	ExtProposal         ExtType = 13
	ExtSupportedAuth    ExtType = 14
	ExtSupportedEncrypt ExtType = 15
	ExtSPIRange         ExtType = 16
	ExtKMPrivate        ExtType = 17
	ExtPolicy           ExtType = 18
	ExtSA2              ExtType = 19
	ExtNATType          ExtType = 20
	ExtNATSrcPort       ExtType = 21
	ExtNATDstPort       ExtType = 22
	ExtNATOAi           ExtType = 23 // NAT_T_OA in Linux
	ExtNATOAr           ExtType = 24 // BSD from here
	ExtNATFrag          ExtType = 25
	ExtSAReplay         ExtType = 26 // FreeBSD from here
	ExtNewAddressSrc    ExtType = 27
	ExtNewAddressDst    ExtType = 28
	ExtLifetimeSWOff    ExtType = 29
	ExtLifetimeHWOff    ExtType = 30
	ExtIfHWOffload      ExtType = 31

	ExtSecCtx    ExtType = linuxBase + 24
	ExtKMAddress ExtType = linuxBase + 25
	ExtFilter    ExtType = linuxBase + 26

	// ExtUDPEncap and everything else of OpenBSD that has no common number: parsed only.
	ExtUDPEncap ExtType = openBSDBase + 31
)

const (
	linuxBase   ExtType = 0x100
	openBSDBase ExtType = 0x200
	openBSDMax  ExtType = 40
)

var extNames = [...]string{"SADB_EXT_RESERVED", "SADB_EXT_SA", "SADB_EXT_LIFETIME_CURRENT", "SADB_EXT_LIFETIME_HARD", "SADB_EXT_LIFETIME_SOFT",
	"SADB_EXT_ADDRESS_SRC", "SADB_EXT_ADDRESS_DST", "SADB_EXT_ADDRESS_PROXY", "SADB_EXT_KEY_AUTH", "SADB_EXT_KEY_ENCRYPT", "SADB_EXT_IDENTITY_SRC",
	"SADB_EXT_IDENTITY_DST", "SADB_EXT_SENSITIVITY", "SADB_EXT_PROPOSAL", "SADB_EXT_SUPPORTED_AUTH", "SADB_EXT_SUPPORTED_ENCRYPT", "SADB_EXT_SPIRANGE",
	"SADB_X_EXT_KMPRIVATE", "SADB_X_EXT_POLICY", "SADB_X_EXT_SA2", "SADB_X_EXT_NAT_T_TYPE", "SADB_X_EXT_NAT_T_SPORT", "SADB_X_EXT_NAT_T_DPORT",
	"SADB_X_EXT_NAT_T_OAI", "SADB_X_EXT_NAT_T_OAR", "SADB_X_EXT_NAT_T_FRAG", "SADB_X_EXT_SA_REPLAY", "SADB_X_EXT_NEW_ADDRESS_SRC",
	"SADB_X_EXT_NEW_ADDRESS_DST", "SADB_X_EXT_LFT_CUR_SW_OFFL", "SADB_X_EXT_LFT_CUR_HW_OFFL", "SADB_X_EXT_IF_HW_OFFL"}

// openBSDExtNames begins with number 17.
var openBSDExtNames = [...]string{"X_SRC_MASK", "X_DST_MASK", "X_PROTOCOL", "X_FLOW_TYPE", "X_SRC_FLOW", "X_DST_FLOW", "X_SA2", "X_DST2", "X_POLICY", "26", "27", "28", "29",
	"30", "X_UDPENCAP", "X_LIFETIME_LASTUSE", "X_TAG", "X_TAP", "X_SATYPE2", "X_COUNTER", "X_RDOMAIN", "X_MTU", "X_REPLAY", "X_IFACE"}

// String is the name in pfkeyv2.h.
func (t ExtType) String() string {
	if int(t) < len(extNames) {
		return extNames[t]
	}
	switch t {
	case ExtSecCtx:
		return "SADB_X_EXT_SEC_CTX"
	case ExtKMAddress:
		return "SADB_X_EXT_KMADDRESS"
	case ExtFilter:
		return "SADB_X_EXT_FILTER"
	}
	if i := int(t) - int(openBSDBase) - 17; i >= 0 && i < len(openBSDExtNames) {
		if n := openBSDExtNames[i]; n[0] == 'X' {
			return "SADB_X_EXT_" + n[2:]
		}
		t -= openBSDBase
	}
	return fmt.Sprintf("SADB_EXT_%d", uint16(t))
}
