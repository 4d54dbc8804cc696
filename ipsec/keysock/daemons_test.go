// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What setkey, racoon and strongSwan's kernel-pfkey send, as described in ../shared/fixtures/pfkey/CONTRACT.md, "Order of messages per client":
// everything that the real program needs succeeds, in each dialect that it exists in.

package keysock_test

import (
	"testing"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// spd is a policy as these programs write it.
func spd(t pfkey.Type, dir pfkey.Dir, level pfkey.Level, reqid, prio uint32, port uint16) *pfkey.Message {
	m := protect(level, reqid)
	m.Type, m.Policy.Dir, m.Policy.Priority = t, dir, prio
	r := &m.Policy.Requests[0]
	r.Src.Port, r.Dst.Port = port, port
	if dir != pfkey.DirOut {
		m.Src, m.Dst, r.Src, r.Dst = m.Dst, m.Src, r.Dst, r.Src
	}
	return m
}

func directions(d pfkey.Dialect) []pfkey.Dir {
	if d == pfkey.Linux {
		return []pfkey.Dir{pfkey.DirIn, pfkey.DirFwd, pfkey.DirOut}
	}
	return []pfkey.Dir{pfkey.DirIn, pfkey.DirOut}
}

// addsPorts gives the addresses of an SA ports, as ipsec-tools does.
func addsPorts(m *pfkey.Message, src, dst uint16) *pfkey.Message {
	m.Src.Port, m.Dst.Port = src, dst
	return m
}

func TestSetkey(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		quiet := func(m *pfkey.Message) *pfkey.Message { m.Seq = 0; return m }
		w.want(c, quiet(header(pfkey.TypeRegister, pfkey.SATypeUnspec)), pfkey.OK)
		w.want(c, quiet(header(pfkey.TypeFlush, pfkey.SATypeUnspec)), pfkey.OK)
		w.want(c, quiet(header(pfkey.TypeSPDFlush, pfkey.SATypeUnspec)), pfkey.OK)
		m := quiet(addsPorts(natted(add(0x1001, "192.0.2.1", "192.0.2.2"), 4500, 4500), 4500, 4500))
		m.SA.State, m.SA.Flags = pfkey.StateLarval, pfkey.SAFlagCycSeq
		m.Order = []pfkey.ExtType{pfkey.ExtKeyEncrypt, pfkey.ExtKeyAuth, pfkey.ExtSA, pfkey.ExtSA2, pfkey.ExtNATType, pfkey.ExtAddressSrc}
		w.want(c, m, pfkey.OK)
		for i, dir := range directions(d) {
			w.want(c, quiet(spd(pfkey.TypeSPDAdd, dir, pfkey.LevelRequire, 0, 0x80000000+uint32(i), 0)), pfkey.OK)
		}
		a := w.want(c, quiet(about(pfkey.TypeGet, m)), pfkey.OK)
		if a.SA.State != pfkey.StateMature || a.KeyAuth == nil || (a.SA.Flags != 0) != (d != pfkey.Linux) {
			t.Errorf("%+v", a.SA)
		}
		if n := len(w.send(c, quiet(header(pfkey.TypeDump, 0)))); n != 1 {
			t.Errorf("%d SAs", n)
		}
		if n := len(w.send(c, quiet(header(pfkey.TypeSPDDump, 0)))); n != len(directions(d)) {
			t.Errorf("%d policies", n)
		}
		if w.packet() == 0 {
			t.Error("SA and policy do not meet")
		}
		w.want(c, quiet(about(pfkey.TypeDelete, m)), pfkey.OK)
	})
}

