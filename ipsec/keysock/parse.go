// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What an ADD or UPDATE says of an SA (RFC 2367, Section 3.1.2 and 3.1.3; NATT.md, Sections 1.6 and 2.5), in the words of the database.
// Everything comes from a privileged client and is checked: algorithms and the lengths of their keys, SPIs, modes, ports.

package keysock

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
	"github.com/natterjack/natterjack/wire/pfkey"
)

const (
	// maxWindow is the largest replay window of the engine, in packets, minWindow the smallest; another is rounded to them.
	maxWindow, minWindow = 4096, 32
	// maxCPI: RFC 3173, Section 3.3: a compression parameter index has 16 bits.
	maxCPI = 1<<16 - 1
	// maxSeconds: 100 years, so that a duration cannot overflow.
	maxSeconds = 100 * 366 * 24 * 3600
	// floatPort and ikePort are the ports of UDP encapsulation where Linux is given none.
	floatPort, ikePort = 4500, 500
)

// request is an ADD or UPDATE, checked but for what needs the tables.
type request struct {
	sadb.SA
	entry
	natt bool
}

// parseSA reads everything but the keys and algorithms.
func parseSA(c *client, m *pfkey.Message) (*request, error) {
	src, dst, err := addresses(m)
	if err != nil {
		return nil, err
	}
	proto := m.SAType.Proto()
	if c.codec.Dialect == pfkey.Linux && m.SA != nil && m.SAType == pfkey.SATypeUnspec {
		return nil, pfkey.EPROTONOSUPPORT
	}
	if m.SA == nil || proto == 0 || (m.LifetimeHard != nil) != (m.LifetimeSoft != nil) || dst.IsUnspecified() {
		return nil, pfkey.EINVAL
	}
	r := &request{
		SA: sadb.SA{Proto: proto, SPI: m.SA.SPI, Src: src, Dst: dst, Owner: c.owner, Seq: m.Seq, CopyECN: true, CopyDF: true,
			AlignAH8: c.codec.Dialect == pfkey.Linux},
		entry: entry{
			id: sadb.SAID{Proto: proto, SPI: m.SA.SPI, Dst: dst}, src: src, owner: c.owner, flags: m.SA.Flags,
			lifetimes: m.LifetimeHard != nil, proxy: m.Proxy,
		},
	}
	if err = checkSPI(proto, m.SA.SPI); err != nil {
		return nil, err
	}
	if r.SA.Mode, r.SA.Reqid, err = modeOf(c.codec.Dialect, m.SA2); err != nil {
		return nil, err
	}
	r.SA.Limits = limitsOf(m)
	r.SA.Window = windowOf(c.codec.Dialect, m)
	r.flagged(c.codec.Dialect)
	if r.natt, err = nat(c.codec.Dialect, m, &r.SA); err != nil {
		return nil, err
	}
	r.SA.Traffic, err = trafficOf(c.codec, m)
	return r, err
}

// trafficOf is what a client of ours says that the SA carries; nil: what policies say.
func trafficOf(codec pfkey.Codec, m *pfkey.Message) (*sadb.Traffic, error) {
	t, err := codec.Traffic(m.KMPrivate)
	if err != nil {
		return nil, pfkey.EINVAL
	}
	if t == nil {
		return nil, nil
	}
	var sides [2][]sadb.Selector
	for i, list := range [...][]pfkey.TrafficSpan{t.Local, t.Remote} {
		for _, s := range list {
			sides[i] = append(sides[i], sadb.Selector{From: s.From, To: s.To, Proto: s.Proto, PortFrom: s.PortFrom, PortTo: s.PortTo})
		}
	}
	x, err := sadb.NewTraffic(sides[0], sides[1])
	if err != nil {
		return nil, pfkey.EINVAL
	}
	return x, nil
}

// checkSPI: RFC 4303, Section 2.1: 0 is never sent and 1 to 255 are reserved. RFC 3173, Section 3.3: an index of IPComp has 16 bits.
//
// Deviation: the kernels take the reserved ones.
func checkSPI(proto uint8, spi uint32) error {
	if proto == sadb.ProtoIPComp && spi > 0 && spi <= maxCPI || proto != sadb.ProtoIPComp && spi >= esp.MinSPI {
		return nil
	}
	return pfkey.EINVAL
}

// modeOf: an SA without SADB_X_EXT_SA2 fits any mode in the BSDs and is in transport mode in Linux.
func modeOf(d pfkey.Dialect, sa2 *pfkey.SA2) (sadb.Mode, uint32, error) {
	mode, reqid := pfkey.ModeAny, uint32(0)
	if sa2 != nil {
		mode, reqid = sa2.Mode, sa2.Reqid
	}
	switch mode {
	case pfkey.ModeTunnel:
		return sadb.Tunnel, reqid, nil
	case pfkey.ModeTransport:
		return sadb.Transport, reqid, nil
	case pfkey.ModeAny:
		if d == pfkey.Linux {
			return sadb.Transport, reqid, nil
		}
		return sadb.AnyMode, reqid, nil
	}
	return 0, 0, pfkey.EINVAL // BEET and TCP-MD5
}

