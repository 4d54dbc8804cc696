// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Packets that a test sends from outside.

package host

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// sendSize sends one datagram of so many octets, which the sender's own interface may have to fragment.
func sendSize(t *testing.T, ns string, to netip.AddrPort, size int) {
	t.Helper()
	in(t, ns, func() {
		conn, err := net.Dial("udp", to.String())
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, err := conn.Write(make([]byte, size)); err != nil {
			t.Error(err)
		}
	})
}

// tooBig sends an ICMP error to local that says: its datagram from port to peer, port 4500, was too large for mtu.
func tooBig(t *testing.T, ns string, local, peer netip.Addr, port uint16, mtu int) {
	t.Helper()
	quote := quotedUDP(local, peer, port)
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	msg := append([]byte{3, 4, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}, quote...)
	var sa unix.Sockaddr
	if local.Is6() {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6 // the kernel fills in the checksum
		msg = append([]byte{2, 0, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}, quote...)
		sa = &unix.SockaddrInet6{Addr: local.As16()}
	} else {
		sa = &unix.SockaddrInet4{Addr: local.As4()}
		binary.BigEndian.PutUint16(msg[2:], checksum(msg))
	}
	in(t, ns, func() {
		fd, err := unix.Socket(family, unix.SOCK_RAW, proto)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(fd)
		if err := unix.Sendto(fd, msg, 0, sa); err != nil {
			t.Error(err)
		}
	})
}

// quotedUDP is the beginning of a datagram of 1472 octets, as a router quotes it.
func quotedUDP(from, to netip.Addr, port uint16) []byte {
	udp := make([]byte, 8+64)
	binary.BigEndian.PutUint16(udp, port)
	binary.BigEndian.PutUint16(udp[2:], 4500)
	binary.BigEndian.PutUint16(udp[4:], 8+1472)
	if from.Is6() {
		h := make([]byte, 40)
		h[0], h[6], h[7] = 0x60, unix.IPPROTO_UDP, 64
		binary.BigEndian.PutUint16(h[4:], 8+1472)
		copy(h[8:], from.AsSlice())
		copy(h[24:], to.AsSlice())
		return append(h, udp...)
	}
	h := make([]byte, 20)
	h[0], h[8], h[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(h[2:], 28+1472)
	copy(h[12:], from.AsSlice())
	copy(h[16:], to.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, udp...)
}

func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
