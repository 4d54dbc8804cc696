// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The UDP sockets of the program whose ESP has become the engine's. A copy of the descriptor is taken only to set what has to
// be set and closed at once: as long as it were open, the port would stay bound after the program's end.

package redirect

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// boundPoll is how often a socket that had UDP_ENCAP set before it was bound is looked at, boundLimit for how long.
	boundPoll, boundLimit = 10 * time.Millisecond, 10 * time.Second
	// goneCheck is how often sockets that were closed are looked for.
	goneCheck = time.Second
	// maxPorts bounds the sockets of a program that are encapsulated, or will be when they are bound.
	maxPorts = 256
)

// Engine is where ESP of the program's ports goes. Its methods are safe for concurrent use.
type Engine interface {
	// Mark is set on the program's IKE sockets, so that they are not routed into the tunnel; zero: none.
	Mark() uint32
	// Bind gives the engine ESP that arrives at the socket, and lets it send from its port.
	Bind(Socket) error
	// Release ends that.
	Release(inode uint64)
}

type ports struct {
	engine Engine // nil: ESP in UDP is not to be had
	log    *slog.Logger
	done   chan struct{} // closed at the end
	loops  sync.WaitGroup

	mu      sync.Mutex // protects all following fields
	held    map[uint64]Socket
	pending map[uint64]look // at sockets that are not bound yet
	said    map[string]bool // complaints that were made
}

// look is at one socket: stop is closed to end it, ended when it has.
type look struct{ stop, ended chan struct{} }

func newPorts(engine Engine, log *slog.Logger) *ports {
	p := &ports{engine: engine, log: log, done: make(chan struct{}), held: map[uint64]Socket{},
		pending: map[uint64]look{}, said: map[string]bool{}}
	p.loops.Go(p.watch)
	return p
}

func (p *ports) close() {
	close(p.done)
	p.loops.Wait()
	for inode := range p.held {
		p.engine.Release(inode)
	}
}

// once says something the first time.
func (p *ports) once(text string, args ...any) {
	p.mu.Lock()
	known := p.said[text]
	p.said[text] = true
	p.mu.Unlock()
	if !known {
		p.log.Warn(text, args...)
	}
}

// bypass keeps a socket of the program out of the tunnel.
func (p *ports) bypass(n *notification, fd int) unix.Errno {
	_, errno := identify(n, fd)
	if errno == 0 {
		p.mark(fd)
	}
	return errno
}

func (p *ports) mark(fd int) {
	if p.engine == nil || p.engine.Mark() == 0 {
		return
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(p.engine.Mark())); err != nil {
		p.once("the program's IKE socket cannot be marked: where a policy covers the peer's own address, IKE goes into the tunnel and does not arrive", "reason", err)
	}
}

// encap carries out UDP_ENCAP with one of the values 0, 1, 2 on a descriptor, which stays the caller's.
func (p *ports) encap(n *notification, fd int, value int32, mark bool) unix.Errno {
	s, errno := identify(n, fd)
	if errno != 0 {
		return errno
	}
	p.cancel(s.Inode)
	if value == 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		p.release(s.Inode)
		return 0
	}
	if p.engine == nil {
		p.once("the program wants ESP in UDP, for which there is no engine here")
		return unix.ENOPROTOOPT
	}
	s.Mode = natt.NonESP
	if value == unix.UDP_ENCAP_ESPINUDP_NON_IKE {
		s.Mode = natt.NonIKE
	}
	if err := attach(fd, s.Mode); err != nil {
		p.log.Error("the program's socket cannot be given a filter", "reason", err)
		return unix.ENOPROTOOPT
	}
	if mark {
		p.mark(fd)
	}
	if s.Local.Port() == 0 {
		return p.wait(fd, s)
	}
	return p.bind(s)
}

// identify checks that a descriptor is a UDP socket of this network namespace, and says which.
func identify(n *notification, fd int) (s Socket, errno unix.Errno) {
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	switch {
	case err == unix.ENOTSOCK:
		return s, unix.ENOTSOCK
	case err != nil || protocol != unix.IPPROTO_UDP:
		return s, unix.ENOPROTOOPT
	}
	var st, here, there unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return s, unix.EBADF
	}
	if unix.Stat("/proc/thread-self/ns/net", &here) != nil || unix.Stat(fmt.Sprintf("/proc/%d/ns/net", n.pid), &there) != nil || here.Ino != there.Ino {
		return s, unix.EOPNOTSUPP // ESP would arrive in another network than the engine's
	}
	s.Inode = st.Ino
	if s.Local, errno = bound(fd); errno != 0 {
		return s, errno
	}
	if s.Local.Addr().Is6() {
		only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		s.V4 = err == nil && only == 0 && s.Local.Addr().IsUnspecified()
	}
	return s, 0
}

