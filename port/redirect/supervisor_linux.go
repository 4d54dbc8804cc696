// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The supervisor: it answers the calls that the filter asks about. Whatever is not for PF_KEY goes on at once, from the one
// goroutine that reads; what waits for the server has a goroutine of its own.

package redirect

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/port/unixsocket"
)

const (
	// maxRelays bounds the PF_KEY sockets of a program.
	maxRelays = 256
	// maxWaiting bounds the calls that are carried out at one time, and with them the memory of their messages.
	maxWaiting = 64
	// maxCalls bounds those of them that are of one PF_KEY socket: the calls on a socket whose program does not read wait for long,
	// and must leave room for others.
	maxCalls = 8
)

type supervisor struct {
	listener listener // immutable
	server   string   // immutable: the path of the server's socket
	ports    *ports   // immutable
	log      *slog.Logger
	waiting  chan struct{}
	calls    sync.WaitGroup

	mu     sync.Mutex // protects relays
	relays map[uint64]*relay
}

// serve answers until no process has the filter any more.
func (s *supervisor) serve() error {
	s.listener.preferFast()
	defer s.close()
	var n notification
	for {
		if err := s.listener.next(&n); errors.Is(err, errEnded) {
			return nil
		} else if err != nil {
			return fmt.Errorf("seccomp notification: %w", err)
		}
		s.call(&n)
	}
}

func (s *supervisor) close() {
	s.mu.Lock()
	list := s.relays
	s.relays = nil
	s.mu.Unlock()
	for _, r := range list {
		r.close()
	}
	s.calls.Wait()
	s.ports.close()
}

// call decides about one call.
func (s *supervisor) call(n *notification) {
	switch n.nr {
	case unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_SENDTO, unix.SYS_SENDMSG:
		r := s.relayOf(n.pid, int32(n.args[0]))
		if r == nil {
			s.listener.untouched(n.id)
			return
		}
		if r.calls.Add(1) > maxCalls {
			r.calls.Add(-1)
			s.listener.answer(n.id, 0, unix.ENOBUFS)
			return
		}
		if !s.carryOut(*n, func(n *notification) {
			defer r.calls.Add(-1)
			s.write(n, r)
		}) {
			r.calls.Add(-1)
		}
	case unix.SYS_SOCKET:
		s.carryOut(*n, s.socket)
	case unix.SYS_SETSOCKOPT:
		s.carryOut(*n, s.option)
	default:
		s.listener.untouched(n.id)
	}
}

// carryOut never waits: every write of all of the program's processes is behind it. False: there are too many calls, and the
// answer to this one is ENOBUFS.
func (s *supervisor) carryOut(n notification, f func(*notification)) bool {
	select {
	case s.waiting <- struct{}{}:
	default:
		s.listener.answer(n.id, 0, unix.ENOBUFS)
		return false
	}
	s.calls.Go(func() {
		defer func() { <-s.waiting }()
		f(&n)
	})
	return true
}

// relayOf recognises a descriptor of ours wherever it has travelled: by the socket behind it. Nil: it is none.
func (s *supervisor) relayOf(pid uint32, fd int32) *relay {
	s.mu.Lock()
	none := len(s.relays) == 0
	s.mu.Unlock()
	if none || fd < 0 {
		return nil
	}
	inode, ok := socketAt(pid, fd)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relays[inode]
}

// socketAt reads which socket a thread's descriptor is.
func socketAt(pid uint32, fd int32) (uint64, bool) {
	var buf [64]byte
	n, err := unix.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), buf[:])
	if err != nil {
		return 0, false
	}
	const prefix, suffix = "socket:[", "]"
	text := string(buf[:n])
	if len(text) <= len(prefix)+len(suffix) || text[:len(prefix)] != prefix {
		return 0, false
	}
	var inode uint64
	for _, c := range text[len(prefix) : len(text)-len(suffix)] {
		if c < '0' || c > '9' {
			return 0, false
		}
		inode = 10*inode + uint64(c-'0')
	}
	return inode, true
}

// write carries out write, writev, sendto and sendmsg.
func (s *supervisor) write(n *notification, r *relay) {
	var msg []byte
	var errno unix.Errno
	switch n.nr {
	case unix.SYS_WRITEV:
		msg, errno = readVector(n.pid, n.args[1], n.args[2])
	case unix.SYS_SENDMSG:
		msg, errno = readHeader(n.pid, n.args[1])
	default:
		msg, errno = readMessage(n.pid, n.args[1], n.args[2])
	}
	if !s.listener.waits(n.id) {
		return // what was read may be another process's
	}
	if errno == 0 {
		errno = r.carry(msg)
	}
	s.listener.answer(n.id, valueOf(len(msg), errno), errno)
}

func valueOf(n int, errno unix.Errno) int64 {
	if errno != 0 {
		return 0
	}
	return int64(n)
}

