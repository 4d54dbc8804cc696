// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// NATT.md, Sections 1.4, 1.6 and 2.5, the rest of their rows: UPDATE of dying SAs, DELETE without an SPI, windows, lifetimes, keys, flags, the list
// of algorithms, indices of IPComp.

package keysock_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// Section 1.6, row 1: the answer to an UPDATE shows NAT-T too, to everybody; AH has none.
func TestNATTInUpdate(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		other := w.client(d, true)
		m := natted(add(w.getSPI(c, "192.0.2.1", "192.0.2.2", 1), "192.0.2.1", "192.0.2.2"), 4500, 0x1194)
		m.Type = pfkey.TypeUpdate
		answer := w.want(c, m, pfkey.OK)
		heard := w.take(other)
		if len(heard) != 1 || nattOf2(heard[0]) != "2 4500>4500" || nattOf2(answer) != "2 4500>4500" {
			t.Errorf("NAT-T %s, and to others %d messages", nattOf2(answer), len(heard))
		}
		ah := natted(add(0x1009, "192.0.2.1", "192.0.2.2"), 0, 0)
		ah.SAType, ah.SA.Encrypt, ah.KeyEncrypt = pfkey.SATypeAH, 0, nil
		w.want(c, ah, pfkey.OK)
		if got := nattOf2(w.want(c, about(pfkey.TypeGet, ah), pfkey.OK)); got != "none" {
			t.Errorf("AH has NAT-T %s", got)
		}
	})
}

// Row 3: an UPDATE of a dying SA gives it new lifetimes, with which it is mature again.
func TestUpdateDying(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		m := add(0x1001, "192.0.2.1", "192.0.2.2")
		m.LifetimeSoft, m.LifetimeHard = &pfkey.Lifetime{AddTime: 1}, &pfkey.Lifetime{AddTime: 5}
		w.want(c, m, pfkey.OK)
		w.advance(1200 * time.Millisecond)
		if a := w.want(c, about(pfkey.TypeGet, m), pfkey.OK); a.SA.State != pfkey.StateDying {
			t.Fatalf("state %v", a.SA.State)
		}
		u := *m
		u.Type, u.LifetimeSoft, u.LifetimeHard = pfkey.TypeUpdate, &pfkey.Lifetime{AddTime: 100}, &pfkey.Lifetime{AddTime: 200}
		if d == pfkey.FreeBSD {
			u.KeyEncrypt, u.KeyAuth = nil, nil
		}
		w.want(c, &u, pfkey.OK)
		w.advance(10 * time.Second)
		if a := w.want(c, about(pfkey.TypeGet, m), pfkey.OK); a.SA.State != pfkey.StateMature || a.LifetimeHard.AddTime != 200 {
			t.Errorf("%v %+v", a.SA.State, a.LifetimeHard)
		}
	})
}

// Row 13: lifetimes in packets (allocations) and octets; EXPIRE has what was used of them. As in Linux the packet beyond the hard limit
// ends the SA, and is not opened.
func TestExpireByUse(t *testing.T) {
	const octets = 20 // of a packet
	for _, r := range []struct{ soft, hard pfkey.Lifetime }{
		{pfkey.Lifetime{Allocations: 2}, pfkey.Lifetime{Allocations: 3}}, {pfkey.Lifetime{Bytes: 2 * octets}, pfkey.Lifetime{Bytes: 3 * octets}},
	} {
		each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
			w.want(c, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
			m := add(0x1001, "192.0.2.2", "192.0.2.1")
			m.LifetimeSoft, m.LifetimeHard = &r.soft, &r.hard
			w.want(c, m, pfkey.OK)
			p := newPeer(t, m)
			var got []string
			for i := range 4 {
				opened := w.arrives(p, "192.0.2.2:0", "192.0.2.1:0") == nil
				if opened != (i < 3) {
					t.Errorf("packet %d: opened %v", i+1, opened)
				}
				for _, e := range w.take(c) {
					got = append(got, fmt.Sprintf("%d: %v %v packets %d octets %d used %v hard %v soft %v", i+1, e.Type, e.SA.State, e.LifetimeCurrent.Allocations,
						e.LifetimeCurrent.Bytes, e.LifetimeCurrent.UseTime >= uint64(start.Unix()), e.LifetimeHard != nil, e.LifetimeSoft != nil))
				}
			}
			want := []string{"2: SADB_EXPIRE dying packets 2 octets 40 used true hard false soft true", "4: SADB_EXPIRE dead packets 3 octets 60 used true hard true soft false"}
			if !cmp.Equal(got, want) {
				t.Errorf("%q, expected %q", got, want)
			}
			w.want(c, about(pfkey.TypeGet, m), pfkey.ESRCH)
		})
	}
}

