// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The daemon's sockets: for each family IKE's port, the NAT-T port, where IKE has the non-ESP marker and ESP has none
// (RFC 3948, Section 2), and, where privileges allow, IP protocols 50 and 51. Everything that is read is anybody's. What IKE sends
// goes through a queue and a goroutine of its socket, so that no shard ever waits for a network.

package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/dataplane"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/rawesp"
	"github.com/natterjack/natterjack/port/udp"
	"github.com/natterjack/natterjack/wire/natt"
)

// maxQueuedSends is how many messages may wait for one socket: a burst of logins. What does not fit is lost like any
// datagram; retransmission mends it.
const maxQueuedSends = 4096

// flushLimit is how long the last messages may take to leave.
const flushLimit = 200 * time.Millisecond

// kind is what a socket is for.
type kind uint8

const (
	kindIKE    kind = iota // port 500: IKE bare
	kindNATT               // port 4500: IKE behind the marker, ESP bare
	kindESP                // IP protocol 50
	kindAH                 // IP protocol 51: whole IP packets
	kindIPComp             // IP protocol 108
	numKinds
)

// socket is one socket with its reader and its writer.
type socket struct {
	conn *udp.Conn
	kind kind
	name string
	out  chan outgoing
}

// outgoing is one message for the writer. marked has the non-ESP marker put in front.
type outgoing struct {
	path   ike.Path
	bytes  []byte
	marked bool
}

// sockets is immutable after openSockets, but for hints.
type sockets struct {
	d        *Daemon
	list     []*socket
	by       [2][numKinds]*socket // [IPv6?]
	bypass   [2]*udp.Conn         // for packets that a pass policy lets out of the TUN; nil: not to be had
	warnings []string
	readers  sync.WaitGroup
	writers  sync.WaitGroup
	hints    hints
	ready    chan struct{} // closed: the readers may begin
	once     sync.Once     // closes ready
}

func family(a netip.Addr) int {
	if a = a.Unmap(); a.Is4() {
		return 0
	}
	return 1
}

// openSockets opens what the options ask for, or says who has it.
func openSockets(d *Daemon) (*sockets, error) {
	s := &sockets{d: d, ready: make(chan struct{})}
	addrs := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	if d.opts.Listen.IsValid() {
		addrs = []netip.Addr{d.opts.Listen}
	}
	for i, a := range addrs {
		err := s.openFamily(a)
		var taken *udp.PortInUseError
		if err != nil && i > 0 && !errors.As(err, &taken) {
			s.warn("no IPv6: %v", err)
			s.closeFamily(1)
			err = nil
		}
		if err != nil {
			s.closeConns()
			return nil, err
		}
	}
	return s, nil
}

func (s *sockets) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// openFamily opens the sockets of one local address.
func (s *sockets) openFamily(a netip.Addr) error {
	o := &s.d.opts
	ikePort, nattPort := o.Port, o.PortNATT
	if o.AnyPort {
		ikePort, nattPort = 0, 0
	}
	conn, err := s.udp(a, ikePort, "port")
	var denied *udp.PrivilegeError
	unprivileged := errors.As(err, &denied) && ikePort != 0 && strings.HasPrefix(denied.What, "UDP")
	switch {
	case err == nil:
		s.add(conn, kindIKE, "udp")
	case unprivileged:
		s.warn("%v: connections start at the peer's NAT-T port from any port here, and nobody can begin one with this host", err)
		nattPort = 0
	default:
		return err
	}
	conn, err = s.udp(a, nattPort, "port_nat_t")
	if err != nil {
		return err
	}
	s.add(conn, kindNATT, "udp")
	if unprivileged {
		return nil
	}
	s.openRaw(a)
	return nil
}

func (s *sockets) udp(a netip.Addr, port uint16, option string) (*udp.Conn, error) {
	return udp.Open(udp.Config{Local: netip.AddrPortFrom(a, port), Mark: s.d.opts.Mark, GSO: s.d.opts.GSO, Option: option})
}

