// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A request: what every message must have, who may send it, and which function answers it (RFC 2367, Section 3). The octets are a
// local process's and trusted in nothing; a refusal changes nothing and is told to the requester alone.

package keysock

import (
	"errors"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/wire/pfkey"
)

// ErrNoClient: the client was detached.
var ErrNoClient = errors.New("no such PF_KEY client: it was detached")

// Handle carries out one message of a client, and returns what is to be delivered, in this order. The error is what write(2) on a
// kernel's socket fails with (a pfkey.Errno), where a kernel has no message to answer: the one delivery is then a bare header with
// that errno, for sockets whose writes cannot fail so. After a DUMP, and whenever a client's queue has room, Next has more.
func (s *Server) Handle(now time.Time, id ClientID, msg []byte) ([]Delivery, error) {
	c := s.clients[id]
	if c == nil {
		return nil, ErrNoClient
	}
	s.out = nil
	if e := c.codec.Check(msg); e != pfkey.OK {
		s.refuse(c, msg, e)
		return s.taken(), e
	}
	m, err := c.codec.Parse(msg)
	if err == nil {
		defer wipe(m)
		s.showRequest(c, m)
		s.asker, s.asked, s.mute = c, m.Type, false
		err = s.dispatch(now, c, m)
		s.asker = nil
	}
	if err == nil && s.mute {
		err = pfkey.ERANGE // who asks is never left without an answer
	}
	if err != nil {
		s.send(same(bare(m.Header, pfkey.ErrnoOf(err))), toOne(c))
	}
	return s.taken(), nil
}

// wipe clears the keys of a request: the database has copies of its own.
func wipe(m *pfkey.Message) {
	if m.KeyAuth != nil {
		m.KeyAuth.Wipe()
	}
	if m.KeyEncrypt != nil {
		m.KeyEncrypt.Wipe()
	}
}

func (s *Server) taken() []Delivery {
	s.slim()
	out := s.out
	s.out, s.cache = nil, encoded{}
	return out
}

// refuse answers what is no message: with what can be read of its header.
func (s *Server) refuse(c *client, msg []byte, e pfkey.Errno) {
	var h [pfkey.HeaderLen]byte
	copy(h[:], msg)
	b, err := c.codec.Append(nil, &pfkey.Message{Header: pfkey.Header{
		Type: pfkey.TypeFlush, Errno: e, SAType: pfkey.SATypeUnspec, Seq: c.codec.Order.Uint32(h[8:]), PID: c.codec.Order.Uint32(h[12:]),
	}})
	if err != nil {
		return
	}
	b[1], b[3] = h[1], h[3] // type and kind of SA, unknown as they may be
	s.out = append(s.out, Delivery{To: c.id, Msg: b})
}

// operation answers one type of message.
type operation func(s *Server, now time.Time, c *client, m *pfkey.Message) error

// operationOf is the function of a type; nil: a type that no client sends.
func operationOf(t pfkey.Type) operation {
	switch t {
	case pfkey.TypeGetSPI:
		return (*Server).getSPI
	case pfkey.TypeAdd:
		return (*Server).add
	case pfkey.TypeUpdate:
		return (*Server).update
	case pfkey.TypeDelete:
		return (*Server).remove
	case pfkey.TypeGet:
		return (*Server).get
	case pfkey.TypeAcquire:
		return (*Server).acquireFailed
	case pfkey.TypeRegister:
		return (*Server).register
	case pfkey.TypeFlush:
		return (*Server).flush
	case pfkey.TypeDump, pfkey.TypeSPDDump:
		return (*Server).startDump
	case pfkey.TypePromisc:
		return (*Server).promisc
	case pfkey.TypeSPDAdd, pfkey.TypeSPDUpdate, pfkey.TypeSPDSetIdx:
		return (*Server).spdAdd
	case pfkey.TypeSPDDelete:
		return (*Server).spdDelete
	case pfkey.TypeSPDGet, pfkey.TypeSPDDelete2:
		return (*Server).spdByID
	case pfkey.TypeSPDFlush:
		return (*Server).spdFlush
	case pfkey.TypeMigrate:
		return (*Server).migrate
	}
	return nil
}

// readOnly are the types for clients without privileges.
func readOnly(t pfkey.Type) bool {
	switch t {
	case pfkey.TypeGet, pfkey.TypeDump, pfkey.TypeSPDGet, pfkey.TypeSPDDump:
		return true
	}
	return false
}

