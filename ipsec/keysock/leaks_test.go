// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What clients leave behind that come and go, or do not read.

package keysock

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// ask sends a message of a client of the dialect linux, which must be answered without an error.
func ask(t *testing.T, s *Server, id ClientID, m *pfkey.Message) {
	t.Helper()
	codec := pfkey.Codec{Dialect: pfkey.Linux}
	b, err := codec.Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Handle(time.Unix(0, 0), id, b)
	if err != nil || len(out) == 0 {
		t.Fatalf("%v: %d messages, %v", m.Type, len(out), err)
	}
	if a, err := codec.Parse(out[0].Msg); err != nil || a.Errno != pfkey.OK {
		t.Fatalf("%v: %v %v", m.Type, a.Errno, err)
	}
}

func address4(s string) *pfkey.Address { return address(netip.MustParseAddr(s)) }

func attach(t *testing.T, s *Server) ClientID {
	t.Helper()
	id, err := s.Attach(time.Unix(0, 0), ClientInfo{Dialect: pfkey.Linux, Privileged: true})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func espMessage(typ pfkey.Type, spi uint32) *pfkey.Message {
	k, i := secret.New(make([]byte, 16)), secret.New(make([]byte, 20))
	m := &pfkey.Message{Header: pfkey.Header{Type: typ, SAType: pfkey.SATypeESP}, SA: &pfkey.SA{SPI: spi, Auth: 3, Encrypt: 12},
		Src: address4("192.0.2.1"), Dst: address4("192.0.2.2")}
	if typ != pfkey.TypeDelete {
		m.KeyEncrypt, m.KeyAuth = &k, &i
	}
	return m
}

// TestMoversAreForgotten: of a client that moves its SAs itself nothing is left when it has gone and its last SA too, whatever came first, and
// whoever completes or renames them; as long as there is one, it does not follow.
func TestMoversAreForgotten(t *testing.T) {
	s := newServer(t)
	still := func() int { return reflect.ValueOf(s.db).Elem().FieldByName("still").Len() }
	register := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeESP}}
	register.KMPrivate = pfkey.Codec{Dialect: pfkey.Linux}.Private(pfkey.PrivateMoves)
	for range 3 {
		id := attach(t, s)
		ask(t, s, id, register)
		s.Detach(time.Unix(0, 0), id)
	}
	if still() != 0 {
		t.Errorf("%d owners without an SA are kept", still())
	}
	id, other := attach(t, s), attach(t, s)
	ask(t, s, id, register)
	ask(t, s, id, espMessage(pfkey.TypeAdd, 0x1001))
	ask(t, s, id, espMessage(pfkey.TypeAdd, 0x1002))
	s.Detach(time.Unix(0, 0), id)
	e := s.sas.byID[sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1001, Dst: netip.MustParseAddr("192.0.2.2")}]
	s.sas.rename(e, e.src, e.id.Dst)
	ask(t, s, other, espMessage(pfkey.TypeDelete, 0x1001))
	if still() != 1 || len(s.moved) != 1 {
		t.Errorf("%d owners, expected the one that has an SA", still())
	}
	ask(t, s, other, espMessage(pfkey.TypeDelete, 0x1002))
	if still() != 0 || len(s.moved)+len(s.sas.owned) != 0 {
		t.Errorf("%d owners are kept: %v %v", still(), s.moved, s.sas.owned)
	}
}

// TestUnreadDumps: DUMPs that nobody reads keep at most a bounded number of SAs that have ended in memory, however many come and go.
func TestUnreadDumps(t *testing.T) {
	s := newServer(t)
	var stay uint32
	add := func(n int) (first uint32) {
		first = stay
		for range n {
			stay++
			sa := sadb.SA{Proto: sadb.ProtoESP, SPI: 0x1000 + stay, Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
				Mode: sadb.Transport, Suite: suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}, Key: secret.New(make([]byte, 20))}
			if err := s.db.AddSA(time.Unix(0, 0), sa); err != nil {
				t.Fatal(err)
			}
		}
		return first
	}
	const many = 4000
	first := add(many)
	reader := attach(t, s)
	var stalled []ClientID
	for range 3 {
		id := attach(t, s)
		unread(t, s, id)
		stalled = append(stalled, id)
	}
	for range 5 { // all of them, again and again
		next := add(many)
		for spi := first; spi < first+many; spi++ {
			if _, err := s.db.DeleteSA(time.Unix(0, 0), sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1001 + spi, Dst: netip.MustParseAddr("192.0.2.2")}); err != nil {
				t.Fatal(err)
			}
		}
		first = next
		ask(t, s, reader, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeFlush, SAType: pfkey.SATypeAH}})
		for _, id := range stalled {
			d := s.clients[id].dump
			gone := 0
			for _, ref := range d.sas {
				if ref.Gone() {
					gone++
				}
			}
			if gone > staleSAs+len(d.sas)/4 || cap(d.sas) > 2*len(d.sas)+2*staleSAs {
				t.Errorf("a DUMP keeps %d SAs that have ended, and room for %d", gone, cap(d.sas))
			}
		}
	}
	// Who reads at last has a whole DUMP, which counts to its end.
	codec := pfkey.Codec{Dialect: pfkey.Linux}
	for more := true; more; {
		var b []byte
		if b, more = s.Next(time.Unix(0, 0), stalled[0]); b == nil {
			t.Fatal("no message")
		}
		if m, err := codec.Parse(b); err != nil || more == (m.Seq == 0) {
			t.Fatalf("sequence number %d, more %t, %v", m.Seq, more, err)
		}
	}
}

// unread begins a DUMP that is not read.
func unread(t *testing.T, s *Server, id ClientID) {
	t.Helper()
	b, err := pfkey.Codec{Dialect: pfkey.Linux}.Append(nil, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeDump, SAType: pfkey.SATypeESP}})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.Handle(time.Unix(0, 0), id, b); err != nil || len(out) != 0 {
		t.Fatalf("%d messages, %v", len(out), err)
	}
}
