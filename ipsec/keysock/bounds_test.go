// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What is bounded, by whom, and that whoever asks is answered.

package keysock_test

import (
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// A reqid that is picked fits into 16 bits, which a BSD's request has, however many were picked before, and no two policies have one.
func TestPickedReqids(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	linux, bsd := w.client(pfkey.Linux, true), w.client(pfkey.FreeBSD, true)
	kept := w.want(linux, protect(pfkey.LevelUnique, 0), pfkey.OK).Policy
	m := protect(pfkey.LevelUnique, 0)
	m.Type, m.Policy.Dir = pfkey.TypeSPDUpdate, pfkey.DirIn
	b := w.octets(pfkey.Linux, m)
	for range 1 << 16 {
		if err := w.raw(linux, b); err != nil || w.got[linux][0][2] != 0 {
			t.Fatalf("%v %x", err, w.got[linux])
		}
		got, err := pfkey.Codec{Dialect: pfkey.Linux}.Parse(w.got[linux][0])
		if err != nil || got.Policy.Requests[0].Reqid == kept.Requests[0].Reqid || got.Policy.Requests[0].Reqid < 16384 {
			t.Fatalf("%v %v, and policy %d has it", err, got.Policy, kept.ID)
		}
		clear(w.got)
	}
	m = protect(pfkey.LevelUnique, 0)
	m.Dst = addr("10.3.0.0/16")
	m.Dst.Proto = 255
	if got := w.want(bsd, m, pfkey.OK).Policy.Requests[0].Reqid; got < 16384 || got > 65535 {
		t.Errorf("reqid %d", got)
	}
	if n := len(w.send(bsd, header(pfkey.TypeSPDDump, 0))); n != 3 {
		t.Errorf("%d policies in a BSD's dump, expected 3", n)
	}
}

// An UPDATE of a policy that is there needs no room.
func TestPoliciesBounded(t *testing.T) {
	each(t, func(t *testing.T, w *world, _ keysock.ClientID, d pfkey.Dialect) {
		w.s = keysock.New(w.db, keysock.Config{Policies: 1})
		c := w.client(d, true)
		m := protect(pfkey.LevelUnique, 0)
		w.want(c, m, pfkey.OK)
		m.Type = pfkey.TypeSPDUpdate
		w.want(c, m, pfkey.OK)
		m.Dst = addr("10.3.0.0/16")
		m.Dst.Proto = 255
		w.want(c, m, pfkey.ENOBUFS)
		w.want(c, header(pfkey.TypeSPDFlush, 0), pfkey.OK)
		w.want(c, m, pfkey.OK)
	})
}

// A reservation that has its keys counts no more, and is an SA like others: its lifetimes change, and DELETE without an SPI finds it.
func TestCompletedReservation(t *testing.T) {
	each(t, func(t *testing.T, w *world, _ keysock.ClientID, d pfkey.Dialect) {
		w.s = keysock.New(w.db, keysock.Config{Larval: 1})
		c := w.client(d, true)
		var u *pfkey.Message
		for range 3 {
			u = add(w.getSPI(c, "192.0.2.1", "192.0.2.2", 1), "192.0.2.1", "192.0.2.2")
			u.Type = pfkey.TypeUpdate
			w.want(c, u, pfkey.OK)
		}
		u.LifetimeHard, u.LifetimeSoft = &pfkey.Lifetime{AddTime: 100}, &pfkey.Lifetime{AddTime: 80}
		if d == pfkey.FreeBSD {
			u.KeyEncrypt, u.KeyAuth = nil, nil
		}
		w.want(c, u, pfkey.OK)
		wide := about(pfkey.TypeDelete, u)
		wide.SA = nil
		if d == pfkey.Linux {
			return
		}
		w.want(c, wide, pfkey.OK)
		w.want(c, header(pfkey.TypeDump, 0), pfkey.ENOENT)
	})
}

// A listener hears of a DELETE, whatever the request of another dialect had in it.
func TestDeleteIsHeardAcrossDialects(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	linux, bsd := w.client(pfkey.Linux, true), w.client(pfkey.NetBSD, true)
	w.want(linux, protect(pfkey.LevelRequire, 0), pfkey.OK)
	w.take(bsd)
	m := protect(pfkey.LevelUnique, 70000)
	m.Type = pfkey.TypeSPDDelete
	w.want(linux, m, pfkey.OK)
	if got := w.take(bsd); len(got) != 1 || got[0].Type != pfkey.TypeSPDDelete {
		t.Errorf("%d messages, expected the DELETE", len(got))
	}
}

// Clients without privileges may look, and cannot keep the key daemon out, neither from the server nor from its DUMPs.
func TestUsersBounded(t *testing.T) {
	w := newWorld(t, keysock.Config{Clients: 80})
	c := w.client(pfkey.Linux, true)
	w.want(c, add(0x1001, "192.0.2.1", "192.0.2.2"), pfkey.OK)
	dump := w.octets(pfkey.Linux, header(pfkey.TypeDump, 0))
	var users []keysock.ClientID
	for range 80 {
		id, err := w.s.Attach(w.now, keysock.ClientInfo{Dialect: pfkey.Linux})
		if err == keysock.ErrClients {
			break
		}
		users = append(users, id)
		if _, err = w.s.Handle(w.now, id, dump); err != nil {
			t.Fatal(err)
		}
	}
	if len(users) == 0 || len(users) > 40 {
		t.Fatalf("%d clients without privileges, expected some and at most half", len(users))
	}
	if got := w.one(w.client(pfkey.FreeBSD, true), header(pfkey.TypeDump, 0)); got.Errno != pfkey.OK {
		t.Errorf("a privileged client's DUMP: %v", got.Errno)
	}
	w.s.Detach(w.now, users[0])
	w.client(pfkey.Linux, false)
	if _, err := w.s.Attach(w.now, keysock.ClientInfo{Dialect: pfkey.Linux}); err != keysock.ErrClients {
		t.Errorf("%v, expected the bound again", err)
	}
}

// A dialect that cannot be answered in is nobody's.
func TestAttachDialect(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	if _, err := w.s.Attach(w.now, keysock.ClientInfo{Dialect: pfkey.OpenBSD, Privileged: true}); err != keysock.ErrDialect {
		t.Errorf("%v, expected %v", err, keysock.ErrDialect)
	}
}

// What a daemon left behind is removed at once when it is back, and no more is told of it than a queue holds.
func TestLeftIsToldInPart(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	fresh := func() (keysock.ClientID, int) {
		id := w.client(pfkey.FreeBSD, true)
		m := header(pfkey.TypeRegister, pfkey.SATypeESP)
		m.KMPrivate = pfkey.Codec{Dialect: pfkey.FreeBSD}.Private(pfkey.PrivateFresh)
		out, err := w.s.Handle(w.now, id, w.octets(pfkey.FreeBSD, m))
		if err != nil || out[len(out)-1].To != id || out[len(out)-1].Msg[1] != byte(pfkey.TypeRegister) {
			t.Fatalf("%d deliveries, %v", len(out), err)
		}
		return id, len(out)
	}
	ear := w.client(pfkey.NetBSD, true)
	w.last(ear, header(pfkey.TypePromisc, 1), pfkey.OK)
	others := w.client(pfkey.FreeBSD, true)
	w.want(others, add(0x999, "192.0.2.1", "192.0.2.2"), pfkey.OK)
	w.want(others, protect(pfkey.LevelRequire, 0), pfkey.OK)
	dead, _ := fresh()
	const sas = 3000
	m := add(0, "192.0.2.1", "192.0.2.2")
	for i := range sas {
		m.SA.SPI = uint32(0x1000 + i)
		if err := w.raw(dead, w.octets(pfkey.FreeBSD, m)); err != nil {
			t.Fatal(err)
		}
		clear(w.got)
	}
	w.s.Detach(w.now, dead)
	if n := len(w.db.SAs(0, false)); n != sas+1 {
		t.Fatalf("%d SAs are left", n)
	}
	if _, n := fresh(); n < 1000 || n > 5000 {
		t.Errorf("%d deliveries to three clients, one of them promiscuous, about %d SAs", n, sas)
	}
	if n := len(w.db.SAs(0, false)); n != 1 || len(w.db.SPDList()) != 1 {
		t.Errorf("%d SAs and %d policies are left, expected those of another client", n, len(w.db.SPDList()))
	}
	w.want(others, about(pfkey.TypeGet, add(0x999, "192.0.2.1", "192.0.2.2")), pfkey.OK)
}

// Several SAs with one SPI, which peers choose: each is found, and goes, for itself.
func TestOneSPIManyPeers(t *testing.T) {
	db, err := sadb.New(start, sadb.Config{Rand: zeros{}, SPIPerDestination: true})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, keysock.Config{})
	w.db, w.s = db, keysock.New(db, keysock.Config{})
	c, freebsd := w.client(pfkey.Linux, true), w.client(pfkey.FreeBSD, true)
	peers := []string{"192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14"}
	for _, gone := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 2, 0, 3}, {2, 0, 3, 1}} {
		for _, p := range peers {
			w.want(c, add(0x1001, "192.0.2.1", p), pfkey.OK)
		}
		left := map[int]bool{0: true, 1: true, 2: true, 3: true}
		for _, i := range gone {
			w.want(freebsd, add(0x1001, "192.0.2.1", "192.0.2.99"), pfkey.EEXIST)
			w.want(c, about(pfkey.TypeDelete, add(0x1001, "192.0.2.1", peers[i])), pfkey.OK)
			delete(left, i)
			for k, p := range peers {
				want := pfkey.ESRCH
				if left[k] {
					want = pfkey.OK
				}
				w.want(c, about(pfkey.TypeGet, add(0x1001, "192.0.2.1", p)), want)
			}
		}
		m := add(0x1001, "192.0.2.1", "192.0.2.99")
		w.want(freebsd, m, pfkey.OK)
		w.want(freebsd, about(pfkey.TypeDelete, m), pfkey.OK)
	}
}