// Section 2.5, point 9: how long keys are, salts included; and Section 1.5: which dialect has which algorithm by which number.
func TestKeyLengths(t *testing.T) {
	type row struct {
		satype        pfkey.SAType
		auth, encrypt uint8
		a, e          int // octets of the keys
		bsd, net, lx  pfkey.Errno
	}
	const bad, no = pfkey.EINVAL, pfkey.ENOSYS
	rows := []row{
		{2, 3, 0, 20, 0, 0, 0, 0}, {2, 5, 0, 32, 0, 0, 0, 0}, {2, 6, 0, 48, 0, 0, 0, 0}, {2, 7, 0, 64, 0, 0, 0, 0}, {2, 9, 0, 16, 0, 0, 0, 0},
		{2, 3, 0, 19, 0, bad, bad, bad}, {2, 3, 0, 21, 0, bad, bad, bad}, {2, 5, 0, 20, 0, bad, bad, bad}, {2, 7, 0, 65, 0, bad, bad, bad},
		{2, 11, 0, 20, 0, 0, 0, no}, {2, 12, 0, 28, 0, 0, 0, no}, {2, 13, 0, 36, 0, 0, 0, no}, {2, 11, 0, 16, 0, bad, bad, no},
		{3, 0, 20, 0, 20, 0, 0, 0}, {3, 0, 20, 0, 28, 0, 0, 0}, {3, 0, 20, 0, 36, 0, 0, 0}, {3, 0, 20, 0, 16, bad, bad, bad}, {3, 0, 20, 0, 32, bad, bad, bad},
		{3, 5, 13, 32, 20, 0, 0, 0}, {3, 5, 13, 32, 36, 0, 0, 0}, {3, 5, 13, 32, 16, bad, bad, bad},
		{3, 0, 15, 0, 36, 0, bad, bad}, {3, 0, 15, 0, 19, bad, bad, 0}, {3, 0, 14, 0, 19, bad, bad, 0}, {3, 0, 16, 0, 35, bad, bad, 0},
		{3, 0, 23, 0, 20, 0, 0, 0}, {3, 3, 12, 20, 16, 0, 0, 0}, {3, 3, 12, 20, 24, 0, 0, 0}, {3, 3, 12, 20, 32, 0, 0, 0}, {3, 3, 12, 20, 20, bad, bad, bad},
		{3, 0, 12, 0, 16, bad, bad, bad}, {3, 251, 12, 0, 16, bad, bad, bad}, {3, 3, 20, 20, 20, bad, bad, bad}, {3, 3, 11, 20, 0, 0, 0, 0},
		{3, 8, 12, 20, 16, bad, bad, no}, {3, 3, 2, 20, 8, bad, bad, no}, {3, 3, 3, 20, 24, 0, 0, 0}, {3, 3, 22, 20, 16, bad, bad, no},
	}
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		for i, r := range rows {
			m := add(uint32(0x1000+i), "192.0.2.1", "192.0.2.2")
			m.SAType, m.SA.Auth, m.SA.Encrypt, m.KeyAuth, m.KeyEncrypt = r.satype, pfkey.AuthAlg(r.auth), pfkey.EncryptAlg(r.encrypt), nil, nil
			if r.a != 0 {
				m.KeyAuth = key(r.a, 1)
			}
			if r.e != 0 || r.encrypt == 11 {
				m.KeyEncrypt = key(r.e, 2)
			}
			want := [...]pfkey.Errno{r.bsd, r.net, r.lx}[d]
			if got := w.one(c, m).Errno; got != want {
				t.Errorf("%+v: %v, expected %v", r, got, want)
			}
			if want != pfkey.OK {
				continue
			}
			g := w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
			if uint8(g.SA.Auth) != r.auth || uint8(g.SA.Encrypt) != r.encrypt || g.KeyAuth != nil && !g.KeyAuth.Equal(*m.KeyAuth) || g.KeyEncrypt != nil && !g.KeyEncrypt.Equal(*m.KeyEncrypt) ||
				(g.KeyAuth == nil) != (r.a == 0) || (g.KeyEncrypt == nil) != (r.e == 0) {
				t.Errorf("%+v is shown as %+v", r, g.SA)
			}
		}
	})
}

