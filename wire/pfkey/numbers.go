// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The numbers of PF_KEY and their names (RFC 2367, Section 3; KAME; NATT.md, Sections 1.4 and 1.5).

package pfkey

import "fmt"

// Version is PF_KEY_V2, the only one.
const Version = 2

// Type is the type of a message, in the numbers of KAME, which FreeBSD, NetBSD and Linux share.
type Type uint8

// The message types.
const (
	TypeGetSPI     Type = 1
	TypeUpdate     Type = 2
	TypeAdd        Type = 3
	TypeDelete     Type = 4
	TypeGet        Type = 5
	TypeAcquire    Type = 6
	TypeRegister   Type = 7
	TypeExpire     Type = 8
	TypeFlush      Type = 9
	TypeDump       Type = 10
	TypePromisc    Type = 11
	TypePChange    Type = 12
	TypeSPDUpdate  Type = 13
	TypeSPDAdd     Type = 14
	TypeSPDDelete  Type = 15 // by selector
	TypeSPDGet     Type = 16 // by id
	TypeSPDAcquire Type = 17
	TypeSPDDump    Type = 18
	TypeSPDFlush   Type = 19
	TypeSPDSetIdx  Type = 20
	TypeSPDExpire  Type = 21
	TypeSPDDelete2 Type = 22 // by id
	TypeNewMapping Type = 23 // NetBSD and Linux
	TypeMigrate    Type = 24 // Linux
)

var typeNames = [...]string{"RESERVED", "GETSPI", "UPDATE", "ADD", "DELETE", "GET", "ACQUIRE", "REGISTER", "EXPIRE", "FLUSH", "DUMP", "X_PROMISC", "X_PCHANGE",
	"X_SPDUPDATE", "X_SPDADD", "X_SPDDELETE", "X_SPDGET", "X_SPDACQUIRE", "X_SPDDUMP", "X_SPDFLUSH", "X_SPDSETIDX", "X_SPDEXPIRE", "X_SPDDELETE2",
	"X_NAT_T_NEW_MAPPING", "X_MIGRATE"}

var openBSDTypeNames = [...]string{"X_ADDFLOW", "X_DELFLOW", "X_GRPSPIS", "X_ASKPOLICY", "X_SPDDUMP"}

// String is the name in pfkeyv2.h.
func (t Type) String() string { return t.Name(Linux) }

// Name is the name in the dialect's pfkeyv2.h.
func (t Type) Name(d Dialect) string {
	if i := int(t) - int(TypePChange); d == OpenBSD && i >= 0 && i < len(openBSDTypeNames) {
		return "SADB_" + openBSDTypeNames[i]
	}
	if t <= d.maxType() {
		return "SADB_" + typeNames[t]
	}
	return fmt.Sprintf("SADB_%d", uint8(t))
}

// SPD reports whether messages of the type are about policies.
func (t Type) SPD() bool { return t >= TypeSPDUpdate && t <= TypeSPDDelete2 || t == TypeMigrate }

// SAType is what kind of SA a message is about, in KAME's numbers.
type SAType uint8

// The kinds of SAs.
const (
	SATypeUnspec       SAType = 0
	SATypeAH           SAType = 2
	SATypeESP          SAType = 3
	SATypeRSVP         SAType = 5
	SATypeOSPFv2       SAType = 6
	SATypeRIPv2        SAType = 7
	SATypeMIP          SAType = 8
	SATypeIPComp       SAType = 9
	SATypeTCPSignature SAType = 11 // FreeBSD and NetBSD
)

// openBSDSATypes are OpenBSD's numbers in the order of their names.
var openBSDSATypes = [...]string{"UNSPEC", "AH", "ESP", "RSVP", "OSPFV2", "RIPV2", "MIP", "X_IPIP", "X_TCPSIGNATURE", "X_IPCOMP"}

// String is the name in pfkeyv2.h.
func (s SAType) String() string { return s.Name(FreeBSD) }

// Name is the name in the dialect's pfkeyv2.h, whose numbers are others in OpenBSD.
func (s SAType) Name(d Dialect) string {
	if d == OpenBSD && int(s) < len(openBSDSATypes) {
		return openBSDSATypes[s]
	}
	switch {
	case d == OpenBSD:
	case s == SATypeUnspec:
		return "UNSPEC"
	case s == SATypeAH:
		return "AH"
	case s == SATypeESP:
		return "ESP"
	case s == SATypeRSVP:
		return "RSVP"
	case s == SATypeOSPFv2:
		return "OSPFV2"
	case s == SATypeRIPv2:
		return "RIPV2"
	case s == SATypeMIP:
		return "MIP"
	case s == SATypeIPComp:
		return "X_IPCOMP"
	case s == SATypeTCPSignature && d != Linux:
		return "X_TCPSIGNATURE"
	}
	return fmt.Sprintf("SATYPE_%d", uint8(s))
}

