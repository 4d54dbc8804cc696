// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Notify Message Types (RFC 2408, Section 3.14.1; RFC 2407, Section 4.6.3; RFC 3706, Section 5.3; vendors' own).

package ikev1msg

import "fmt"

// NotifyType is a Notify Message Type. Below 16384 it is an error.
type NotifyType uint16

// Error notifies.
const (
	InvalidPayloadType      NotifyType = 1
	DOINotSupported         NotifyType = 2
	SituationNotSupported   NotifyType = 3
	InvalidCookie           NotifyType = 4
	InvalidMajorVersion     NotifyType = 5
	InvalidMinorVersion     NotifyType = 6
	InvalidExchangeType     NotifyType = 7
	InvalidFlags            NotifyType = 8
	InvalidMessageID        NotifyType = 9
	InvalidProtocolID       NotifyType = 10
	InvalidSPI              NotifyType = 11
	InvalidTransformID      NotifyType = 12
	AttributesNotSupported  NotifyType = 13
	NoProposalChosen        NotifyType = 14
	BadProposalSyntax       NotifyType = 15
	PayloadMalformed        NotifyType = 16
	InvalidKeyInformation   NotifyType = 17
	InvalidIDInformation    NotifyType = 18
	InvalidCertEncoding     NotifyType = 19
	InvalidCertificate      NotifyType = 20
	CertTypeUnsupported     NotifyType = 21
	InvalidCertAuthority    NotifyType = 22
	InvalidHashInformation  NotifyType = 23
	AuthenticationFailed    NotifyType = 24
	InvalidSignature        NotifyType = 25
	AddressNotification     NotifyType = 26
	NotifySALifetime        NotifyType = 27
	CertificateUnavailable  NotifyType = 28
	UnsupportedExchangeType NotifyType = 29
	UnequalPayloadLengths   NotifyType = 30
)

// Status notifies; those from 32768 on are vendors' own.
const (
	Connected         NotifyType = 16384
	ResponderLifetime NotifyType = 24576 // RFC 2407, Section 4.6.3.1
	ReplayStatus      NotifyType = 24577 // RFC 2407, Section 4.6.3.2
	InitialContact    NotifyType = 24578 // RFC 2407, Section 4.6.3.3
	IOSKeepaliveReq   NotifyType = 32768 // Cisco's before DPD
	IOSKeepaliveAck   NotifyType = 32769
	RUThere           NotifyType = 36136 // RFC 3706
	RUThereAck        NotifyType = 36137
	UnityLoadBalance  NotifyType = 40501 // Cisco: go to another gateway
	UnityGroupHash    NotifyType = 40503 // Cisco hybrid: hash of the group's secret
)

// String is the name of a notify.
func (n NotifyType) String() string {
	switch {
	case n > 0 && int(n) < len(errorNames):
		return errorNames[n]
	case n >= ResponderLifetime && n <= InitialContact:
		return [...]string{"RESPONDER_LIFETIME", "REPLAY_STATUS", "INITIAL_CONTACT"}[n-ResponderLifetime]
	}
	switch n {
	case Connected:
		return "CONNECTED"
	case IOSKeepaliveReq:
		return "IOS_KEEPALIVE_REQ"
	case IOSKeepaliveAck:
		return "IOS_KEEPALIVE_ACK"
	case RUThere:
		return "R_U_THERE"
	case RUThereAck:
		return "R_U_THERE_ACK"
	case UnityLoadBalance:
		return "UNITY_LOAD_BALANCE"
	case UnityGroupHash:
		return "UNITY_GROUP_HASH"
	}
	return fmt.Sprintf("NOTIFY_%d", uint16(n))
}

// Error reports whether the notify is an error (RFC 2408, Section 3.14.1): up to 8191 as they are registered, up to 16383
// those that vendors made.
func (n NotifyType) Error() bool { return n != 0 && n < Connected }

var errorNames = [...]string{
	1: "INVALID_PAYLOAD_TYPE", "DOI_NOT_SUPPORTED", "SITUATION_NOT_SUPPORTED", "INVALID_COOKIE", "INVALID_MAJOR_VERSION",
	"INVALID_MINOR_VERSION", "INVALID_EXCHANGE_TYPE", "INVALID_FLAGS", "INVALID_MESSAGE_ID", "INVALID_PROTOCOL_ID", "INVALID_SPI",
	"INVALID_TRANSFORM_ID", "ATTRIBUTES_NOT_SUPPORTED", "NO_PROPOSAL_CHOSEN", "BAD_PROPOSAL_SYNTAX", "PAYLOAD_MALFORMED",
	"INVALID_KEY_INFORMATION", "INVALID_ID_INFORMATION", "INVALID_CERT_ENCODING", "INVALID_CERTIFICATE", "CERT_TYPE_UNSUPPORTED",
	"INVALID_CERT_AUTHORITY", "INVALID_HASH_INFORMATION", "AUTHENTICATION_FAILED", "INVALID_SIGNATURE", "ADDRESS_NOTIFICATION",
	"NOTIFY_SA_LIFETIME", "CERTIFICATE_UNAVAILABLE", "UNSUPPORTED_EXCHANGE_TYPE", "UNEQUAL_PAYLOAD_LENGTHS",
}
