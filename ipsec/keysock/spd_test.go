// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// NATT.md, Section 2.5, points 7 and 8: policies, dumps, promiscuous and unprivileged clients, and X_MIGRATE.

package keysock_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// byID is an X_SPDGET or DELETE2.
func byID(t pfkey.Type, id uint32) *pfkey.Message {
	return &pfkey.Message{Header: pfkey.Header{Type: t, Seq: 4, PID: 4242}, Policy: &pfkey.Policy{ID: id, Dir: pfkey.DirOut, Type: pfkey.PolicyIPsec}}
}

// absent is what a DELETE of nothing is.
func absent(d pfkey.Dialect) pfkey.Errno {
	if d == pfkey.Linux {
		return pfkey.ENOENT
	}
	return pfkey.EINVAL
}

func TestPolicies(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		other := w.client(d, true)
		m := protect(pfkey.LevelUnique, 0)
		a := w.want(c, m, pfkey.OK)
		if len(w.take(other)) != 1 {
			t.Error("SPDADD goes to all")
		}
		r := a.Policy.Requests
		if a.Policy.ID == 0 || len(r) != 1 || r[0].Reqid < 16384 || r[0].Level != pfkey.LevelUnique || r[0].Src.Addr.String() != "192.0.2.1" {
			t.Errorf("%+v", a.Policy)
		}
		w.want(c, m, pfkey.EEXIST)
		m.Type, m.Policy.Priority = pfkey.TypeSPDUpdate, 7
		m.Policy.Requests[0].Level = pfkey.LevelRequire
		u := w.want(c, m, pfkey.OK)
		if u.Policy.ID != a.Policy.ID || u.Policy.Priority != 7 || u.Policy.Requests[0].Reqid != 0 {
			t.Errorf("%+v", u.Policy)
		}
		g := w.want(c, byID(pfkey.TypeSPDGet, a.Policy.ID), pfkey.OK)
		if g.Policy.Priority != 7 || text(g.Src) != "10.1.0.0" || g.Src.PrefixLen != 16 || g.Src.Proto != 255 {
			t.Errorf("%+v %+v", g.Src, g.Policy)
		}
		if (g.LifetimeHard != nil) != (d == pfkey.Linux) {
			t.Error("a lifetime that was not given is Linux's to show")
		}
		m.LifetimeHard = &pfkey.Lifetime{AddTime: 3600}
		w.want(c, m, pfkey.OK)
		g = w.want(c, byID(pfkey.TypeSPDGet, a.Policy.ID), pfkey.OK)
		if g.LifetimeHard == nil || g.LifetimeHard.AddTime != 3600 || g.LifetimeCurrent == nil || g.LifetimeCurrent.AddTime != uint64(start.Unix()) {
			t.Errorf("%+v %+v", g.LifetimeHard, g.LifetimeCurrent)
		}
		m.LifetimeHard = nil
		w.want(c, byID(pfkey.TypeSPDGet, 99), pfkey.ENOENT)
		w.want(c, byID(pfkey.TypeSPDDelete2, 99), absent(d))
		m.Type = pfkey.TypeSPDDelete
		if x := w.want(c, m, pfkey.OK); x.Policy.ID != a.Policy.ID {
			t.Errorf("the answer to DELETE names policy %d", x.Policy.ID)
		}
		w.want(c, m, absent(d))
		m.Type = pfkey.TypeSPDUpdate
		id := w.want(c, m, pfkey.OK).Policy.ID
		w.want(c, byID(pfkey.TypeSPDDelete2, id), pfkey.OK)
		w.want(c, header(pfkey.TypeSPDDump, 0), pfkey.ENOENT)
		w.want(c, m, pfkey.OK)
		w.take(other)
		w.want(c, header(pfkey.TypeSPDFlush, 0), pfkey.OK)
		if len(w.take(other)) != 1 {
			t.Error("SPDFLUSH goes to all")
		}
		w.want(c, header(pfkey.TypeSPDDump, 0), pfkey.ENOENT)
	})
}

