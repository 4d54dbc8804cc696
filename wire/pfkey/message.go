// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A message and the values of its extensions (RFC 2367, Section 2.3; KAME; NATT.md, Section 2.5).

package pfkey

import (
	"net/netip"

	"github.com/natterjack/natterjack/crypt/secret"
)

// The limits of a message.
const (
	// MaxMessage is the largest message in octets. The largest that any system makes is an ACQUIRE with a comb for each pair of
	// algorithms, a few thousand octets.
	MaxMessage = 32 * 1024
	// HeaderLen is the base header in octets.
	HeaderLen  = 16
	reservedAt = 6 // sadb_msg_reserved
	// MaxRequests bounds the requests of a policy: six in a bundle of Linux (XFRM_MAX_DEPTH), twice that in a MIGRATE.
	MaxRequests = 16
	// maxOpaque bounds the octets of an extension whose content is its owner's.
	maxOpaque = 4096
)

// Header is the base header (RFC 2367, Section 2.3). Its version is always Version, its length follows from what the message has.
type Header struct {
	Type   Type
	Errno  Errno // of a reply; of an ACQUIRE that a key daemon could not fulfil
	SAType SAType
	Seq    uint32
	PID    uint32
}

// Message is a header and its extensions; nil is one that is not there.
type Message struct {
	Header

	SA              *SA
	LifetimeCurrent *Lifetime
	LifetimeHard    *Lifetime
	LifetimeSoft    *Lifetime
	Src, Dst, Proxy *Address
	KeyAuth         *secret.Key
	KeyEncrypt      *secret.Key
	IdentitySrc     *Identity
	IdentityDst     *Identity
	Sensitivity     *Opaque
	Proposal        *Proposal
	// SupportedAuth and SupportedEncrypt: an empty list is an extension without algorithms, nil is no extension.
	SupportedAuth    []Supported
	SupportedEncrypt []Supported
	SPIRange         *SPIRange
	KMPrivate        *Opaque
	Policy           *Policy
	SA2              *SA2
	NATType          *uint8  // NATTNonIKE or NATTNonESP
	NATSrcPort       *uint16 // the UDP ports of the encapsulation
	NATDstPort       *uint16
	// NATOAi is the original address of the initiator, in Linux that of the peer (NAT_T_OA).
	NATOAi  *Address
	NATOAr  *Address   // BSD
	NATFrag *uint16    // BSD: octets beyond which to fragment before encapsulating
	SecCtx  *SecCtx    // Linux
	KMAddr  *KMAddress // Linux
	Filter  *Filter    // Linux
	// SAReplay is FreeBSD's window in packets, for one larger than SA.Replay can say.
	SAReplay *uint32
	// NewSrc and NewDst are the addresses that an UPDATE moves an SA to: FreeBSD.
	NewSrc, NewDst *Address
	// LifetimeSW, LifetimeHW and IfOffload are FreeBSD's, of SAs that a network card carries.
	LifetimeSW, LifetimeHW *Lifetime
	IfOffload              *Opaque
	// UDPEncap is OpenBSD's port of the encapsulation.
	UDPEncap *uint16
	// Raw are OpenBSD's other extensions, uninterpreted.
	Raw []RawExt

	// Inner is the message that a BSD shows to a promiscuous listener, in a TypePromisc (RFC 2367, Section 3.1.11).
	Inner []byte
	// Order is the order of the extensions, as parsed. What it does not name is appended behind it; where it is empty everything is
	// in the order of the dialect's kernel.
	Order []ExtType
}

// SA is SADB_EXT_SA.
type SA struct {
	SPI uint32
	// Replay is the window: packets in Linux, units of 8 packets in the BSDs. See Dialect.Window.
	Replay  uint8
	State   State
	Auth    AuthAlg
	Encrypt EncryptAlg // a CompAlg of an SA of IPComp
	Flags   uint32     // SAFlag…
}

// Lifetime is SADB_EXT_LIFETIME_*. In a current one the times are seconds since 1970, in the others durations in seconds; 0 is no limit.
type Lifetime struct {
	Allocations uint32
	Bytes       uint64
	AddTime     uint64
	UseTime     uint64
}

// Sockaddr is an address with what else a sockaddr has. The address has no zone: Scope is the number of its interface.
type Sockaddr struct {
	Addr  netip.Addr
	Port  uint16
	Flow  uint32 // sin6_flowinfo
	Scope uint32 // sin6_scope_id
}

// AddrPort is the address and port.
func (s Sockaddr) AddrPort() netip.AddrPort { return netip.AddrPortFrom(s.Addr, s.Port) }

