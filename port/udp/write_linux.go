// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Writing a batch with sendmmsg. Consecutive datagrams of one flow and size leave as one UDP_SEGMENT send; where the
// kernel refuses that, they are sent one by one and, if that works, segmentation is off from then on. Nothing here is
// attacker controlled but the destinations, which the caller has authenticated or answers.

package udp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxIovs bounds the pieces of one sendmmsg; datagrams that follow each other in memory are one piece.
const maxIovs = 512

var errFamily = errors.New("remote: not an address of the socket's family")

// group is one header of a sendmmsg: a datagram, or a run of datagrams of seg octets of which only the last is shorter.
type group struct {
	remote, local netip.AddrPort
	tos           uint8
	seg, count    int
	octets        int
	closed        bool // the last datagram was shorter
	iov, iovs     int  // its pieces in writer.iovs
}

// writer is the scratch of WriteBatch, under its own lock.
type writer struct {
	mu      sync.Mutex
	c       *Conn
	hdrs    [BatchSize]mmsghdr
	names   [BatchSize]sockaddr
	control [BatchSize]control
	groups  [BatchSize]group
	iovs    [maxIovs]unix.Iovec
	n, used int // groups and pieces in use
	from    int // the first group not yet sent
	sent    int
	first   error
	one     mmsghdr // scratch of single
	oneIov  unix.Iovec
	call    func(fd uintptr) bool
	df      func(fd uintptr) bool
	wantDF  bool
	dfErr   error
}

func (w *writer) init(c *Conn) {
	w.c = c
	w.call = w.send
	w.df = func(fd uintptr) bool {
		w.dfErr = c.setDF(int(fd), w.wantDF)
		return true
	}
}

// WriteBatch sends Buf[:N] of every message in order and waits while the socket's buffer is full. It returns how many
// datagrams the system took and the first refusal; what comes after a refused datagram is sent all the same.
func (c *Conn) WriteBatch(msgs []Message) (int, error) {
	w := &c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.first = 0, nil
	w.n, w.used, w.from = 0, 0, 0
	for i := range msgs {
		m := &msgs[i]
		if m.N <= 0 {
			continue
		}
		fragment := m.Fragment && c.df
		if fragment {
			w.switchDF(false)
		}
		w.message(m)
		if fragment {
			w.switchDF(true)
		}
	}
	w.flush()
	return w.sent, w.first
}

// switchDF sends what is collected and changes DF for what follows: IPv4 has no control message for it.
func (w *writer) switchDF(on bool) {
	w.flush()
	w.wantDF = on
	if err := w.c.raw.Write(w.df); err != nil {
		w.refuse(1, err)
	} else if w.dfErr != nil {
		w.refuse(0, w.dfErr)
	}
}

func (w *writer) message(m *Message) {
	if a := m.Remote.Addr().Unmap(); !a.IsValid() || a.Is6() != w.c.v6 {
		w.refuse(1, errFamily)
		return
	}
	if m.SegSize <= 0 || m.SegSize >= m.N {
		w.add(m, m.Buf[:m.N])
		return
	}
	for off := 0; off < m.N; off += m.SegSize {
		w.add(m, m.Buf[off:min(off+m.SegSize, m.N)])
	}
}

// add appends one datagram to the group in hand or begins another.
func (w *writer) add(m *Message, b []byte) {
	if w.n > 0 && w.c.gso.Load() && w.extend(&w.groups[w.n-1], m, b) {
		return
	}
	if w.n == BatchSize || w.used == maxIovs {
		w.flush()
	}
	g := &w.groups[w.n]
	*g = group{remote: m.Remote, local: m.Local, tos: m.TOS, seg: len(b), count: 1, octets: len(b), iov: w.used, iovs: 1}
	w.iovs[w.used].Base = &b[0]
	w.iovs[w.used].SetLen(len(b))
	w.n++
	w.used++
}

// extend puts b into g if it belongs to the run.
func (w *writer) extend(g *group, m *Message, b []byte) bool {
	if g.closed || len(b) > g.seg || g.count == maxSegments || g.octets+len(b) > maxRun || g.tos != m.TOS || g.remote != m.Remote || g.local != m.Local {
		return false
	}
	last := &w.iovs[g.iov+g.iovs-1]
	if unsafe.Add(unsafe.Pointer(last.Base), int(last.Len)) == unsafe.Pointer(&b[0]) {
		last.SetLen(int(last.Len) + len(b))
	} else {
		if w.used == maxIovs {
			return false
		}
		w.iovs[w.used].Base = &b[0]
		w.iovs[w.used].SetLen(len(b))
		w.used++
		g.iovs++
	}
	g.closed = len(b) < g.seg
	g.octets += len(b)
	g.count++
	return true
}

// flush sends the groups collected.
func (w *writer) flush() {
	if w.n == 0 {
		return
	}
	for i := range w.n {
		w.arm(i)
	}
	w.from = 0
	if err := w.c.raw.Write(w.call); err != nil {
		for _, g := range w.groups[w.from:w.n] {
			w.refuse(g.count, w.c.failed(err))
		}
	}
	clear(w.iovs[:w.used]) // the caller's buffers are not kept alive
	w.n, w.used, w.from = 0, 0, 0
}

