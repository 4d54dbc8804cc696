// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package keysock_test

import (
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// TestTrafficOfSAs: who asks hears in the answer to its REGISTER, and nobody else does, that SAs may say what they carry; what an SA says stays
// its own through an UPDATE of its port, and what is no traffic is EINVAL.
func TestTrafficOfSAs(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		codec := pfkey.Codec{Dialect: d}
		plain := header(pfkey.TypeRegister, pfkey.SATypeESP)
		if a := w.one(c, plain); a.KMPrivate != nil {
			t.Errorf("an ordinary REGISTER: %v", a.KMPrivate)
		}
		mine := w.client(d, true)
		reg := header(pfkey.TypeRegister, pfkey.SATypeESP)
		reg.KMPrivate = codec.Private(pfkey.PrivateTraffic | pfkey.PrivateIdle)
		if got := w.send(mine, reg); len(got) != 1 || codec.PrivateFlags(got[0].KMPrivate) != pfkey.PrivateTraffic {
			t.Errorf("answers %v, expected one that has the flag", got)
		}
		if got := w.take(c); len(got) != 1 || got[0].KMPrivate != nil {
			t.Errorf("others hear %v, expected it without the flag", got)
		}
		span := func(a string) []pfkey.TrafficSpan {
			return []pfkey.TrafficSpan{{From: netip.MustParseAddr(a), To: netip.MustParseAddr(a), Proto: 17, PortFrom: 1701, PortTo: 1701}}
		}
		m := natted(add(0x1001, "192.0.2.1", "192.0.2.2"), 4500, 4500)
		m.SA2.Mode = pfkey.ModeTransport
		m.KMPrivate, _ = codec.PrivateTraffic(&pfkey.Traffic{Local: span("192.0.2.1"), Remote: span("192.0.2.2")})
		has := func() bool {
			sa, ok := w.db.LookupSA(sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x1001, Dst: netip.MustParseAddr("192.0.2.2")})
			return ok && sa.Info().Traffic != nil
		}
		if w.want(mine, m, pfkey.OK); !has() {
			t.Error("the SA carries whatever policies say")
		}
		again := natted(add(0x1001, "192.0.2.1", "192.0.2.2"), 4500, 31000)
		again.Type, again.SA2.Mode = pfkey.TypeUpdate, pfkey.ModeTransport
		if d == pfkey.FreeBSD {
			again.KeyEncrypt, again.KeyAuth = nil, nil
		}
		if w.want(mine, again, pfkey.OK); !has() {
			t.Error("after an UPDATE the SA carries whatever policies say")
		}
		bad := add(0x1002, "192.0.2.1", "192.0.2.2")
		bad.KMPrivate = codec.Private(pfkey.PrivateTraffic)
		w.want(mine, bad, pfkey.EINVAL)
	})
}
