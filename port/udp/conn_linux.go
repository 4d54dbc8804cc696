// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Opening a socket on Linux and everything that is set on it once. The file descriptor is non-blocking and waits in the
// runtime's poller, so that a goroutine that reads costs no thread and Close wakes it.

package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Conn is one socket. One goroutine reads at a time, one writes at a time; others wait.
type Conn struct {
	// immutable after open
	file     *os.File
	raw      syscall.RawConn
	local    netip.AddrPort
	v6       bool
	pinned   bool // bound to one address: no PKTINFO needed on what is sent
	protocol int  // zero: UDP; else a raw socket of this protocol
	header   bool // messages of the raw socket have their IP header
	df       bool

	gso       atomic.Bool
	gsoReason atomic.Pointer[string]
	closed    atomic.Bool
	n         counters
	events    eventRing
	r         reader
	w         writer
}

// Open binds a UDP socket.
func Open(cfg Config) (*Conn, error) {
	c, err := open(cfg, 0)
	if err == nil {
		return c, nil
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		e := &PortInUseError{Addr: cfg.Local, Option: cfg.Option, Err: err}
		e.Process, e.PID, _ = holder(cfg.Local)
		return nil, e
	case errors.Is(err, unix.EACCES):
		return nil, &PrivilegeError{What: fmt.Sprintf("UDP %d", cfg.Local.Port()), Err: err,
			Hint: "run as root or with CAP_NET_BIND_SERVICE, or lower net.ipv4.ip_unprivileged_port_start"}
	}
	return nil, fmt.Errorf("UDP %s: %w", cfg.Local, err)
}

// OpenRaw opens a raw socket for an IP protocol. Messages are its packets without the IP header; ports are zero.
func OpenRaw(cfg Config, protocol int) (*Conn, error) {
	if protocol <= 0 || protocol > 255 {
		return nil, fmt.Errorf("protocol: %d, expected 1 to 255", protocol)
	}
	cfg.Local = netip.AddrPortFrom(cfg.Local.Addr(), 0)
	c, err := open(cfg, protocol)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		return nil, &PrivilegeError{What: fmt.Sprintf("raw socket of protocol %d", protocol), Err: err, Hint: "run as root or with CAP_NET_RAW"}
	}
	return nil, fmt.Errorf("raw socket of protocol %d: %w", protocol, err)
}

func open(cfg Config, protocol int) (*Conn, error) {
	addr := cfg.Local.Addr().Unmap()
	if !addr.IsValid() {
		return nil, errors.New("local address: none, expected one of the family to use (0.0.0.0 or ::)")
	}
	c := &Conn{v6: addr.Is6(), pinned: !addr.IsUnspecified(), protocol: protocol, header: cfg.Header && protocol != 0, df: !cfg.NoDF}
	family, kind := unix.AF_INET, unix.SOCK_DGRAM
	if c.v6 {
		family = unix.AF_INET6
	}
	if protocol != 0 {
		kind = unix.SOCK_RAW
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := c.prepare(fd, cfg, netip.AddrPortFrom(addr, cfg.Local.Port())); err != nil {
		unix.Close(fd)
		return nil, err
	}
	c.file = os.NewFile(uintptr(fd), "udp")
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.file.Close()
		return nil, err
	}
	c.r.init(c)
	c.w.init(c)
	return c, nil
}

// prepare sets the options, binds, and learns the address that was bound.
func (c *Conn) prepare(fd int, cfg Config, local netip.AddrPort) error {
	if err := c.offload(fd, cfg.GSO); err != nil {
		return err
	}
	size := cfg.Buffer
	if size == 0 {
		size = bufferSize
	}
	for _, o := range []struct{ force, plain int }{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, size) != nil {
			// Without privilege the system's own limit cuts the request; that is not an error.
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.plain, size)
		}
	}
	if cfg.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(cfg.Mark)); err != nil {
			return &PrivilegeError{What: fmt.Sprintf("mark 0x%x on the socket", cfg.Mark), Err: err, Hint: "run as root or with CAP_NET_ADMIN"}
		}
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	options := optionsIPv4(c.df)
	if c.v6 {
		options = optionsIPv6(c.df)
		if c.protocol == 0 { // a raw IPv6 socket takes IPv6 only, and refuses the option
			options = append(options, option{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1})
		}
	}
	switch {
	case c.header && c.v6:
		options = append(options, option{"IPV6_HDRINCL", unix.IPPROTO_IPV6, unix.IPV6_HDRINCL, 1},
			option{"IPV6_RECVHOPLIMIT", unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1})
	case c.header:
		options = append(options, option{"IP_HDRINCL", unix.IPPROTO_IP, unix.IP_HDRINCL, 1})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt "+o.what, err)
		}
	}
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(local.Port()), Addr: [4]byte(local.Addr().AsSlice()[:4])}
	if c.v6 {
		sa = &unix.SockaddrInet6{Port: int(local.Port()), Addr: local.Addr().As16(), ZoneId: zoneID(local.Addr().Zone())}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	c.local = local
	if bound, err := unix.Getsockname(fd); err == nil && c.protocol == 0 {
		switch b := bound.(type) {
		case *unix.SockaddrInet4:
			c.local = netip.AddrPortFrom(local.Addr(), uint16(b.Port))
		case *unix.SockaddrInet6:
			c.local = netip.AddrPortFrom(local.Addr(), uint16(b.Port))
		}
	}
	return nil
}

type option struct {
	what               string
	level, name, value int
}

// optionsIPv4: DF by IP_PMTUDISC_PROBE, so that a forged ICMP message in the kernel's route cache cannot stop our own
// datagrams; what such a message says comes to us by the error queue and is judged by the caller.
func optionsIPv4(df bool) []option {
	return []option{
		{"IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
		{"IP_RECVTOS", unix.IPPROTO_IP, unix.IP_RECVTOS, 1},
		{"IP_RECVERR", unix.IPPROTO_IP, unix.IP_RECVERR, 1},
		{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover4(df)},
	}
}

func optionsIPv6(df bool) []option {
	return []option{
		{"IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
		{"IPV6_RECVTCLASS", unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1},
		{"IPV6_RECVERR", unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1},
		{"IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, discover6(df)},
	}
}

func discover4(df bool) int {
	if df {
		return unix.IP_PMTUDISC_PROBE
	}
	return unix.IP_PMTUDISC_DONT
}

func discover6(df bool) int {
	if df {
		return unix.IPV6_PMTUDISC_PROBE
	}
	return unix.IPV6_PMTUDISC_DONT
}

// setDF switches DF for the sends that follow; the writer's lock is held.
func (c *Conn) setDF(fd int, df bool) error {
	if c.v6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, discover6(df))
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover4(df))
}

// offload decides on UDP_SEGMENT and switches UDP_GRO on with it.
func (c *Conn) offload(fd int, mode string) error {
	on, reason, err := GSOVerdict(mode, release())
	if err != nil {
		return err
	}
	if c.protocol != 0 {
		on, reason = false, "raw sockets have none"
	}
	if on {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
			on, reason = false, "the kernel refuses UDP_GRO: "+err.Error()
		}
	}
	if !on {
		c.gsoOff(reason)
		return nil
	}
	c.gso.Store(true)
	return nil
}

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}

// LocalAddr is what is bound, with the port that the system chose if none was asked for.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// DF reports whether datagrams leave with the DF bit, and path events therefore come.
func (c *Conn) DF() bool { return c.df }

// Close wakes readers and writers, which then return net.ErrClosed.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.file.Close()
}

// failed turns the poller's error into net.ErrClosed where that is what happened.
func (c *Conn) failed(err error) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	return err
}
