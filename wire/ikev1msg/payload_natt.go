// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The NAT-D and NAT-OA payloads (RFC 3947, Sections 3.2 and 5.2) under the three numbers that they have had. Neither is
// covered by a hash in phase 1. Which number counts, in which order they stand and how many there are depends on the
// vendor ID that both sides sent (NATT): the payloads of other numbers are read, and mean nothing.

package ikev1msg

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/wire"
)

// NATD is a NAT-D payload: a hash of the SA's cookies, an address and a port, as long as the negotiated hash. Any length is
// read, as one that does not fit says no more than one that differs. Num is TypeNATD, TypeNATD15 or TypeNATD130.
type NATD struct {
	Num  PayloadType
	Data []byte
}

// Type implements Payload.
func (p *NATD) Type() PayloadType { return p.Num }

func (p *NATD) summary() string { return p.Num.String() }

func (p *NATD) append(dst []byte) []byte { return append(dst, p.Data...) }

// NATOA is a NAT-OA payload: an original address. Num is TypeNATOA, TypeNATOA16 or TypeNATOA131.
type NATOA struct {
	Num  PayloadType
	Addr netip.Addr
}

// Type implements Payload.
func (p *NATOA) Type() PayloadType { return p.Num }

func (p *NATOA) summary() string { return p.Num.String() }

// parseNATOA reads a NAT-OA payload. What has number 16 and is not one may be GDOI's, and is kept as Unknown.
func parseNATOA(t PayloadType, b []byte) (Payload, error) {
	addr, err := parseOA(b)
	switch {
	case err == nil:
		return &NATOA{Num: t, Addr: addr}, nil
	case t == TypeNATOA16:
		return &Unknown{Num: t, Body: b}, nil
	}
	return nil, err
}

func parseOA(b []byte) (netip.Addr, error) {
	r := wire.NewReader(b)
	kind, reserved := IDType(r.U8("ID type")), r.Bytes("reserved", 3)
	rest := r.Rest()
	switch {
	case r.Err() != nil:
		return netip.Addr{}, r.Err()
	case kind != IDIPv4 && kind != IDIPv6:
		return netip.Addr{}, fmt.Errorf("%s, expected an address", kind)
	case string(reserved) != "\x00\x00\x00":
		return netip.Addr{}, errors.New("reserved octets not zero")
	case len(rest) != kind.length():
		return netip.Addr{}, fmt.Errorf("%s: %d octets, expected %d", kind, len(rest), kind.length())
	}
	addr, _ := netip.AddrFromSlice(rest)
	return addr, nil
}

func (p *NATOA) append(dst []byte) []byte {
	kind := IDIPv6
	if p.Addr.Is4() {
		kind = IDIPv4
	}
	dst = append(dst, uint8(kind), 0, 0, 0)
	return append(dst, p.Addr.AsSlice()...)
}
