// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the engine counted, with names for people; and small helpers of the packets that pass by.

package daemon

import (
	"net/netip"

	"github.com/natterjack/natterjack/ipsec/dataplane"
)

// EngineStats are the engine's totals. Sealed and Delivered are inner packets; dummies are not among them.
type EngineStats struct {
	Sealed, SealedOctets       uint64
	Delivered, DeliveredOctets uint64
	Datagrams                  uint64 // made, one by one also where they left in runs
	DummiesOut, DummiesIn      uint64
	Bypassed, Fragmented       uint64
	KeepalivesIn               uint64
	// Drops are the packets that were dropped, by reason; reasons that never occurred are absent.
	Drops map[string]uint64
}

// dropNames are the counters that count dropped packets. The names are those of metrics and status.
var dropNames = [...]struct {
	name    string
	counter dataplane.Counter
}{
	{"out-too-big", dataplane.OutTooBig}, {"out-too-big-quiet", dataplane.OutTooBigQuiet}, {"out-malformed", dataplane.OutMalformed},
	{"out-no-policy", dataplane.OutNoPolicy}, {"out-discarded", dataplane.OutDiscarded},
	{"out-fragment-ports", dataplane.OutFragmentPorts}, {"out-selectors", dataplane.OutSelectors}, {"out-no-sa", dataplane.OutNoSA},
	{"out-exhausted", dataplane.OutExhausted}, {"out-loop", dataplane.OutLoop}, {"out-no-room", dataplane.OutNoRoom},
	{"out-fragment", dataplane.OutFragment}, {"out-options", dataplane.OutOptions}, {"out-no-port", dataplane.OutNoPort},
	{"out-bundle", dataplane.OutBundle}, {"in-no-port", dataplane.InNoPort}, {"in-compression", dataplane.InCompression},
	{"in-not-esp", dataplane.InNotESP}, {"in-short", dataplane.InShort}, {"in-unknown-spi", dataplane.InUnknownSPI},
	{"in-replay", dataplane.InReplay}, {"in-icv", dataplane.InICV}, {"in-expired", dataplane.InExpired},
	{"in-padding", dataplane.InPadding}, {"in-next-header", dataplane.InNextHeader}, {"in-malformed", dataplane.InMalformed}, {"in-depth", dataplane.InDepth},
	{"in-truncated", dataplane.InTruncated}, {"in-selectors", dataplane.InSelectors},
	{"in-fragment-ports", dataplane.InFragmentPorts}, {"in-ecn", dataplane.InECN}, {"in-no-room", dataplane.InNoRoom},
}

func (p *plane) stats() EngineStats {
	n := p.engine.Counters()
	st := EngineStats{
		Sealed: n[dataplane.OutSealed], SealedOctets: n[dataplane.OutSealedOctets], Datagrams: n[dataplane.OutDatagrams],
		Delivered: n[dataplane.InOpened], DeliveredOctets: n[dataplane.InOpenedOctets],
		DummiesOut: n[dataplane.OutDummies], DummiesIn: n[dataplane.InDummies],
		Bypassed: n[dataplane.OutBypassed], Fragmented: n[dataplane.OutFragmented],
		KeepalivesIn: n[dataplane.InKeepalives], Drops: map[string]uint64{},
	}
	for _, d := range dropNames {
		if v := n[d.counter]; v > 0 {
			st.Drops[d.name] = v
		}
	}
	for name, v := range map[string]uint64{
		"out-unsent": p.d.counters.unsent.Load(), "out-not-passed": p.d.counters.notPassed.Load(), "in-device": p.d.counters.deviceErrors.Load(),
	} {
		if v > 0 {
			st.Drops[name] = v
		}
	}
	return st
}

// destination reads the destination address of an IP packet.
func destination(b []byte) (netip.Addr, bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(b[16:20])), true
	case len(b) >= 40 && b[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(b[24:40])), true
	}
	return netip.Addr{}, false
}
