// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What an SA carries (RFC 4301, Section 4.4.2.1: an SA has selectors of its own), which PF_KEY leaves to policies: in the private extension of
// an ADD or UPDATE that brings keys, behind what a REGISTER has there (private.go), with PrivateTraffic among its flags:
//
//	u16 locals | u16 remotes | u32 reserved = 0 | locals, then remotes, each:
//	    from[16] | to[16] | u16 first port | u16 last port | u8 protocol, 0: any | u8 family: 4 or 6 | u16 reserved = 0
//
// Numbers are in host order, addresses as in a packet, IPv4 in the first four octets and zeros. Local is the side of the host that has the SA,
// whichever way it goes. What is parsed is a privileged client's; nothing of it is kept that is not an address range of one family.

package pfkey

import (
	"errors"
	"net/netip"
)

// MaxTraffic is how many selectors of each side an SA has at most: as many as an extension has room for.
const MaxTraffic = 50

const (
	trafficHead    = 8  // behind what every private extension has
	trafficSpanLen = 40 // one selector
)

// errTraffic: the caller says where it stands.
var errTraffic = errors.New("traffic of an SA: expected 1 to 50 selectors of each side, each a range of addresses of one family and a range of ports")

// TrafficSpan is a range of addresses and ports. Of ICMP a port is type and code, as in IKEv2.
type TrafficSpan struct {
	From, To         netip.Addr
	PortFrom, PortTo uint16
	Proto            uint8
}

// Traffic is what an SA carries: what lies in one of each.
type Traffic struct{ Local, Remote []TrafficSpan }

func (s *TrafficSpan) valid() bool {
	from, to := s.From, s.To
	return from.IsValid() && from.Zone() == "" && to.Zone() == "" && !from.Is4In6() && !to.Is4In6() && from.BitLen() == to.BitLen() && !to.Less(from) &&
		s.PortFrom <= s.PortTo
}

func (t *Traffic) valid() bool {
	for _, list := range [...][]TrafficSpan{t.Local, t.Remote} {
		if len(list) == 0 || len(list) > MaxTraffic {
			return false
		}
		for i := range list {
			if !list[i].valid() {
				return false
			}
		}
	}
	return true
}

// PrivateTraffic makes the extension of an ADD or UPDATE.
func (c Codec) PrivateTraffic(t *Traffic) (*Opaque, error) {
	if !t.valid() {
		return nil, errTraffic
	}
	o, order := c.Private(PrivateTraffic), c.order()
	o.Data = append(o.Data, make([]byte, trafficHead+(len(t.Local)+len(t.Remote))*trafficSpanLen)...)
	b := o.Data[privateLen:]
	order.PutUint16(b, uint16(len(t.Local)))
	order.PutUint16(b[2:], uint16(len(t.Remote)))
	b = b[trafficHead:]
	for _, list := range [...][]TrafficSpan{t.Local, t.Remote} {
		for _, s := range list {
			copy(b, s.From.AsSlice())
			copy(b[16:], s.To.AsSlice())
			order.PutUint16(b[32:], s.PortFrom)
			order.PutUint16(b[34:], s.PortTo)
			b[36], b[37] = s.Proto, 4
			if s.From.Is6() {
				b[37] = 6
			}
			b = b[trafficSpanLen:]
		}
	}
	return o, nil
}

// Traffic reads it; nil: the extension is absent, another's, or says nothing of traffic.
func (c Codec) Traffic(o *Opaque) (*Traffic, error) {
	if c.PrivateFlags(o)&PrivateTraffic == 0 {
		return nil, nil
	}
	order, b := c.order(), o.Data[privateLen:]
	if len(b) < trafficHead || order.Uint32(b[4:]) != 0 {
		return nil, errTraffic
	}
	locals, remotes := int(order.Uint16(b)), int(order.Uint16(b[2:]))
	b = b[trafficHead:]
	if locals > MaxTraffic || remotes > MaxTraffic || len(b) != (locals+remotes)*trafficSpanLen {
		return nil, errTraffic
	}
	list := make([]TrafficSpan, 0, locals+remotes)
	for ; len(b) > 0; b = b[trafficSpanLen:] {
		s := TrafficSpan{PortFrom: order.Uint16(b[32:]), PortTo: order.Uint16(b[34:]), Proto: b[36]}
		from, ok := trafficAddr(b[:16], b[37])
		to, too := trafficAddr(b[16:32], b[37])
		if !ok || !too || b[38] != 0 || b[39] != 0 {
			return nil, errTraffic
		}
		s.From, s.To = from, to
		list = append(list, s)
	}
	t := &Traffic{Local: list[:locals:locals], Remote: list[locals:]}
	if !t.valid() {
		return nil, errTraffic
	}
	return t, nil
}

func trafficAddr(b []byte, family uint8) (netip.Addr, bool) {
	switch family {
	case 4:
		return netip.AddrFrom4([4]byte(b[:4])), [12]byte(b[4:16]) == [12]byte{}
	case 6:
		return netip.AddrFrom16([16]byte(b)), true
	}
	return netip.Addr{}, false
}
