// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ike

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
)

// Connection is one configured peer: who it is, where, and what may be negotiated with it. A Connection is immutable
// after publish; machines keep the value they were born with, so that a reload never changes a running SA.
// The names are swanctl.conf's; where a field has a unit, it says so.
type Connection struct {
	Name        string
	LocalAddrs  []AddrSpec // empty: any
	RemoteAddrs []AddrSpec // empty: any (responder only)
	// LocalPort and RemotePort are 0 for the daemon's own and 500. RemotePortNATT is 0 for 4500.
	LocalPort, RemotePort, RemotePortNATT uint16
	Proposals                             []IKEProposal // never empty
	VIPs                                  []netip.Addr  // requested; unspecified addresses ask for any of the family
	Pools                                 []string
	Encap                                 bool // force UDP encapsulation
	Fragmentation                         Fragmentation
	SendCertReq                           bool
	SendCert                              SendCert
	DPDDelay                              time.Duration // 0: none
	KeyingTries                           int           // 0: for ever
	Unique                                Unique
	RekeyTime, OverTime, RandTime         time.Duration // 0 RekeyTime: never
	ReauthTime                            time.Duration // 0: never
	Local, Remote                         []*Auth       // exactly one round each is supported
	Children                              []*ChildConfig
}

// IKEProposal is one acceptable IKE proposal: of each kind of transform one is chosen, earlier ones are preferred.
type IKEProposal struct {
	Encrs  []EncrSpec
	Integs []suite.Integ // empty with AEADs
	PRFs   []suite.PRF
	KEs    []suite.KE
}

// ESPProposal likewise for a child. KEs is empty without PFS; ESN lists the acceptable values, preferred first.
// Without encryption transforms it is a proposal of AH.
type ESPProposal struct {
	Encrs  []EncrSpec
	Integs []suite.Integ
	KEs    []suite.KE
	ESN    []bool
}

// EncrSpec is an encryption transform with its key length in bits (0: the algorithm has only one).
type EncrSpec struct {
	Encr suite.Encr
	Bits int
}

// AddrSpec is one entry of local_addrs or remote_addrs: a prefix, a range, or a host name (resolved by the shell).
// The zero value is %any.
type AddrSpec struct {
	From, To netip.Addr // a range; both valid or neither
	Host     string     // a name to resolve
}

// AuthMethod is how one side proves its identity.
type AuthMethod uint8

const (
	AuthPSK AuthMethod = iota + 1
	AuthPubkey
)

// Auth is one authentication round of one side. Immutable after publish.
type Auth struct {
	Method AuthMethod
	// Schemes limits the signature schemes ("rsa", "ecdsa-sha256", …; crypt/sig names them); empty: any sound one.
	Schemes []string
	// ID is this side's identity. Local: zero means the certificate's subject or else the host's address.
	// Remote: a pattern that the peer's identity must match (Matches); zero means any.
	ID ID
	// Certs are DER certificates: local, ours to choose from; remote, the only end entities accepted.
	Certs [][]byte
	// CACerts are DER; remote: the chain must end at one of them; empty: any CA that is loaded.
	CACerts [][]byte
}

// Fragmentation is the swanctl option.
type Fragmentation uint8

const (
	FragmentationYes    Fragmentation = iota // offer, and use where the peer supports it
	FragmentationAccept                      // announce support but send no fragments
	FragmentationForce                       // only sensible for IKEv1: as Yes here
	FragmentationNo
)

// SendCert is the swanctl option.
type SendCert uint8

const (
	SendCertIfAsked SendCert = iota
	SendCertAlways
	SendCertNever
)

// Unique is the swanctl option: what happens when an identity that has an SA connects again.
type Unique uint8

const (
	UniqueNo Unique = iota // INITIAL_CONTACT still closes the old ones
	UniqueNever
	UniqueKeep
	UniqueReplace
)

// StartAction is the swanctl option.
type StartAction uint8

const (
	StartNone StartAction = iota
	StartStart
	StartTrap      // a policy that asks for SAs when a packet meets it
	StartTrapStart // both
)

// Begins reports whether the child is initiated when it is loaded.
func (a StartAction) Begins() bool { return a == StartStart || a == StartTrapStart }

// Traps reports whether the child has a trap policy while it is loaded.
func (a StartAction) Traps() bool { return a == StartTrap || a == StartTrapStart }

// AH reports whether the child is protected by AH.
func (c *ChildConfig) AH() bool { return len(c.Proposals) > 0 && c.Proposals[0].AH() }

// AH reports whether this is a proposal of AH.
func (p *ESPProposal) AH() bool { return len(p.Encrs) == 0 }

// ChildConfig is one configured child. Immutable after publish.
type ChildConfig struct {
	Name                string
	Mode                Mode
	Proposals           []ESPProposal // never empty; all of ESP or all of AH
	LocalTS, RemoteTS   []Selector    // never empty; Dynamic entries are replaced at negotiation
	RekeyTime, LifeTime time.Duration // 0: never
	RandTime            time.Duration
	RekeyBytes          uint64
	LifeBytes           uint64
	RandBytes           uint64
	RekeyPackets        uint64
	LifePackets         uint64
	RandPackets         uint64
	ReplayWindow        int // packets; 0: no replay protection is refused by the decoder
	Start               StartAction
	Updown              []string // argv; empty: none
	HostAccess          bool     // only a variable of Updown
	NoPolicies          bool     // policies = no
	IPComp              bool     // offered and accepted, never insisted on
	SHA256Short         bool     // HMAC-SHA2-256 is truncated to 96 bits, as in a draft, though 128 are negotiated
	CopyDF, CopyECN     bool
	CopyDSCP            CopyDSCP
	Inactivity          time.Duration // 0: none
	Interface           string        // reserved, refused by the decoder
}

// CopyDSCP is the swanctl option copy_dscp.
type CopyDSCP uint8

const (
	CopyDSCPOut CopyDSCP = iota
	CopyDSCPIn
	CopyDSCPYes
	CopyDSCPNo
)

// Pool is a configured address pool.
type Pool struct {
	Name     string
	From, To netip.Addr
	Prefix   netip.Prefix // valid when it was written as one
	DNS      []netip.Addr
	Attrs    []Attr
}
