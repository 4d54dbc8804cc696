// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Dialects: which number an extension has, how long a sockaddr of which family is (NATT.md, Section 1.5; pfkeyv2.h of each system).

package pfkey

import (
	"encoding/binary"
	"fmt"
)

// Dialect is the PF_KEY of one family of systems. The zero value is FreeBSD.
type Dialect uint8

// The dialects.
const (
	// FreeBSD is FreeBSD since 11, and KAME's numbers. Beyond its kernel's: SADB_X_NAT_T_NEW_MAPPING, with NetBSD's number.
	FreeBSD Dialect = iota
	// NetBSD is NetBSD, and ipsec-tools where it was built against KAME.
	NetBSD
	// Linux is af_key.
	Linux
	// OpenBSD can be parsed and not appended: its SPD messages are others.
	OpenBSD
)

// String is the dialect's name in options.
func (d Dialect) String() string {
	switch d {
	case FreeBSD:
		return "freebsd"
	case NetBSD:
		return "netbsd"
	case Linux:
		return "linux"
	case OpenBSD:
		return "openbsd"
	}
	return fmt.Sprintf("dialect-%d", uint8(d))
}

// ParseDialect is the inverse of String, for the three dialects that can be served.
func ParseDialect(name string) (Dialect, error) {
	for _, d := range [...]Dialect{FreeBSD, NetBSD, Linux} {
		if name == d.String() {
			return d, nil
		}
	}
	return 0, fmt.Errorf("dialect %.20q: expected freebsd, netbsd or linux", name)
}

// Codec parses and appends the messages of one dialect in one byte order. It is a value without state.
type Codec struct {
	Dialect Dialect
	// Order is the byte order of the host; nil is little endian.
	Order binary.ByteOrder
}

func (c Codec) order() binary.ByteOrder {
	if c.Order == nil {
		return binary.LittleEndian
	}
	return c.Order
}

// The address families and the sizes of their sockaddr. AF_INET is the same everywhere.
const (
	afInet       = 2
	sockaddrIn   = 16
	sockaddrIn6  = 28
	bitsInet     = 32
	bitsInet6    = 128
	octetsInWord = 8 // lengths in PF_KEY are in words of 64 bits (RFC 2367, Section 2.1)
)

// afInet6 is the number of AF_INET6.
func (d Dialect) afInet6() uint16 {
	switch d {
	case FreeBSD:
		return 28
	case Linux:
		return 10
	}
	return 24
}

// saLen reports whether a sockaddr begins with its length.
func (d Dialect) saLen() bool { return d != Linux }

// maxType is the largest message type.
func (d Dialect) maxType() Type {
	switch d {
	case Linux:
		return TypeMigrate
	case OpenBSD:
		return 16
	}
	return TypeNewMapping
}

// Number is the extension's number in the dialect; 0 where the dialect has none.
func (d Dialect) Number(t ExtType) uint16 {
	if d == OpenBSD && t > openBSDBase {
		return uint16(t - openBSDBase)
	}
	if t <= ExtSPIRange {
		return uint16(t)
	}
	switch {
	case d == OpenBSD:
		return 0
	case t <= ExtNATOAi:
		return uint16(t)
	case d == Linux && (t == ExtSecCtx || t == ExtKMAddress || t == ExtFilter):
		return uint16(t - linuxBase)
	case d == FreeBSD && t <= ExtIfHWOffload, d == NetBSD && t <= ExtNATFrag:
		return uint16(t)
	}
	return 0
}

// ext is the extension that has the number in the dialect; ok is false where it is unknown.
func (d Dialect) ext(number uint16) (t ExtType, ok bool) {
	t = ExtType(number)
	switch {
	case number == 0 || t >= linuxBase: // beyond all numbers, and before an addition could overflow
		return 0, false
	case t <= ExtSPIRange:
		return t, true
	case d == OpenBSD:
		return openBSDBase + t, t <= openBSDMax
	case d == Linux && t > ExtNATOAi:
		t += linuxBase
		return t, t <= ExtFilter
	}
	return t, d.Number(t) == number
}
