// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ike

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

// Question is what a machine cannot know or must not wait for. Each names the Answer type it gets.
// Any question may also be answered by Failed.
type Question interface{ question() }

// Answer is what comes back for a Question.
type Answer interface{ answer() }

// Failed answers any question that could not be done. Err is for the log and decides nothing; Refusal does.
type Failed struct {
	Refusal Refusal
	Err     error
}

// Refusal says which notify a failure becomes.
type Refusal uint8

const (
	// RefusalOther is any failure that has no notify of its own: NO_PROPOSAL_CHOSEN where a child is concerned.
	RefusalOther Refusal = iota
	// RefusalTemporary asks the peer to try again (TEMPORARY_FAILURE).
	RefusalTemporary
	// RefusalSelectors becomes TS_UNACCEPTABLE.
	RefusalSelectors
	// RefusalNoAddress becomes INTERNAL_ADDRESS_FAILURE.
	RefusalNoAddress
	// RefusalAuthentication becomes AUTHENTICATION_FAILED.
	RefusalAuthentication
	// RefusalLimit becomes NO_ADDITIONAL_SAS.
	RefusalLimit
	// RefusalUnsupported says that the other side of the seam cannot do this at all (Move without a second counter).
	RefusalUnsupported
)

// Reserve asks for an inbound SPI (GETSPI). Asked before a proposal leaves, in both roles.
// Reqid is zero for a new child and the predecessor's at a rekey. Answer: Reserved.
type Reserve struct {
	Local, Remote netip.Addr
	Reqid         uint32
	// Connection and Child are the names of what is negotiated: a policy that waits for its traffic gets the SAs of a child
	// that this host asked for (Initiated).
	Connection, Child string
	Initiated         bool
	AH                bool
	Mode              Mode
	// IPComp may be agreed on.
	IPComp bool
}

// Reserved carries the inbound SPI, and the numbers the child is known by from now on.
type Reserved struct {
	SPI     uint32
	Reqid   uint32
	ChildID uint64 // unique over all machines
}

// Install asks for both SAs of a child (UPDATE inbound, ADD outbound) and its policies. Answer: Installed or Failed;
// after Failed nothing of it is left and the reservation is released.
type Install struct{ Child ChildSA }

// Installed says that both directions work.
type Installed struct{}

// Promote has a standby outbound SA used for sending from now on. Answer: Installed.
type Promote struct{ SPIIn, SPIOut uint32 }

// Move swaps the endpoints of a child's two SAs in place. Answer: Installed, or Failed with RefusalUnsupported,
// on which the machine rekeys the child instead.
type Move struct {
	SPIIn, SPIOut uint32
	Remote        netip.Addr // the peer's address under which the outbound SA was installed
	Path          Path       // the new path
}

// Remove deletes a child's SAs, or releases a reservation (SPIOut zero). Idempotent. Answer: Removed.
// With OnlyOut set the inbound SA stays able to receive.
type Remove struct {
	SPIIn, SPIOut uint32
	Remote        netip.Addr
	OnlyOut       bool
}

// Removed answers Remove. Final is what the SAs had counted.
type Removed struct{ Final Usage }

// Query asks for use times and counters of a child. Answer: Usage.
type Query struct {
	SPIIn, SPIOut uint32
	Remote        netip.Addr
}

// Usage is what a child's SAs have counted. Times are zero where nothing has passed yet.
type Usage struct {
	BytesIn, BytesOut     uint64
	PacketsIn, PacketsOut uint64
	LastIn, LastOut       time.Time
}

// KeyExchange computes the public value of Private and, when Peer is given, the shared secret. Answer: KeyExchanged.
type KeyExchange struct {
	Group   suite.KE
	Private secret.Key
	Peer    []byte
}

// KeyExchanged carries the results. Shared is empty when no Peer was given.
// A peer's value that is not acceptable is answered by Failed.
type KeyExchanged struct {
	Public []byte
	Shared secret.Key
}

// FindPSK asks for the shared key of two identities. Answer: PSK, or Failed with RefusalAuthentication.
type FindPSK struct {
	Connection    *Connection
	Local, Remote ID
	Path          Path
}

