// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Socket addresses and control messages of Linux, read and written in place so that a batch costs no allocation. Control
// messages come from the kernel; their lengths are checked against the buffer all the same.

package udp

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr: a header and the octets that were received or sent.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [unsafe.Sizeof(uintptr(0)) - 4]byte
}

// sockaddr holds a sockaddr_in or a sockaddr_in6.
type sockaddr = unix.RawSockaddrInet6

// controlSize holds all control messages of one message (PKTINFO, TOS, UDP_GRO or UDP_SEGMENT, SO_RXQ_OVFL, an
// extended error with its offender), with room to spare.
const controlSize = 192

// control is aligned as a cmsghdr must be.
type control [controlSize / 8]uint64

func (b *control) bytes() []byte {
	return (*[controlSize]byte)(unsafe.Pointer(b))[:]
}

// put appends one control message of n octets at off and returns its data and the next offset.
func (b *control) put(off, level, typ, n int) ([]byte, int) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b.bytes()[off]))
	h.Level, h.Type = int32(level), int32(typ)
	h.SetLen(unix.CmsgLen(n))
	from := off + unix.CmsgLen(0)
	return b.bytes()[from : from+n], off + unix.CmsgSpace(n)
}

// next returns the control message at off of the first limit octets; ok is false at the end.
func (b *control) next(off, limit int) (h *unix.Cmsghdr, data []byte, following int, ok bool) {
	if limit > controlSize || off+unix.SizeofCmsghdr > limit {
		return nil, nil, 0, false
	}
	h = (*unix.Cmsghdr)(unsafe.Pointer(&b.bytes()[off]))
	n := int(h.Len)
	if n < unix.CmsgLen(0) || off+n > limit {
		return nil, nil, 0, false
	}
	return h, b.bytes()[off+unix.CmsgLen(0) : off+n], off + unix.CmsgSpace(n-unix.CmsgLen(0)), true
}

// addrPort reads what the kernel wrote. A link-local address gets its interface as zone.
func addrPort(sa *sockaddr) netip.AddrPort {
	if sa.Family == unix.AF_INET {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), ntohs(sa4.Port))
	}
	if sa.Family != unix.AF_INET6 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(withZone(netip.AddrFrom16(sa.Addr), sa.Scope_id), ntohs(sa.Port))
}

func withZone(a netip.Addr, index uint32) netip.Addr {
	if index == 0 || !a.IsLinkLocalUnicast() {
		return a
	}
	return a.WithZone(strconv.FormatUint(uint64(index), 10))
}

// setAddr writes to as the address of a message and returns its length; zero if it is not of the socket's family.
func (c *Conn) setAddr(sa *sockaddr, to netip.AddrPort) uint32 {
	a, port := to.Addr().Unmap(), to.Port()
	if c.protocol != 0 {
		port = 0
	}
	if !a.IsValid() || a.Is6() != c.v6 {
		return 0
	}
	if a.Is4() {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		*sa4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: htons(port), Addr: a.As4()}
		return unix.SizeofSockaddrInet4
	}
	*sa = sockaddr{Family: unix.AF_INET6, Port: htons(port), Addr: a.As16(), Scope_id: scope(a)}
	return unix.SizeofSockaddrInet6
}

// scope reads the zone that withZone made, or an interface's name.
func scope(a netip.Addr) uint32 {
	zone := a.Zone()
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	return zoneID(zone)
}

// ntohs: the kernel keeps a port in network order whatever the machine's is.
func ntohs(port uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&port))[:])
}

func htons(port uint16) uint16 { return ntohs(port) }