func (s *Server) dispatch(now time.Time, c *client, m *pfkey.Message) error {
	if !c.privileged && !readOnly(m.Type) {
		return pfkey.EPERM
	}
	if err := checkCommon(c.codec.Dialect, m); err != nil {
		return err
	}
	op := operationOf(m.Type)
	if op == nil && c.codec.Dialect == pfkey.Linux {
		return pfkey.EOPNOTSUPP
	}
	if op == nil {
		return pfkey.EINVAL
	}
	return op(s, now, c, m)
}

// checkCommon is what the BSDs check of every message: the kind of SA must be given where one is needed and left out where none is,
// and both addresses are of one protocol. Linux leaves it to each type.
func checkCommon(d pfkey.Dialect, m *pfkey.Message) error {
	if d == pfkey.Linux {
		return nil
	}
	switch m.SAType {
	case pfkey.SATypeUnspec:
		if m.Type <= pfkey.TypeAcquire || m.Type == pfkey.TypeExpire {
			return pfkey.EINVAL
		}
	case pfkey.SATypeAH, pfkey.SATypeESP, pfkey.SATypeIPComp:
		if m.Type.SPD() && m.Type != pfkey.TypeSPDDump {
			return pfkey.EINVAL
		}
	case pfkey.SATypeRSVP, pfkey.SATypeOSPFv2, pfkey.SATypeRIPv2, pfkey.SATypeMIP, pfkey.SATypeTCPSignature:
		// Deviation: FreeBSD has SAs of TCP-MD5 here. They protect sockets of the host's own TCP.
		return pfkey.EOPNOTSUPP
	default:
		if m.SAType != 1 || m.Type != pfkey.TypePromisc && m.Type != pfkey.TypeSPDDump {
			return pfkey.EINVAL
		}
	}
	if m.Src != nil && m.Dst != nil && m.Src.Proto != m.Dst.Proto {
		return pfkey.EINVAL
	}
	return nil
}

// addresses are the source and destination of an SA, which must both be there, of one family. A zone is the host's business and kept
// out of the name of an SA.
func addresses(m *pfkey.Message) (src, dst netip.Addr, err error) {
	if m.Src == nil || m.Dst == nil || !m.Src.Addr.IsValid() || m.Src.Addr.Is4() != m.Dst.Addr.Is4() {
		return src, dst, pfkey.EINVAL
	}
	return m.Src.Addr, m.Dst.Addr, nil
}

// register is SADB_REGISTER: who is registered for a kind of SA hears of ACQUIRE, EXPIRE and NEW_MAPPING. UNSPEC asks for the list
// of algorithms only.
func (s *Server) register(now time.Time, c *client, m *pfkey.Message) error {
	if m.SAType > maxSAType(c.codec.Dialect) {
		return pfkey.EINVAL
	}
	if m.SAType != pfkey.SATypeUnspec {
		if c.registered&satypeBit(m.SAType) != 0 {
			return pfkey.EEXIST
		}
		c.registered |= satypeBit(m.SAType)
	}
	flags := c.codec.PrivateFlags(m.KMPrivate)
	if flags&pfkey.PrivateMoves != 0 {
		c.moves = true
		s.db.SetFollow(c.owner, false)
	}
	c.idle = c.idle || flags&pfkey.PrivateIdle != 0
	c.names = c.names || flags&pfkey.PrivateNames != 0
	c.strict = c.strict || flags&pfkey.PrivateHost != 0
	if flags&pfkey.PrivateFresh != 0 {
		c.fresh = true
		s.removeLeft(now)
	}
	h := m.Header
	registered, served := toRegistered(m.SAType), flags&pfkey.PrivateTraffic
	s.send(func(d pfkey.Dialect, _ bool) *pfkey.Message { return supported(d, h) }, func(o *client) bool {
		return (o == c || registered(o)) && (o != c || served == 0)
	})
	if served != 0 {
		s.send(func(d pfkey.Dialect, _ bool) *pfkey.Message {
			a := supported(d, h)
			a.KMPrivate = c.codec.Private(served)
			return a
		}, toOne(c))
	}
	return nil
}

// maxSAType is the largest that REGISTER takes.
func maxSAType(d pfkey.Dialect) pfkey.SAType {
	if d == pfkey.Linux {
		return pfkey.SATypeIPComp
	}
	return pfkey.SATypeTCPSignature
}

// promisc is SADB_X_PROMISC. With a message inside, BSD delivers it to everybody as if the kernel had said it.
//
// Deviation: nobody's messages are delivered but the server's own.
func (s *Server) promisc(_ time.Time, c *client, m *pfkey.Message) error {
	if len(m.Inner) != 0 || len(m.Order) != 0 || m.SAType > 1 {
		return pfkey.EINVAL
	}
	c.promisc = m.SAType == 1
	s.send(same(&pfkey.Message{Header: m.Header}), toAll)
	return nil
}