func TestPolicyMistakes(t *testing.T) {
	rows := []struct {
		name   string
		change func(*pfkey.Message)
		bsd    pfkey.Errno
		linux  pfkey.Errno
	}{
		{"level and reqid of a person's", func(m *pfkey.Message) { m.Policy.Requests[0].Level, m.Policy.Requests[0].Reqid = pfkey.LevelUnique, 7 }, 0, 0},
		{"no requests", func(m *pfkey.Message) { m.Policy.Requests = nil }, pfkey.EINVAL, pfkey.EINVAL},
		{"entrust", func(m *pfkey.Message) { m.Policy.Type = pfkey.PolicyEntrust }, pfkey.EINVAL, pfkey.EINVAL},
		{"mode any", func(m *pfkey.Message) { m.Policy.Requests[0].Mode = pfkey.ModeAny }, pfkey.EINVAL, pfkey.EINVAL},
		{"level 4", func(m *pfkey.Message) { m.Policy.Requests[0].Level = 4 }, pfkey.EINVAL, pfkey.EINVAL},
		{"protocol TCP", func(m *pfkey.Message) { m.Policy.Requests[0].Proto = 6 }, pfkey.EPROTONOSUPPORT, pfkey.EINVAL},
		{"tunnel to nowhere", func(m *pfkey.Message) {
			m.Policy.Requests[0].Src, m.Policy.Requests[0].Dst = pfkey.Sockaddr{}, pfkey.Sockaddr{}
		}, pfkey.EINVAL, pfkey.EINVAL},
		{"seven requests", func(m *pfkey.Message) {
			for range 6 {
				m.Policy.Requests = append(m.Policy.Requests, m.Policy.Requests[0])
			}
		}, pfkey.EINVAL, pfkey.EINVAL},
		{"no policy", func(m *pfkey.Message) { m.Policy = nil }, pfkey.EINVAL, pfkey.EINVAL},
		{"no source", func(m *pfkey.Message) { m.Src = nil }, pfkey.EINVAL, pfkey.EINVAL},
		{"ICMP type 300", func(m *pfkey.Message) { m.Src.Proto, m.Dst.Proto, m.Src.Port = 1, 1, 300 }, pfkey.EINVAL, pfkey.EINVAL},
		{"ICMPv6 code 256", func(m *pfkey.Message) { m.Src.Proto, m.Dst.Proto, m.Src.Port, m.Dst.Port = 58, 58, 1, 256 }, pfkey.EINVAL, pfkey.EINVAL},
		{"satype ESP", func(m *pfkey.Message) { m.SAType = pfkey.SATypeESP }, pfkey.EINVAL, 0},
	}
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		for _, r := range rows {
			m := protect(pfkey.LevelRequire, 0)
			r.change(m)
			want := r.bsd
			if d == pfkey.Linux {
				want = r.linux
			}
			if a := w.one(c, m); a.Errno != want {
				t.Errorf("%s: %v, expected %v", r.name, a.Errno, want)
			}
			w.send(c, header(pfkey.TypeSPDFlush, 0))
		}
		fwd := protect(pfkey.LevelRequire, 0)
		fwd.Policy.Dir = pfkey.DirFwd
		if d == pfkey.Linux {
			w.want(c, fwd, pfkey.OK)
		}
	})
}

