// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// NATT.md, Section 1.6, row by row: behaviours that differ between the kernels and that key daemons rely on.

package keysock_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

var dialects = []pfkey.Dialect{pfkey.FreeBSD, pfkey.NetBSD, pfkey.Linux}

// each runs f for every dialect in a world of its own.
func each(t *testing.T, f func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect)) {
	for _, d := range dialects {
		t.Run(d.String(), func(t *testing.T) {
			w := newWorld(t, keysock.Config{})
			f(t, w, w.client(d, true), d)
		})
	}
}

// want checks the errno of the first answer.
func (w *world) want(c keysock.ClientID, m *pfkey.Message, e pfkey.Errno) *pfkey.Message {
	w.t.Helper()
	a := w.one(c, m)
	if a.Errno != e || a.Type != m.Type || a.Seq != m.Seq || a.PID != m.PID {
		w.t.Errorf("%v seq %d pid %d: %v, seq %d pid %d: %v expected", a.Type, a.Seq, a.PID, a.Errno, m.Seq, m.PID, e)
	}
	return a
}

// about makes a GET or DELETE of what an ADD made.
func about(t pfkey.Type, m *pfkey.Message) *pfkey.Message {
	return &pfkey.Message{
		Header: pfkey.Header{Type: t, SAType: m.SAType, Seq: 3, PID: 4242}, SA: &pfkey.SA{SPI: m.SA.SPI}, Src: m.Src, Dst: m.Dst,
	}
}

func nattOf2(m *pfkey.Message) string {
	if m.NATType == nil || m.NATSrcPort == nil || m.NATDstPort == nil {
		return "none"
	}
	return fmt.Sprintf("%d %d>%d", *m.NATType, *m.NATSrcPort, *m.NATDstPort)
}

// NAT-T extensions count in ADD and UPDATE, are shown in answers and dumps, and are ignored for anything but ESP.
func TestNATTExtensions(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		m := natted(add(0x1001, "192.0.2.1", "192.0.2.2"), 4500, 0x1194)
		const want = "2 4500>4500"
		*m.NATDstPort = 4500
		answer := w.want(c, m, pfkey.OK)
		dump := w.one(c, header(pfkey.TypeDump, pfkey.SATypeESP))
		for name, a := range map[string]*pfkey.Message{"ADD": answer, "GET": w.want(c, about(pfkey.TypeGet, m), pfkey.OK), "DUMP": dump} {
			if got := nattOf2(a); got != want {
				t.Errorf("%s: NAT-T %s, expected %s", name, got, want)
			}
		}
		comp := natted(&pfkey.Message{
			Header: pfkey.Header{Type: pfkey.TypeAdd, SAType: pfkey.SATypeIPComp}, SA: &pfkey.SA{SPI: 0x2001, Encrypt: 2},
			Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"),
		}, 4500, 4500)
		w.want(c, comp, pfkey.OK)
		if got := nattOf2(w.want(c, about(pfkey.TypeGet, comp), pfkey.OK)); got != "none" {
			t.Errorf("IPComp has NAT-T %s", got)
		}
	})
}

