// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The error queue of a Linux socket (IP_RECVERR): ICMP messages about datagrams that were sent, and this host's own
// refusals. An ICMP message is anybody's; it becomes a PathEvent and changes nothing here.

package udp

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// eventRing keeps the newest path events for the caller.
type eventRing struct {
	some atomic.Bool
	mu   sync.Mutex // protects the rest; held while the error queue is drained
	list [maxEvents]PathEvent
	n    int

	// scratch of one recvmsg
	hdr     unix.Msghdr
	iov     unix.Iovec
	name    sockaddr
	control control
	payload [maxQuoted]byte
}

func (r *eventRing) pending() bool { return r.some.Load() }

// PathEvents moves the events since the last call into dst, the oldest first, and returns how many there are. Ask after
// every ReadBatch and whenever WriteBatch returned an error.
func (c *Conn) PathEvents(dst []PathEvent) int {
	r := &c.events
	if !r.pending() {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := copy(dst, r.list[:r.n])
	copy(r.list[:], r.list[n:r.n])
	r.n -= n
	r.some.Store(r.n > 0)
	return n
}

// drainErrors empties the kernel's error queue into the ring.
func (c *Conn) drainErrors() {
	_ = c.raw.Control(func(fd uintptr) { c.drainErrorsOf(fd) })
}

func (c *Conn) drainErrorsOf(fd uintptr) {
	r := &c.events
	r.mu.Lock()
	defer r.mu.Unlock()
	for range 4 * maxEvents { // bounded: a flood of ICMP must not hold the reader here
		n, ok := r.recv(fd)
		if !ok {
			return
		}
		var e PathEvent
		if !r.parse(n, &e) {
			continue
		}
		if r.n == maxEvents {
			copy(r.list[:], r.list[1:])
			r.n--
			c.n.eventsLost.Add(1)
		}
		r.list[r.n] = e
		r.n++
		r.some.Store(true)
	}
}

func (r *eventRing) recv(fd uintptr) (int, bool) {
	r.iov.Base = &r.payload[0]
	r.iov.SetLen(maxQuoted)
	r.hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&r.name)), Namelen: uint32(unsafe.Sizeof(r.name)), Iov: &r.iov, Control: &r.control.bytes()[0]}
	r.hdr.SetIovlen(1)
	r.hdr.SetControllen(controlSize)
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&r.hdr)), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	return int(n), errno == 0
}

// parse fills e from what recv got; false if it is no path event.
func (r *eventRing) parse(n int, e *PathEvent) bool {
	for off := 0; ; {
		cm, data, next, ok := r.control.next(off, int(r.hdr.Controllen))
		if !ok {
			return false
		}
		off = next
		v4 := cm.Level == unix.IPPROTO_IP && cm.Type == unix.IP_RECVERR
		v6 := cm.Level == unix.IPPROTO_IPV6 && cm.Type == unix.IPV6_RECVERR
		if !v4 && !v6 || len(data) < int(unsafe.Sizeof(unix.SockExtendedErr{})) {
			continue
		}
		errno, origin := unix.Errno(binary.NativeEndian.Uint32(data)), data[4]
		e.Type, e.Code = data[5], data[6]
		e.ThisHost = origin == unix.SO_EE_ORIGIN_LOCAL
		if !e.ThisHost && origin != unix.SO_EE_ORIGIN_ICMP && origin != unix.SO_EE_ORIGIN_ICMP6 {
			return false
		}
		e.Kind = PathUnreachable
		if errno == unix.EMSGSIZE {
			e.Kind, e.MTU = PathMTU, int(binary.NativeEndian.Uint32(data[8:]))
		}
		e.Offender = offender(data[unsafe.Sizeof(unix.SockExtendedErr{}):])
		if r.hdr.Namelen > 0 {
			e.Remote = addrPort(&r.name)
		}
		e.quotedLen = uint8(copy(e.quoted[:], r.payload[:min(n, maxQuoted)]))
		return e.Remote.IsValid()
	}
}

// offender reads the address behind a struct sock_extended_err.
func offender(data []byte) (a netip.Addr) {
	if len(data) < 2 {
		return a
	}
	switch family := binary.NativeEndian.Uint16(data); {
	case family == unix.AF_INET && len(data) >= 8:
		return netip.AddrFrom4([4]byte(data[4:8]))
	case family == unix.AF_INET6 && len(data) >= 24:
		return netip.AddrFrom16([16]byte(data[8:24]))
	}
	return a
}