// What policies come to in the database: direction, ports, ICMP's type and code, the order of requests.
func TestPolicySelectors(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	c := w.client(pfkey.Linux, true)
	for i, r := range []struct {
		dir          pfkey.Dir
		proto        uint8
		sport, dport uint16
		want         string
	}{
		{pfkey.DirOut, 255, 0, 0, "out 10.1.0.0-10.1.255.255 0 0-65535 > 10.2.0.0-10.2.255.255 0 0-65535"},
		{pfkey.DirIn, 17, 1701, 0, "in 10.2.0.0-10.2.255.255 17 0-65535 > 10.1.0.0-10.1.255.255 17 1701-1701"},
		{pfkey.DirFwd, 6, 0, 80, "fwd 10.2.0.0-10.2.255.255 6 80-80 > 10.1.0.0-10.1.255.255 6 0-65535"},
		{pfkey.DirOut, 1, 8, 0, "out 10.1.0.0-10.1.255.255 1 2048-2303 > 10.2.0.0-10.2.255.255 1 2048-2303"},
		{pfkey.DirOut, 1, 3, 4, "out 10.1.0.0-10.1.255.255 1 772-772 > 10.2.0.0-10.2.255.255 1 772-772"},
		{pfkey.DirOut, 58, 0, 0, "out 10.1.0.0-10.1.255.255 58 0-65535 > 10.2.0.0-10.2.255.255 58 0-65535"},
	} {
		m := protect(pfkey.LevelRequire, 0)
		m.Policy.Dir, m.Src.Proto, m.Dst.Proto, m.Src.Port, m.Dst.Port = r.dir, r.proto, r.proto, r.sport, r.dport
		w.want(c, m, pfkey.OK)
		list := w.db.SPDList()
		p := list[i]
		side := func(s sadb.Selector) string {
			return fmt.Sprintf("%v-%v %d %d-%d", s.From, s.To, s.Proto, s.PortFrom, s.PortTo)
		}
		if got := fmt.Sprintf("%v %s > %s", p.Dir, side(p.Local), side(p.Remote)); got != r.want {
			t.Errorf("%s, expected %s", got, r.want)
		}
		m.Type = pfkey.TypeSPDDelete
		m.Policy.Requests = nil
		w.want(c, m, pfkey.OK)
		m = protect(pfkey.LevelRequire, 0)
		m.Policy.Dir, m.Src.Proto, m.Dst.Proto, m.Src.Port, m.Dst.Port = r.dir, r.proto, r.proto, r.sport, r.dport
		m.Type = pfkey.TypeSPDUpdate
		w.want(c, m, pfkey.OK)
	}
	if n := len(w.db.SPDList()); n != 6 {
		t.Errorf("%d policies", n)
	}
}

// DUMP: to the requester alone, the newest first, 1, 2, … 0 in Linux and down to 0 in the BSDs; what goes meanwhile is skipped, what comes is
// not shown; ENOENT where there is nothing; one at a time.
func TestDump(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		codec := pfkey.Codec{Dialect: d}
		dump, err := codec.Append(nil, header(pfkey.TypeDump, pfkey.SATypeESP))
		if err != nil {
			t.Fatal(err)
		}
		w.want(c, header(pfkey.TypeDump, pfkey.SATypeESP), pfkey.ENOENT)
		for i := range 6 {
			w.want(c, add(uint32(0x1000+i), "192.0.2.1", "192.0.2.2"), pfkey.OK)
		}
		w.want(c, header(pfkey.TypeDump, pfkey.SATypeAH), pfkey.ENOENT)
		other := w.client(d, true)
		if out, err := w.s.Handle(w.now, c, dump); err != nil || len(out) != 0 {
			t.Fatalf("%d deliveries, %v", len(out), err)
		}
		var got []string
		next := func() bool {
			b, more := w.s.Next(w.now, c)
			if b == nil {
				return false
			}
			m, err := codec.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%#x seq %d", m.SA.SPI, m.Seq))
			return more
		}
		next()
		w.want(other, about(pfkey.TypeDelete, add(0x1003, "192.0.2.1", "192.0.2.2")), pfkey.OK)
		w.want(other, about(pfkey.TypeDelete, add(0x1000, "192.0.2.1", "192.0.2.2")), pfkey.OK)
		w.want(other, add(0x2000, "192.0.2.1", "192.0.2.2"), pfkey.OK)
		w.take(c)
		out, _ := w.s.Handle(w.now, c, dump)
		if m, err := codec.Parse(out[0].Msg); err != nil || m.Errno != pfkey.EBUSY {
			t.Errorf("a second dump: %v, %v", m, err)
		}
		for next() {
		}
		want := []string{"0x1005 seq 1", "0x1004 seq 2", "0x1002 seq 3", "0x1001 seq 0"}
		if d != pfkey.Linux {
			want = []string{"0x1005 seq 5", "0x1004 seq 4", "0x1002 seq 2", "0x1001 seq 0"}
		}
		if !cmp.Equal(got, want) {
			t.Errorf("%v, expected %v", got, want)
		}
		if b, more := w.s.Next(w.now, c); b != nil || more {
			t.Error("the dump goes on behind its last message")
		}
		if len(w.take(other)) != 0 {
			t.Error("others hear of a dump")
		}
	})
}

