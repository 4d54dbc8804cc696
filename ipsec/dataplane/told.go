// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What routers between two gateways say of sizes: RFC 1191, RFC 4443, Section 3.2. The outer packets of a tunnel that lies in another tunnel
// meet the Internet behind the outer gateway; an ICMP message about one of them comes back through the outer tunnel and nowhere
// else. Who writes it is anybody there: it is believed as one from outside is (sadb.DB.PathEvent), and delivered as well.

package dataplane

import (
	"encoding/binary"
	"net/netip"
)

// told looks at an ICMP message to this side that an SA has delivered. Locks: the inbound half in hand is held (Inbound.take), and below
// db.mu; so nothing here may take db.mu, and sadb.DB.TooBig does not. It takes the lock of an SA that seals: one that opens is never
// such, so that nobody who has that one waits for this.
func (in *Inbound) told(p []byte) {
	i := &in.in
	if i.upper == 0 || i.fragment || i.n < i.upper+icmpHeader {
		return
	}
	icmp := p[i.upper:i.n]
	quoted, mtu := icmp[icmpHeader:], 0
	switch {
	case i.flow.Proto == protoICMP && icmp[0] == 3 && icmp[1] == 4:
		mtu = int(binary.BigEndian.Uint16(icmp[6:]))
	case i.flow.Proto == protoICMPv6 && icmp[0] == 2:
		mtu = int(min(binary.BigEndian.Uint32(icmp[4:]), maxPacket))
	default:
		return
	}
	proto, dst, body := quotedOf(quoted)
	switch {
	case proto == protoESP && len(body) >= 8:
	case proto == protoAH && len(body) >= 12:
		body = body[4:]
	default:
		return
	}
	spi, seq := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
	in.e.db.TooBig(in.now, proto, netip.AddrPortFrom(dst, 0), spi, seq, mtu)
}

// quotedOf reads the header of a quoted packet, which may be cut off behind it.
func quotedOf(p []byte) (proto uint8, dst netip.Addr, body []byte) {
	switch {
	case len(p) >= ipv4Header && p[0]>>4 == 4:
		if h := int(p[0]&15) * 4; h >= ipv4Header && h <= len(p) {
			return p[9], netip.AddrFrom4([4]byte(p[16:20])), p[h:]
		}
	case len(p) >= ipv6Header && p[0]>>4 == 6:
		return p[6], netip.AddrFrom16([16]byte(p[24:40])), p[ipv6Header:]
	}
	return 0, netip.Addr{}, nil
}
