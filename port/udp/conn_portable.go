// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Sockets where the system has no batches: one datagram a call. Source addresses are pinned where golang.org/x/net knows
// how (macOS), TOS is received for IPv6 only, DF is not set because nothing would report the path MTU. What is read is
// anybody's.

//go:build !linux

package udp

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Conn is one socket. One goroutine reads at a time, one writes at a time; others wait.
type Conn struct {
	// immutable after open
	udp   *net.UDPConn
	ip    *net.IPConn // a raw socket instead
	local netip.AddrPort
	v6    bool

	gso       atomic.Bool
	gsoReason atomic.Pointer[string]
	n         counters
	readMu    sync.Mutex // protects oob
	oob       [256]byte
}

// Open binds a UDP socket.
func Open(cfg Config) (*Conn, error) {
	if _, _, err := GSOVerdict(cfg.GSO, "0.0.0"); err != nil {
		return nil, err
	}
	addr := cfg.Local.Addr().Unmap()
	if !addr.IsValid() {
		return nil, errors.New("local address: none, expected one of the family to use (0.0.0.0 or ::)")
	}
	c := &Conn{v6: addr.Is6()}
	network := "udp4"
	if c.v6 {
		network = "udp6"
	}
	u, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, cfg.Local.Port())))
	switch {
	case err == nil:
	case portTaken(err):
		return nil, &PortInUseError{Addr: cfg.Local, Option: cfg.Option, Err: err}
	case errors.Is(err, fs.ErrPermission):
		return nil, &PrivilegeError{What: fmt.Sprintf("UDP %d", cfg.Local.Port()), Err: err, Hint: "run as root or administrator"}
	default:
		return nil, fmt.Errorf("UDP %s: %w", cfg.Local, err)
	}
	c.udp = u
	c.local = netip.AddrPortFrom(addr, u.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	size := cfg.Buffer
	if size == 0 {
		size = bufferSize / 4
	}
	// What a system does not offer is done without.
	_ = u.SetReadBuffer(size)
	_ = u.SetWriteBuffer(size)
	if c.v6 {
		_ = ipv6.NewPacketConn(u).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface|ipv6.FlagTrafficClass, true)
	} else {
		_ = ipv4.NewPacketConn(u).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	}
	return c, nil
}

// portTaken: Windows has its own number, of which the text is stable enough for a hint.
func portTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || strings.Contains(err.Error(), "Only one usage of each socket address")
}

// OpenRaw opens a raw socket for an IP protocol. Messages are its packets without the IP header; ports are zero.
func OpenRaw(cfg Config, protocol int) (*Conn, error) {
	if protocol <= 0 || protocol > 255 {
		return nil, fmt.Errorf("protocol: %d, expected 1 to 255", protocol)
	}
	addr := cfg.Local.Addr().Unmap()
	if !addr.IsValid() {
		return nil, errors.New("local address: none, expected one of the family to use (0.0.0.0 or ::)")
	}
	if cfg.Header {
		return nil, fmt.Errorf("raw socket of protocol %d: whole packets with their headers: Linux only", protocol)
	}
	c := &Conn{v6: addr.Is6(), local: netip.AddrPortFrom(addr, 0)}
	network := "ip4:"
	if c.v6 {
		network = "ip6:"
	}
	ip, err := net.ListenIP(network+strconv.Itoa(protocol), &net.IPAddr{IP: addr.AsSlice(), Zone: addr.Zone()})
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, &PrivilegeError{What: fmt.Sprintf("raw socket of protocol %d", protocol), Err: err, Hint: "run as root or administrator"}
		}
		return nil, fmt.Errorf("raw socket of protocol %d: %w", protocol, err)
	}
	c.ip = ip
	return c, nil
}

// maxFailures ends a socket whose reads only fail.
const maxFailures = 64

