// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Reading a batch with recvmmsg. Datagrams and their sources are anybody's; the control messages are the kernel's.

package udp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// ipHeader is the room for the IPv4 header that a raw socket delivers; options, if any, land in front of the payload.
	ipHeader = 20
	// ip6Header is the header that is made for a raw IPv6 socket, which delivers none.
	ip6Header = 40
)

// reader is the scratch of ReadBatch, under its own lock.
type reader struct {
	mu      sync.Mutex
	c       *Conn
	hdrs    [BatchSize]mmsghdr
	iovs    [BatchSize][2]unix.Iovec
	names   [BatchSize]sockaddr
	control [BatchSize]control
	heads   [BatchSize][ipHeader]byte
	hops    [BatchSize]uint8 // of the packets read
	want    int
	got     int
	errno   unix.Errno
	call    func(fd uintptr) bool // made once: a closure made per call would be an allocation
	drops   uint32                // the kernel's count of overflows so far
}

func (r *reader) init(c *Conn) {
	r.c = c
	r.call = r.recv
}

// ReadBatch waits for datagrams and fills msgs from the front; each Buf should hold MaxDatagram octets. A message with N
// zero is to be skipped. It returns no message and no error if there are only path events to be fetched.
func (c *Conn) ReadBatch(msgs []Message) (int, error) {
	if len(msgs) == 0 {
		return 0, errors.New("messages: none, expected at least one buffer")
	}
	r := &c.r
	r.mu.Lock()
	defer r.mu.Unlock()
	r.want = min(len(msgs), BatchSize)
	for i := range r.want {
		if len(msgs[i].Buf) <= c.made() {
			return 0, errors.New("message: buffer of no octets")
		}
		r.arm(i, msgs[i].Buf[c.made():])
	}
	for {
		if err := c.raw.Read(r.call); err != nil {
			return 0, c.failed(err)
		}
		if r.errno == 0 {
			break
		}
		// The error is that of an earlier send (an ICMP message came), or passes: the socket itself is good.
		c.drainErrors()
		if c.events.pending() {
			return 0, nil
		}
		if !passing(r.errno) {
			return 0, r.errno
		}
	}
	c.n.inCalls.Add(1)
	var datagrams, octets uint64
	for i := range r.got {
		d := r.take(i, &msgs[i])
		datagrams += d
		octets += uint64(msgs[i].N)
	}
	c.n.in.Add(datagrams)
	c.n.inOctets.Add(octets)
	return r.got, nil
}

// made is the room for a header that is made here.
func (c *Conn) made() int {
	if c.header && c.v6 {
		return ip6Header
	}
	return 0
}

// arm prepares the i-th header for buf.
func (r *reader) arm(i int, buf []byte) {
	h := &r.hdrs[i].hdr
	iov := &r.iovs[i]
	n := 1
	if r.c.protocol != 0 && !r.c.v6 && !r.c.header {
		// A raw IPv4 socket delivers the IP header as well.
		iov[0].Base = &r.heads[i][0]
		iov[0].SetLen(ipHeader)
		n = 2
	}
	iov[n-1].Base = &buf[0]
	iov[n-1].SetLen(len(buf))
	h.Iov = &iov[0]
	h.SetIovlen(n)
	r.rearm(h, i)
}

// rearm resets what the kernel overwrites.
func (r *reader) rearm(h *unix.Msghdr, i int) {
	h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
	h.Namelen = uint32(unsafe.Sizeof(r.names[i]))
	h.Control = &r.control[i].bytes()[0]
	h.SetControllen(controlSize)
	h.Flags = 0
}

func (r *reader) recv(fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.hdrs[0])), uintptr(r.want), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EAGAIN:
			return false
		case unix.EINTR:
			continue
		}
		r.got, r.errno = int(n), errno
		return true
	}
}

