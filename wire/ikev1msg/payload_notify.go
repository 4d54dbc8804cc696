// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Notification payload (RFC 2408, Section 3.14; RFC 2407, Section 4.6.3; RFC 3706, Section 5.3) and what the data of the
// notifies that have any says. A notify proves nothing unless a HASH covers it; that is for whoever reads it.

package ikev1msg

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/wire"
)

// Notify is the Notification payload. SPI is empty, an SPI of AH or ESP, or of phase 1 the cookies: both, or one, or what a
// peer has put there (RFC 2408, Section 3.14: 0 to 16 octets, which receivers ignore).
type Notify struct {
	DOI      uint32
	Protocol Protocol
	SPI      []byte
	Notify   NotifyType
	Data     []byte
}

// Type implements Payload.
func (*Notify) Type() PayloadType { return TypeNotify }

func (p *Notify) summary() string {
	if len(p.SPI) == 4 {
		return fmt.Sprintf("N(%s %s)", p.Notify, hex.EncodeToString(p.SPI))
	}
	return fmt.Sprintf("N(%s)", p.Notify)
}

func parseNotify(b []byte) (*Notify, error) {
	r := wire.NewReader(b)
	p := &Notify{DOI: r.U32("DOI"), Protocol: Protocol(r.U8("protocol"))}
	n := int(r.U8("SPI size"))
	p.Notify = NotifyType(r.U16("notify type"))
	p.SPI = r.Bytes("SPI", n)
	p.Data = r.Rest()
	if r.Err() != nil {
		return nil, r.Err()
	}
	if n > maxSPI {
		return nil, fmt.Errorf("SPI size %d, expected at most %d", n, maxSPI)
	}
	return p, checkDOI(p.DOI)
}

// checkDOI takes the generic DOI beside that of IPsec: peers send errors of phase 1 with it.
func checkDOI(doi uint32) error {
	if doi != DOIIPsec && doi != DOIISAKMP {
		return fmt.Errorf("DOI %d, expected %d or %d", doi, DOIISAKMP, DOIIPsec)
	}
	return nil
}

func (p *Notify) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, p.DOI)
	dst = append(dst, uint8(p.Protocol), uint8(len(p.SPI)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(p.Notify))
	return append(append(dst, p.SPI...), p.Data...)
}

// Sequence is the sequence number of R-U-THERE and its ACK (RFC 3706, Section 5.3).
func (p *Notify) Sequence() (uint32, error) {
	if p.Protocol != ProtoISAKMP || len(p.SPI) != CookiePair || len(p.Data) != 4 {
		return 0, fmt.Errorf("%s: protocol %s, SPI of %d octets, data of %d, expected ISAKMP, %d, 4",
			p.Notify, p.Protocol, len(p.SPI), len(p.Data), CookiePair)
	}
	return binary.BigEndian.Uint32(p.Data), nil
}

// Lifetime is what RESPONDER-LIFETIME says (RFC 2407, Section 4.6.3.1), by the numbers of the SA it is about.
func (p *Notify) Lifetime() (Lifetime, error) {
	list, err := parseAttributes(p.Data)
	if err != nil {
		return Lifetime{}, err
	}
	if p.Protocol == ProtoISAKMP {
		return parseLifetime(list, AttrLifeType, AttrLifeDuration)
	}
	return parseLifetime(list, AttrSALifeType, AttrSALifeDuration)
}

// LifetimeData is the data of a RESPONDER-LIFETIME about an SA of a protocol.
func LifetimeData(p Protocol, l Lifetime) []byte {
	kind, duration := uint16(AttrSALifeType), uint16(AttrSALifeDuration)
	if p == ProtoISAKMP {
		kind, duration = AttrLifeType, AttrLifeDuration
	}
	return appendAttributes(nil, l.append(nil, kind, duration))
}

// Replay is what REPLAY-STATUS says (RFC 2407, Section 4.6.3.2): whether the responder looks for repeated packets.
func (p *Notify) Replay() (bool, error) {
	if len(p.Data) != 4 {
		return false, fmt.Errorf("%s: data of %d octets, expected 4", p.Notify, len(p.Data))
	}
	v := binary.BigEndian.Uint32(p.Data)
	if v > 1 {
		return false, fmt.Errorf("%s: %d, expected 0 or 1", p.Notify, v)
	}
	return v == 1, nil
}

// Gateway is the address that UNITY_LOAD_BALANCE sends a client to; the exchange starts again there, on port 500.
func (p *Notify) Gateway() (netip.Addr, error) {
	addr, ok := netip.AddrFromSlice(p.Data)
	if !ok || !addr.Is4() {
		return netip.Addr{}, fmt.Errorf("%s: data of %d octets, expected an IPv4 address of 4", p.Notify, len(p.Data))
	}
	return addr, nil
}
