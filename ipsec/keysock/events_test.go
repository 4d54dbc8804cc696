// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the data plane has to say: ACQUIRE, EXPIRE, NEW_MAPPING and X_SPDEXPIRE, caused by packets and by time through the database itself.

package keysock_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// protect is an outbound policy from 10.1/16 to 10.2/16.
func protect(level pfkey.Level, reqid uint32) *pfkey.Message {
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeSPDAdd, Seq: 5, PID: 4242}, Src: addr("10.1.0.0/16"), Dst: addr("10.2.0.0/16")}
	m.Src.Proto, m.Dst.Proto = 255, 255
	m.Policy = &pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Requests: []pfkey.Request{{
		Proto: 50, Mode: pfkey.ModeTunnel, Level: level, Reqid: reqid, Src: addr("192.0.2.1").Sockaddr, Dst: addr("192.0.2.2").Sockaddr,
	}}}
	return m
}

func ip4(s string) sadb.IP {
	b := netip.MustParseAddr(s).As4()
	return sadb.IP{Lo: uint64(binary.BigEndian.Uint32(b[:]))}
}

// packet is one that meets the policy: it is held if it has no SA.
func (w *world) packet() sadb.Resolution {
	f := sadb.Flow{Local: ip4("10.1.0.1"), Remote: ip4("10.2.0.1"), Proto: 17, LocalPort: 1, RemotePort: 2, Ports: sadb.HavePorts}
	m, _ := w.db.Match(&f)
	var b sadb.Bundle
	r := m.Resolve(w.db.Clock(w.now), &f, &b)
	if r == sadb.Missing {
		m.Hold(w.db.Clock(w.now), &f, []byte{0x45})
	}
	w.notices()
	return r
}

// An ACQUIRE goes to those registered for ESP, once until it is answered, a second after it failed, or 30 s old; it says nothing of NAT-T.
func TestAcquire(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		ah := w.client(d, true)
		w.want(ah, header(pfkey.TypeRegister, pfkey.SATypeAH), pfkey.OK)
		policy := w.want(c, protect(pfkey.LevelUnique, 0), pfkey.OK)
		w.packet()
		if got := w.take(c); len(got) != 0 {
			t.Fatal("an ACQUIRE to nobody who is registered")
		}
		w.want(c, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
		w.take(ah)
		w.packet() // the failure above had the database ask again
		got := w.take(c)
		if len(got) != 1 || got[0].Type != pfkey.TypeAcquire {
			t.Fatalf("%d messages", len(got))
		}
		a := got[0]
		if a.Seq == 0 || a.PID != 0 || a.SAType != pfkey.SATypeESP || text(a.Src) != "192.0.2.1" || text(a.Dst) != "192.0.2.2" || a.Src.PrefixLen != 32 ||
			a.Policy.ID != policy.Policy.ID || a.Policy.Dir != pfkey.DirOut || a.NATType != nil || a.Proposal == nil {
			t.Errorf("%+v", a)
		}
		if d != pfkey.Linux && (len(a.Proposal.Combs) == 0 || a.SA2 == nil || a.SA2.Reqid < 16384) {
			t.Errorf("a BSD's ACQUIRE: %+v %+v", a.Proposal, a.SA2)
		}
		for range 50 {
			w.packet()
		}
		if got = w.take(c); len(got) != 0 {
			t.Errorf("%d more ACQUIREs for the same", len(got))
		}
		fine := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeAcquire, SAType: pfkey.SATypeESP, Seq: a.Seq}}
		w.send(c, fine) // no errno, no failure
		w.advance(1100 * time.Millisecond)
		w.packet()
		if got = w.take(c); len(got) != 0 {
			t.Errorf("%d ACQUIREs after what is no failure", len(got))
		}
		failed := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeAcquire, SAType: pfkey.SATypeESP, Seq: a.Seq, Errno: pfkey.ETIMEDOUT}}
		if got = w.send(c, failed); len(got) != 0 {
			t.Error("the failure of an ACQUIRE has no answer")
		}
		for range 20 {
			w.packet()
		}
		if got = w.take(c); len(got) != 0 {
			t.Errorf("%d ACQUIREs just after a failure", len(got))
		}
		w.advance(1100 * time.Millisecond)
		w.packet()
		if got = w.take(c); len(got) != 1 || got[0].Seq == a.Seq {
			t.Fatalf("%d ACQUIREs a second after the failure", len(got))
		}
		w.advance(31 * time.Second)
		w.packet()
		if got = w.take(c); len(got) != 1 {
			t.Fatalf("%d ACQUIREs after 31 s", len(got))
		}
		if got = w.take(ah); len(got) != 0 {
			t.Error("who is registered for AH hears of ESP")
		}
	})
}

