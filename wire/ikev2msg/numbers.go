// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Numbers of the IKEv2 registries, with the names that logs and transcripts print.

package ikev2msg

import "fmt"

// Exchange is an exchange type (RFC 7296, Section 3.1).
type Exchange uint8

// Exchange types.
const (
	IKESAInit       Exchange = 34
	IKEAuth         Exchange = 35
	CreateChildSA   Exchange = 36
	Informational   Exchange = 37
	IKESessionRes   Exchange = 38 // RFC 5723
	GSAAuth         Exchange = 39 // RFC 9838
	GSARegistration Exchange = 40
	GSARekey        Exchange = 41
	IKEIntermediate Exchange = 43 // RFC 9242
	IKEFollowupKE   Exchange = 44 // RFC 9370
)

func (e Exchange) String() string {
	switch e {
	case IKESAInit:
		return "IKE_SA_INIT"
	case IKEAuth:
		return "IKE_AUTH"
	case CreateChildSA:
		return "CREATE_CHILD_SA"
	case Informational:
		return "INFORMATIONAL"
	case IKESessionRes:
		return "IKE_SESSION_RESUME"
	case GSAAuth:
		return "GSA_AUTH"
	case GSARegistration:
		return "GSA_REGISTRATION"
	case GSARekey:
		return "GSA_REKEY"
	case IKEIntermediate:
		return "IKE_INTERMEDIATE"
	case IKEFollowupKE:
		return "IKE_FOLLOWUP_KE"
	}
	return fmt.Sprintf("EXCHANGE_%d", uint8(e))
}

// PayloadType is a payload type (RFC 7296, Section 3.2; RFC 7383, Section 2.5).
type PayloadType uint8

// Payload types.
const (
	TypeNone    PayloadType = 0
	TypeSA      PayloadType = 33
	TypeKE      PayloadType = 34
	TypeIDi     PayloadType = 35
	TypeIDr     PayloadType = 36
	TypeCert    PayloadType = 37
	TypeCertReq PayloadType = 38
	TypeAuth    PayloadType = 39
	TypeNonce   PayloadType = 40
	TypeNotify  PayloadType = 41
	TypeDelete  PayloadType = 42
	TypeVendor  PayloadType = 43
	TypeTSi     PayloadType = 44
	TypeTSr     PayloadType = 45
	TypeSK      PayloadType = 46
	TypeCP      PayloadType = 47
	TypeEAP     PayloadType = 48
	TypeSKF     PayloadType = 53
)

func (t PayloadType) String() string {
	switch t {
	case TypeSA:
		return "SA"
	case TypeKE:
		return "KE"
	case TypeIDi:
		return "IDi"
	case TypeIDr:
		return "IDr"
	case TypeCert:
		return "CERT"
	case TypeCertReq:
		return "CERTREQ"
	case TypeAuth:
		return "AUTH"
	case TypeNonce:
		return "No"
	case TypeNotify:
		return "N"
	case TypeDelete:
		return "D"
	case TypeVendor:
		return "V"
	case TypeTSi:
		return "TSi"
	case TypeTSr:
		return "TSr"
	case TypeSK:
		return "SK"
	case TypeCP:
		return "CP"
	case TypeEAP:
		return "EAP"
	case TypeSKF:
		return "SKF"
	}
	return fmt.Sprintf("PAYLOAD_%d", uint8(t))
}

// Protocol is a Security Protocol Identifier (RFC 7296, Section 3.3.1).
type Protocol uint8

// Protocols.
const (
	ProtoNone Protocol = 0
	ProtoIKE  Protocol = 1
	ProtoAH   Protocol = 2
	ProtoESP  Protocol = 3
)

func (p Protocol) String() string {
	switch p {
	case ProtoNone:
		return "-"
	case ProtoIKE:
		return "IKE"
	case ProtoAH:
		return "AH"
	case ProtoESP:
		return "ESP"
	}
	return fmt.Sprintf("PROTO_%d", uint8(p))
}

// TransformType is a Transform Type (RFC 7296, Section 3.3.2).
type TransformType uint8

// Transform types.
const (
	TransformEncr  TransformType = 1
	TransformPRF   TransformType = 2
	TransformInteg TransformType = 3
	TransformKE    TransformType = 4
	TransformESN   TransformType = 5
)