// X_MIGRATE does all or nothing: not with an address that no SA can have, and not where two SAs would have one name.
func TestMigrateAllOrNothing(t *testing.T) {
	db, err := sadb.New(start, sadb.Config{Rand: zeros{}, SPIPerDestination: true})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, keysock.Config{})
	w.db, w.s = db, keysock.New(db, keysock.Config{})
	c := w.client(pfkey.Linux, true)
	p := protect(pfkey.LevelRequire, 0)
	p.Policy.Requests = append(p.Policy.Requests, p.Policy.Requests[0])
	p.Policy.Requests[1].Dst = addr("192.0.2.3").Sockaddr
	id := w.want(c, p, pfkey.OK).Policy.ID
	one, two := add(0x1001, "192.0.2.1", "192.0.2.2"), add(0x1001, "192.0.2.1", "192.0.2.3")
	w.want(c, one, pfkey.OK)
	w.want(c, two, pfkey.OK)
	migrate := func(src, dst string, e pfkey.Errno) {
		t.Helper()
		m := *p
		x := *p.Policy
		m.Type, m.Policy, x.Requests = pfkey.TypeMigrate, &x, nil
		for _, r := range p.Policy.Requests {
			to := r
			to.Src, to.Dst = addr(src).Sockaddr, addr(dst).Sockaddr
			x.Requests = append(x.Requests, r, to)
		}
		w.want(c, &m, e)
	}
	migrate("0.0.0.0", "198.51.100.2", pfkey.EINVAL)
	migrate("192.0.2.1", "198.51.100.2", pfkey.EEXIST)
	for _, m := range []*pfkey.Message{one, two} {
		w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
	}
	if r := w.want(c, byID(pfkey.TypeSPDGet, id), pfkey.OK).Policy.Requests; r[0].Dst.Addr != one.Dst.Addr || r[1].Dst.Addr != two.Dst.Addr {
		t.Errorf("the templates are %v", r)
	}
	// An SA that has ended is in nobody's way, before its notice comes too.
	old := add(0x1001, "192.0.2.1", "198.51.100.2")
	old.LifetimeSoft, old.LifetimeHard = &pfkey.Lifetime{}, &pfkey.Lifetime{AddTime: 1}
	w.want(c, old, pfkey.OK)
	w.want(c, about(pfkey.TypeDelete, two), pfkey.OK)
	migrate("192.0.2.1", "198.51.100.2", pfkey.EEXIST)
	w.now = w.now.Add(2 * time.Second)
	w.db.Tick(w.now)
	var n [4]sadb.Notice
	k := w.db.Notices(n[:])
	migrate("192.0.2.1", "198.51.100.2", pfkey.OK)
	for _, x := range n[:k] {
		w.deliver(w.s.Notice(w.now, x))
	}
	if g := w.want(c, about(pfkey.TypeGet, old), pfkey.OK); g.SA.State != pfkey.StateMature || g.LifetimeHard.AddTime != 0 {
		t.Errorf("%+v %+v", g.SA, g.LifetimeHard)
	}
}
