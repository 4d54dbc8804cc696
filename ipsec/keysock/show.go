// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// How an SA is shown: in answers, in DUMP and in EXPIRE, with the extensions of each kernel in its order (NATT.md, Sections 1.6 and 2.5).
// Keys leave the server here alone, for privileged clients alone (T-097).

package keysock

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// protoAny is the upper protocol of a selector that takes any.
const protoAny = 255

// shown is an SA to be shown.
type shown struct {
	sadb.SAInfo
	e *entry // nil: an SA of IKE's
}

// wipe clears the copies of the keys.
func (v *shown) wipe() {
	v.Key.Wipe()
	v.Integ.Wipe()
}

// message is the whole of an SA: what GET and DUMP answer, and in Linux every other answer too.
func (v *shown) message(d pfkey.Dialect, h pfkey.Header, keys bool) *pfkey.Message {
	h.SAType, h.Errno = pfkey.SATypeOf(v.Proto), pfkey.OK
	src, dst := v.ends()
	m := &pfkey.Message{
		Header: h, SA: v.sa(d), LifetimeCurrent: v.current(),
		Src: address(src.Addr()), Dst: address(dst.Addr()), SA2: &pfkey.SA2{Mode: shownMode(d, v.Mode), Reqid: v.Reqid},
	}
	d.SetWindow(m, v.Window)
	v.limits(d, m)
	v.nat(d, m, src, dst)
	if d == pfkey.Linux && v.State != sadb.StateLarval {
		m.Proxy = v.proxy()
	}
	if keys && v.State != sadb.StateLarval {
		m.KeyAuth, m.KeyEncrypt = present(v.Integ), present(v.Key)
	}
	return m
}

func present(k secret.Key) *secret.Key {
	if k.IsZero() {
		return nil
	}
	return &k
}

// ends are where the SA goes from and to now: the engine may have followed the peer.
func (v *shown) ends() (src, dst netip.AddrPort) {
	src, dst = netip.AddrPortFrom(v.Src, v.SrcPort), netip.AddrPortFrom(v.Dst, v.DstPort)
	at := v.Endpoint
	switch {
	case !at.Remote.IsValid() || v.Managed || v.State == sadb.StateLarval:
	case at.Local.Addr() == v.Dst:
		src = at.Remote // it opens
	case at.Local.Addr() == v.Src:
		dst = at.Remote // it seals
	}
	return src, dst
}

func (v *shown) sa(d pfkey.Dialect) *pfkey.SA {
	sa := &pfkey.SA{SPI: v.SPI, State: pfkey.State(v.State)}
	if v.State == sadb.StateLarval {
		return sa
	}
	sa.Auth, sa.Encrypt = numbersOf(d, &v.SA)
	if v.e != nil {
		sa.Flags = v.e.shownFlags(d)
	}
	if d == pfkey.FreeBSD && v.Suite.ESN {
		sa.Flags |= pfkey.SAFlagESN
	}
	return sa
}

// shownFlags: Linux shows its own three alone; their bits mean nothing in the BSDs.
func (e *entry) shownFlags(d pfkey.Dialect) uint32 {
	const linux = pfkey.SAFlagNoPMTUDisc | pfkey.SAFlagDecapDSCP | pfkey.SAFlagNoECN
	if d == pfkey.Linux {
		return e.flags & linux
	}
	return e.flags &^ linux
}

// limits: Linux shows both lifetimes always, the BSDs where they were given. Linux calls the life of a reservation its hard lifetime.
func (v *shown) limits(d pfkey.Dialect, m *pfkey.Message) {
	if d != pfkey.Linux && (v.e == nil || !v.e.lifetimes) {
		return
	}
	l := &v.Limits
	m.LifetimeHard = &pfkey.Lifetime{
		Allocations: uint32(l.HardPackets), Bytes: l.HardBytes, AddTime: inSeconds(l.HardTime), UseTime: inSeconds(l.HardUse),
	}
	m.LifetimeSoft = &pfkey.Lifetime{
		Allocations: uint32(l.SoftPackets), Bytes: l.SoftBytes, AddTime: inSeconds(l.SoftTime), UseTime: inSeconds(l.SoftUse),
	}
	if v.State == sadb.StateLarval {
		m.LifetimeHard.AddTime = inSeconds(larvalLife)
	}
}

// current: times in seconds since 1970.
func (v *shown) current() *pfkey.Lifetime {
	return &pfkey.Lifetime{Allocations: uint32(min(v.Packets, 1<<32-1)), Bytes: v.Bytes, AddTime: epoch(v.Added), UseTime: epoch(v.FirstUsed)}
}

func (v *shown) nat(d pfkey.Dialect, m *pfkey.Message, src, dst netip.AddrPort) {
	var kind uint8
	switch v.Encap {
	case natt.NonESP:
		kind = pfkey.NATTNonESP
	case natt.NonIKE:
		kind = pfkey.NATTNonIKE
	default:
		return
	}
	sport, dport := src.Port(), dst.Port()
	m.NATType, m.NATSrcPort, m.NATDstPort = &kind, &sport, &dport
	if d == pfkey.Linux {
		return
	}
	if v.OrigSrc.IsValid() {
		m.NATOAi = address(v.OrigSrc)
	}
	if v.OrigDst.IsValid() {
		m.NATOAr = address(v.OrigDst)
	}
}

