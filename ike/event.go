// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ike

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

// EventKind says what happened. The comment of each kind names the fields of Event that are set beside Kind,
// Unique, Connection, Path and the SPIs of the IKE SA.
type EventKind uint8

const (
	// EventMessage: an IKE message was sent or accepted. Sent, Summary, Retransmit, Size.
	EventMessage EventKind = iota + 1
	// EventNAT: the NAT detection was evaluated. NATLocal, NATRemote.
	EventNAT
	// EventFloat: IKE moved to the NAT-T port. From, Path (new).
	EventFloat
	// EventAuthenticated: the peer proved its identity. Identity (peer), LocalIdentity, Scheme (peer's), Detail.
	EventAuthenticated
	// EventIKEUp: the IKE SA is established. Identity, LocalIdentity, Suite.
	EventIKEUp
	// EventIKERekeyed: a successor took over. SPIi, SPIr (new), Suite.
	EventIKERekeyed
	// EventIKEDown: the IKE SA is gone. Reason, Detail.
	EventIKEDown
	// EventChildUp: a child is installed. Child, Rekey (it replaces another).
	EventChildUp
	// EventChildDown: a child is gone. Child, Rekey (it was replaced), Usage, Detail.
	EventChildDown
	// EventAddresses: this host was given addresses (client) or gave them (gateway). Addrs, DNS.
	EventAddresses
	// EventMoved: the peer's endpoint changed. From, Path (new).
	EventMoved
	// EventKeepalive: a keepalive, or an authenticated packet in its place, was sent. Detail says which.
	EventKeepalive
	// EventDropped: a datagram was dropped, machine unchanged, nothing sent. Drop, Detail.
	EventDropped
	// EventRefused: a request of the peer was refused by a notify. Notify, Detail.
	EventRefused
	// EventFailed: an exchange of ours failed. Notify (0: none), Detail; Offered and Got for proposals.
	EventFailed
	// EventCommandDone: a command ended. Request, Err (empty: done), ChildID where a child was made.
	EventCommandDone
	// EventKeys: key material, only where Env.KeyLog is set. Keys.
	EventKeys
	// EventRetry: COOKIE, INVALID_KE_PAYLOAD or a retransmission is being tried. Detail.
	EventRetry
)

// Event is one thing that happened to one IKE SA. Strings may hold what a peer sent: a sink escapes them.
type Event struct {
	Kind       EventKind
	At         time.Time
	Unique     uint64
	Connection string
	SPIi, SPIr uint64
	Initiator  bool // this host is the original initiator
	Path       Path

	From                    netip.AddrPort
	NATLocal, NATRemote     bool
	Identity, LocalIdentity ID
	Scheme                  string
	Suite                   suite.IKE
	Child                   *ChildSA // keys are empty in events
	ChildID                 uint64
	Rekey                   bool
	Usage                   Usage
	Addrs, DNS              []netip.Addr
	Reason                  CloseReason
	Drop                    DropReason
	Notify                  uint16
	Offered, Got            string // proposals in strongSwan's notation
	Sent, Retransmit        bool
	Summary                 string
	Size                    int
	Request                 uint64
	Err                     string
	Detail                  string
	Keys                    *Keys
}

// Keys is what a key log holds. It exists only on its way to one.
type Keys struct {
	IKE                                suite.IKE
	SKei, SKer, SKai, SKar             secret.Key
	ESP                                suite.ESP
	SPIIn, SPIOut                      uint32
	EncrIn, EncrOut, IntegIn, IntegOut secret.Key
}

// CloseReason says why an IKE SA went away. These are all there are.
type CloseReason uint8

const (
	CloseOperator        CloseReason = iota + 1 // terminated by command or configuration
	CloseShutdown                               // the daemon ends
	ClosePeerDeleted                            // the peer deleted it
	ClosePeerDead                               // no answer to a request after the last retransmission
	CloseNoAnswer                               // no answer to the very first request
	CloseAuthFailed                             // the peer could not be authenticated, or it refused us
	CloseNoProposal                             // no common IKE proposal
	CloseNegotiation                            // another negotiation failure (syntax, key exchange, notify)
	CloseHalfOpenTimeout                        // the peer did not go on
	CloseLifetime                               // hard lifetime reached without a successor
	CloseReplaced                               // `unique` replaced it, or INITIAL_CONTACT said the peer forgot it
	CloseRekeyed                                // a successor machine took over (never reported where the machine lives on)
	CloseMessageIDs                             // message IDs are used up
	CloseLimit                                  // a limit of this host
	CloseLost                                   // the data plane restarted
	CloseInternal                               // a failure of this host (randomness, signer)
)

// DropReason says why a datagram was dropped. Each has its counter.
type DropReason uint8

const (
	DropSyntax    DropReason = iota + 1 // not a well-formed IKE message
	DropVersion                         // wrong version, or not for this machine
	DropSPI                             // unknown SPIs
	DropMessageID                       // outside the window, or a response nobody waits for
	DropExchange                        // exchange type or flags do not fit the state
	DropIntegrity                       // integrity check failed, or protection missing
	DropFragment                        // fragment rules or limits
	DropLimit                           // a limit of this host (half-open, queue)
	DropRate                            // rate limited
	DropState                           // the machine is closing, or a request is parked
	DropCookie                          // cookie wrong
)

// Status is a snapshot of an IKE SA and its children for the control socket.
type Status struct {
	Unique          uint64
	Connection      string
	Version         int
	State           string // CONNECTING ESTABLISHED REKEYING REKEYED DELETING …
	Initiator       bool
	SPIi, SPIr      uint64
	Path            Path
	LocalID         ID
	RemoteID        ID
	NATLocal        bool
	NATRemote       bool
	NATFake         bool
	Suite           suite.IKE
	Established     time.Time
	RekeyAt         time.Time // zero: none
	ReauthAt        time.Time
	LocalVIPs       []netip.Addr
	RemoteVIPs      []netip.Addr
	TasksActive     []string
	TasksQueued     []string
	HalfOpen        bool
	Children        []ChildStatus
	KeepaliveAt     time.Time
	LastAuthenticIn time.Time
}

// ChildStatus is a snapshot of a child.
type ChildStatus struct {
	ChildSA          // keys are empty
	State     string // INSTALLED REKEYING REKEYED DELETING …
	Installed time.Time
	RekeyAt   time.Time
	ExpireAt  time.Time
}