func bound(fd int) (netip.AddrPort, unix.Errno) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, unix.EBADF
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), 0
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)), 0
	}
	return netip.AddrPort{}, unix.ENOPROTOOPT
}

// attach leaves the socket what Linux would hand up, at once: what lies in its queue already is the program's.
func attach(fd int, m natt.Mode) error {
	filter, err := portFilter(m)
	if err != nil {
		return err
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// wait has a socket that is not bound yet looked at until it is, or until cancel is called for it.
func (p *ports) wait(fd int, s Socket) unix.Errno {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.held)+len(p.pending) >= maxPorts {
		return unix.ENOBUFS
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return unix.ENOBUFS
	}
	l := look{make(chan struct{}), make(chan struct{})}
	p.pending[s.Inode] = l
	p.loops.Go(func() {
		p.whenBound(own, s, l.stop)
		close(l.ended)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.pending[s.Inode] == l {
			delete(p.pending, s.Inode)
		}
	})
	return 0
}

// cancel ends wait for a socket. It returns when nothing more is done about it: what is asked for now must not be undone by what was
// asked for before.
func (p *ports) cancel(inode uint64) {
	p.mu.Lock()
	l, ok := p.pending[inode]
	if ok {
		close(l.stop)
		delete(p.pending, inode)
	}
	p.mu.Unlock()
	if ok {
		<-l.ended
	}
}

// whenBound waits for the port of a socket that was not bound yet.
func (p *ports) whenBound(fd int, s Socket, stop <-chan struct{}) {
	defer unix.Close(fd)
	for begin := time.Now(); time.Since(begin) < boundLimit; {
		local, errno := bound(fd)
		if errno != 0 {
			return
		}
		if local.Port() != 0 {
			s.Local = local
			p.bind(s)
			select {
			case <-stop:
				p.release(s.Inode) // the program has changed its mind meanwhile
			default:
			}
			return
		}
		select {
		case <-p.done:
			return
		case <-stop:
			return
		case <-time.After(boundPoll):
		}
	}
	p.log.Warn("the program asked for ESP in UDP on a socket and did not bind it; ESP is not received there")
}

func (p *ports) bind(s Socket) unix.Errno {
	p.mu.Lock()
	_, known := p.held[s.Inode]
	full := !known && len(p.held) >= maxPorts
	p.mu.Unlock()
	if full {
		return unix.ENOBUFS
	}
	if err := p.engine.Bind(s); err != nil {
		p.log.Error("ESP in UDP on the program's port cannot be had", "local", s.Local.String(), "reason", err)
		return unix.ENOPROTOOPT
	}
	p.mu.Lock()
	p.held[s.Inode] = s
	p.mu.Unlock()
	p.log.Info("ESP in UDP on the program's port", "local", s.Local.String(), "mode", s.Mode.String())
	return 0
}

func (p *ports) release(inode uint64) {
	p.mu.Lock()
	_, ok := p.held[inode]
	delete(p.held, inode)
	p.mu.Unlock()
	if ok {
		p.engine.Release(inode)
	}
}

// watch releases sockets that the program has closed.
func (p *ports) watch() {
	for {
		select {
		case <-p.done:
			return
		case <-time.After(goneCheck):
		}
		p.mu.Lock()
		held := make([]Socket, 0, len(p.held))
		for _, s := range p.held {
			held = append(held, s)
		}
		p.mu.Unlock()
		if len(held) == 0 {
			continue
		}
		alive, err := udpSockets()
		if err != nil {
			continue
		}
		for _, s := range held {
			if !alive[s.Inode] {
				p.log.Info("the program has closed its port", "local", s.Local.String())
				p.release(s.Inode)
			}
		}
	}
}

// udpSockets are the inodes of the UDP sockets of this network namespace.
func udpSockets() (map[uint64]bool, error) {
	const columnInode = 9
	alive := map[uint64]bool{}
	for _, table := range []string{"/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"} {
		text, err := os.ReadFile(table)
		if errors.Is(err, os.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			f := strings.Fields(lines.Text())
			if len(f) <= columnInode {
				continue
			}
			if inode, err := strconv.ParseUint(f[columnInode], 10, 64); err == nil {
				alive[inode] = true
			}
		}
	}
	return alive, nil
}