func TestNATTMistakes(t *testing.T) {
	type row struct {
		name    string
		change  func(*pfkey.Message)
		freebsd string
		netbsd  string
		linux   string
	}
	rows := []row{
		{"all three", func(*pfkey.Message) {}, "2 4500>4501", "2 4500>4501", "2 4500>4501"},
		{"no source port", func(m *pfkey.Message) { m.NATSrcPort = nil }, "none", "none", "2 4500>4501"},
		{"no ports", func(m *pfkey.Message) { m.NATSrcPort, m.NATDstPort = nil, nil }, "none", "none", "2 4500>4500"},
		{"no type", func(m *pfkey.Message) { m.NATType = nil }, "none", "none", "none"},
		{"port zero", func(m *pfkey.Message) { *m.NATSrcPort = 0 }, "EINVAL", "EINVAL", "2 4500>4501"},
		{"non-IKE marker", func(m *pfkey.Message) { *m.NATType = pfkey.NATTNonIKE }, "EINVAL", "1 4500>4501", "1 4500>4501"},
		{"non-IKE marker without ports", func(m *pfkey.Message) { *m.NATType, m.NATSrcPort, m.NATDstPort = 1, nil, nil }, "none", "none", "1 500>500"},
		{"type 3", func(m *pfkey.Message) { *m.NATType = 3 }, "EINVAL", "EINVAL", "EINVAL"},
	}
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		for i, r := range rows {
			want := [...]string{r.freebsd, r.netbsd, r.linux}[d]
			m := natted(add(uint32(0x1000+i), "192.0.2.1", "192.0.2.2"), 4500, 4501)
			r.change(m)
			if want == "EINVAL" {
				w.want(c, m, pfkey.EINVAL)
				continue
			}
			w.want(c, m, pfkey.OK)
			if got := nattOf2(w.want(c, about(pfkey.TypeGet, m), pfkey.OK)); got != want {
				t.Errorf("%s: NAT-T %s, expected %s", r.name, got, want)
			}
		}
	})
}

// NAT-OA: I and R are source and destination of the SA (Section 2.4); what equals the SA's address and tunnel mode do not count.
func TestOriginalAddresses(t *testing.T) {
	for _, d := range []pfkey.Dialect{pfkey.FreeBSD, pfkey.NetBSD} {
		w := newWorld(t, keysock.Config{})
		c := w.client(d, true)
		for i, r := range []struct {
			mode     pfkey.Mode
			oai, oar string
			src, dst string
		}{
			{pfkey.ModeTransport, "192.168.0.27", "10.0.0.1", "192.168.0.27", "10.0.0.1"},
			{pfkey.ModeTransport, "192.0.2.1", "10.0.0.1", "", "10.0.0.1"},
			{pfkey.ModeTunnel, "192.168.0.27", "10.0.0.1", "", ""},
		} {
			m := natted(add(uint32(0x1000+i), "192.0.2.1", "192.0.2.2"), 4500, 4500)
			m.SA2.Mode, m.NATOAi, m.NATOAr = r.mode, addr(r.oai), addr(r.oar)
			w.want(c, m, pfkey.OK)
			a := w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
			if got := text(a.NATOAi) + text(a.NATOAr); got != r.src+r.dst {
				t.Errorf("%v, %v: %q", d, r, got)
			}
			sa, _ := w.db.LookupSA(sadb.SAID{Proto: sadb.ProtoESP, SPI: m.SA.SPI})
			if i := sa.Info(); (i.OrigSrc.IsValid() || r.src != "") && i.OrigSrc.String() != r.src || (i.OrigDst.IsValid() || r.dst != "") && i.OrigDst.String() != r.dst {
				t.Errorf("the database has %v, %v for %v", i.OrigSrc, i.OrigDst, r)
			}
		}
	}
}

func text(a *pfkey.Address) string {
	if a == nil {
		return ""
	}
	return a.Addr.String()
}

// getSPI reserves, and returns the larval SA's SPI.
func (w *world) getSPI(c keysock.ClientID, src, dst string, seq uint32) uint32 {
	w.t.Helper()
	m := header(pfkey.TypeGetSPI, pfkey.SATypeESP)
	m.Seq, m.Src, m.Dst = seq, addr(src), addr(dst)
	m.SA2 = &pfkey.SA2{Mode: pfkey.ModeTunnel, Reqid: 5} // FreeBSD has an UPDATE say the same
	a := w.want(c, m, pfkey.OK)
	if a.SA == nil || a.SA.State != pfkey.StateLarval || a.SA.SPI < 256 {
		w.t.Fatalf("%+v", a.SA)
	}
	return a.SA.SPI
}