// Addressed is a Sockaddr of an address and port.
func Addressed(a netip.AddrPort) Sockaddr { return Sockaddr{Addr: a.Addr(), Port: a.Port()} }

// Address is SADB_EXT_ADDRESS_*, NAT_T_OA* and NEW_ADDRESS_*.
type Address struct {
	// Proto is the upper protocol of a selector, 255 any.
	Proto     uint8
	PrefixLen uint8
	Sockaddr
}

// Prefix is the address with its prefix length, as it is: bits behind the prefix stay.
func (a *Address) Prefix() netip.Prefix { return netip.PrefixFrom(a.Addr, int(a.PrefixLen)) }

// Identity is SADB_EXT_IDENTITY_*: Data is a string with its terminating NUL and padding, or what Type says.
type Identity struct {
	Type uint16 // 1 prefix, 2 FQDN, 3 user and FQDN, 4 an address (KAME)
	ID   uint64
	Data []byte // a multiple of 8 octets
}

// Opaque is an extension whose content this package does not interpret: what is behind length and type, which is 4 octets and a
// multiple of 8. The first 4 of SADB_X_EXT_KMPRIVATE are reserved: zeros.
type Opaque struct{ Data []byte }

// Proposal is SADB_EXT_PROPOSAL.
type Proposal struct {
	Replay uint8
	Combs  []Comb
}

// Comb is one combination of algorithms that an ACQUIRE proposes.
type Comb struct {
	Auth                           AuthAlg
	Encrypt                        EncryptAlg
	Flags                          uint16
	AuthMinBits, AuthMaxBits       uint16
	EncryptMinBits, EncryptMaxBits uint16
	SoftAllocations                uint32
	HardAllocations                uint32
	SoftBytes, HardBytes           uint64
	SoftAddTime, HardAddTime       uint64
	SoftUseTime, HardUseTime       uint64
}

// Supported is one algorithm of SADB_EXT_SUPPORTED_*. ID is an AuthAlg or an EncryptAlg.
type Supported struct {
	ID      uint8
	IVLen   uint8 // octets
	MinBits uint16
	MaxBits uint16
}

// SPIRange is SADB_EXT_SPIRANGE, both ends included.
type SPIRange struct{ Min, Max uint32 }

// Policy is SADB_X_EXT_POLICY.
type Policy struct {
	Type PolicyType
	Dir  Dir
	// Scope is FreeBSD's scope (0 global, 1 of an interface, 2 of a socket) and NetBSD's flags (0x80: the kernel made it).
	Scope uint8
	ID    uint32
	// Priority: smaller first in Linux. With FreeBSD's scope 1 the index of the interface.
	Priority uint32
	Requests []Request
}

// Request is sadb_x_ipsecrequest: one SA that a policy wants. Src and Dst are both given, or neither.
type Request struct {
	Proto    uint16 // an IP protocol
	Mode     Mode
	Level    Level
	Reqid    uint32 // at most 65535 in the BSDs
	Src, Dst Sockaddr
}

// SA2 is SADB_X_EXT_SA2.
type SA2 struct {
	Mode  Mode
	Seq   uint32 // of the ACQUIRE that led to the SA
	Reqid uint32
}

// SecCtx is SADB_X_EXT_SEC_CTX: a label of a security module, not interpreted.
type SecCtx struct {
	Alg, DOI uint8
	Context  []byte
}

// KMAddress is SADB_X_EXT_KMADDRESS: where the key daemons are after a MIGRATE.
type KMAddress struct{ Src, Dst Sockaddr }

// Filter is SADB_X_EXT_FILTER: what a DUMP shows. An address is the zero Prefix where it does not matter.
type Filter struct{ Src, Dst netip.Prefix }

// RawExt is an extension of OpenBSD, with what is behind its header.
type RawExt struct {
	Type ExtType
	Data []byte
}

// Parse parses a whole message. Where the header is good and an extension is not, the message has the header alone, so that it can be
// answered. Everything is copied: b may be cleared afterwards.
func (c Codec) Parse(b []byte) (*Message, error) { return c.parse(b) }

// Append appends the message. It fails where Parse would refuse what it would append, and always in the dialect OpenBSD.
func (c Codec) Append(dst []byte, m *Message) ([]byte, error) { return c.append(dst, m) }

// Check is what write(2) on a kernel's socket fails with, before there is a message that could be answered: OK where there is. Linux
// wants zeros in the reserved octets of a request's header, which its own messages do not have.
func (c Codec) Check(b []byte) Errno {
	_, err := c.header(b)
	if err == nil && c.Dialect == Linux && (b[reservedAt] != 0 || b[reservedAt+1] != 0) {
		return EINVAL
	}
	return ErrnoOf(err)
}