// Linux's filter of a DUMP.
func TestDumpFilter(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	c := w.client(pfkey.Linux, true)
	w.want(c, add(0x1001, "192.0.2.1", "192.0.2.2"), pfkey.OK)
	w.want(c, add(0x1002, "192.0.2.1", "198.51.100.2"), pfkey.OK)
	m := header(pfkey.TypeDump, 0)
	m.Filter = &pfkey.Filter{Dst: addr("198.51.100.0/24").Prefix()}
	got := w.send(c, m)
	if len(got) != 1 || got[0].SA.SPI != 0x1002 || got[0].Seq != 0 {
		t.Errorf("%d messages", len(got))
	}
	m.Filter.Dst = addr("203.0.113.0/24").Prefix()
	w.want(c, m, pfkey.ENOENT)
}

// X_PROMISC: Linux's promiscuous client hears requests and answers as they are, one time more than it is meant to; a BSD's inside an X_PROMISC.
// Only privileged clients may, and nobody can have a message of his own delivered.
func TestPromisc(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		ear := w.client(d, true)
		on := header(pfkey.TypePromisc, 1)
		w.last(ear, on, pfkey.OK)
		w.take(c)
		w.want(c, header(pfkey.TypeFlush, pfkey.SATypeESP), pfkey.OK)
		var got []string
		for _, m := range w.take(ear) {
			kind := m.Type.String()
			if m.Inner != nil {
				in, err := pfkey.Codec{Dialect: d}.Parse(m.Inner)
				if err != nil {
					t.Fatal(err)
				}
				kind += " " + in.Type.String()
			}
			got = append(got, kind)
		}
		want := []string{"SADB_FLUSH", "SADB_FLUSH"} // the request, the answer to another
		if d != pfkey.Linux {
			want = []string{"SADB_X_PROMISC SADB_FLUSH", "SADB_X_PROMISC SADB_FLUSH", "SADB_FLUSH"}
		}
		if !cmp.Equal(got, want) {
			t.Errorf("heard %v, expected %v", got, want)
		}
		// Across dialects: a copy in one's own numbers.
		linux := w.client(pfkey.Linux, true)
		w.want(linux, add(0x1001, "192.0.2.1", "192.0.2.2"), pfkey.OK)
		if len(w.take(ear)) < 2 {
			t.Error("a request in another dialect was not shown")
		}
		w.last(ear, header(pfkey.TypePromisc, 2), pfkey.EINVAL)
		off := header(pfkey.TypePromisc, 0)
		w.want(c, off, pfkey.OK)
		w.send(ear, off)
		w.take(ear)
		w.want(c, about(pfkey.TypeGet, add(0x1001, "192.0.2.1", "192.0.2.2")), pfkey.OK)
		if got := w.take(ear); len(got) != 0 {
			t.Errorf("%d messages after it was switched off", len(got))
		}
		user := w.client(d, false)
		w.want(user, on, pfkey.EPERM)
		if d != pfkey.Linux {
			forged, err := pfkey.Codec{Dialect: d}.Append(nil, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypePromisc}, Inner: w.octets(d, header(pfkey.TypeFlush, 0))})
			if err != nil {
				t.Fatal(err)
			}
			clear(w.got)
			if err = w.raw(c, forged); err != nil {
				t.Fatal(err)
			}
			if m := w.take(c); len(m) != 1 || m[0].Errno != pfkey.EINVAL || len(w.got) != 0 {
				t.Error("a client's own message was delivered to others")
			}
		}
	})
}

