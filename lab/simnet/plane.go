// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Hosts with the real data plane: sealed octets pass the simulated NATs, in virtual time. SAs are installed through the
// database, so that modes of encapsulation and kinds of SAs that IKE does not negotiate can be had. Nothing waits, nothing is
// random but keys and SPIs.

package simnet

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/ipsec/dataplane"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/natbox/nat"
	"github.com/natterjack/natterjack/wire/natt"
)

// Wire is one outer datagram as it left its sender.
type Wire struct {
	From, To netip.AddrPort // ports zero: not UDP
	Octets   []byte
	Proto    uint8 // 17, or the IP protocol
}

// Node is a host with an engine.
type Node struct {
	Name   string
	Addr   netip.Addr
	DB     *sadb.DB
	Engine *dataplane.Engine
	// Ports are the UDP ports it has bound, each with its mode.
	Ports map[uint16]natt.Mode
	// Got are the inner packets delivered, oldest first. Serve, if set, is shown each instead, and its answers are sent.
	Got   [][]byte
	Serve func(p []byte) [][]byte

	plane *Plane
	out   *dataplane.Outbound
	in    *dataplane.Inbound
	via   []*Router // the NATs between it and the Internet, the nearest first
}

// Router is a NAT between hosts and the Internet: one that makes mappings, or one that forwards one address.
type Router struct {
	Box     *nat.Box
	Inside  netip.Addr // of a forwarded host; invalid: Box decides
	Outside netip.Addr
}

// Plane is a network of nodes.
type Plane struct {
	Now   time.Time
	Nodes []*Node
	// Sent is every datagram as it left its sender.
	Sent []Wire
	// Lost counts datagrams that nobody received, by why.
	Lost map[string]int
}

// NewPlane makes a network without nodes.
func NewPlane() *Plane { return &Plane{Now: Start(), Lost: map[string]int{}} }

// Node adds a host behind NATs, the nearest first.
func (pl *Plane) Node(name, addr string, via ...*Router) (*Node, error) {
	db, err := sadb.New(pl.Now, sadb.Config{Rand: rand.Reader})
	if err != nil {
		return nil, err
	}
	e := dataplane.New(db, dataplane.Config{})
	n := &Node{Name: name, Addr: netip.MustParseAddr(addr), DB: db, Engine: e, Ports: map[uint16]natt.Mode{},
		plane: pl, out: e.NewOutbound(), in: e.NewInbound(), via: via}
	pl.Nodes = append(pl.Nodes, n)
	return n, nil
}

// NAT makes a router that draws ports.
func NAT(outside string, seed uint64) (*Router, error) {
	box, err := nat.New(nat.Config{External: []netip.Addr{netip.MustParseAddr(outside)}, RandomPorts: true, Filtering: nat.AddressPortDependent, Seed: seed})
	return &Router{Box: box, Outside: netip.MustParseAddr(outside)}, err
}

// Forward makes a router that forwards everything of one address.
func Forward(inside, outside string) *Router {
	return &Router{Inside: netip.MustParseAddr(inside), Outside: netip.MustParseAddr(outside)}
}

// Send has a node seal an inner packet and delivers what becomes of it, and the answers to it.
func (n *Node) Send(p []byte) {
	buf := append(make([]byte, dataplane.Headroom), p...)
	sent := n.out.Seal(n.plane.Now, [][]byte{buf}, []int{len(p)}, dataplane.Headroom)
	for _, d := range sent.Datagrams {
		seg := d.SegSize
		if seg == 0 {
			seg = d.N
		}
		for off := 0; off < d.N; off += seg {
			n.plane.carry(n, d, bytes.Clone(d.Buf[off:min(off+seg, d.N)]))
		}
	}
	for range sent.Bypass {
		n.plane.Lost["in clear"]++
	}
}

// Touch sends one datagram that is no ESP from a port to an address, as IKE would have, and returns where it seems to come
// from: the mappings of the NATs in between are made.
func (n *Node) Touch(from uint16, to netip.AddrPort) (netip.AddrPort, error) {
	src, _, ok := n.plane.outward(n, netip.AddrPortFrom(n.Addr, from), to, []byte{0xff})
	if !ok {
		return src, fmt.Errorf("%s: no way to %s", n.Name, to)
	}
	return src, nil
}

// outward passes the sender's NATs.
func (pl *Plane) outward(n *Node, src, dst netip.AddrPort, b []byte) (netip.AddrPort, netip.AddrPort, bool) {
	for _, r := range n.via {
		if r.Inside.IsValid() {
			src = netip.AddrPortFrom(r.Outside, src.Port())
			continue
		}
		d := r.Box.Outbound(pl.Now, nat.Packet{Src: src, Dst: dst, Payload: b})
		if d.Drop != nat.Forwarded {
			return src, dst, false
		}
		src, dst = d.Src, d.Dst
	}
	return src, dst, true
}

// inward passes the receiver's NATs, the farthest first; false: this node is not who dst is.
func (pl *Plane) inward(n *Node, src, dst netip.AddrPort, b []byte) (netip.AddrPort, bool) {
	for i := len(n.via) - 1; i >= 0; i-- {
		r := n.via[i]
		if dst.Addr() != r.Outside {
			return dst, false
		}
		if r.Inside.IsValid() {
			dst = netip.AddrPortFrom(r.Inside, dst.Port())
			continue
		}
		d := r.Box.Inbound(pl.Now, nat.Packet{Src: src, Dst: dst, Payload: b})
		if d.Drop != nat.Forwarded {
			return dst, false
		}
		dst = d.Dst
	}
	return dst, dst.Addr() == n.Addr
}

// carry takes one datagram from its sender to whom it is for.
func (pl *Plane) carry(from *Node, d dataplane.Datagram, b []byte) {
	w := Wire{From: d.Local, To: d.Remote, Octets: b, Proto: 17}
	if d.Raw() {
		w.Proto = d.Proto
		w.From, w.To = netip.AddrPortFrom(d.Local.Addr(), 0), netip.AddrPortFrom(d.Remote.Addr(), 0)
	} else if _, bound := from.Ports[d.Local.Port()]; !bound {
		pl.Lost["from a port that is not bound"]++
		return
	}
	pl.Sent = append(pl.Sent, w)
	src, dst, ok := w.From, w.To, true
	if len(from.via) > 0 {
		if d.Raw() {
			pl.Lost["no ports at a NAT"]++
			return
		}
		if src, dst, ok = pl.outward(from, src, dst, b); !ok {
			pl.Lost["NAT of the sender"]++
			return
		}
	}
	for _, n := range pl.Nodes {
		if at, ok := pl.inward(n, src, dst, b); ok {
			n.receive(dataplane.Datagram{Buf: b, N: len(b), Remote: src, Local: at, TOS: d.TOS, Encap: d.Encap, Proto: d.Proto})
			return
		}
	}
	pl.Lost["nobody"]++
}

// receive opens a datagram.
func (n *Node) receive(d dataplane.Datagram) {
	if !d.Raw() {
		mode, bound := n.Ports[d.Local.Port()]
		if !bound {
			n.plane.Lost["to a port that is not bound"]++
			return
		}
		d.Encap = mode // the receiver goes by its own port's mode
	}
	var list [][]byte
	for _, p := range n.in.Open(n.plane.Now, []dataplane.Datagram{d}).Packets {
		list = append(list, bytes.Clone(p[dataplane.Headroom:]))
	}
	if n.Serve == nil {
		n.Got = append(n.Got, list...)
		return
	}
	for _, p := range list {
		for _, answer := range n.Serve(p) {
			n.Send(answer)
		}
	}
}