// The ACQUIRE's number comes back in GETSPI, UPDATE and ADD; the ADD serves the packets that wait.
func TestAcquireAnswered(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		w.want(c, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
		w.want(c, protect(pfkey.LevelUnique, 5), pfkey.OK)
		w.packet()
		a := w.take(c)[0]
		in := add(w.getSPI(c, "192.0.2.2", "192.0.2.1", a.Seq), "192.0.2.2", "192.0.2.1")
		in.Type, in.Seq = pfkey.TypeUpdate, a.Seq
		w.want(c, in, pfkey.OK)
		out := add(0x7777, "192.0.2.1", "192.0.2.2")
		out.Seq = a.Seq
		w.want(c, out, pfkey.OK)
		if got := w.packet(); got != sadb.Sealed {
			t.Fatalf("resolution %v, expected an SA", got)
		}
		w.want(c, about(pfkey.TypeDelete, out), pfkey.OK)
		w.packet()
		if got := w.take(c); len(got) != 1 || got[0].Type != pfkey.TypeAcquire || got[0].Seq == a.Seq {
			t.Errorf("%d messages when the SA is gone, expected a new ACQUIRE", len(got))
		}
	})
}

// EXPIRE soft and hard, with the states DYING and DEAD; then the SA is gone.
func TestExpire(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		w.want(c, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
		deaf := w.client(d, true)
		m := add(0x1001, "192.0.2.1", "192.0.2.2")
		m.LifetimeSoft, m.LifetimeHard = &pfkey.Lifetime{AddTime: 1}, &pfkey.Lifetime{AddTime: 3}
		w.want(c, m, pfkey.OK)
		w.take(deaf)
		w.advance(1100 * time.Millisecond)
		got := w.take(c)
		if len(got) != 1 || got[0].Type != pfkey.TypeExpire || got[0].SA.State != pfkey.StateDying || got[0].LifetimeSoft == nil || got[0].LifetimeHard != nil {
			t.Fatalf("%d messages at the soft limit", len(got))
		}
		e := got[0]
		if e.KeyAuth != nil || e.LifetimeCurrent == nil || e.PID != 0 || (e.Seq == 0) != (d == pfkey.Linux) || e.SA2.Reqid != 5 {
			t.Errorf("%+v", e.Header)
		}
		if a := w.want(c, about(pfkey.TypeGet, m), pfkey.OK); a.SA.State != pfkey.StateDying {
			t.Errorf("state %v after the soft limit", a.SA.State)
		}
		w.advance(2 * time.Second)
		got = w.take(c)
		if len(got) != 1 || got[0].Type != pfkey.TypeExpire || got[0].SA.State != pfkey.StateDead || got[0].LifetimeHard == nil || got[0].LifetimeSoft != nil {
			t.Fatalf("%d messages at the hard limit", len(got))
		}
		w.want(c, about(pfkey.TypeGet, m), pfkey.ESRCH)
		w.want(c, m, pfkey.OK)
		if got = w.take(deaf); len(got) != 1 {
			t.Errorf("%d messages to who is not registered, expected the second ADD alone", len(got))
		}
	})
}

