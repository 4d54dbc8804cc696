// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Numbers of the IKEv2 registries, with the names that logs and transcripts print.

package ikev2msg

import "fmt"

// Exchange is an exchange type (RFC 7296, Section 3.1).
type Exchange uint8

// Exchange types.
const (
	IKESAInit     Exchange = 34
	IKEAuth       Exchange = 35
	CreateChildSA Exchange = 36
	Informational Exchange = 37
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

// known reports whether the payload type has a codec here.
func (t PayloadType) known() bool { return t >= TypeSA && t <= TypeEAP || t == TypeSKF }

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

// NotifyType is a Notify Message Type (RFC 7296, Section 3.10.1). Below 16384 it is an error.
type NotifyType uint16

// Error notifies.
const (
	UnsupportedCriticalPayload NotifyType = 1
	InvalidIKESPI              NotifyType = 4
	InvalidMajorVersion        NotifyType = 5
	InvalidSyntax              NotifyType = 7
	InvalidMessageID           NotifyType = 9
	InvalidSPI                 NotifyType = 11
	NoProposalChosen           NotifyType = 14
	InvalidKEPayload           NotifyType = 17
	AuthenticationFailed       NotifyType = 24
	SinglePairRequired         NotifyType = 34
	NoAdditionalSAs            NotifyType = 35
	InternalAddressFailure     NotifyType = 36
	FailedCPRequired           NotifyType = 37
	TSUnacceptable             NotifyType = 38
	InvalidSelectors           NotifyType = 39
	TemporaryFailure           NotifyType = 43
	ChildSANotFound            NotifyType = 44
)

// Status notifies.
const (
	InitialContact            NotifyType = 16384
	SetWindowSize             NotifyType = 16385
	AdditionalTSPossible      NotifyType = 16386
	IPCOMPSupported           NotifyType = 16387
	NATDetectionSourceIP      NotifyType = 16388
	NATDetectionDestinationIP NotifyType = 16389
	Cookie                    NotifyType = 16390
	UseTransportMode          NotifyType = 16391
	HTTPCertLookupSupported   NotifyType = 16392
	RekeySA                   NotifyType = 16393
	ESPTFCPaddingNotSupported NotifyType = 16394
	NonFirstFragmentsAlso     NotifyType = 16395
	MOBIKESupported           NotifyType = 16396
	EAPOnlyAuthentication     NotifyType = 16417
	IKEv2FragmentationSupport NotifyType = 16430
	SignatureHashAlgorithms   NotifyType = 16431
	IntermediateExchangeSupp  NotifyType = 16438
)

// Error reports whether the notify says that something failed.
func (n NotifyType) Error() bool { return n < InitialContact }

func (n NotifyType) String() string {
	switch n {
	case UnsupportedCriticalPayload:
		return "UNSUPPORTED_CRITICAL_PAYLOAD"
	case InvalidIKESPI:
		return "INVALID_IKE_SPI"
	case InvalidMajorVersion:
		return "INVALID_MAJOR_VERSION"
	case InvalidSyntax:
		return "INVALID_SYNTAX"
	case InvalidMessageID:
		return "INVALID_MESSAGE_ID"
	case InvalidSPI:
		return "INVALID_SPI"
	case NoProposalChosen:
		return "NO_PROPOSAL_CHOSEN"
	case InvalidKEPayload:
		return "INVALID_KE_PAYLOAD"
	case AuthenticationFailed:
		return "AUTHENTICATION_FAILED"
	case SinglePairRequired:
		return "SINGLE_PAIR_REQUIRED"
	case NoAdditionalSAs:
		return "NO_ADDITIONAL_SAS"
	case InternalAddressFailure:
		return "INTERNAL_ADDRESS_FAILURE"
	case FailedCPRequired:
		return "FAILED_CP_REQUIRED"
	case TSUnacceptable:
		return "TS_UNACCEPTABLE"
	case InvalidSelectors:
		return "INVALID_SELECTORS"
	case TemporaryFailure:
		return "TEMPORARY_FAILURE"
	case ChildSANotFound:
		return "CHILD_SA_NOT_FOUND"
	case InitialContact:
		return "INITIAL_CONTACT"
	case SetWindowSize:
		return "SET_WINDOW_SIZE"
	case AdditionalTSPossible:
		return "ADDITIONAL_TS_POSSIBLE"
	case IPCOMPSupported:
		return "IPCOMP_SUPPORTED"
	case NATDetectionSourceIP:
		return "NAT_DETECTION_SOURCE_IP"
	case NATDetectionDestinationIP:
		return "NAT_DETECTION_DESTINATION_IP"
	case Cookie:
		return "COOKIE"
	case UseTransportMode:
		return "USE_TRANSPORT_MODE"
	case HTTPCertLookupSupported:
		return "HTTP_CERT_LOOKUP_SUPPORTED"
	case RekeySA:
		return "REKEY_SA"
	case ESPTFCPaddingNotSupported:
		return "ESP_TFC_PADDING_NOT_SUPPORTED"
	case NonFirstFragmentsAlso:
		return "NON_FIRST_FRAGMENTS_ALSO"
	case MOBIKESupported:
		return "MOBIKE_SUPPORTED"
	case EAPOnlyAuthentication:
		return "EAP_ONLY_AUTHENTICATION"
	case IKEv2FragmentationSupport:
		return "IKEV2_FRAGMENTATION_SUPPORTED"
	case SignatureHashAlgorithms:
		return "SIGNATURE_HASH_ALGORITHMS"
	case IntermediateExchangeSupp:
		return "INTERMEDIATE_EXCHANGE_SUPPORTED"
	}
	return fmt.Sprintf("NOTIFY_%d", uint16(n))
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
	AttrDNSDomain          = 25
)

// CertEncodingX509Signature is the one certificate encoding that is understood (RFC 7296, Section 3.6).
const CertEncodingX509Signature = 4
