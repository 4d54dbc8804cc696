// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// What Linux seals and does not open: AH in ESP where both are behind one IP header. Its packets are opened here; that it opens neither ours
// nor its own is shown, so that the day it does is noticed.

package kernelpeer

import (
	"fmt"
	"net/netip"
	"strconv"
	"testing"

	"github.com/natterjack/natterjack/lab/qemu/agent"
)

// deaf reports whether the kernel does not open what this is: AH right behind the header that ESP in transport mode was behind. It verifies AH
// with a header that still says ESP; what it seals is right.
func (c layersCase) deaf() bool {
	for i, l := range c.layers[:len(c.layers)-1] {
		if next := c.layers[i+1]; l.proto == "ah" && next.proto == "esp" && !next.tunnel {
			return true
		}
	}
	return false
}

// oneWay has the guest send what it does not open itself, and shows that it does not: neither ours nor its own.
func (c layersCase) oneWay(t *testing.T, m *manual) {
	t.Helper()
	const port = 7000
	to := netip.AddrPortFrom(netip.MustParseAddr(c.client), port)
	counter := m.Clients[0].CountUDP(to.String())
	sizes := []int{1, 56, 700, 1200}
	for _, size := range sizes {
		m.guest.Call("Emit", agent.Packet{From: netip.AddrPortFrom(netip.MustParseAddr(c.guest), port), To: to, Octets: size}, &struct{}{})
	}
	m.Eventually(upLimit, "both ends count the same", func() (bool, string) {
		ours, theirs := m.ourCounts(t), m.kernelCounts(t, false)
		for i := range c.layers {
			if n := ours[c.spi(i, false)]; n != theirs[c.spi(i, false)] || n.packets != len(sizes) {
				return false, fmt.Sprint(ours, theirs)
			}
		}
		return true, ""
	})
	if packets, _, from := counter.Stop(); packets != int64(len(sizes)) || from != netip.AddrPortFrom(netip.MustParseAddr(c.guest), port).String() {
		t.Errorf("%d datagrams from %s, expected %d", packets, from, len(sizes))
	}
	before := m.counters(t)["XfrmInStateProtoError"]
	if m.Clients[0].Ping(lostLimit, "-I", c.client, c.guest) == nil {
		t.Error("the kernel opens AH in ESP in transport mode: test it both ways")
	}
	if now := m.counters(t)["XfrmInStateProtoError"]; now != before+1 {
		t.Errorf("the kernel refused %d packets, expected one", now-before)
	}
}

// deafToItself: two kernels with AH in ESP in transport mode between them, the guest and its second gateway, do not hear each other.
func deafToItself(t *testing.T, m *manual) {
	m.flush(t)
	m.flushSecond(t)
	const first, second = "10.23.0.1", second4
	c := layersCase{layers: []layer{over(ahSHA1(), second, first), over(cbc(), second, first)}}
	for i, l := range c.layers {
		spi, reqid := strconv.Itoa(c.spi(i, false)), strconv.Itoa(layersReqid+i)
		words := append([]string{"xfrm", "state", "add", "src", first, "dst", second, "proto", l.proto, "spi", spi, "mode", "transport", "reqid", reqid},
			l.words(key(i, l.encr), key(i, l.auth))...)
		m.at(t, false, words...)
		m.at(t, true, words...)
	}
	c.theirs(t, m, false, false, second, first, 0, len(c.layers), "out")
	before := m.refused(t)
	from := netip.MustParseAddrPort(first + ":7000")
	m.guest.Call("Emit", agent.Packet{From: from, To: netip.MustParseAddrPort(second + ":7000"), Octets: 100}, &struct{}{})
	m.Eventually(upLimit, "the kernel refuses its own", func() (bool, string) {
		now := m.refused(t)
		return now == before+1, fmt.Sprint(before, now, m.secondState())
	})
}

// refused is how many packets the second gateway's SAs did not open.
func (m *manual) refused(t *testing.T) int {
	t.Helper()
	return statistics(m.guest.Exec(in(true, "cat", "/proc/net/xfrm_stat")...))["XfrmInStateProtoError"]
}