// A reservation ends after 30 s. Linux tells of it, the BSDs do not. Its place among the client's reservations is free again.
func TestLarvalTimeout(t *testing.T) {
	each(t, func(t *testing.T, w *world, _ keysock.ClientID, d pfkey.Dialect) {
		w.s = keysock.New(w.db, keysock.Config{Larval: 2})
		c := w.client(d, true)
		w.want(c, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
		w.getSPI(c, "192.0.2.1", "192.0.2.2", 1)
		spi := w.getSPI(c, "192.0.2.1", "192.0.2.2", 2)
		more := header(pfkey.TypeGetSPI, pfkey.SATypeESP)
		more.Src, more.Dst = addr("192.0.2.1"), addr("192.0.2.2")
		w.want(c, more, pfkey.ENOBUFS)
		w.advance(29 * time.Second)
		w.want(c, more, pfkey.ENOBUFS)
		w.advance(2 * time.Second)
		if got := w.take(c); len(got) != map[bool]int{true: 2, false: 0}[d == pfkey.Linux] {
			t.Errorf("%d messages", len(got))
		}
		m := add(spi, "192.0.2.1", "192.0.2.2")
		w.want(c, about(pfkey.TypeGet, m), pfkey.ESRCH)
		w.getSPI(c, "192.0.2.1", "192.0.2.2", 3)
	})
}

// peer seals packets of the SA that add makes.
type peer struct {
	s *esp.Sealer
	t testing.TB
}

func newPeer(t testing.TB, m *pfkey.Message) *peer {
	s, err := esp.NewSealer(m.SA.SPI, suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA196}, *key(16, 1), *key(20, 50), zeros{})
	if err != nil {
		t.Fatal(err)
	}
	return &peer{s, t}
}

// sends has an authentic packet arrive.
func (w *world) sends(p *peer, from, to string) {
	w.t.Helper()
	if err := w.arrives(p, from, to); err != nil {
		w.t.Fatal(err)
	}
}

// arrives is sends of a packet that may be refused.
func (w *world) arrives(p *peer, from, to string) error {
	w.t.Helper()
	buf := make([]byte, 256)
	n, err := p.s.Seal(buf, 20, esp.NextHeaderIPv4)
	if err != nil {
		w.t.Fatal(err)
	}
	dst := netip.MustParseAddrPort(to)
	r := w.db.Receiver(sadb.ProtoESP, binary.BigEndian.Uint32(buf), dst.Addr())
	if r == nil {
		w.t.Fatal("no SA for the packet")
	}
	r.BeginOpen(w.db.Clock(w.now))
	_, err = r.Open(buf[:n], &sadb.Arrival{From: netip.MustParseAddrPort(from), To: dst})
	r.EndOpen()
	w.notices()
	return err
}

// NEW_MAPPING: SRC old, SPORT old, DST new, DPORT new, the inbound SPI; the engine moves the owner's outbound SAs by itself, GET shows where
// to, and both names of an SA find it. A client that moves its SAs itself is told and nothing moves.
func TestNewMapping(t *testing.T) {
	for _, moves := range []bool{false, true} {
		each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
			reg := header(pfkey.TypeRegister, pfkey.SATypeESP)
			if moves {
				reg.KMPrivate = pfkey.Codec{Dialect: d}.Private(pfkey.PrivateMoves)
			}
			w.want(c, reg, pfkey.OK)
			in := natted(add(0x1001, "192.0.2.2", "192.0.2.1"), 40000, 4500)
			out := natted(add(0x2001, "192.0.2.1", "192.0.2.2"), 4500, 40000)
			w.want(c, in, pfkey.OK)
			w.want(c, out, pfkey.OK)
			p := newPeer(t, in)
			w.sends(p, "192.0.2.2:40000", "192.0.2.1:4500")
			if got := w.take(c); len(got) != 0 {
				t.Fatalf("%d messages without a change", len(got))
			}
			w.sends(p, "198.51.100.9:4500", "192.0.2.1:4500")
			got := w.take(c)
			if len(got) != 1 {
				t.Fatalf("%d messages", len(got))
			}
			m := got[0]
			told := fmt.Sprintf("%v %#x %v:%d %v:%d seq %d", m.Type, m.SA.SPI, m.Src.Addr, *m.NATSrcPort, m.Dst.Addr, *m.NATDstPort, m.Seq)
			if told != "SADB_X_NAT_T_NEW_MAPPING 0x1001 192.0.2.2:40000 198.51.100.9:4500 seq 7" {
				t.Error(told)
			}
			want := "192.0.2.2 2 4500>40000"
			if !moves {
				want = "198.51.100.9 2 4500>4500"
			}
			a := w.want(c, about(pfkey.TypeGet, out), pfkey.OK)
			if now := text(a.Dst) + " " + nattOf2(a); now != want {
				t.Errorf("the outbound SA goes to %s, expected %s", now, want)
			}
			if !moves {
				a.Type = pfkey.TypeGet
				w.want(c, about(pfkey.TypeGet, a), pfkey.OK)
				w.want(c, about(pfkey.TypeDelete, a), pfkey.OK)
			}
		})
	}
}