// arm makes the header of the i-th group.
func (w *writer) arm(i int) {
	g, h := &w.groups[i], &w.hdrs[i].hdr
	*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&w.names[i])), Namelen: w.c.setAddr(&w.names[i], g.remote), Iov: &w.iovs[g.iov]}
	h.SetIovlen(g.iovs)
	b := &w.control[i]
	off := w.c.putSource(b, g)
	if g.count > 1 {
		var data []byte
		data, off = b.put(off, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
		binary.NativeEndian.PutUint16(data, uint16(g.seg))
	}
	if off > 0 {
		h.Control = &b.bytes()[0]
		h.SetControllen(off)
	}
}

// putSource appends the control messages of the address to send from and the TOS octet.
func (c *Conn) putSource(b *control, g *group) int {
	off := 0
	var data []byte
	if src := g.local.Addr().Unmap(); !c.pinned && src.IsValid() && !src.IsUnspecified() && src.Is6() == c.v6 {
		if c.v6 {
			data, off = b.put(off, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
			*(*[16]byte)(data) = src.As16()
			binary.NativeEndian.PutUint32(data[16:], scope(src))
		} else {
			data, off = b.put(off, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
			clear(data)
			*(*[4]byte)(data[4:]) = src.As4()
		}
	}
	if g.tos != 0 {
		level, typ := unix.IPPROTO_IP, unix.IP_TOS
		if c.v6 {
			level, typ = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		}
		data, off = b.put(off, level, typ, 4)
		binary.NativeEndian.PutUint32(data, uint32(g.tos))
	}
	return off
}

// send is the callback of the poller: it returns false to be called again when the socket is writable.
func (w *writer) send(fd uintptr) bool {
	retried := -1
	for w.from < w.n {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.hdrs[w.from])), uintptr(w.n-w.from), unix.MSG_DONTWAIT, 0, 0)
		w.c.n.outCalls.Add(1)
		switch {
		case errno == 0:
			for range int(n) {
				w.took(&w.groups[w.from])
				w.from++
			}
			if w.from < w.n {
				w.c.drainErrorsOf(fd) // something stopped it: often an ICMP message about an earlier datagram
			}
		case errno == unix.EAGAIN:
			return false
		case errno == unix.EINTR:
		case passing(errno) && retried != w.from:
			// An error of an earlier datagram is reported on the next call whatever that sends: try once more.
			retried = w.from
			w.c.drainErrorsOf(fd)
		default:
			w.giveUp(fd, errno)
			w.from++
		}
	}
	return true
}

// giveUp deals with a group that was refused: a run is sent one by one, a datagram is lost.
func (w *writer) giveUp(fd uintptr, errno unix.Errno) {
	g := &w.groups[w.from]
	if g.count == 1 {
		w.refuse(1, errno)
		return
	}
	if errno == unix.EIO {
		w.c.gsoOff("the device cannot segment (EIO)")
	}
	if w.singly(fd, g) && errno == unix.EINVAL {
		// One by one it went: the kernel or the driver cannot segment. (A run too large for a route is refused too.)
		w.c.gsoOff("the kernel refused a run of datagrams (EINVAL)")
	}
}

// singly sends the datagrams of a run one by one and reports whether all were taken.
func (w *writer) singly(fd uintptr, g *group) bool {
	all := true
	w.one = w.hdrs[w.from]
	h := &w.one.hdr
	h.Iov = &w.oneIov
	h.SetIovlen(1)
	single := *g
	single.count = 1
	off := w.c.putSource(&w.control[w.from], &single)
	h.SetControllen(off)
	if off == 0 {
		h.Control = nil
	}
	for _, piece := range w.iovs[g.iov : g.iov+g.iovs] {
		whole := unsafe.Slice(piece.Base, int(piece.Len))
		for from := 0; from < len(whole); from += g.seg {
			b := whole[from:min(from+g.seg, len(whole))]
			w.oneIov.Base = &b[0]
			w.oneIov.SetLen(len(b))
			if errno := sendOne(fd, h); errno != 0 {
				all = false
				w.refuse(1, errno)
				continue
			}
			single.octets = len(b)
			w.took(&single)
		}
	}
	return all
}

// sendOne waits for room by itself: this is the slow path of a socket that was just found to need it.
func sendOne(fd uintptr, h *unix.Msghdr) unix.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(h)), 0)
		switch errno {
		case unix.EINTR:
		case unix.EAGAIN:
			p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			_, _ = unix.Poll(p[:], 10)
		default:
			return errno
		}
	}
}

func (w *writer) took(g *group) {
	w.sent += g.count
	w.c.n.out.Add(uint64(g.count))
	w.c.n.outOctets.Add(uint64(g.octets))
}

func (w *writer) refuse(datagrams int, err error) {
	w.c.n.refused.Add(uint64(datagrams))
	if w.first == nil {
		w.first = err
	}
}
