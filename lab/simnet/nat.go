// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// NATs between the hosts of a world: port/natbox's logic, in virtual time.

package simnet

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/port/natbox/nat"
)

// Site is a private network behind a NAT.
type Site struct {
	Inside  netip.Prefix
	Outside netip.Addr // the NAT's own address
	Box     *nat.Box
}

// NewSite makes a private network. The NAT's external address is outside.
func NewSite(inside, outside string, c nat.Config) (*Site, error) {
	s := &Site{Inside: netip.MustParsePrefix(inside), Outside: netip.MustParseAddr(outside)}
	c.External = []netip.Addr{s.Outside}
	var err error
	s.Box, err = nat.New(c)
	return s, err
}

// Static is a host behind a NAT that forwards everything of one address, ports kept: what cloud gateways have.
type Static struct{ Inside, Outside netip.Addr }

// Internet is a Network of sites; hosts that are in none are outside.
type Internet struct {
	Sites   []*Site
	Statics []Static
	// Lost counts packets that a NAT dropped, by reason.
	Lost map[nat.Reason]int
}

// Carry implements Network. A packet passes the sender's NAT and then the receiver's.
func (n *Internet) Carry(now time.Time, p *Packet) bool {
	for _, s := range n.Sites {
		if s.Inside.Contains(p.From.Addr()) && !s.Inside.Contains(p.To.Addr()) {
			d := s.Box.Outbound(now, nat.Packet{Src: p.From, Dst: p.To, Payload: p.octets()})
			if !n.follow(p, d) {
				return false
			}
			break
		}
	}
	for _, s := range n.Statics {
		switch {
		case p.From.Addr() == s.Inside:
			p.From = netip.AddrPortFrom(s.Outside, p.From.Port())
		case p.To.Addr() == s.Outside:
			p.To = netip.AddrPortFrom(s.Inside, p.To.Port())
		}
	}
	for _, s := range n.Sites {
		if p.To.Addr() == s.Outside {
			return n.follow(p, s.Box.Inbound(now, nat.Packet{Src: p.From, Dst: p.To, Payload: p.octets()}))
		}
	}
	return true
}

func (n *Internet) follow(p *Packet, d nat.Decision) bool {
	if d.Drop != nat.Forwarded {
		if n.Lost == nil {
			n.Lost = map[nat.Reason]int{}
		}
		n.Lost[d.Drop]++
		return false
	}
	p.From, p.To = d.Src, d.Dst
	return true
}

// octets is what a NAT sees of a packet.
func (p *Packet) octets() []byte {
	switch {
	case p.Keepalive:
		return []byte{0xff}
	case p.ESP != nil:
		return []byte{byte(p.ESP.SPI >> 24), byte(p.ESP.SPI >> 16), byte(p.ESP.SPI >> 8), byte(p.ESP.SPI), 0, 0, 0, 0}
	}
	return append(make([]byte, 4), p.IKE...)
}