func limitsOf(m *pfkey.Message) (l sadb.Limits) {
	if h := m.LifetimeHard; h != nil {
		l.HardTime, l.HardUse, l.HardBytes, l.HardPackets = seconds(h.AddTime), seconds(h.UseTime), h.Bytes, uint64(h.Allocations)
	}
	if h := m.LifetimeSoft; h != nil {
		l.SoftTime, l.SoftUse, l.SoftBytes, l.SoftPackets = seconds(h.AddTime), seconds(h.UseTime), h.Bytes, uint64(h.Allocations)
	}
	return l
}

func seconds(n uint64) time.Duration { return time.Duration(min(n, maxSeconds)) * time.Second }

// windowOf is the replay window in packets. The BSDs count in units of eight; FreeBSD has an extension for larger ones.
//
// Deviation: no window is a window of the default size. A sender whose counter starts again needs another key anyway.
func windowOf(d pfkey.Dialect, m *pfkey.Message) int {
	n := uint32(m.SA.Replay)
	if d != pfkey.Linux {
		n *= 8
	}
	if m.SAReplay != nil {
		n = *m.SAReplay
	}
	if n == 0 {
		return 0
	}
	return int(max(min(n, maxWindow), minWindow))
}

// flagged carries out the flags that the engine knows.
func (r *request) flagged(d pfkey.Dialect) {
	if d == pfkey.FreeBSD && r.flags&pfkey.SAFlagESN != 0 {
		r.SA.Suite.ESN = true
	}
	if d != pfkey.Linux {
		return
	}
	r.SA.CopyECN = r.flags&pfkey.SAFlagNoECN == 0
	r.SA.CopyDF = r.flags&pfkey.SAFlagNoPMTUDisc == 0
	if r.flags&pfkey.SAFlagDecapDSCP != 0 {
		r.SA.DSCP = sadb.DSCPBoth
	}
}

// nat reads the NAT-T extensions into the SA; false: there are none to use. They mean nothing for anything but ESP. The BSDs use all
// three or none, and take no port of zero; FreeBSD has the non-ESP marker only, the others (Linux until 2024) the non-IKE marker too.
func nat(d pfkey.Dialect, m *pfkey.Message, sa *sadb.SA) (bool, error) {
	if m.SAType != pfkey.SATypeESP || m.NATType == nil {
		return false, nil
	}
	if d != pfkey.Linux && (m.NATSrcPort == nil || m.NATDstPort == nil) {
		return false, nil
	}
	port := uint16(floatPort)
	switch {
	case *m.NATType == pfkey.NATTNonESP:
		sa.Encap = natt.NonESP
	case *m.NATType == pfkey.NATTNonIKE && d != pfkey.FreeBSD:
		sa.Encap, port = natt.NonIKE, ikePort
	default:
		return false, pfkey.EINVAL
	}
	var err error
	if sa.SrcPort, err = natPort(d, m.NATSrcPort, port); err != nil {
		return false, err
	}
	if sa.DstPort, err = natPort(d, m.NATDstPort, port); err != nil {
		return false, err
	}
	return true, originals(d, m, sa)
}

// natPort: in Linux a port may be left out or zero.
//
// Deviation: it is the well-known one then; Linux would send to port 0.
func natPort(d pfkey.Dialect, p *uint16, known uint16) (uint16, error) {
	if p != nil && *p != 0 {
		return *p, nil
	}
	if d == pfkey.Linux {
		return known, nil
	}
	return 0, pfkey.EINVAL
}

// originals reads NAT_T_OAI and NAT_T_OAR: of this SA's source and destination, whoever the initiator of IKE was (NATT.md, Section 2.4).
// They matter in transport mode alone, and where they differ. Linux has one, does not use it, and repairs checksums without.
func originals(d pfkey.Dialect, m *pfkey.Message, sa *sadb.SA) error {
	if d == pfkey.Linux || sa.Mode == sadb.Tunnel {
		return nil
	}
	for _, o := range [...]struct {
		a    *pfkey.Address
		end  netip.Addr
		orig *netip.Addr
	}{{m.NATOAi, sa.Src, &sa.OrigSrc}, {m.NATOAr, sa.Dst, &sa.OrigDst}} {
		if o.a == nil || o.a.Addr == o.end {
			continue
		}
		if o.a.Addr.Is4() != o.end.Is4() {
			return pfkey.EINVAL
		}
		*o.orig = o.a.Addr
	}
	return nil
}

// errnoOf is the errno of a failure of the database.
func errnoOf(err error) error {
	switch err {
	case nil:
		return nil
	case sadb.ErrExists, sadb.ErrPolicyExists:
		return pfkey.EEXIST
	case sadb.ErrUnknown, sadb.ErrReservation:
		return pfkey.ESRCH
	case sadb.ErrUnknownPolicy:
		return pfkey.ENOENT
	case sadb.ErrTooMany, sadb.ErrNoSPI: // no SPI to reserve is an answer of its own
		return pfkey.ENOBUFS
	}
	return pfkey.EINVAL
}
