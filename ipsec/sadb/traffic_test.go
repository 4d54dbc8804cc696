// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package sadb

import (
	"errors"
	"net/netip"
	"testing"
)

// TestTraffic: two peers at one address share policies and a reqid, and each SA carries its own traffic alone: what comes by it, what is sent to
// its peer, and what this host begins, for which the newest that may is taken. An UPDATE changes nothing of that.
func TestTraffic(t *testing.T) {
	db := newDB(t, 0)
	here, there := sel("192.0.2.1/32"), sel("198.51.100.2/32")
	l2tp := here
	l2tp.Proto, l2tp.PortFrom, l2tp.PortTo = 17, 1701, 1701
	udp := there
	udp.Proto = 17
	granted := func(l, r Selector) *Traffic {
		x, err := NewTraffic([]Selector{l}, []Selector{r})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	esp := []Template{{Proto: ProtoESP, Mode: Transport, Level: Unique, Reqid: 5}}
	for _, dir := range []Dir{In, Out} {
		addEntry(t, db, SPDEntry{Dir: dir, Action: Protect, Priority: 1, Local: l2tp, Remote: udp, Templates: esp})
		addEntry(t, db, SPDEntry{Dir: dir, Action: Protect, Priority: 2, Local: here, Remote: there, Templates: esp})
	}
	other := netip.AddrPortFrom(peer.Addr(), peer.Port()+1)
	of := func(sa SA, x *Traffic) SA {
		sa.Mode, sa.Reqid, sa.Traffic = Transport, 5, x
		return sa
	}
	all, narrow := granted(here, there), granted(l2tp, udp)
	wideIn, wideOut := of(inSA(0x1001), all), of(outSA(0x1002), all)
	narrowIn, narrowOut := of(inSA(0x1003), narrow), of(outSA(0x1004), narrow)
	narrowIn.SrcPort, narrowOut.DstPort = other.Port(), other.Port()
	wide, limited := addSA(t, db, wideIn), addSA(t, db, narrowIn)
	addSA(t, db, wideOut)
	addSA(t, db, narrowOut)
	const web, tunnel = 80, 1701
	for name, c := range map[string]struct {
		in    *Single
		to    netip.AddrPort
		port  uint16
		wants bool
	}{
		"all of it":             {wide, peer, web, true},
		"L2TP of all":           {wide, peer, tunnel, true},
		"L2TP":                  {limited, other, tunnel, true},
		"what another has":      {limited, other, web, false},
		"whoever may, all":      {nil, netip.AddrPort{}, web, true},
		"whoever may, the port": {nil, netip.AddrPort{}, tunnel, true},
	} {
		f := flow(local.Addr().String(), peer.Addr().String(), 17, c.port, 30000)
		if c.in != nil {
			if got := db.CheckIn(5, &f, layersOf(c.in.asReceiver())) == Accepted; got != c.wants {
				t.Errorf("%s, in: %t", name, got)
			}
		}
		m, _ := db.Match(&f)
		var b Bundle
		r := m.ResolvePeer(5, &f, &b, c.to)
		if c.in == nil {
			r = m.Resolve(5, &f, &b)
		}
		if (r == Sealed) != c.wants {
			t.Errorf("%s, out: %v", name, r)
		}
		want := map[bool]uint32{true: 0x1004, false: 0x1002}[c.to == other || c.in == nil && c.port == tunnel]
		if c.wants && b.SAs[0].SPI() != want {
			t.Errorf("%s: sealed by %#x, expected %#x", name, b.SAs[0].SPI(), want)
		}
	}
	at := narrowIn.place()
	at.SrcPort++
	if err := db.UpdateSA(start, narrowIn.ID(), Change{Endpoint: &at}); err != nil {
		t.Fatal(err)
	}
	f := flow(local.Addr().String(), peer.Addr().String(), 17, web, 30000)
	if got := db.CheckIn(5, &f, layersOf(limited.asReceiver())); got != Rejected {
		t.Errorf("after an UPDATE: %v", got)
	}
	f.LocalPort, f.Ports = tunnel, HiddenPorts
	if got := db.CheckIn(5, &f, layersOf(limited.asReceiver())); got == Accepted {
		t.Errorf("a fragment whose ports are not seen: %v", got)
	}
	if _, err := NewTraffic(nil, []Selector{there}); !errors.Is(err, ErrSelectors) {
		t.Errorf("no selectors: %v", err)
	}
	f.Ports = HavePorts
	layers := layersOf(limited.asReceiver())
	m, _ := db.Match(&f)
	var b Bundle
	if n := testing.AllocsPerRun(100, func() { db.CheckIn(5, &f, layers); m.ResolvePeer(5, &f, &b, other) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