// take moves what the kernel says of the i-th message into m and returns how many datagrams it is.
func (r *reader) take(i int, m *Message) uint64 {
	h := &r.hdrs[i].hdr
	m.N, m.TOS, m.SegSize, m.Fragment, m.Ident = int(r.hdrs[i].n), 0, 0, false, 0
	m.Remote = addrPort(&r.names[i])
	m.Local = r.c.local
	if h.Flags&unix.MSG_TRUNC != 0 {
		r.c.n.truncated.Add(1)
		m.N = 0
		return 0
	}
	b := &r.control[i]
	for off := 0; ; {
		cm, data, next, ok := b.next(off, int(h.Controllen))
		if !ok {
			break
		}
		r.note(cm, data, m)
		if cm.Level == unix.IPPROTO_IPV6 && cm.Type == unix.IPV6_HOPLIMIT && len(data) >= 4 {
			r.hops[i] = uint8(binary.NativeEndian.Uint32(data))
		}
		off = next
	}
	switch {
	case r.c.header && r.c.v6:
		makeIPv6(m, uint8(r.c.protocol), r.hops[i])
	case r.c.protocol != 0 && !r.c.v6 && !r.c.header:
		stripIPv4(r.heads[i][:], m)
	}
	if m.SegSize > 0 && m.SegSize < m.N {
		return uint64((m.N + m.SegSize - 1) / m.SegSize)
	}
	m.SegSize = 0
	return 1
}

// note reads one control message.
func (r *reader) note(cm *unix.Cmsghdr, data []byte, m *Message) {
	port := r.c.local.Port()
	switch {
	case cm.Level == unix.IPPROTO_IP && cm.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		// The destination in the datagram's header, not the address that the host prefers (ipi_spec_dst).
		m.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(data[8:12])), port)
	case cm.Level == unix.IPPROTO_IPV6 && cm.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		m.Local = netip.AddrPortFrom(withZone(netip.AddrFrom16([16]byte(data[:16])), binary.NativeEndian.Uint32(data[16:])), port)
	case cm.Level == unix.IPPROTO_IP && cm.Type == unix.IP_TOS && len(data) >= 1:
		m.TOS = data[0]
	case cm.Level == unix.IPPROTO_IPV6 && cm.Type == unix.IPV6_TCLASS && len(data) >= 4:
		m.TOS = uint8(binary.NativeEndian.Uint32(data))
	case cm.Level == unix.IPPROTO_UDP && cm.Type == unix.UDP_GRO && len(data) >= 4:
		m.SegSize = int(int32(binary.NativeEndian.Uint32(data)))
	case cm.Level == unix.SOL_SOCKET && cm.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
		total := binary.NativeEndian.Uint32(data)
		r.c.n.overflow.Add(uint64(total - r.drops))
		r.drops = total
	}
}

// stripIPv4 accounts for the header in front of a raw packet. Options push the payload back in the buffer.
func stripIPv4(head []byte, m *Message) {
	options := int(head[0]&15)*4 - ipHeader
	if m.N < ipHeader || options < 0 || m.N-ipHeader < options {
		m.N = 0
		return
	}
	m.Ident = binary.BigEndian.Uint16(head[4:])
	m.N -= ipHeader + options
	if options > 0 {
		copy(m.Buf, m.Buf[options:options+m.N])
	}
}

// makeIPv6 puts the header in front of a raw packet, of what the system tells of it (RFC 8200, Section 3).
func makeIPv6(m *Message, protocol, hops uint8) {
	h := m.Buf[:ip6Header]
	clear(h[:8])
	h[0], h[1] = 6<<4|m.TOS>>4, m.TOS<<4
	binary.BigEndian.PutUint16(h[4:], uint16(min(m.N, MaxDatagram)))
	h[6], h[7] = protocol, hops
	src, dst := m.Remote.Addr().As16(), m.Local.Addr().As16()
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
	m.N += ip6Header
}

// passing tells errors that say something about a peer or about memory from those that say the socket is unusable.
func passing(e unix.Errno) bool {
	switch e {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ENETDOWN, unix.EHOSTDOWN, unix.EMSGSIZE, unix.EPROTO,
		unix.ENOPROTOOPT, unix.EACCES, unix.EOPNOTSUPP, unix.ENONET, unix.ENOBUFS, unix.ENOMEM, unix.EINTR, unix.EPERM:
		return true
	}
	return false
}