// A policy with a lifetime ends: X_SPDEXPIRE in the BSDs, silence in Linux.
func TestPolicyExpires(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		w.want(c, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
		m := protect(pfkey.LevelRequire, 0)
		m.LifetimeHard = &pfkey.Lifetime{AddTime: 2}
		id := w.want(c, m, pfkey.OK).Policy.ID
		w.advance(3 * time.Second)
		got := w.take(c)
		if d == pfkey.Linux && len(got) != 0 || d != pfkey.Linux && (len(got) != 1 || got[0].Type != pfkey.TypeSPDExpire || got[0].Policy.ID != id || got[0].LifetimeHard.AddTime != 2) {
			t.Errorf("%d messages", len(got))
		}
		w.want(c, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeSPDGet}, Policy: &pfkey.Policy{ID: id, Dir: pfkey.DirOut}}, pfkey.ENOENT)
		w.want(c, m, pfkey.OK)
	})
}

// The database ends an SA before the server hears of it: its SPI is free already.
func TestEndedBeforeItsNotice(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		w.want(c, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
		m := add(0x1001, "192.0.2.1", "192.0.2.2")
		m.LifetimeSoft, m.LifetimeHard = &pfkey.Lifetime{}, &pfkey.Lifetime{AddTime: 3}
		w.want(c, m, pfkey.OK)
		w.now = w.now.Add(4 * time.Second)
		w.db.Tick(w.now)
		var n [4]sadb.Notice
		if w.db.Notices(n[:]) != 1 {
			t.Fatal("expected one notice")
		}
		w.want(c, about(pfkey.TypeGet, m), pfkey.ESRCH)
		w.want(c, m, pfkey.OK)
		w.deliver(w.s.Notice(w.now, n[0]))
		if got := w.take(c); len(got) != 1 || got[0].SA.State != pfkey.StateDead {
			t.Errorf("%d messages", len(got))
		}
		if a := w.want(c, about(pfkey.TypeGet, m), pfkey.OK); a.SA.State != pfkey.StateMature {
			t.Error("the late notice ended another SA")
		}
	})
}

// TestIdle: who asked for it hears in the answer to GET when an SA was used last; of one that was not used nobody hears, nor others.
func TestIdle(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	c, other := w.client(pfkey.FreeBSD, true), w.client(pfkey.FreeBSD, true)
	codec := pfkey.Codec{Dialect: pfkey.FreeBSD}
	reg := header(pfkey.TypeRegister, pfkey.SATypeESP)
	reg.KMPrivate = codec.Private(pfkey.PrivateIdle)
	w.want(c, reg, pfkey.OK)
	in := natted(add(0x1001, "192.0.2.2", "192.0.2.1"), 40000, 4500)
	w.want(c, in, pfkey.OK)
	if a := w.want(c, about(pfkey.TypeGet, in), pfkey.OK); a.KMPrivate != nil {
		t.Errorf("of an SA that was not used: %v", a.KMPrivate)
	}
	w.sends(newPeer(t, in), "192.0.2.2:40000", "192.0.2.1:4500")
	w.now = w.now.Add(1500 * time.Millisecond)
	if idle, ok := codec.IdleSince(w.want(c, about(pfkey.TypeGet, in), pfkey.OK).KMPrivate); !ok || idle != 1500*time.Millisecond {
		t.Errorf("used %v ago (%v), expected 1.5 s", idle, ok)
	}
	if a := w.want(other, about(pfkey.TypeGet, in), pfkey.OK); a.KMPrivate != nil {
		t.Errorf("to another: %v", a.KMPrivate)
	}
}