// ReadBatch waits for one datagram and puts it into msgs[0]; its Buf should hold MaxDatagram octets.
func (c *Conn) ReadBatch(msgs []Message) (int, error) {
	if len(msgs) == 0 || len(msgs[0].Buf) == 0 {
		return 0, errors.New("messages: none, expected at least one buffer")
	}
	c.readMu.Lock()
	defer c.readMu.Unlock()
	m := &msgs[0]
	for failures := 1; ; failures++ {
		err := c.readOne(m)
		c.n.inCalls.Add(1)
		if err == nil {
			c.n.in.Add(1)
			c.n.inOctets.Add(uint64(m.N))
			return 1, nil
		}
		// Some systems report the peer's ICMP messages here; the socket is good.
		if errors.Is(err, net.ErrClosed) {
			return 0, net.ErrClosed
		}
		if failures == maxFailures {
			return 0, err
		}
	}
}

func (c *Conn) readOne(m *Message) error {
	m.TOS, m.SegSize, m.Fragment, m.Local = 0, 0, false, c.local
	if c.ip != nil {
		n, from, err := c.ip.ReadFromIP(m.Buf)
		if err != nil {
			return err
		}
		a, _ := netip.AddrFromSlice(from.IP)
		m.N, m.Remote = n, netip.AddrPortFrom(a.Unmap().WithZone(from.Zone), 0)
		return nil
	}
	n, oobn, _, from, err := c.udp.ReadMsgUDPAddrPort(m.Buf, c.oob[:])
	if err != nil {
		return err
	}
	m.N, m.Remote = n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	var dst net.IP
	if c.v6 {
		var cm ipv6.ControlMessage
		if cm.Parse(c.oob[:oobn]) == nil {
			dst, m.TOS = cm.Dst, uint8(cm.TrafficClass)
		}
	} else {
		var cm ipv4.ControlMessage
		if cm.Parse(c.oob[:oobn]) == nil {
			dst = cm.Dst
		}
	}
	if a, ok := netip.AddrFromSlice(dst); ok {
		m.Local = netip.AddrPortFrom(a.Unmap(), c.local.Port())
	}
	return nil
}

// WriteBatch sends Buf[:N] of every message in order. It returns how many datagrams the system took and the first
// refusal; what comes after a refused datagram is sent all the same.
func (c *Conn) WriteBatch(msgs []Message) (int, error) {
	sent := 0
	var first error
	for i := range msgs {
		for j := 0; ; j++ {
			b := msgs[i].Segment(j)
			if b == nil {
				break
			}
			if err := c.writeOne(&msgs[i], b); err != nil {
				c.n.refused.Add(1)
				if first == nil {
					first = err
				}
				continue
			}
			sent++
			c.n.outOctets.Add(uint64(len(b)))
		}
	}
	c.n.out.Add(uint64(sent))
	c.n.outCalls.Add(uint64(sent))
	return sent, first
}

func (c *Conn) writeOne(m *Message, b []byte) error {
	if c.ip != nil {
		_, err := c.ip.WriteToIP(b, &net.IPAddr{IP: m.Remote.Addr().AsSlice(), Zone: m.Remote.Addr().Zone()})
		return err
	}
	var oob []byte
	if src := m.Local.Addr(); src.IsValid() && !src.IsUnspecified() && c.local.Addr().IsUnspecified() {
		if c.v6 {
			oob = (&ipv6.ControlMessage{Src: src.AsSlice(), TrafficClass: int(m.TOS)}).Marshal()
		} else {
			oob = (&ipv4.ControlMessage{Src: src.AsSlice()}).Marshal()
		}
	}
	_, _, err := c.udp.WriteMsgUDPAddrPort(b, oob, m.Remote)
	return err
}

// PathEvents returns none here.
func (c *Conn) PathEvents([]PathEvent) int { return 0 }

// LocalAddr is what is bound, with the port that the system chose if none was asked for.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// DF reports whether datagrams leave with the DF bit, and path events therefore come.
func (c *Conn) DF() bool { return false }

// Close wakes readers and writers, which then return net.ErrClosed.
func (c *Conn) Close() error {
	if c.ip != nil {
		return c.ip.Close()
	}
	return c.udp.Close()
}