func TestRacoon(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		for _, s := range []pfkey.SAType{pfkey.SATypeAH, pfkey.SATypeESP, pfkey.SATypeIPComp} {
			w.want(c, header(pfkey.TypeRegister, s), pfkey.OK)
		}
		w.want(c, header(pfkey.TypeSPDDump, 0), pfkey.ENOENT)
		second := w.client(d, true)
		w.want(second, header(pfkey.TypeDump, pfkey.SATypeESP), pfkey.ENOENT)
		w.s.Detach(w.now, second)
		spi := natted(header(pfkey.TypeGetSPI, pfkey.SATypeESP), 26711, 4500)
		spi.Seq, spi.Src, spi.Dst, spi.SA2 = 77, addr("192.0.2.2"), addr("192.0.2.1"), &pfkey.SA2{Mode: pfkey.ModeTunnel, Reqid: 5}
		addsPorts(spi, 26711, 4500)
		a := w.want(c, spi, pfkey.OK)
		in := addsPorts(natted(add(a.SA.SPI, "192.0.2.2", "192.0.2.1"), 26711, 4500), 26711, 4500)
		in.Type, in.Seq, in.SA.State = pfkey.TypeUpdate, 77, pfkey.StateLarval
		in.LifetimeHard, in.LifetimeSoft = &pfkey.Lifetime{AddTime: 3600}, &pfkey.Lifetime{AddTime: 2880}
		w.want(c, in, pfkey.OK)
		out := addsPorts(natted(add(0xb63a6b42, "192.0.2.1", "192.0.2.2"), 4500, 26711), 4500, 26711)
		out.Seq, out.SA.State = 77, pfkey.StateLarval
		w.want(c, out, pfkey.OK)
		for _, dir := range directions(d) {
			m := spd(pfkey.TypeSPDUpdate, dir, pfkey.LevelUnique, 5, 0x80000000, 4500)
			m.LifetimeHard = &pfkey.Lifetime{AddTime: 3600}
			w.want(c, m, pfkey.OK)
		}
		if w.packet() == 0 {
			t.Error("SA and policy do not meet")
		}
		g := w.want(c, about(pfkey.TypeGet, in), pfkey.OK)
		if g.SA.State != pfkey.StateMature || nattOf2(g) != "2 26711>4500" {
			t.Errorf("%+v %s", g.SA, nattOf2(g))
		}
	})
}

func TestStrongSwan(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		events := w.client(d, true)
		w.want(events, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
		w.want(events, header(pfkey.TypeRegister, pfkey.SATypeAH), pfkey.OK)
		spi := header(pfkey.TypeGetSPI, pfkey.SATypeESP)
		spi.Src, spi.Dst, spi.SPIRange = addr("192.0.2.2"), addr("192.0.2.1"), &pfkey.SPIRange{Min: 0xc0000000, Max: 0xcfffffff}
		n := w.want(c, spi, pfkey.OK).SA.SPI
		if n>>28 != 0xc {
			t.Errorf("SPI %#x", n)
		}
		gcm := func(spi uint32, src, dst string, replay uint8) *pfkey.Message {
			m := natted(add(spi, src, dst), 4500, 4500)
			m.SA.Replay, m.SA.Auth, m.SA.Encrypt, m.KeyEncrypt, m.KeyAuth = replay, 0, 20, key(20, 3), nil
			return m
		}
		in, out := gcm(n, "192.0.2.2", "192.0.2.1", 32), gcm(0xc1234567, "192.0.2.1", "192.0.2.2", 0)
		w.want(c, about(pfkey.TypeDelete, in), pfkey.OK)
		w.want(c, in, pfkey.OK)
		w.want(c, out, pfkey.OK)
		for _, dir := range directions(d) {
			m := spd(pfkey.TypeSPDAdd, dir, pfkey.LevelUnique, 5, 371327, 0)
			m.Order = []pfkey.ExtType{pfkey.ExtPolicy}
			w.want(c, m, pfkey.OK)
		}
		if w.packet() == 0 {
			t.Error("SA and policy do not meet")
		}
		if a := w.want(c, about(pfkey.TypeGet, out), pfkey.OK); a.LifetimeCurrent == nil || a.SA.Encrypt != 20 || a.KeyEncrypt.Len() != 20 {
			t.Error("GET for usage")
		}
		for _, dir := range directions(d) {
			m := spd(pfkey.TypeSPDDelete, dir, pfkey.LevelUnique, 5, 371327, 0)
			m.Policy.Requests = nil
			w.want(c, m, pfkey.OK)
		}
		w.want(c, about(pfkey.TypeDelete, in), pfkey.OK)
		w.want(c, about(pfkey.TypeDelete, out), pfkey.OK)
	})
}
