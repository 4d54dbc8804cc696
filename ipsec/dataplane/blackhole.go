// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Paths on which large packets vanish without a word (RFC 2923, Section 2.1): found by inner TCP segments that are sent again and
// again while only small packets come through. The segments are the inner side's own; what somebody there can do by
// pretending is lower the MTU of a path to 1280 (IPv4 then 576) for a while.

package dataplane

import (
	"encoding/binary"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	holeSlots = 256
	// A segment that is sent for the fourth time, a second after the second time, is what TCP's timer does at least
	// 1.4 s after the first; for the sixth time, when nothing at all has come back.
	holeRepeats       = 3
	holeRepeatsSilent = 5
	holeTime          = int64(time.Second)
	// holeMTU is what nearly every path carries: the minimum of IPv6.
	holeMTU = 1280
)

// repeat is one flow's segment that is being sent again.
type repeat struct {
	flow  sadb.Flow
	top   uint32 // behind the highest octet sent
	seq   uint32 // the segment
	count int
	since int64
}

// holes watches the large segments of one Outbound.
type holes [holeSlots]repeat

// watch is shown every TCP packet that is larger than would fit holeMTU. It returns true when the path has a hole. That small packets
// come through is seen of a pair; of a single SA nobody knows what comes back.
func (h *holes) watch(now int64, p []byte, in *inner, out *sadb.Sender) bool {
	tcp := p[in.upper:in.n]
	payload := len(tcp) - int(tcp[12]>>4)*4
	if payload <= 0 {
		return false
	}
	seq := binary.BigEndian.Uint32(tcp[4:])
	r := &h[hash(&in.flow)%holeSlots]
	switch {
	case r.flow != in.flow:
		*r = repeat{flow: in.flow, top: seq + uint32(payload)}
	case int32(seq-r.top) >= 0:
		r.top, r.count = seq+uint32(payload), 0 // new data: something was acknowledged, or this is only loss
	case r.count > 0 && r.seq == seq:
		r.count++
	default:
		r.seq, r.count, r.since = seq, 1, now
	}
	if r.count < holeRepeats || now-r.since < holeTime {
		return false
	}
	pair := out.Pair()
	sure := pair != nil && pair.HeardSince(r.since)
	if !sure && r.count < holeRepeatsSilent {
		return false
	}
	r.count = 0
	mtu := holeMTU
	if out.PathMTU(now) <= holeMTU {
		mtu = sadb.FloorV4 // the floor of IPv6 paths keeps them where they are
	}
	return out.LowerPath(now, mtu, sure)
}

// hash spreads flows over tables. Who makes them collide makes his own flows slower.
func hash(f *sadb.Flow) uint32 {
	x := f.Local.Hi*0x9e3779b97f4a7c15 ^ f.Local.Lo
	x = x*0x9e3779b97f4a7c15 ^ f.Remote.Hi
	x = x*0x9e3779b97f4a7c15 ^ f.Remote.Lo
	x = x*0x9e3779b97f4a7c15 ^ uint64(f.LocalPort)<<24 ^ uint64(f.RemotePort)<<8 ^ uint64(f.Proto)
	x *= 0x9e3779b97f4a7c15
	return uint32(x >> 32)
}
