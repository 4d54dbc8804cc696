// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Bundles by PF_KEY: what SPDADD and ADD say in each dialect makes packets that another host, told the same, opens.

package keysock_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/ipsec/dataplane"
	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// bundlePolicy is an SPDADD of packets from 10.1.0.0/16 to 10.2.0.0/16, at either host.
func bundlePolicy(dir pfkey.Dir, requests []pfkey.Request) *pfkey.Message {
	m := protect(pfkey.LevelRequire, 0)
	m.Policy.Dir, m.Policy.Requests = dir, requests
	return m
}

// bundleSA is an ADD of a protocol and mode.
func bundleSA(t pfkey.SAType, mode pfkey.Mode, spi, reqid uint32, src, dst string) *pfkey.Message {
	m := add(spi, src, dst)
	m.SAType, m.SA2.Mode, m.SA2.Reqid = t, mode, reqid
	switch t {
	case pfkey.SATypeAH:
		m.SA.Encrypt, m.KeyEncrypt = 0, nil
	case pfkey.SATypeIPComp:
		m.SA.Auth, m.SA.Encrypt, m.SA.Replay, m.KeyEncrypt, m.KeyAuth = 0, pfkey.CompressDeflate, 0, nil, nil
	}
	return m
}

func TestBundles(t *testing.T) {
	const near, here = "192.0.2.2", "192.0.2.1"
	tunnel := func(proto uint16, dst string, level pfkey.Level, reqid uint32) pfkey.Request {
		return pfkey.Request{Proto: proto, Mode: pfkey.ModeTunnel, Level: level, Reqid: reqid, Src: addr(here).Sockaddr, Dst: addr(dst).Sockaddr}
	}
	transport := func(proto uint16) pfkey.Request {
		return pfkey.Request{Proto: proto, Mode: pfkey.ModeTransport, Level: pfkey.LevelRequire}
	}
	for name, c := range map[string]struct {
		requests []pfkey.Request
		sas      []*pfkey.Message
		outside  uint8
	}{
		"IPComp, ESP, AH around a tunnel": {
			[]pfkey.Request{tunnel(108, near, pfkey.LevelUse, 0), transport(50), transport(51)},
			[]*pfkey.Message{bundleSA(pfkey.SATypeIPComp, pfkey.ModeTunnel, 0x1001, 0, here, near), bundleSA(pfkey.SATypeESP, pfkey.ModeTransport, 0x1002, 0, here, near),
				bundleSA(pfkey.SATypeAH, pfkey.ModeTransport, 0x1003, 0, here, near)}, 51,
		},
		"ESP in ESP, both ends the same": {
			[]pfkey.Request{tunnel(50, near, pfkey.LevelUnique, 1), tunnel(50, near, pfkey.LevelUnique, 2)},
			[]*pfkey.Message{bundleSA(pfkey.SATypeESP, pfkey.ModeTunnel, 0x1001, 1, here, near), bundleSA(pfkey.SATypeESP, pfkey.ModeTunnel, 0x1002, 2, here, near)}, 50,
		},
		"AH inside ESP": {
			[]pfkey.Request{tunnel(51, near, pfkey.LevelRequire, 0), transport(50)},
			[]*pfkey.Message{bundleSA(pfkey.SATypeAH, pfkey.ModeTunnel, 0x1001, 0, here, near), bundleSA(pfkey.SATypeESP, pfkey.ModeTransport, 0x1002, 0, here, near)}, 50,
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, a *world, ca keysock.ClientID, d pfkey.Dialect) {
				b := newWorld(t, keysock.Config{})
				cb := b.client(d, true)
				a.want(ca, bundlePolicy(pfkey.DirOut, c.requests), pfkey.OK)
				b.want(cb, bundlePolicy(pfkey.DirIn, c.requests), pfkey.OK)
				if sent, _ := sealedBy(a); len(sent.Datagrams) != 0 {
					t.Fatal("sent without SAs")
				}
				for _, m := range c.sas {
					a.want(ca, m, pfkey.OK)
					b.want(cb, m, pfkey.OK)
				}
				sent, p := sealedBy(a)
				if len(sent.Datagrams) != 1 || sent.Datagrams[0].Proto != c.outside {
					t.Fatalf("%d datagrams: %+v", len(sent.Datagrams), sent.Datagrams)
				}
				g := arrived(sent.Datagrams[0], here, near)
				got := dataplane.New(b.db, dataplane.Config{}).NewInbound().Open(b.now, []dataplane.Datagram{g})
				if len(got.Packets) != 1 || !bytes.Equal(got.Packets[0][dataplane.Headroom:], p) {
					t.Fatalf("%d packets", len(got.Packets))
				}
				// Without one of the SAs the other host has, its packets are not taken.
				b.want(cb, about(pfkey.TypeDelete, c.sas[len(c.sas)-1]), pfkey.OK)
				if got = dataplane.New(b.db, dataplane.Config{}).NewInbound().Open(b.now, []dataplane.Datagram{g}); len(got.Packets) != 0 {
					t.Error("delivered without an SA")
				}
			})
		})
	}
}

// sealedBy has a world's engine seal a compressible packet.
func sealedBy(w *world) (*dataplane.Sent, []byte) {
	p := append([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1, 0, 1, 0, 2, 0, 0, 0, 0}, make([]byte, 500)...)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[24:], uint16(len(p)-20))
	buf := append(make([]byte, dataplane.Headroom), p...)
	return dataplane.New(w.db, dataplane.Config{}).NewOutbound().Seal(w.now, [][]byte{buf}, []int{len(p)}, dataplane.Headroom), p
}

// arrived is a datagram as a raw socket delivers it.
func arrived(g dataplane.Datagram, src, dst string) dataplane.Datagram {
	g.Buf = bytes.Clone(g.Buf[:g.N])
	if g.Whole && g.Proto != sadb.ProtoAH {
		g.Ident = binary.BigEndian.Uint16(g.Buf[4:])
		g.Buf = g.Buf[20:]
	}
	g.N, g.Whole, g.SegSize = len(g.Buf), false, 0
	g.Remote, g.Local = netip.AddrPortFrom(netip.MustParseAddr(src), 0), netip.AddrPortFrom(netip.MustParseAddr(dst), 0)
	return g
}