// Section 2.5, point 10: entries of 8 octets, in ascending order, each once.
func TestSupportedEntries(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		if err := w.raw(c, w.octets(d, header(pfkey.TypeRegister, pfkey.SATypeESP))); err != nil {
			t.Fatal(err)
		}
		lists := 0
		extensions(w.got[c][0], func(e uint16, b []byte) {
			lists++
			if b[4]|b[5]|b[6]|b[7] != 0 || len(b)%8 != 0 {
				t.Errorf("extension %d: %x", e, b[:8])
			}
			found, last := false, byte(0)
			for b = b[8:]; len(b) > 0; b = b[8:] {
				if b[0] <= last || b[6]|b[7] != 0 {
					t.Errorf("extension %d: %x behind %d", e, b[:8], last)
				}
				last = b[0]
				least, most := binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint16(b[4:])
				found = found || e == 14 && b[0] == 5 && least == 256 && most == 256 || e == 15 && b[0] == 12 && b[1] == 16 && least == 128 && most == 256
			}
			if !found {
				t.Errorf("extension %d lacks what everybody has", e)
			}
		})
		if lists != 2 {
			t.Errorf("%d lists", lists)
		}
	})
}

// Section 1.4: flags of an SA that mean something to the engine, and those of other systems, which do not.
func TestFlags(t *testing.T) {
	const esn, linux = 0x400, 0xe0000000
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		m := add(0x1001, "192.0.2.1", "192.0.2.2")
		m.SA.Flags = esn | linux
		w.want(c, m, pfkey.OK)
		sa, _ := w.db.LookupSA(sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1001, Dst: m.Dst.Addr})
		i := sa.Info()
		if i.Suite.ESN != (d == pfkey.FreeBSD) {
			t.Errorf("ESN %v", i.Suite.ESN)
		}
		isLinux := d == pfkey.Linux
		if i.CopyECN == isLinux || i.CopyDF == isLinux || (i.DSCP == sadb.DSCPBoth) != isLinux || i.AlignAH8 != isLinux {
			t.Errorf("ECN %v DF %v DSCP %v AH %v", i.CopyECN, i.CopyDF, i.DSCP, i.AlignAH8)
		}
		want := map[bool]uint32{true: linux, false: esn}[isLinux]
		if got := w.want(c, about(pfkey.TypeGet, m), pfkey.OK).SA.Flags; got != want {
			t.Errorf("flags %#x, expected %#x", got, want)
		}
	})
}

// An index of IPComp has 16 bits: the BSDs cut the range to it, Linux refuses a larger one that is asked for. 1 to 255 are given to nobody.
func TestSPIRanges(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		ask := func(s pfkey.SAType, r *pfkey.SPIRange) *pfkey.Message {
			m := header(pfkey.TypeGetSPI, s)
			m.Src, m.Dst, m.SPIRange = addr("192.0.2.1"), addr("192.0.2.2"), r
			return w.one(c, m)
		}
		for range 50 {
			if a := ask(pfkey.SATypeIPComp, nil); a.Errno != 0 || a.SA.SPI < 256 || a.SA.SPI > 0xffff {
				t.Errorf("%v %+v", a.Errno, a.SA)
			}
			if a := ask(pfkey.SATypeESP, nil); a.Errno != 0 || a.SA.SPI < 256 || a.SA.SPI > 0x0fffffff {
				t.Errorf("%v %+v", a.Errno, a.SA)
			}
			if a := ask(pfkey.SATypeESP, &pfkey.SPIRange{Min: 0, Max: 511}); a.Errno != 0 || a.SA.SPI < 256 || a.SA.SPI > 511 {
				t.Errorf("%v %+v", a.Errno, a.SA)
			}
		}
		if a := ask(pfkey.SATypeIPComp, &pfkey.SPIRange{Min: 0x1000, Max: 0x10000}); (a.Errno == pfkey.EINVAL) != (d == pfkey.Linux) {
			t.Errorf("%v", a.Errno)
		}
		if a := ask(pfkey.SATypeESP, &pfkey.SPIRange{Min: 1, Max: 255}); a.Errno != pfkey.EINVAL {
			t.Errorf("%v for reserved SPIs", a.Errno)
		}
		used := &pfkey.SPIRange{Min: 0x5000, Max: 0x5000}
		ask(pfkey.SATypeESP, used)
		if a := ask(pfkey.SATypeESP, used); a.Errno != map[bool]pfkey.Errno{true: pfkey.ENOENT, false: pfkey.EEXIST}[d == pfkey.Linux] {
			t.Errorf("%v for a range that is used up", a.Errno)
		}
	})
}

