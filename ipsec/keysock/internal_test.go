// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What cannot be seen from outside: what is kept of keys, and what happens when 49,152 reqids are in use.

package keysock

import (
	"bytes"
	"math/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

func newServer(t *testing.T) *Server {
	t.Helper()
	db, err := sadb.New(time.Unix(0, 0), sadb.Config{Rand: rand.New(rand.NewSource(1))})
	if err != nil {
		t.Fatal(err)
	}
	return New(db, Config{})
}

// A client that goes in the middle of a DUMP leaves no message of it behind.
func TestDetachClearsDump(t *testing.T) {
	s := newServer(t)
	id, err := s.Attach(time.Unix(0, 0), ClientInfo{Privileged: true})
	if err != nil {
		t.Fatal(err)
	}
	held := []byte{1, 2, 3}
	s.clients[id].dump = &dump{held: held}
	s.Detach(time.Unix(0, 0), id)
	if !bytes.Equal(held, make([]byte, 3)) {
		t.Errorf("%x", held)
	}
}

// An SA in the table with the name of a new one has ended, and is found by its SPI no more.
func TestNameTakenOver(t *testing.T) {
	table := newSATable()
	holder := &client{larval: 1}
	id := sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1001, Dst: netip.MustParseAddr("192.0.2.2")}
	table.add(&entry{id: id, holder: holder})
	e := &entry{id: id}
	table.add(e)
	if table.bySPI[0x1001] != e || e.next != nil || holder.larval != 0 {
		t.Error("the old one is still there")
	}
	table.remove(e)
	if len(table.byID)+len(table.bySPI) != 0 {
		t.Error("something is left")
	}
}

// With all short reqids in use a BSD is refused, Linux gets longer ones, and a BSD that asks for such a policy is answered.
func TestLongReqids(t *testing.T) {
	s := newServer(t)
	now := time.Unix(0, 0)
	s.policies.unique.shortUsed = shorts
	request := func(d pfkey.Dialect, m *pfkey.Message) *pfkey.Message {
		t.Helper()
		id, err := s.Attach(now, ClientInfo{Dialect: d, Privileged: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Detach(now, id)
		c := pfkey.Codec{Dialect: d}
		b, err := c.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Handle(now, id, b)
		if err != nil || len(out) != 1 {
			t.Fatalf("%v: %d answers, %v", m.Type, len(out), err)
		}
		a, err := c.Parse(out[0].Msg)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	host := func(text string) pfkey.Sockaddr { return pfkey.Sockaddr{Addr: netip.MustParseAddr(text)} }
	one := pfkey.Request{Proto: sadb.ProtoESP, Mode: pfkey.ModeTunnel, Level: pfkey.LevelUnique, Src: host("192.0.2.1"), Dst: host("192.0.2.2")}
	add := &pfkey.Message{
		Header: pfkey.Header{Type: pfkey.TypeSPDAdd}, Src: &pfkey.Address{PrefixLen: 32, Sockaddr: host("10.1.0.1")}, Dst: &pfkey.Address{PrefixLen: 32, Sockaddr: host("10.2.0.1")},
		Policy: &pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Requests: []pfkey.Request{one, one}},
	}
	if a := request(pfkey.NetBSD, add); a.Errno != pfkey.ENOBUFS {
		t.Errorf("%v, expected no reqid for a BSD", a.Errno)
	}
	a := request(pfkey.Linux, add)
	if a.Errno != pfkey.OK || a.Policy.Requests[0].Reqid != 65536 || a.Policy.Requests[1].Reqid != 65537 {
		t.Fatalf("%v %v", a.Errno, a.Policy)
	}
	get := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeSPDGet}, Policy: &pfkey.Policy{ID: a.Policy.ID}}
	if a := request(pfkey.FreeBSD, get); a.Errno != pfkey.ERANGE {
		t.Errorf("%v, expected that it cannot be said", a.Errno)
	}
	if a := request(pfkey.Linux, get); a.Errno != pfkey.OK {
		t.Errorf("%v", a.Errno)
	}
	if a := request(pfkey.Linux, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeSPDDelete2}, Policy: get.Policy}); a.Errno != pfkey.OK || len(s.policies.unique.used) != 0 {
		t.Errorf("%v, and %d reqids are in use", a.Errno, len(s.policies.unique.used))
	}
}

// What is remembered of ACQUIREs is bounded: packets choose what they ask for.
func TestAcquiresBounded(t *testing.T) {
	a := acquires{}
	for i := range uint32(3 * maxAcquires) {
		a.asked(need{policy: sadb.PolicyID(i)}, i+1)
	}
	if len(a) != maxAcquires || a[need{policy: 3*maxAcquires - 1}] == nil {
		t.Errorf("%d are remembered", len(a))
	}
}
