// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Numbers of the header and of payload chains (RFC 2408, Section 3.1; RFC 2409, Appendix A; IANA's registries of ISAKMP and
// IKE), with the names that logs and transcripts print. A number from a peer that has no name here prints as its number.

package ikev1msg

import "fmt"

// Flags of the header (RFC 2408, Section 3.1). The other bits must be zero.
const (
	FlagEncryption = 0x01 // all that follows the header is encrypted
	FlagCommit     = 0x02
	FlagAuthOnly   = 0x04 // authenticated, not encrypted (Informational exchanges of key recovery)

	flagsKnown = FlagEncryption | FlagCommit | FlagAuthOnly
)

// The one Domain of Interpretation and the one situation that IPsec has in practice (RFC 2407, Sections 4.1 and 4.2).
const (
	DOIISAKMP             = 0 // generic; some peers send it in notifies of phase 1
	DOIIPsec              = 1
	SituationIdentityOnly = 1
)

// Exchange is an exchange type (RFC 2408, Section 3.1; RFC 2409, Appendix A).
type Exchange uint8

// Exchange types.
const (
	Base          Exchange = 1
	MainMode      Exchange = 2 // Identity Protection
	AuthOnly      Exchange = 3
	Aggressive    Exchange = 4
	Informational Exchange = 5
	Transaction   Exchange = 6 // Mode-Config and XAUTH (draft-dukes-ike-mode-cfg-02, Section 3.1)
	QuickMode     Exchange = 32
	NewGroupMode  Exchange = 33
)

// String is the name of an exchange.
func (e Exchange) String() string {
	switch e {
	case Base:
		return "BASE"
	case MainMode:
		return "MAIN"
	case AuthOnly:
		return "AUTH_ONLY"
	case Aggressive:
		return "AGGRESSIVE"
	case Informational:
		return "INFORMATIONAL"
	case Transaction:
		return "TRANSACTION"
	case QuickMode:
		return "QUICK"
	case NewGroupMode:
		return "NEW_GROUP"
	}
	return fmt.Sprintf("EXCHANGE_%d", uint8(e))
}

// PayloadType is a Next Payload number (RFC 2408, Section 3.1).
type PayloadType uint8

// Payload types. 15 and 16 are of GDOI (RFC 6407) and, from draft 04 of NAT-T on until the RFC, of NAT-T: what they mean is
// known when the vendor IDs of both sides are.
const (
	TypeNone      PayloadType = 0
	TypeSA        PayloadType = 1
	TypeProposal  PayloadType = 2 // only inside of SA
	TypeTransform PayloadType = 3 // only inside of Proposal
	TypeKE        PayloadType = 4
	TypeID        PayloadType = 5
	TypeCert      PayloadType = 6
	TypeCertReq   PayloadType = 7
	TypeHash      PayloadType = 8
	TypeSig       PayloadType = 9
	TypeNonce     PayloadType = 10
	TypeNotify    PayloadType = 11
	TypeDelete    PayloadType = 12
	TypeVendor    PayloadType = 13
	TypeConfig    PayloadType = 14 // Attributes (draft-dukes-ike-mode-cfg-02, Section 3.2)
	TypeNATD15    PayloadType = 15 // NAT-D of drafts 04 to 08; GDOI: SA KEK
	TypeNATOA16   PayloadType = 16 // NAT-OA of drafts 04 to 08; GDOI: SA TEK
	TypeKD        PayloadType = 17 // GDOI
	TypeSEQ       PayloadType = 18 // GDOI
	TypePOP       PayloadType = 19 // GDOI
	TypeNATD      PayloadType = 20 // RFC 3947
	TypeNATOA     PayloadType = 21 // RFC 3947
	TypeGAP       PayloadType = 22 // GDOI
	TypeGSS       PayloadType = 129
	TypeNATD130   PayloadType = 130 // NAT-D of drafts 00 to 03
	TypeNATOA131  PayloadType = 131 // NAT-OA of drafts 00 to 03
	TypeFragment  PayloadType = 132
)

// String is the name of a payload type. Of one payload under several numbers the odd numbers are shown.
func (t PayloadType) String() string {
	if int(t) < len(payloadNames) {
		return payloadNames[t]
	}
	switch t {
	case TypeGSS:
		return "GSS"
	case TypeNATD130:
		return "NAT-D(130)"
	case TypeNATOA131:
		return "NAT-OA(131)"
	case TypeFragment:
		return "FRAGMENT"
	}
	return fmt.Sprintf("PAYLOAD_%d", uint8(t))
}

var payloadNames = [...]string{
	"NONE", "SA", "PROPOSAL", "TRANSFORM", "KE", "ID", "CERT", "CERTREQ", "HASH", "SIG", "NONCE", "N", "D", "V", "CONFIG",
	"NAT-D(15)", "NAT-OA(16)", "KD", "SEQ", "POP", "NAT-D", "NAT-OA", "GAP",
}

// skipped reports whether a payload of a type without a codec is kept and left to whoever reads the message. All others are
// an invalid payload type (RFC 2408, Section 5.3): behind a wrong key the type is a random number, and refusing it says so.
func (t PayloadType) skipped() bool { return t >= TypeNATD15 && t <= TypeGAP || t >= 128 }

// Protocol is a Security Protocol Identifier (RFC 2407, Section 4.4.1).
type Protocol uint8

// Protocols.
const (
	ProtoNone   Protocol = 0
	ProtoISAKMP Protocol = 1
	ProtoAH     Protocol = 2
	ProtoESP    Protocol = 3
	ProtoIPComp Protocol = 4
)

// String is the name of a protocol.
func (p Protocol) String() string {
	switch p {
	case ProtoNone:
		return "NONE"
	case ProtoISAKMP:
		return "ISAKMP"
	case ProtoAH:
		return "AH"
	case ProtoESP:
		return "ESP"
	case ProtoIPComp:
		return "IPCOMP"
	}
	return fmt.Sprintf("PROTOCOL_%d", uint8(p))
}

// CookiePair is the length of an SPI that is both cookies of an IKE SA, the initiator's first, in octets (RFC 3706, Section 5.3).
const CookiePair = 16

// maxSPI bounds the SPI of ISAKMP, which receivers ignore, in octets (RFC 2408, Section 3.5).
const maxSPI = 16

// checkSPI holds the length of an SPI. Only of protocols without a name here any length that RFC 2408 has is taken: what
// nobody chooses must not spoil the offer that it stands in.
func checkSPI(p Protocol, n int) error {
	switch {
	case (p == ProtoAH || p == ProtoESP) && n != 4:
		return fmt.Errorf("%s: SPI size %d, expected 4", p, n)
	case p == ProtoIPComp && n != 2 && n != 4: // a CPI, or one in an SPI's form (RFC 3173, Section 4.1)
		return fmt.Errorf("%s: SPI size %d, expected 2 or 4", p, n)
	case n > maxSPI:
		return fmt.Errorf("%s: SPI size %d, expected at most %d", p, n, maxSPI)
	}
	return nil
}