// proxy is Linux's selector of an SA: everything, unless the client said otherwise. It shows one that differs from the source.
func (v *shown) proxy() *pfkey.Address {
	a := pfkey.Address{Proto: protoAny, Sockaddr: pfkey.Sockaddr{Addr: netip.IPv4Unspecified()}}
	if v.Dst.Is6() {
		a.Addr = netip.IPv6Unspecified()
	}
	if v.e != nil && v.e.proxy != nil {
		a.Addr, a.PrefixLen = v.e.proxy.Addr, v.e.proxy.PrefixLen
	}
	if a.Addr == v.Src {
		return nil
	}
	return &a
}

// echo is what the BSDs answer to ADD and UPDATE: the request without its keys.
func echo(m *pfkey.Message) *pfkey.Message {
	h := m.Header
	h.Errno = pfkey.OK
	return &pfkey.Message{
		Header: h, SA: m.SA, SA2: m.SA2, Src: m.Src, Dst: m.Dst, LifetimeHard: m.LifetimeHard, LifetimeSoft: m.LifetimeSoft,
		IdentitySrc: m.IdentitySrc, IdentityDst: m.IdentityDst, NATType: m.NATType, NATSrcPort: m.NATSrcPort, NATDstPort: m.NATDstPort,
		NATOAi: m.NATOAi, NATOAr: m.NATOAr, NewSrc: m.NewSrc, NewDst: m.NewDst,
		Order: []pfkey.ExtType{
			pfkey.ExtSA, pfkey.ExtSA2, pfkey.ExtAddressSrc, pfkey.ExtAddressDst, pfkey.ExtLifetimeHard, pfkey.ExtLifetimeSoft,
			pfkey.ExtIdentitySrc, pfkey.ExtIdentityDst, pfkey.ExtNATType, pfkey.ExtNATSrcPort, pfkey.ExtNATDstPort, pfkey.ExtNATOAi, pfkey.ExtNATOAr,
			pfkey.ExtNewAddressSrc, pfkey.ExtNewAddressDst,
		},
	}
}

// answer is the answer to a request that made or changed an SA: in Linux the SA as it is, in the BSDs an echo. Who asked in another
// dialect is heard in one's own, as the SA is.
func (v *shown) answer(from *client, m *pfkey.Message) maker {
	return func(d pfkey.Dialect, keys bool) *pfkey.Message {
		if d != pfkey.Linux && d == from.codec.Dialect {
			return echo(m)
		}
		return v.message(d, m.Header, keys && d == pfkey.Linux)
	}
}

// expire is SADB_EXPIRE: the SA with the lifetime that has passed.
func (v *shown) expire(hard bool) maker {
	return func(d pfkey.Dialect, _ bool) *pfkey.Message {
		h := pfkey.Header{Type: pfkey.TypeExpire}
		if d != pfkey.Linux {
			h.Seq = v.Seq
		}
		m := v.message(d, h, false)
		if m.LifetimeHard == nil {
			m.LifetimeHard, m.LifetimeSoft = &pfkey.Lifetime{}, &pfkey.Lifetime{}
		}
		if hard {
			m.SA.State, m.LifetimeSoft = pfkey.StateDead, nil
		} else {
			m.SA.State, m.LifetimeHard = pfkey.StateDying, nil
		}
		m.Order = []pfkey.ExtType{pfkey.ExtSA, pfkey.ExtLifetimeHard, pfkey.ExtLifetimeSoft, pfkey.ExtLifetimeCurrent}
		if d != pfkey.Linux {
			m.NATType, m.NATSrcPort, m.NATDstPort, m.NATOAi, m.NATOAr = nil, nil, nil, nil, nil
			m.Order = []pfkey.ExtType{pfkey.ExtSA, pfkey.ExtSA2, pfkey.ExtSAReplay, pfkey.ExtLifetimeCurrent, pfkey.ExtLifetimeHard, pfkey.ExtLifetimeSoft}
		}
		return m
	}
}

// address is an address of an SA: a host, for any protocol.
func address(a netip.Addr) *pfkey.Address {
	return &pfkey.Address{PrefixLen: uint8(a.BitLen()), Sockaddr: pfkey.Sockaddr{Addr: a}}
}

// shownMode: AnyMode is transport mode in Linux.
func shownMode(d pfkey.Dialect, m sadb.Mode) pfkey.Mode {
	if m == sadb.AnyMode && d == pfkey.Linux {
		return pfkey.ModeTransport
	}
	return pfkey.Mode(m)
}

func inSeconds(d time.Duration) uint64 { return uint64(d / time.Second) }

func epoch(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(t.Unix(), 0))
}
