// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// DUMP and X_SPDDUMP (RFC 2367, Section 3.1.10): one message for each time that the client's queue has room, so that 100,000 SAs to a slow
// reader hold up nobody. What was added after the start is not shown, what was deleted meanwhile is skipped. The last message has
// sequence number 0: Linux counts 1, 2, … up to it, the BSDs count down.

package keysock

import (
	"net/netip"
	"slices"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// maxDumps bounds the listings that running DUMPs hold, a few octets for each SA.
const maxDumps = 32

// userPause is between the beginnings of DUMPs of clients without privileges, all of them together: each lists all SAs in one turn of the
// server, while a key daemon waits for its SPI.
const userPause = time.Second

// staleSAs is how many SAs go before running DUMPs are looked through for them, beside a quarter of what a DUMP has left: who does not read
// keeps no more of them in memory, and an SA that goes costs a DUMP four looks.
const staleSAs = 64

// seqOffset is where sadb_msg_seq is in a message.
const seqOffset = 8

// dump is a running one. One message is kept back, for only when there is no other is it known to be the last.
type dump struct {
	header   pfkey.Header
	sas      []sadb.SARef
	policies []sadb.PolicyID
	filter   *pfkey.Filter
	sent     uint32
	left     uint32 // of the BSDs' counting down: messages behind the one kept back, as they were at the start
	held     []byte
	looked   uint64 // Removals when sas was looked through last
}

// startDump begins one; Next has its messages. Nothing to show is ENOENT.
func (s *Server) startDump(now time.Time, c *client, m *pfkey.Message) error {
	all, users := s.dumps()
	if c.dump != nil || all >= maxDumps || !c.privileged && users >= maxDumps/userPart {
		return pfkey.EBUSY
	}
	proto := m.SAType.Proto()
	if m.Type == pfkey.TypeDump && proto == 0 && m.SAType != pfkey.SATypeUnspec {
		return pfkey.EINVAL
	}
	if !c.privileged {
		if now.Before(s.userDump) {
			return pfkey.EBUSY
		}
		s.userDump = now.Add(userPause)
	}
	d := &dump{header: pfkey.Header{Type: m.Type, PID: m.PID}, filter: m.Filter, looked: s.db.Removals()}
	if m.Type == pfkey.TypeSPDDump {
		d.policies = s.policies.ids(c.codec.Dialect)
	} else {
		d.sas = s.db.SAs(proto, true)
	}
	d.left = uint32(len(d.sas) + len(d.policies))
	if d.held = s.following(c, d); d.held == nil {
		return pfkey.ENOENT
	}
	c.dump = d
	return nil
}

// dumps are how many run, and how many of them for clients without privileges.
func (s *Server) dumps() (all, users int) {
	for _, c := range s.order {
		if c.dump == nil {
			continue
		}
		all++
		if !c.privileged {
			users++
		}
	}
	return all, users
}

// slim lets go of SAs that have ended since running DUMPs began: of each, when there may be many.
func (s *Server) slim() {
	removals := s.db.Removals()
	if removals-s.looked < staleSAs {
		return
	}
	s.looked = removals
	for _, c := range s.order {
		d := c.dump
		if d == nil || removals-d.looked < uint64(len(d.sas)/4+staleSAs) {
			continue
		}
		n := len(d.sas)
		d.sas = slices.DeleteFunc(d.sas, sadb.SARef.Gone) // which clears the rest
		d.left -= uint32(n - len(d.sas))
		d.looked = removals
		if len(d.sas) < cap(d.sas)/2 {
			d.sas = slices.Clone(d.sas)
		}
	}
}

// following makes the next message; nil: there is none. The newest come first, as in the kernels.
func (s *Server) following(c *client, d *dump) []byte {
	for len(d.sas) > 0 {
		ref := d.sas[len(d.sas)-1]
		d.sas[len(d.sas)-1] = sadb.SARef{}
		d.sas = d.sas[:len(d.sas)-1]
		d.left--
		info, ok := ref.Info()
		if !ok || !passes(d.filter, info.Src, info.Dst) {
			continue
		}
		v := &shown{SAInfo: info, e: s.sas.byID[info.ID()]}
		b := s.octets(c, v.message(c.codec.Dialect, d.header, c.privileged))
		v.wipe()
		if b != nil {
			return b
		}
	}
	for len(d.policies) > 0 {
		p := s.policies.byID[d.policies[len(d.policies)-1]]
		d.policies = d.policies[:len(d.policies)-1]
		d.left--
		if p == nil {
			continue
		}
		if b := s.octets(c, s.policyMessage(p, c.codec.Dialect, d.header)); b != nil {
			return b
		}
	}
	return nil
}

// passes is Linux's filter of a DUMP.
func passes(f *pfkey.Filter, src, dst netip.Addr) bool {
	if f == nil {
		return true
	}
	return (!f.Src.IsValid() || f.Src.Contains(src)) && (!f.Dst.IsValid() || f.Dst.Contains(dst))
}

// Next is the next message of a client's running DUMP, for nobody else; more says that there is another. Nil: none is running.
func (s *Server) Next(_ time.Time, id ClientID) (msg []byte, more bool) {
	c := s.clients[id]
	if c == nil {
		return nil, false
	}
	if c.dump == nil {
		return nil, false
	}
	d := c.dump
	msg, seq := d.held, d.left
	d.held = s.following(c, d)
	d.sent++
	switch {
	case d.held == nil:
		seq, c.dump = 0, nil
	case c.codec.Dialect == pfkey.Linux:
		seq = d.sent
	}
	c.codec.Order.PutUint32(msg[seqOffset:], seq)
	return msg, c.dump != nil
}