// openRaw opens what needs privileges and can be done without.
func (s *sockets) openRaw(a netip.Addr) {
	if s.d.opts.NoRawESP || s.d.opts.Keyed != nil {
		return
	}
	conf := udp.Config{Local: netip.AddrPortFrom(a, 0), Mark: s.d.opts.Mark}
	if conn, err := rawesp.Open(conf); err == nil {
		s.add(conn, kindESP, "esp")
	}
	if conn, err := udp.OpenRaw(conf, sadb.ProtoIPComp); err == nil { // for bundles of PF_KEY; IKE's IPComp is inside of ESP or AH
		s.add(conn, kindIPComp, "ipcomp")
	}
	// AH covers the IP header (RFC 4302, Section 3.3.3): whole packets go both ways.
	conf.Header, conf.NoDF = true, true
	if conn, err := udp.OpenRaw(conf, sadb.ProtoAH); err == nil {
		s.add(conn, kindAH, "ah")
	}
	if s.d.opts.Mark == 0 {
		return // without a mark, what leaves here is routed into the TUN again
	}
	// Protocol 255 is Linux's for packets that have their IP header already (raw(7)).
	const headerIncluded = 255
	if conn, err := udp.OpenRaw(udp.Config{Local: netip.AddrPortFrom(unspecified(a), 0), Mark: s.d.opts.Mark, NoDF: true}, headerIncluded); err == nil {
		s.bypass[family(a)] = conn
	}
}

func unspecified(a netip.Addr) netip.Addr {
	if family(a) == 0 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func (s *sockets) add(conn *udp.Conn, k kind, what string) {
	local := conn.LocalAddr()
	name := fmt.Sprintf("%s%d %s", what, 4+2*family(local.Addr()), local)
	if k >= kindESP {
		name = fmt.Sprintf("%s%d %s", what, 4+2*family(local.Addr()), local.Addr())
	}
	sk := &socket{conn: conn, kind: k, name: name, out: make(chan outgoing, maxQueuedSends)}
	s.list = append(s.list, sk)
	s.by[family(local.Addr())][k] = sk
}

func (s *sockets) closeFamily(f int) {
	kept := s.list[:0]
	for _, sk := range s.list {
		if family(sk.conn.LocalAddr().Addr()) == f {
			sk.conn.Close()
			continue
		}
		kept = append(kept, sk)
	}
	s.list = kept
	s.by[f] = [numKinds]*socket{}
	if s.bypass[f] != nil {
		s.bypass[f].Close()
		s.bypass[f] = nil
	}
}

func (s *sockets) closeConns() {
	for f := range s.by {
		s.closeFamily(f)
	}
}

// receive has the readers begin, the first time it is called.
func (s *sockets) receive() { s.once.Do(func() { close(s.ready) }) }

// start begins to write, and to read as soon as receive is called.
func (s *sockets) start() {
	for _, sk := range s.list {
		s.readers.Go(func() {
			<-s.ready
			s.read(sk)
		})
		s.writers.Go(func() { s.write(sk) })
	}
}

// flush ends the queues: what waits in them is sent. No shard may send any more.
func (s *sockets) flush() {
	for _, sk := range s.list {
		close(sk.out)
	}
	done := make(chan struct{})
	go func() {
		s.writers.Wait()
		close(done)
	}()
	limit := time.NewTimer(flushLimit)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		for _, sk := range s.list {
			sk.conn.Close() // wakes a writer that waits for the network
		}
		<-done
	}
}

// close ends the readers.
func (s *sockets) close() {
	s.receive() // they find their sockets closed
	for _, sk := range s.list {
		sk.conn.Close()
	}
	for _, c := range s.bypass {
		if c != nil {
			c.Close()
		}
	}
	s.readers.Wait()
}

// has reports whether there is a socket that reaches an address.
func (s *sockets) has(a netip.Addr) bool { return s.by[family(a)][kindNATT] != nil }