// UPDATE of a larval SA brings keys and makes it mature, once; without keys it is EINVAL.
func TestUpdateLarval(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		m := add(w.getSPI(c, "192.0.2.1", "192.0.2.2", 1), "192.0.2.1", "192.0.2.2")
		m.Type = pfkey.TypeUpdate
		bare := *m
		bare.KeyEncrypt, bare.KeyAuth = nil, nil
		w.want(c, &bare, pfkey.EINVAL)
		again := *m
		again.Type = pfkey.TypeAdd
		w.want(c, &again, pfkey.EEXIST)
		w.want(c, m, pfkey.OK)
		a := w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
		if a.SA.State != pfkey.StateMature || a.KeyAuth == nil || !a.KeyAuth.Equal(*m.KeyAuth) || a.SA2.Mode != pfkey.ModeTunnel || a.SA2.Reqid != 5 {
			t.Errorf("%+v %+v", a.SA, a.SA2)
		}
		w.advance(40 * time.Second)
		w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
	})
}

// UPDATE of a mature SA: FreeBSD takes lifetimes and refuses keys; elsewhere the SA is sent whole, and other keys are refused.
func TestUpdateMature(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		m := add(0x1001, "192.0.2.1", "192.0.2.2")
		w.want(c, m, pfkey.OK)
		id := sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1001, Dst: m.Dst.Addr}
		before, _ := w.db.LookupSA(id)
		u := *m
		u.Type = pfkey.TypeUpdate
		u.LifetimeHard, u.LifetimeSoft = &pfkey.Lifetime{AddTime: 100, Bytes: 1 << 40}, &pfkey.Lifetime{AddTime: 80}
		if d == pfkey.FreeBSD {
			w.want(c, &u, pfkey.EINVAL)
			u.KeyEncrypt, u.KeyAuth = nil, nil
		}
		w.want(c, &u, pfkey.OK)
		after, _ := w.db.LookupSA(id)
		if before != after {
			t.Error("the SA was replaced: its sealer must exist once")
		}
		a := w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
		if a.LifetimeHard == nil || *a.LifetimeHard != *u.LifetimeHard || a.LifetimeSoft.AddTime != 80 || a.SA.State != pfkey.StateMature {
			t.Errorf("%+v %+v", a.LifetimeHard, a.LifetimeSoft)
		}
		u.KeyEncrypt, u.KeyAuth = key(16, 99), m.KeyAuth
		w.want(c, &u, pfkey.EINVAL)
		u.KeyEncrypt, u.KeyAuth = m.KeyEncrypt, key(20, 99)
		w.want(c, &u, pfkey.EINVAL)
		u.KeyAuth = m.KeyAuth
		u.SA.SPI = 0x1002
		w.want(c, &u, map[pfkey.Dialect]pfkey.Errno{pfkey.FreeBSD: pfkey.EINVAL, pfkey.NetBSD: pfkey.ESRCH, pfkey.Linux: pfkey.ESRCH}[d])
	})
}

// Who may UPDATE: in FreeBSD the owner alone, by connection; what pid a message says means nothing.
func TestOwner(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		other := w.client(d, true)
		m := add(w.getSPI(c, "192.0.2.1", "192.0.2.2", 1), "192.0.2.1", "192.0.2.2")
		m.Type = pfkey.TypeUpdate
		if d == pfkey.FreeBSD {
			w.want(other, m, pfkey.EINVAL)
			m.PID = 1
			w.want(c, m, pfkey.OK)
			return
		}
		w.want(other, m, pfkey.OK)
	})
}

// FreeBSD: an SA with NAT-T is not updated without NAT-T extensions or X_NEW_ADDRESS. Elsewhere it does not go in and out of UDP either.
func TestUpdateNATT(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		m := natted(add(0x1001, "192.0.2.1", "192.0.2.2"), 4500, 4500)
		w.want(c, m, pfkey.OK)
		u := *m
		u.Type, u.NATType, u.NATSrcPort, u.NATDstPort = pfkey.TypeUpdate, nil, nil, nil
		if d == pfkey.FreeBSD {
			u.KeyEncrypt, u.KeyAuth = nil, nil
		}
		w.want(c, &u, pfkey.EINVAL)
		natted(&u, 4500, 1024)
		w.want(c, &u, pfkey.OK)
		if got := nattOf2(w.want(c, about(pfkey.TypeGet, m), pfkey.OK)); got != "2 4500>1024" {
			t.Errorf("NAT-T %s", got)
		}
	})
}