func (t TransformType) String() string {
	switch t {
	case TransformEncr:
		return "ENCR"
	case TransformPRF:
		return "PRF"
	case TransformInteg:
		return "INTEG"
	case TransformKE:
		return "KE"
	case TransformESN:
		return "ESN"
	}
	return fmt.Sprintf("TRANSFORM_%d", uint8(t))
}

// Configuration payload types and attributes (RFC 7296, Section 3.15).
const (
	CFGRequest = 1
	CFGReply   = 2
	CFGSet     = 3
	CFGAck     = 4

	AttrIP4Address         = 1
	AttrIP4Netmask         = 2
	AttrIP4DNS             = 3
	AttrIP4NBNS            = 4
	AttrIP4DHCP            = 6
	AttrApplicationVersion = 7
	AttrIP6Address         = 8
	AttrIP6DNS             = 10
	AttrIP6DHCP            = 12
	AttrIP4Subnet          = 13
	AttrSupported          = 14
	AttrIP6Subnet          = 15
	AttrMIP6HomePrefix     = 16 // RFC 5026
	AttrIP6Link            = 17 // RFC 5739
	AttrIP6Prefix          = 18
	AttrHomeAgentAddress   = 19 // 3GPP TS 24.302
	AttrPCSCFIP4           = 20 // RFC 7651
	AttrPCSCFIP6           = 21
	AttrFTTKAT             = 22 // 3GPP TS 24.302
	AttrExternalSourceIP4  = 23
	AttrTimeoutForLiveness = 24
	AttrDNSDomain          = 25 // RFC 8598
	AttrDNSSECTA           = 26
	AttrEncDNSIP4          = 27 // RFC 9464
	AttrEncDNSIP6          = 28
	AttrEncDNSDigestInfo   = 29
)

// AttributeName is a word for a configuration attribute.
func AttributeName(kind uint16) string {
	switch kind {
	case AttrIP4Address:
		return "INTERNAL_IP4_ADDRESS"
	case AttrIP4Netmask:
		return "INTERNAL_IP4_NETMASK"
	case AttrIP4DNS:
		return "INTERNAL_IP4_DNS"
	case AttrIP4NBNS:
		return "INTERNAL_IP4_NBNS"
	case AttrIP4DHCP:
		return "INTERNAL_IP4_DHCP"
	case AttrApplicationVersion:
		return "APPLICATION_VERSION"
	case AttrIP6Address:
		return "INTERNAL_IP6_ADDRESS"
	case AttrIP6DNS:
		return "INTERNAL_IP6_DNS"
	case AttrIP6DHCP:
		return "INTERNAL_IP6_DHCP"
	case AttrIP4Subnet:
		return "INTERNAL_IP4_SUBNET"
	case AttrSupported:
		return "SUPPORTED_ATTRIBUTES"
	case AttrIP6Subnet:
		return "INTERNAL_IP6_SUBNET"
	case AttrMIP6HomePrefix:
		return "MIP6_HOME_PREFIX"
	case AttrIP6Link:
		return "INTERNAL_IP6_LINK"
	case AttrIP6Prefix:
		return "INTERNAL_IP6_PREFIX"
	case AttrHomeAgentAddress:
		return "HOME_AGENT_ADDRESS"
	case AttrPCSCFIP4:
		return "P_CSCF_IP4_ADDRESS"
	case AttrPCSCFIP6:
		return "P_CSCF_IP6_ADDRESS"
	case AttrFTTKAT:
		return "FTT_KAT"
	case AttrExternalSourceIP4:
		return "EXTERNAL_SOURCE_IP4_NAT_INFO"
	case AttrTimeoutForLiveness:
		return "TIMEOUT_PERIOD_FOR_LIVENESS_CHECK"
	case AttrDNSDomain:
		return "INTERNAL_DNS_DOMAIN"
	case AttrDNSSECTA:
		return "INTERNAL_DNSSEC_TA"
	case AttrEncDNSIP4:
		return "ENCDNS_IP4"
	case AttrEncDNSIP6:
		return "ENCDNS_IP6"
	case AttrEncDNSDigestInfo:
		return "ENCDNS_DIGEST_INFO"
	}
	return fmt.Sprintf("ATTRIBUTE_%d", kind)
}

// CertEncodingX509Signature is the one certificate encoding that is understood (RFC 7296, Section 3.6).
const CertEncodingX509Signature = 4