// port is the local port of a mode; zero: there is none.
func (s *sockets) port(a netip.Addr, m natt.Mode) uint16 {
	if sk := s.by[family(a)][kindOf(m)]; sk != nil {
		return sk.conn.LocalAddr().Port()
	}
	return 0
}

func kindOf(m natt.Mode) kind {
	if m == natt.Raw {
		return kindIKE
	}
	return kindNATT
}

// rawESP reports whether ESP can travel as its own protocol from an address.
func (s *sockets) rawESP(a netip.Addr) bool {
	if k := s.d.opts.Keyed; k != nil {
		return k.RawESP
	}
	return s.by[family(a)][kindESP] != nil
}

// sendIKE queues one message by a path; it never waits.
func (s *sockets) sendIKE(p ike.Path, b []byte) {
	s.d.counters.ikeOut.Add(1)
	s.send(s.by[family(p.Remote.Addr())][kindOf(p.Encap)], outgoing{p, b, p.Encap == natt.NonESP})
}

// sendKeepalive queues one NAT-keepalive.
func (s *sockets) sendKeepalive(p ike.Path) {
	s.d.counters.keepalivesOut.Add(1)
	s.send(s.by[family(p.Remote.Addr())][kindOf(p.Encap)], outgoing{p, []byte{natt.KeepaliveOctet}, false})
}

// sendESP queues one packet that is not part of a batch (a dummy).
func (s *sockets) sendESP(g *dataplane.Datagram) {
	s.send(s.by[family(g.Remote.Addr())][kindFor(g)], outgoing{ike.Path{Local: g.Local, Remote: g.Remote}, g.Buf[:g.N], false})
}

// kindFor is the socket that a packet of the engine leaves by.
func kindFor(g *dataplane.Datagram) kind {
	switch {
	case g.Proto == sadb.ProtoAH || g.Whole:
		return kindAH
	case g.Proto == sadb.ProtoIPComp:
		return kindIPComp
	case g.Raw():
		return kindESP
	}
	return kindNATT
}

func (s *sockets) send(sk *socket, o outgoing) {
	if sk == nil {
		s.d.counters.unsent.Add(1)
		return
	}
	select {
	case sk.out <- o:
	default:
		s.d.counters.unsent.Add(1)
	}
}

// write is a socket's writer for IKE.
func (s *sockets) write(sk *socket) {
	msgs := make([]udp.Message, 0, udp.BatchSize)
	events := make([]udp.PathEvent, eventBatch)
	for o := range sk.out {
		msgs = append(msgs[:0], s.message(o))
	more:
		for len(msgs) < cap(msgs) {
			select {
			case next, ok := <-sk.out:
				if !ok {
					break more
				}
				msgs = append(msgs, s.message(next))
			default:
				break more
			}
		}
		if _, err := sk.conn.WriteBatch(msgs); err != nil {
			s.paths(sk, events)
		}
	}
}

func (s *sockets) message(o outgoing) udp.Message {
	b := o.bytes
	if o.marked {
		b = append(natt.AppendMarker(make([]byte, 0, natt.NonESPMarkerLen+len(o.bytes)), natt.NonESP, natt.IKE), o.bytes...)
	}
	m := udp.Message{Buf: b, N: len(b), Remote: unmapped(o.path.Remote), Local: unmapped(o.path.Local)}
	// A message this large is for a peer without RFC 7383: better fragmented by IP than not sent.
	m.Fragment = len(b)+48 > s.d.opts.FragmentSize
	return m
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// stats lists the sockets.
func (s *sockets) stats() []SocketStats {
	list := make([]SocketStats, 0, len(s.list))
	for _, sk := range s.list {
		n := sk.conn.Counters()
		on, why := sk.conn.GSO()
		list = append(list, SocketStats{Name: sk.name, GSO: on, NoGSO: why, In: n.In, InOctets: n.InOctets, Out: n.Out,
			OutOctets: n.OutOctets, Truncated: n.Truncated, Refused: n.Refused, Overflow: n.Overflow})
	}
	return list
}
