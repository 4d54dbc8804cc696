// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A crowd is one socket that speaks from every address of 127.0.0.0/8, as somebody who forges sources does, and still sees
// what comes back.

package hostile

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/natterjack/natterjack/lab/bogus"
)

// Crowd is such a socket.
type Crowd struct {
	w    *World
	conn *net.UDPConn
	pc   *ipv4.PacketConn
	// Sent and SentOctets, Got and GotOctets are what went out and what came back.
	Sent, SentOctets, Got, GotOctets int
}

// Crowd opens one.
func (w *World) Crowd() *Crowd {
	w.t.Helper()
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetReadBuffer(8 << 20)
	c := &Crowd{w: w, conn: conn, pc: ipv4.NewPacketConn(conn)}
	if err := c.pc.SetControlMessage(ipv4.FlagDst, true); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// Source is the i-th address of the crowd: 127.1.0.1 and on, each in a network of its own as far as limits go.
func Source(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + i/62500), byte(i / 250 % 250), byte(1 + i%250)})
}

// Send sends b from the i-th source.
func (c *Crowd) Send(i int, to netip.AddrPort, b []byte) {
	c.w.t.Helper()
	src := Source(i)
	if _, err := c.pc.WriteTo(b, &ipv4.ControlMessage{Src: src.AsSlice()}, net.UDPAddrFromAddrPort(to)); err != nil {
		c.w.t.Error(err)
		return
	}
	c.Sent++
	c.SentOctets += len(b)
}

// Answers reads what came back and to whom, after the daemon came to rest.
func (c *Crowd) Answers() map[netip.Addr][][]byte {
	c.w.Settle()
	got := map[netip.Addr][][]byte{}
	buf := make([]byte, 65536)
	for {
		c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, cm, _, err := c.pc.ReadFrom(buf)
		if err != nil {
			return got
		}
		c.Got++
		c.GotOctets += n
		to, _ := netip.AddrFromSlice(cm.Dst.To4())
		got[to] = append(got[to], append([]byte(nil), buf[:n]...))
	}
}

// answer is one datagram that came back, parsed; err where it is not an IKE message in clear.
func answer(b []byte) (*bogus.Message, error) {
	m, _, err := bogus.Parse(b)
	return m, err
}