// Proto is the IP protocol of the SAs; 0 for a kind that is none of IPsec's.
func (s SAType) Proto() uint8 {
	switch s {
	case SATypeESP:
		return 50
	case SATypeAH:
		return 51
	case SATypeIPComp:
		return 108
	}
	return 0
}

// SATypeOf is the kind of SAs of an IP protocol; SATypeUnspec where it is none of IPsec's.
func SATypeOf(proto uint8) SAType {
	for _, s := range [...]SAType{SATypeESP, SATypeAH, SATypeIPComp} {
		if s.Proto() == proto {
			return s
		}
	}
	return SATypeUnspec
}

// State is the state of an SA.
type State uint8

// The states (RFC 2367, Section 3.2).
const (
	StateLarval State = 0
	StateMature State = 1
	StateDying  State = 2
	StateDead   State = 3
)

// String is setkey's word.
func (s State) String() string {
	switch s {
	case StateLarval:
		return "larval"
	case StateMature:
		return "mature"
	case StateDying:
		return "dying"
	case StateDead:
		return "dead"
	}
	return fmt.Sprintf("state-%d", uint8(s))
}

// Mode is how an SA or a request protects (IPSEC_MODE_*).
type Mode uint8

// The modes.
const (
	ModeAny       Mode = 0
	ModeTransport Mode = 1
	ModeTunnel    Mode = 2
	ModeTCPMD5    Mode = 3 // FreeBSD; BEET in Linux
)

// String is setkey's word.
func (m Mode) String() string {
	switch m {
	case ModeAny:
		return "any"
	case ModeTransport:
		return "transport"
	case ModeTunnel:
		return "tunnel"
	}
	return fmt.Sprintf("mode-%d", uint8(m))
}

// Level says whether a policy's request must be met (IPSEC_LEVEL_*).
type Level uint8

// The levels.
const (
	LevelDefault Level = 0
	LevelUse     Level = 1
	LevelRequire Level = 2
	LevelUnique  Level = 3
)

// String is setkey's word.
func (l Level) String() string {
	switch l {
	case LevelDefault:
		return "default"
	case LevelUse:
		return "use"
	case LevelRequire:
		return "require"
	case LevelUnique:
		return "unique"
	}
	return fmt.Sprintf("level-%d", uint8(l))
}

// Dir is the direction of a policy (IPSEC_DIR_*).
type Dir uint8

// The directions.
const (
	DirAny Dir = 0
	DirIn  Dir = 1
	DirOut Dir = 2
	DirFwd Dir = 3 // Linux
)

// String is setkey's word.
func (d Dir) String() string {
	switch d {
	case DirAny:
		return "any"
	case DirIn:
		return "in"
	case DirOut:
		return "out"
	case DirFwd:
		return "fwd"
	}
	return fmt.Sprintf("dir-%d", uint8(d))
}

// PolicyType is what a policy does (IPSEC_POLICY_*).
type PolicyType uint16

// The policies.
const (
	PolicyDiscard PolicyType = 0
	PolicyNone    PolicyType = 1
	PolicyIPsec   PolicyType = 2
	PolicyEntrust PolicyType = 3 // of a socket only
	PolicyBypass  PolicyType = 4 // of a socket only
)

// String is setkey's word.
func (p PolicyType) String() string {
	switch p {
	case PolicyDiscard:
		return "discard"
	case PolicyNone:
		return "none"
	case PolicyIPsec:
		return "ipsec"
	case PolicyEntrust:
		return "entrust"
	case PolicyBypass:
		return "bypass"
	}
	return fmt.Sprintf("policy-%d", uint16(p))
}

// The types of SADB_X_EXT_NAT_T_TYPE: what the UDP_ENCAP socket option is set to.
const (
	NATTNonIKE uint8 = 1 // drafts 00 and 01, port 500
	NATTNonESP uint8 = 2 // RFC 3948
)

// The flags of an SA (sadb_sa_flags).
const (
	SAFlagPFS        uint32 = 0x00000001 // RFC 2367
	SAFlagOld        uint32 = 0x00000001 // KAME: old format of ESP and AH
	SAFlagIV4B       uint32 = 0x00000010
	SAFlagDeriv      uint32 = 0x00000020
	SAFlagCycSeq     uint32 = 0x00000040 // the sequence number may wrap: never honoured
	SAFlagESN        uint32 = 0x00000400 // FreeBSD
	SAFlagNoPMTUDisc uint32 = 0x20000000 // Linux
	SAFlagDecapDSCP  uint32 = 0x40000000 // Linux
	SAFlagNoECN      uint32 = 0x80000000 // Linux
)