// socket carries out socket(AF_KEY), with the errors of Linux for what it does not have.
func (s *supervisor) socket(n *notification) {
	kind, protocol := int32(n.args[1]), int32(n.args[2])
	const flags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	var errno unix.Errno
	switch {
	case kind&^(0xf|flags) != 0:
		errno = unix.EINVAL
	case !s.privileged(n):
		errno = unix.EPERM // the server sees the supervisor, whoever asks it
	case kind&0xf != unix.SOCK_RAW:
		errno = unix.ESOCKTNOSUPPORT
	case protocol != pfKeyV2:
		errno = unix.EPROTONOSUPPORT
	default:
		errno = s.open(n, kind&flags)
	}
	if errno != 0 {
		s.listener.answer(n.id, 0, errno)
	}
}

// open makes a relay and ends the call with the program's end of it, if it returns zero.
func (s *supervisor) open(n *notification, flags int32) unix.Errno {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return unix.ENOBUFS
	}
	theirs := pair[0]
	defer unix.Close(theirs)
	var st unix.Stat_t
	if err := unix.Fstat(theirs, &st); err != nil {
		unix.Close(pair[1])
		return unix.ENOBUFS
	}
	if flags&unix.SOCK_NONBLOCK != 0 {
		_ = unix.SetNonblock(theirs, true)
	}
	r, err := newRelay(pair[1], st.Ino, s.dial, s.log, s.forget)
	if err != nil {
		s.log.Error("the program asked for a PF_KEY socket, and the server cannot be reached", "reason", err)
		return unix.EAFNOSUPPORT
	}
	s.mu.Lock()
	full := s.relays == nil || len(s.relays) >= maxRelays
	if !full {
		s.relays[r.inode] = r
	}
	s.mu.Unlock()
	if full {
		r.close()
		return unix.EMFILE
	}
	if err := s.listener.give(n.id, theirs, flags&unix.SOCK_CLOEXEC != 0); err != nil {
		r.close() // the call was interrupted, or the program has no descriptor left
		switch {
		case errors.Is(err, unix.EMFILE):
			return unix.EMFILE
		case !errors.Is(err, unix.ENOENT):
			return unix.ENOBUFS // the caller waits, and would for ever
		}
	}
	return 0
}

func (s *supervisor) forget(r *relay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.relays, r.inode)
}

// dial connects to the server, which gets the program's keys: it must be root's or this process's user's.
func (s *supervisor) dial() (*packetConn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: s.server}); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "connect", Path: s.server, Err: err}
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err == nil {
		err = unixsocket.Peer{UID: int(cred.Uid), PID: int(cred.Pid)}.CheckServer(s.server)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newPacketConn(fd)
}

// option carries out the options of IPsec.
func (s *supervisor) option(n *notification) {
	level, name := int32(n.args[1]), int32(n.args[2])
	if level == unix.IPPROTO_UDP && name == unix.UDP_ENCAP {
		s.encap(n)
		return
	}
	var policy [policySize]byte
	errno := unix.Errno(unix.EINVAL)
	if n.args[4] >= policySize {
		errno = read(n.pid, n.args[3], policy[:])
	}
	switch {
	case !s.listener.waits(n.id):
		return
	case errno != 0:
	case !s.privileged(n):
		errno = unix.EPERM
	case !bypasses(policy[:]):
		// A program that is told that its socket is protected sends what must be.
		errno = unix.EOPNOTSUPP
	default:
		errno = s.with(n, func(fd int) unix.Errno { return s.ports.bypass(n, fd) })
	}
	s.listener.answer(n.id, 0, errno)
}

const (
	// policySize is that of struct sadb_x_policy; its type is at 4 (RFC 2367's style of extension, KAME).
	policySize, offPolicyType    = 16, 4
	policyNone, policyBypassKAME = 1, 4
)

func bypasses(policy []byte) bool {
	t := uint16(policy[offPolicyType]) | uint16(policy[offPolicyType+1])<<8
	return t == policyNone || t == policyBypassKAME
}

// encap carries out setsockopt(UDP_ENCAP). What is no encapsulation of ESP is the kernel's.
func (s *supervisor) encap(n *notification) {
	length := n.args[4]
	v, errno := readInt(n.pid, n.args[3], length)
	switch {
	case !s.listener.waits(n.id):
		return
	case errno == 0 && v != 0 && v != unix.UDP_ENCAP_ESPINUDP && v != unix.UDP_ENCAP_ESPINUDP_NON_IKE:
		s.listener.untouched(n.id)
		return
	case errno == 0:
		// Everybody may have ESP in UDP on their own port; past the tunnel goes only what is sent by who may.
		mark := s.privileged(n)
		errno = s.with(n, func(fd int) unix.Errno { return s.ports.encap(n, fd, v, mark) })
	}
	s.listener.answer(n.id, 0, errno)
}

// with lends f a copy of the descriptor that a call is about.
func (s *supervisor) with(n *notification, f func(fd int) unix.Errno) unix.Errno {
	fd, errno := s.take(n)
	if errno != 0 {
		return errno
	}
	defer unix.Close(fd)
	return f(fd)
}
