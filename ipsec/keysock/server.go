// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The server's state: clients, and the tables of SAs and policies. Everything is owned by the goroutine that calls the methods.

package keysock

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// The limits, where Config does not say otherwise.
const (
	// defaultClients: a key daemon has one or two sockets, a person's tools one for a moment.
	defaultClients = 256
	// defaultLarval: what one client may reserve and not complete within larvalLife; a gateway that brings up 30 SAs a second.
	defaultLarval = 1024
	// defaultSAs and defaultPolicies: 100,000 pairs and their policies in three directions, with room.
	defaultSAs      = 1 << 18
	defaultPolicies = 1 << 19

	// userPart is what clients without privileges may have of Clients and of maxDumps: whoever may look must not keep the key daemon out.
	userPart = 2

	// larvalLife is how long a reservation lives in all three kernels, and what Linux reports as its hard lifetime.
	larvalLife = 30 * time.Second
)

// Why a client is not served.
var (
	// ErrClients: as many clients as the server serves are attached, or as many without privileges.
	ErrClients = errors.New("too many PF_KEY clients: close one or raise the limit")
	// ErrDialect: nobody can be answered in it.
	ErrDialect = errors.New("dialect: expected freebsd, netbsd or linux")
)

// ClientID, ClientInfo and Delivery are what the server and its sockets share.
type (
	ClientID   = pfkey.ClientID
	ClientInfo = pfkey.ClientInfo
	Delivery   = pfkey.Delivery
)

// Config of a Server. Zero values are the defaults.
type Config struct {
	// Order is the byte order of the host; nil: little endian.
	Order                          binary.ByteOrder
	Clients, Larval, SAs, Policies int
	// Enforce puts a policy that is in the SPD in force outside of the engine, for clients that want to know whether it is
	// (pfkey.PrivateHost); nil: there is no outside.
	Enforce func(now time.Time, id sadb.PolicyID) error
}

// Server is a PF_KEY server.
type Server struct {
	db     *sadb.DB
	config Config

	lastClient ClientID
	clients    map[ClientID]*client
	order      []*client // as attached: the order of deliveries
	users      int       // clients without privileges

	sas      saTable
	policies policyTable
	acquires acquires
	userDump time.Time       // before it no client without privileges begins a DUMP
	looked   uint64          // the database's Removals when slim looked last
	moved    map[uint64]bool // owners that moved their SAs themselves and have ended, as long as there are SAs of theirs
	left     map[uint64]bool // owners that said pfkey.PrivateFresh and have ended; empty after the next of them

	// of the call in progress
	out   []Delivery
	cache encoded // of the message in delivery
	asker *client // whose request it is; nil: nobody's
	asked pfkey.Type
	mute  bool // the answer cannot be said in the asker's dialect
}

// client is one socket.
type client struct {
	id         ClientID
	codec      pfkey.Codec
	privileged bool
	owner      uint64
	registered uint16 // bit: pfkey.SAType
	promisc    bool
	larval     int  // reservations, bounded
	fresh      bool // said pfkey.PrivateFresh
	moves      bool // said pfkey.PrivateMoves
	idle       bool // said pfkey.PrivateIdle
	names      bool // said pfkey.PrivateNames
	strict     bool // said pfkey.PrivateHost
	dump       *dump
}

// New makes a server without clients in front of db.
func New(db *sadb.DB, c Config) *Server {
	for _, d := range [...]struct {
		v *int
		d int
	}{{&c.Clients, defaultClients}, {&c.Larval, defaultLarval}, {&c.SAs, defaultSAs}, {&c.Policies, defaultPolicies}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if c.Order == nil {
		c.Order = binary.LittleEndian
	}
	s := &Server{
		db: db, config: c, clients: map[ClientID]*client{}, sas: newSATable(), policies: newPolicyTable(),
		moved: map[uint64]bool{}, left: map[uint64]bool{}, acquires: acquires{},
	}
	s.sas.none = s.follows
	return s
}

// Attach adds a client.
func (s *Server) Attach(_ time.Time, info ClientInfo) (ClientID, error) {
	switch {
	case info.Dialect >= numDialects:
		return 0, ErrDialect
	case len(s.clients) >= s.config.Clients, !info.Privileged && s.users >= s.config.Clients/userPart:
		return 0, ErrClients
	case !info.Privileged:
		s.users++
	}
	s.lastClient++
	c := &client{
		id: s.lastClient, codec: pfkey.Codec{Dialect: info.Dialect, Order: s.config.Order}, privileged: info.Privileged,
		owner: uint64(s.lastClient),
	}
	s.clients[c.id] = c
	s.order = append(s.order, c)
	return c.id, nil
}

// Detach forgets a client. Its SAs and policies stay, as in a kernel.
func (s *Server) Detach(_ time.Time, id ClientID) {
	c := s.clients[id]
	if c == nil {
		return
	}
	delete(s.clients, id)
	if !c.privileged {
		s.users--
	}
	if c.fresh {
		s.left[c.owner] = true
	}
	if c.moves {
		s.moved[c.owner] = true
		if s.sas.owned[c.owner] == 0 {
			s.follows(c.owner)
		}
	}
	if c.dump != nil {
		clear(c.dump.held) // there may be keys in it
		c.dump = nil
	}
	for i, o := range s.order {
		if o == c {
			s.order = append(s.order[:i], s.order[i+1:]...)
			break
		}
	}
}

// follows forgets that an owner who has ended moved its SAs itself: it has none any more.
func (s *Server) follows(owner uint64) {
	if s.moved[owner] {
		delete(s.moved, owner)
		s.db.SetFollow(owner, true)
	}
}

// satypeBit is the bit of a kind of SA in client.registered.
func satypeBit(t pfkey.SAType) uint16 { return 1 << t }