// The replay window: packets in Linux, units of 8 packets in the BSDs, FreeBSD's SA_REPLAY in packets for more.
func TestReplayWindow(t *testing.T) {
	for _, r := range []struct {
		d       pfkey.Dialect
		replay  uint8
		ext     uint32
		packets int
		shown   uint8
		more    uint32
	}{
		{pfkey.Linux, 64, 0, 64, 64, 0}, {pfkey.Linux, 32, 0, 32, 32, 0}, {pfkey.Linux, 0, 0, 0, 0, 0},
		{pfkey.FreeBSD, 4, 0, 32, 4, 0}, {pfkey.FreeBSD, 255, 0, 2040, 255, 0}, {pfkey.NetBSD, 8, 0, 64, 8, 0},
		{pfkey.FreeBSD, 255, 4096, 4096, 255, 4096}, {pfkey.FreeBSD, 255, 1 << 20, 4096, 255, 4096}, {pfkey.FreeBSD, 1, 0, 32, 4, 0},
	} {
		w := newWorld(t, keysock.Config{})
		c := w.client(r.d, true)
		m := add(0x1001, "192.0.2.1", "192.0.2.2")
		m.SA.Replay = r.replay
		if r.ext != 0 {
			m.SAReplay = &r.ext
		}
		w.want(c, m, pfkey.OK)
		sa, _ := w.db.LookupSA(sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1001, Dst: m.Dst.Addr})
		a := w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
		var more uint32
		if a.SAReplay != nil {
			more = *a.SAReplay
		}
		if sa.Info().Window != r.packets || a.SA.Replay != r.shown || more != r.more {
			t.Errorf("%v %d/%d: %d packets, shown %d/%d", r.d, r.replay, r.ext, sa.Info().Window, a.SA.Replay, more)
		}
	}
}

// Lifetimes: both or neither; what the kernels show of them.
func TestLifetimes(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		m := add(0x1001, "192.0.2.1", "192.0.2.2")
		m.LifetimeHard = &pfkey.Lifetime{Allocations: 7, Bytes: 1 << 40, AddTime: 3600, UseTime: 1800}
		w.want(c, m, pfkey.EINVAL)
		m.LifetimeSoft = &pfkey.Lifetime{AddTime: 3000}
		w.want(c, m, pfkey.OK)
		a := w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
		if *a.LifetimeHard != *m.LifetimeHard || *a.LifetimeSoft != *m.LifetimeSoft || a.LifetimeCurrent.AddTime != uint64(start.Unix()) {
			t.Errorf("%+v %+v %+v", a.LifetimeHard, a.LifetimeSoft, a.LifetimeCurrent)
		}
		n := add(0x1002, "192.0.2.1", "192.0.2.2")
		w.want(c, n, pfkey.OK)
		if a = w.want(c, about(pfkey.TypeGet, n), pfkey.OK); (a.LifetimeHard != nil) != (d == pfkey.Linux) {
			t.Error("lifetimes that were not given are Linux's to show")
		}
	})
}

// DELETE without an SPI: the BSDs delete what goes from the source to the destination, but reservations; Linux says EINVAL.
func TestDeleteWide(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		w.want(c, add(0x1001, "192.0.2.1", "192.0.2.2"), pfkey.OK)
		w.want(c, add(0x1002, "192.0.2.1", "192.0.2.2"), pfkey.OK)
		w.want(c, add(0x1003, "192.0.2.2", "192.0.2.1"), pfkey.OK)
		spi := w.getSPI(c, "192.0.2.1", "192.0.2.2", 1)
		m := header(pfkey.TypeDelete, pfkey.SATypeESP)
		m.Src, m.Dst = addr("192.0.2.1"), addr("192.0.2.2")
		if d == pfkey.Linux {
			w.want(c, m, pfkey.EINVAL)
			return
		}
		w.want(c, m, pfkey.OK)
		left := map[uint32]bool{}
		for _, a := range w.send(c, header(pfkey.TypeDump, pfkey.SATypeUnspec)) {
			left[a.SA.SPI] = true
		}
		if want := map[uint32]bool{0x1003: true, spi: true}; !cmp.Equal(left, want) {
			t.Errorf("left %v, expected %v", left, want)
		}
		u := add(spi, "192.0.2.1", "192.0.2.2")
		u.Type = pfkey.TypeUpdate
		w.want(c, u, pfkey.OK)
		w.want(c, m, pfkey.OK)
		w.want(c, about(pfkey.TypeGet, u), pfkey.ESRCH)
	})
}