// X_NEW_ADDRESS: the SA moves, and is the same one.
func TestNewAddress(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	c := w.client(pfkey.FreeBSD, true)
	m := natted(add(0x1001, "192.0.2.1", "192.0.2.2"), 4500, 4500)
	w.want(c, m, pfkey.OK)
	before, _ := w.db.LookupSA(sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1001, Dst: m.Dst.Addr})
	u := natted(&pfkey.Message{
		Header: pfkey.Header{Type: pfkey.TypeUpdate, SAType: pfkey.SATypeESP}, SA: &pfkey.SA{SPI: 0x1001, State: pfkey.StateMature},
		SA2: m.SA2, Src: m.Src, Dst: m.Dst, NewDst: addr("198.51.100.7"),
	}, 4500, 0x1194)
	a := w.want(c, u, pfkey.OK)
	if text(a.NewDst) != "198.51.100.7" {
		t.Error("the answer lacks NEW_ADDRESS_DST")
	}
	w.want(c, about(pfkey.TypeGet, m), pfkey.ESRCH)
	moved := about(pfkey.TypeGet, m)
	moved.Dst = addr("198.51.100.7")
	if got := nattOf2(w.want(c, moved, pfkey.OK)); got != "2 4500>4500" && got != "2 4500>"+fmt.Sprint(0x1194) {
		t.Errorf("NAT-T %s", got)
	}
	after, _ := w.db.LookupSA(sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1001, Dst: moved.Dst.Addr})
	if before != after {
		t.Error("the SA was cloned")
	}
	u.NewDst = addr("2001:db8::1")
	u.Dst = moved.Dst
	w.want(c, u, pfkey.EINVAL)
	u.NewDst, u.NATType = addr("198.51.100.8"), nil
	w.want(c, u, pfkey.OK)
	moved.Dst = u.NewDst
	if got := nattOf2(w.want(c, moved, pfkey.OK)); got != "none" {
		t.Errorf("NAT-T %s after an UPDATE without it", got)
	}
}

