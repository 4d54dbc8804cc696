// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Who receives which message (NATT.md, Section 1.6; RFC 2367, Section 3): all sockets, the requester, or those registered for the
// kind of SA. Each recipient gets it in its own dialect, and keys only if it is privileged.

package keysock

import (
	"github.com/natterjack/natterjack/wire/pfkey"
)

// maker makes a message for one dialect; keys: with the keys of the SA. Nil: the dialect has no such message.
type maker func(d pfkey.Dialect, keys bool) *pfkey.Message

// encoded is a message as octets, once per dialect and privilege.
type encoded [numDialects][2]struct {
	done bool
	msg  []byte
}

// numDialects are those that can be served, the first ones.
const numDialects = pfkey.Linux + 1

// encode makes the message for c, or finds it made for another client. Nil: there is none for c.
func (s *Server) encode(c *client, m maker) []byte {
	keys := 0
	if c.privileged {
		keys = 1
	}
	slot := &s.cache[c.codec.Dialect][keys]
	if !slot.done {
		slot.done = true
		slot.msg = s.octets(c, m(c.codec.Dialect, c.privileged))
	}
	return slot.msg
}

// octets appends the message. Nil where the dialect cannot say it, which is then nobody's message.
func (s *Server) octets(c *client, m *pfkey.Message) []byte {
	if m == nil {
		return nil
	}
	b, err := c.codec.Append(nil, m)
	if err != nil {
		s.mute = s.mute || c == s.asker && m.Type == s.asked
		return nil
	}
	return b
}

// send delivers to the clients that want says, in the order of their arrival.
func (s *Server) send(m maker, want func(*client) bool) {
	s.cache = encoded{}
	for _, c := range s.order {
		promisc := c.promisc
		if !promisc && !want(c) {
			continue
		}
		b := s.encode(c, m)
		if b == nil {
			continue
		}
		if promisc {
			s.show(c, b)
		}
		if want(c) {
			s.out = append(s.out, Delivery{To: c.id, Msg: b})
		}
	}
}

// show delivers a copy to a promiscuous client (RFC 2367, Section 3.1.11): in the BSDs inside an X_PROMISC, in Linux as it is, so
// that whoever was meant to receive it anyway receives it twice.
func (s *Server) show(c *client, b []byte) {
	if c.codec.Dialect != pfkey.Linux {
		if b = s.octets(c, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypePromisc}, Inner: b}); b == nil {
			return
		}
	}
	s.out = append(s.out, Delivery{To: c.id, Msg: b})
}

func toAll(*client) bool { return true }

func toOne(to *client) func(*client) bool { return func(c *client) bool { return c == to } }

// toRegistered is for those registered for a kind of SA.
func toRegistered(t pfkey.SAType) func(*client) bool {
	return func(c *client) bool { return c.registered&satypeBit(t) != 0 }
}

// toAnyRegistered is for messages about policies, which have no kind of SA.
func toAnyRegistered(c *client) bool { return c.registered != 0 }

// same is a message that every dialect says alike.
func same(m *pfkey.Message) maker { return func(pfkey.Dialect, bool) *pfkey.Message { return m } }

// bare is the answer with an errno: the header of the request alone.
//
// Deviation: the BSDs send the request back whole, with its keys and whatever was in its padding.
func bare(h pfkey.Header, e pfkey.Errno) *pfkey.Message {
	h.Errno = e
	return &pfkey.Message{Header: h}
}

// showRequest copies a request to the promiscuous clients, in the dialect of each: m is what was parsed of it.
func (s *Server) showRequest(from *client, m *pfkey.Message) {
	s.cache = encoded{}
	for _, c := range s.order {
		if !c.promisc {
			continue
		}
		if b := s.encode(c, s.translated(from, m)); b != nil {
			s.show(c, b)
		}
	}
}

// translated is a request for other dialects: algorithms are renumbered, and what another dialect has no word for is left out.
func (s *Server) translated(from *client, m *pfkey.Message) maker {
	return func(d pfkey.Dialect, _ bool) *pfkey.Message {
		if d == from.codec.Dialect {
			return m
		}
		return &pfkey.Message{
			Header: m.Header, LifetimeHard: m.LifetimeHard, LifetimeSoft: m.LifetimeSoft, Src: m.Src, Dst: m.Dst, Proxy: m.Proxy,
			SPIRange: m.SPIRange, SA2: m.SA2, NATType: m.NATType, NATSrcPort: m.NATSrcPort, NATDstPort: m.NATDstPort, Policy: m.Policy,
		}
	}
}
