// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Numbers of Mode-Config (draft-dukes-ike-mode-cfg-02, Sections 3.3 and 3.4), XAUTH (draft-beaulieu-ike-xauth-02, Section 6),
// and of the vendors' attributes: Cisco Unity, Microsoft, Check Point.

package ikev1msg

import "fmt"

// CfgType is the type of a configuration message.
type CfgType uint8

// Types of configuration messages: request and reply pull, set and ack push.
const (
	CfgRequest CfgType = 1
	CfgReply   CfgType = 2
	CfgSet     CfgType = 3
	CfgAck     CfgType = 4
)

// String is the name of a type.
func (t CfgType) String() string { return nameOf(cfgNames[:], "CFG", uint16(t)) }

var cfgNames = [...]string{1: "REQUEST", "REPLY", "SET", "ACK"}

// Attributes of Mode-Config.
const (
	AttrIP4Address    = 1
	AttrIP4Netmask    = 2
	AttrIP4DNS        = 3
	AttrIP4NBNS       = 4
	AttrAddressExpiry = 5
	AttrIP4DHCP       = 6
	AttrAppVersion    = 7
	AttrIP6Address    = 8
	AttrIP6Netmask    = 9
	AttrIP6DNS        = 10
	AttrIP6NBNS       = 11
	AttrIP6DHCP       = 12
	AttrIP4Subnet     = 13
	AttrSupported     = 14
	AttrIP6Subnet     = 15
)

// Attributes of XAUTH.
const (
	AttrXAUTHType      = 16520
	AttrXAUTHUserName  = 16521
	AttrXAUTHPassword  = 16522
	AttrXAUTHPasscode  = 16523
	AttrXAUTHMessage   = 16524
	AttrXAUTHChallenge = 16525
	AttrXAUTHDomain    = 16526
	AttrXAUTHStatus    = 16527
	AttrXAUTHNextPIN   = 16528
	AttrXAUTHAnswer    = 16529
)

// Attributes of vendors.
const (
	AttrMSIP4Server = 23456 // Microsoft
	AttrMSIP6Server = 23457

	AttrUnityBanner        = 28672 // Cisco Unity
	AttrUnitySavePassword  = 28673
	AttrUnityDefaultDomain = 28674
	AttrUnitySplitDNS      = 28675
	AttrUnitySplitInclude  = 28676
	AttrUnityNATTPort      = 28677 // UDP port of Cisco's own encapsulation
	AttrUnitySplitExclude  = 28678 // "local LAN"
	AttrUnityPFS           = 28679
	AttrUnityFirewallType  = 28680
	AttrUnityBackupServers = 28681
	AttrUnityDDNSHostname  = 28682
)

// ConfigName is the name of an attribute of a configuration message.
func ConfigName(kind uint16) string {
	for _, t := range [...]struct {
		first int
		names []string
	}{
		{AttrIP4Address, configNames[:]}, {AttrXAUTHType, xauthAttrNames[:]}, {AttrMSIP4Server, msNames[:]}, {AttrUnityBanner, unityNames[:]},
	} {
		if i := int(kind) - t.first; i >= 0 && i < len(t.names) {
			return t.names[i]
		}
	}
	if kind >= 16387 && kind <= 16389 || kind >= 16400 && kind <= 16402 {
		return fmt.Sprintf("CHECK_POINT_%d", kind) // used by its clients and gateways, without public names
	}
	return fmt.Sprintf("ATTRIBUTE_%d", kind)
}

var configNames = [...]string{
	"INTERNAL_IP4_ADDRESS", "INTERNAL_IP4_NETMASK", "INTERNAL_IP4_DNS", "INTERNAL_IP4_NBNS", "INTERNAL_ADDRESS_EXPIRY",
	"INTERNAL_IP4_DHCP", "APPLICATION_VERSION", "INTERNAL_IP6_ADDRESS", "INTERNAL_IP6_NETMASK", "INTERNAL_IP6_DNS",
	"INTERNAL_IP6_NBNS", "INTERNAL_IP6_DHCP", "INTERNAL_IP4_SUBNET", "SUPPORTED_ATTRIBUTES", "INTERNAL_IP6_SUBNET",
}

var xauthAttrNames = [...]string{
	"XAUTH_TYPE", "XAUTH_USER_NAME", "XAUTH_USER_PASSWORD", "XAUTH_PASSCODE", "XAUTH_MESSAGE", "XAUTH_CHALLENGE", "XAUTH_DOMAIN",
	"XAUTH_STATUS", "XAUTH_NEXT_PIN", "XAUTH_ANSWER",
}

var msNames = [...]string{"INTERNAL_IP4_SERVER", "INTERNAL_IP6_SERVER"}

var unityNames = [...]string{
	"UNITY_BANNER", "UNITY_SAVE_PASSWD", "UNITY_DEF_DOMAIN", "UNITY_SPLITDNS_NAME", "UNITY_SPLIT_INCLUDE", "UNITY_NATT_PORT",
	"UNITY_LOCAL_LAN", "UNITY_PFS", "UNITY_FW_TYPE", "UNITY_BACKUP_SERVERS", "UNITY_DDNS_HOSTNAME",
}

// XAUTHType is what XAUTH asks for (draft-beaulieu-ike-xauth-02, Section 6.3); Generic where a message does not say.
type XAUTHType uint16

// Types of XAUTH.
const (
	XAUTHGeneric    XAUTHType = 0
	XAUTHRADIUSCHAP XAUTHType = 1
	XAUTHOTP        XAUTHType = 2
	XAUTHSKey       XAUTHType = 3
)

// String is the name of a type.
func (t XAUTHType) String() string { return nameOf(xauthTypeNames[:], "XAUTH", uint16(t)) }

var xauthTypeNames = [...]string{"GENERIC", "RADIUS_CHAP", "OTP", "S_KEY"}

// Values of XAUTH_STATUS (draft-beaulieu-ike-xauth-02, Section 6.2).
const (
	XAUTHFail = 0
	XAUTHOK   = 1
)