// last checks the errno of the last answer: a promiscuous client has heard more before.
func (w *world) last(c keysock.ClientID, m *pfkey.Message, e pfkey.Errno) {
	w.t.Helper()
	got := w.send(c, m)
	if n := len(got); n == 0 || got[n-1].Type != m.Type || got[n-1].Errno != e || got[n-1].Inner != nil {
		w.t.Errorf("%d answers to %v, expected %v as the last", n, m.Type, e)
	}
}

func (w *world) octets(d pfkey.Dialect, m *pfkey.Message) []byte {
	b, err := pfkey.Codec{Dialect: d}.Append(nil, m)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// X_MIGRATE moves the templates of a policy and the SAs in place.
func TestMigrate(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	c := w.client(pfkey.Linux, true)
	policy := w.want(c, protect(pfkey.LevelRequire, 0), pfkey.OK)
	sa := natted(add(0x2001, "192.0.2.1", "192.0.2.2"), 4500, 4500)
	w.want(c, sa, pfkey.OK)
	before, _ := w.db.LookupSA(sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x2001, Dst: sa.Dst.Addr})
	m := protect(pfkey.LevelRequire, 0)
	m.Type = pfkey.TypeMigrate
	to := m.Policy.Requests[0]
	to.Dst = addr("198.51.100.2").Sockaddr
	m.Policy.Requests = append(m.Policy.Requests, to)
	odd := *m.Policy
	odd.Requests = odd.Requests[:1]
	broken := *m
	broken.Policy = &odd
	w.want(c, &broken, pfkey.EINVAL)
	w.want(c, m, pfkey.OK)
	g := w.want(c, byID(pfkey.TypeSPDGet, policy.Policy.ID), pfkey.OK)
	if got := g.Policy.Requests[0].Dst.Addr.String(); got != "198.51.100.2" {
		t.Errorf("the template goes to %s", got)
	}
	moved := about(pfkey.TypeGet, sa)
	moved.Dst = addr("198.51.100.2")
	if got := nattOf2(w.want(c, moved, pfkey.OK)); got != "2 4500>4500" {
		t.Errorf("NAT-T %s", got)
	}
	after, _ := w.db.LookupSA(sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x2001, Dst: moved.Dst.Addr})
	if before == nil || before != after {
		t.Error("the SA was cloned")
	}
	w.want(c, about(pfkey.TypeGet, sa), pfkey.ESRCH)
	w.want(c, m, pfkey.ENOENT)
	if w.packet() != sadb.Sealed {
		t.Error("policy and SA do not meet any more")
	}
	bsd := w.client(pfkey.FreeBSD, true)
	b := w.octets(pfkey.Linux, m)
	if err := w.raw(bsd, b); err == nil {
		t.Error("FreeBSD has no type 24")
	}
}

// TestEnforce: who wants to know is told that a policy is not in force outside of the engine, and may take it back; others see it come
// and go, and have the answer of a kernel to their own.
func TestEnforce(t *testing.T) {
	refuse := false
	w := newWorld(t, keysock.Config{Enforce: func(time.Time, sadb.PolicyID) error {
		if refuse {
			return errors.New("no room in the packet filter")
		}
		return nil
	}})
	c, other := w.client(pfkey.FreeBSD, true), w.client(pfkey.FreeBSD, true)
	reg := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeESP}}
	reg.KMPrivate = pfkey.Codec{Dialect: pfkey.FreeBSD}.Private(pfkey.PrivateHost)
	w.want(c, reg, pfkey.OK)
	m := protect(pfkey.LevelUnique, 7)
	w.want(c, m, pfkey.OK)
	w.take(other)
	refuse = true
	m.Type = pfkey.TypeSPDUpdate
	w.want(c, m, pfkey.ErrnoHost)
	if got := w.take(other); len(got) != 1 || got[0].Type != pfkey.TypeSPDUpdate || got[0].Errno != pfkey.OK {
		t.Errorf("others are told %+v", got)
	}
	m.Type = pfkey.TypeSPDDelete
	w.want(c, m, pfkey.OK)
	w.take(other)
	m.Type = pfkey.TypeSPDUpdate
	w.want(other, m, pfkey.OK)
}