// An SPI is unique in FreeBSD's whole database; elsewhere with its destination and protocol.
func TestSPIUniqueness(t *testing.T) {
	each(t, func(t *testing.T, w *world, _ keysock.ClientID, d pfkey.Dialect) {
		db, err := sadb.New(start, sadb.Config{Rand: zeros{}, SPIPerDestination: true})
		if err != nil {
			t.Fatal(err)
		}
		w.db, w.s = db, keysock.New(db, keysock.Config{})
		c := w.client(d, true)
		want := pfkey.OK
		if d == pfkey.FreeBSD {
			want = pfkey.EEXIST
		}
		w.want(c, add(0x1001, "192.0.2.1", "192.0.2.2"), pfkey.OK)
		w.want(c, add(0x1001, "192.0.2.1", "192.0.2.2"), pfkey.EEXIST)
		w.want(c, add(0x1001, "192.0.2.1", "192.0.2.3"), want)
		comp := &pfkey.Message{
			Header: pfkey.Header{Type: pfkey.TypeAdd, SAType: pfkey.SATypeIPComp}, SA: &pfkey.SA{SPI: 0x1001, Encrypt: 2},
			Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"),
		}
		w.want(c, comp, want)
		if d != pfkey.FreeBSD {
			return
		}
		// Who says that names are RFC 4301's has them so, and finds each SA by its own.
		mine := w.client(d, true)
		reg := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeESP}}
		reg.KMPrivate = pfkey.Codec{Dialect: d}.Private(pfkey.PrivateNames)
		w.want(mine, reg, pfkey.OK)
		w.want(mine, add(0x1001, "192.0.2.1", "192.0.2.2"), pfkey.EEXIST)
		w.want(mine, comp, pfkey.OK)
		for _, dst := range []string{"192.0.2.3", "192.0.2.4"} {
			w.want(mine, add(0x1001, "192.0.2.1", dst), pfkey.OK)
		}
		to4 := about(pfkey.TypeDelete, add(0x1001, "192.0.2.1", "192.0.2.4"))
		w.want(mine, to4, pfkey.OK)
		w.want(mine, to4, pfkey.ESRCH)
		for _, dst := range []string{"192.0.2.2", "192.0.2.3"} {
			w.want(mine, about(pfkey.TypeGet, add(0x1001, "192.0.2.1", dst)), pfkey.OK)
		}
		w.want(c, add(0x1001, "192.0.2.1", "192.0.2.4"), pfkey.EEXIST)
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// Who receives what: ADD, UPDATE, DELETE and FLUSH go to all, GET, GETSPI and DUMP to the requester, errors to the requester.
func TestRecipients(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		others := []keysock.ClientID{w.client(pfkey.FreeBSD, true), w.client(pfkey.NetBSD, true), w.client(pfkey.Linux, true)}
		m := add(0x1001, "192.0.2.1", "192.0.2.2")
		spi := header(pfkey.TypeGetSPI, pfkey.SATypeESP)
		spi.Src, spi.Dst = m.Src, m.Dst
		u := *m
		u.Type = pfkey.TypeUpdate
		if d == pfkey.FreeBSD {
			u.KeyEncrypt, u.KeyAuth = nil, nil
		}
		for _, r := range []struct {
			m   *pfkey.Message
			all bool
			e   pfkey.Errno
		}{
			{spi, false, 0}, {m, true, 0}, {m, false, pfkey.EEXIST}, {about(pfkey.TypeGet, m), false, 0}, {&u, true, 0},
			{header(pfkey.TypeDump, pfkey.SATypeESP), false, 0}, {about(pfkey.TypeDelete, m), true, 0}, {about(pfkey.TypeDelete, m), false, pfkey.ESRCH},
			{header(pfkey.TypeFlush, pfkey.SATypeESP), true, 0},
		} {
			a := w.one(c, r.m)
			if a.Errno != r.e {
				t.Errorf("%v: %v", r.m.Type, a.Errno)
			}
			for i, o := range others {
				got := w.take(o)
				if (len(got) == 1) != r.all || r.all && got[0].Type != r.m.Type {
					t.Errorf("%v: client %d of another dialect heard %d messages", r.m.Type, i, len(got))
				}
				for _, m := range got { // the BSDs tell nobody of keys, Linux everybody who may know
					if made := m.Type == pfkey.TypeAdd || m.Type == pfkey.TypeUpdate; made && (m.KeyAuth != nil) != (w.d[o] == pfkey.Linux) {
						t.Errorf("%v: client %d: key %v", m.Type, i, m.KeyAuth)
					}
				}
			}
		}
	})
}

// Errors are the header of the request with an errno, in the numbers of the dialect.
func TestErrorsAreBareHeaders(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		m := add(0x1001, "192.0.2.1", "192.0.2.2")
		m.SA.Encrypt = 99
		w.one(c, m)
		b, err := pfkey.Codec{Dialect: d}.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		if err = w.raw(c, b); err != nil {
			t.Fatal(err)
		}
		want := append([]byte(nil), b[:16]...)
		want[2], want[4], want[5] = [...]byte{22, 22, 38}[d], 2, 0
		if got := w.got[c][0]; !cmp.Equal(got, want) {
			t.Errorf("%x, expected %x", got, want)
		}
	})
}

func TestRegister(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		other := w.client(d, true)
		list := w.want(c, header(pfkey.TypeRegister, pfkey.SATypeUnspec), pfkey.OK)
		if len(list.SupportedAuth) == 0 || len(list.SupportedEncrypt) == 0 {
			t.Error("no list")
		}
		w.want(c, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
		w.want(c, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.EEXIST)
		w.want(c, header(pfkey.TypeRegister, pfkey.SATypeAH), pfkey.OK)
		w.want(c, header(pfkey.TypeRegister, pfkey.SATypeUnspec), pfkey.OK)
		w.want(c, header(pfkey.TypeRegister, 77), pfkey.EINVAL)
		w.take(c)
		w.want(other, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
		if got := w.take(c); len(got) != 1 || got[0].Type != pfkey.TypeRegister {
			t.Error("who is registered hears of the list too")
		}
	})
}
