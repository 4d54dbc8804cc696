// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Numbers of the IKEv2 registries that this peer uses (RFC 7296, Section 3; RFC 7383; RFC 7427; RFC 8247).

package bogus

// Exchange types.
const (
	IKESAInit     = 34
	IKEAuth       = 35
	CreateChildSA = 36
	Informational = 37
)

// Payload types.
const (
	NoPayload = 0
	PayloadSA = 32 + iota
	PayloadKE
	PayloadIDi
	PayloadIDr
	PayloadCERT
	PayloadCERTREQ
	PayloadAUTH
	PayloadNonce
	PayloadNotify
	PayloadDelete
	PayloadVendor
	PayloadTSi
	PayloadTSr
	PayloadSK
	PayloadCP
	PayloadEAP
	PayloadSKF = 53
)

// Header flags.
const (
	FlagInitiator = 0x08
	FlagVersion   = 0x10
	FlagResponse  = 0x20
)

// Protocols.
const (
	ProtoNone = 0
	ProtoIKE  = 1
	ProtoAH   = 2
	ProtoESP  = 3
)

// Notify types that are named here or in the hostile cases.
const (
	UnsupportedCriticalPayload = 1
	InvalidIKESPI              = 4
	InvalidMajorVersion        = 5
	InvalidSyntax              = 7
	InvalidMessageID           = 9
	InvalidSPI                 = 11
	NoProposalChosen           = 14
	InvalidKEPayload           = 17
	AuthenticationFailed       = 24
	SinglePairRequired         = 34
	NoAdditionalSAs            = 35
	InternalAddressFailure     = 36
	FailedCPRequired           = 37
	TSUnacceptable             = 38
	InvalidSelectors           = 39
	TemporaryFailure           = 43
	ChildSANotFound            = 44
	InitialContact             = 16384
	NATDetectionSource         = 16388
	NATDetectionDestination    = 16389
	CookieNotify               = 16390
	UseTransportMode           = 16391
	RekeySA                    = 16393
	ESPTFCPaddingNotSupported  = 16394
	MobikeSupported            = 16396
	FragmentationSupported     = 16430
	SignatureHashAlgorithms    = 16431
)

// Transform types and the identifiers of the algorithms that this peer has.
const (
	TransformENCR  = 1
	TransformPRF   = 2
	TransformINTEG = 3
	TransformKE    = 4
	TransformESN   = 5

	EncrAESCBC   = 12
	EncrAESGCM16 = 20
	EncrChaCha   = 28

	PRFSHA1   = 2
	PRFSHA256 = 5
	PRFSHA384 = 6
	PRFSHA512 = 7

	IntegNone   = 0
	IntegSHA1   = 2
	IntegSHA256 = 12
	IntegSHA384 = 13
	IntegSHA512 = 14

	KEMODP2048 = 14
	KEMODP3072 = 15
	KEMODP4096 = 16
	KEP256     = 19
	KEP384     = 20
	KEX25519   = 31
)

// Identification types (RFC 7296, Section 3.5).
const (
	IDIPv4   = 1
	IDFQDN   = 2
	IDRFC822 = 3
	IDIPv6   = 5
	IDDN     = 9
	IDKeyID  = 11
)