// PSK is a pre-shared key.
type PSK struct{ Key secret.Key }

// Sign asks the signer for an AUTH payload by the private key of the local round. Answer: Signed.
type Sign struct {
	Auth       *Auth    // the connection's local round
	CertReq    []byte   // concatenated SHA-1 hashes of the peer's CERTREQ (encoding 4); nil: the peer sent none
	PeerHashes []uint16 // RFC 7427, Section 4; nil: the peer did not send SIGNATURE_HASH_ALGORITHMS
	Octets     []byte   // RFC 7296, Section 2.15
}

// Signed is the content of an AUTH payload and the certificates to send with it, end entity first.
type Signed struct {
	Method uint8
	Data   []byte
	Certs  [][]byte
	Scheme string // for the event: "RSA_EMSA_PKCS1_SHA2_256", …
}

// Verify asks whether AUTH was made by a key that Auth (the connection's remote round) accepts for ID. The chain is
// verified, bound to ID, and only then the signature. Answer: Verified, or Failed with RefusalAuthentication.
type Verify struct {
	Auth    *Auth
	ID      ID
	Certs   [][]byte // DER, as received, end entity first
	Method  uint8
	Data    []byte
	Octets  []byte
	Allowed []uint16 // hash algorithms that were offered to the peer
}

// Verified says that the identity is the peer's.
type Verified struct{ Scheme string }

// CertRequests asks for the CERTREQ authorities to send for a connection's remote round. Answer: CertAuthorities.
type CertRequests struct{ Connections []*Connection }

// CertAuthorities is the concatenation of SHA-1 hashes of the accepted CAs' public keys (RFC 7296, Section 3.7).
type CertAuthorities struct{ Hashes []byte }

// FindConnections asks, as responder, which connections the two addresses allow, in order of preference.
// Answer: Connections (empty: none).
type FindConnections struct{ Path Path }

// Connections are candidates, best first. The values are immutable.
type Connections struct{ List []*Connection }

// Lease asks for virtual addresses for an authenticated peer. Wanted holds an address a requested (unspecified
// addresses ask for any of that family). Answer: Leased, or Failed with RefusalNoAddress.
type Lease struct {
	Pools    []string
	Identity ID
	Wanted   []netip.Addr
}

// Leased are the addresses, one a family at most, and the other attributes of the pools.
type Leased struct {
	Addrs []netip.Addr
	DNS   []netip.Addr
	Attrs []Attr
}

// Attr is a configuration attribute (RFC 7296, Section 3.15.1).
type Attr struct {
	Type  uint16
	Value []byte
}

// Admit asks the registry of all shards whether an authenticated peer may be established: the `unique` policy,
// INITIAL_CONTACT and the limits are decided there. Answer: Admitted, or Failed.
type Admit struct {
	Unique         uint64
	Policy         Unique
	Connection     string
	Local, Remote  ID
	InitialContact bool
	Initiator      bool
}

// Admitted says that the SA may be established.
type Admitted struct {
	// Others is set where this host has another SA with the same identities: INITIAL_CONTACT must then not be sent.
	Others bool
}

func (Reserve) question()         {}
func (Install) question()         {}
func (Promote) question()         {}
func (Move) question()            {}
func (Remove) question()          {}
func (Query) question()           {}
func (KeyExchange) question()     {}
func (FindPSK) question()         {}
func (Sign) question()            {}
func (Verify) question()          {}
func (CertRequests) question()    {}
func (FindConnections) question() {}
func (Lease) question()           {}
func (Admit) question()           {}

func (Failed) answer()          {}
func (Reserved) answer()        {}
func (Installed) answer()       {}
func (Removed) answer()         {}
func (Usage) answer()           {}
func (KeyExchanged) answer()    {}
func (PSK) answer()             {}
func (Signed) answer()          {}
func (Verified) answer()        {}
func (CertAuthorities) answer() {}
func (Connections) answer()     {}
func (Leased) answer()          {}
func (Admitted) answer()        {}
