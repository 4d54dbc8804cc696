// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Captures of the outer link, and what must hold for every packet of one.

package netlab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Capture is a running or finished capture of one interface.
type Capture struct {
	Path string
	lab  *Lab
	proc *Process
}

// Capture starts tcpdump on an interface and waits until it listens. Each slot of its ring has the size of the largest packet.
func (s *Space) Capture(iface string) *Capture {
	s.lab.Helper()
	c := &Capture{Path: filepath.Join(s.lab.Dir, s.Role+"-"+iface+".pcap"), lab: s.lab}
	// What an earlier capture of the interface left would be taken for this one's.
	name := "tcpdump-" + iface
	os.Remove(c.Path)
	os.Remove(filepath.Join(s.lab.Dir, s.Role+"-"+name+".log"))
	c.proc = s.Start(name, nil, "tcpdump", "-i", iface, "-Z", "root", "-U", "-B", "65536", "-s", "65600", "--immediate-mode", "-n",
		"-w", c.Path)
	s.lab.Eventually(10*time.Second, "tcpdump", func() (bool, string) {
		log := c.proc.Log()
		if c.proc.Ended() {
			s.lab.Fatalf("tcpdump ended: %s", log)
		}
		return strings.Contains(log, "listening on"), log
	})
	return c
}

var dropped = regexp.MustCompile(`(\d+) packets dropped by kernel`)

// Stop ends the capture and returns its packets.
func (c *Capture) Stop() []Packet {
	c.lab.Helper()
	c.proc.Stop(syscall.SIGINT, 5*time.Second)
	if m := dropped.FindStringSubmatch(c.proc.Log()); m != nil && m[1] != "0" {
		c.lab.Logf("tcpdump: %s", m[0])
	}
	b, err := os.ReadFile(c.Path)
	if err != nil {
		c.lab.Fatal(err)
	}
	packets, err := parsePcap(b)
	if err != nil {
		c.lab.Fatalf("%s: %v", c.Path, err)
	}
	return packets
}

// Packet is one packet of a capture.
type Packet struct {
	Time time.Time
	// Frame is the whole Ethernet frame; EtherType its type.
	Frame     []byte
	EtherType uint16
	// Src, Dst and Protocol are of IP packets, Protocol behind IPv6 extension headers.
	Src, Dst netip.AddrPort // ports of UDP only
	Protocol byte
	Fragment bool
	// Payload is that of UDP, or what the last known header carries.
	Payload []byte
}

const (
	etherIPv4, etherIPv6, etherARP  = 0x0800, 0x86dd, 0x0806
	protoUDP, protoESP, protoICMPv6 = 17, 50, 58
	ethernetLen                     = 14
)

// parsePcap parses the classic format, of little-endian microseconds or nanoseconds and Ethernet.
func parsePcap(b []byte) ([]Packet, error) {
	if len(b) < 24 {
		return nil, errors.New("pcap: shorter than its header")
	}
	unit := time.Microsecond
	switch binary.LittleEndian.Uint32(b) {
	case 0xa1b2c3d4:
	case 0xa1b23c4d:
		unit = time.Nanosecond
	default:
		return nil, fmt.Errorf("pcap: magic %x", b[:4])
	}
	if link := binary.LittleEndian.Uint32(b[20:]); link != 1 {
		return nil, fmt.Errorf("pcap: link type %d, expected Ethernet", link)
	}
	var packets []Packet
	for b = b[24:]; len(b) >= 16; {
		n := int(binary.LittleEndian.Uint32(b[8:]))
		if len(b) < 16+n {
			break // the last one was being written
		}
		at := time.Unix(int64(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint32(b[4:]))*int64(unit))
		packets = append(packets, parseFrame(at, b[16:16+n]))
		b = b[16+n:]
	}
	return packets, nil
}

func parseFrame(at time.Time, f []byte) Packet {
	p := Packet{Time: at, Frame: f}
	if len(f) < ethernetLen {
		return p
	}
	p.EtherType = binary.BigEndian.Uint16(f[12:])
	b := f[ethernetLen:]
	switch {
	case p.EtherType == etherIPv4 && len(b) >= 20 && len(b) >= int(b[0]&15)*4:
		p.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:16])), 0)
		p.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:20])), 0)
		p.Protocol = b[9]
		p.Fragment = binary.BigEndian.Uint16(b[6:])&0x3fff != 0
		p.Payload = b[int(b[0]&15)*4:]
	case p.EtherType == etherIPv6 && len(b) >= 40:
		p.Src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), 0)
		p.Dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[24:40])), 0)
		p.Protocol, p.Payload = b[6], b[40:]
		for slices.Contains([]byte{0, 43, 60}, p.Protocol) && len(p.Payload) >= 8 && len(p.Payload) >= 8+int(p.Payload[1])*8 {
			p.Protocol, p.Payload = p.Payload[0], p.Payload[8+int(p.Payload[1])*8:]
		}
		p.Fragment = p.Protocol == 44
	}
	if p.Protocol == protoUDP && !p.Fragment && len(p.Payload) >= 8 {
		p.Src = netip.AddrPortFrom(p.Src.Addr(), binary.BigEndian.Uint16(p.Payload))
		p.Dst = netip.AddrPortFrom(p.Dst.Addr(), binary.BigEndian.Uint16(p.Payload[2:]))
		p.Payload = p.Payload[8:]
	}
	return p
}

// IsESP says whether a packet carries ESP in UDP (RFC 3948, Section 2.1): neither a keepalive nor the non-ESP marker.
func (p *Packet) IsESP() bool {
	return p.Protocol == protoUDP && (p.Src.Port() == 4500 || p.Dst.Port() == 4500) && len(p.Payload) > 8 &&
		binary.BigEndian.Uint32(p.Payload) != 0
}

// IKE returns the IKE message of a packet, without the non-ESP marker (RFC 3948, Section 2.2), or nil.
func (p *Packet) IKE() []byte {
	const headerLen, markerLen = 28, 4
	b := p.Payload
	switch {
	case p.Protocol != protoUDP || p.Fragment:
		return nil
	case p.Src.Port() == 500 || p.Dst.Port() == 500:
	case (p.Src.Port() == 4500 || p.Dst.Port() == 4500) && len(b) > markerLen && binary.BigEndian.Uint32(b) == 0:
		b = b[markerLen:]
	default:
		return nil
	}
	if len(b) < headerLen {
		return nil
	}
	return b
}

// The exchange types (RFC 7296, Section 3.1) and the payload of a fragment (RFC 7383, Section 2.5) that labs look for.
const (
	IKESAInit, IKEAuth, CreateChildSA, Informational = 34, 35, 36, 37
	fragmentPayload                                  = 53
)

// Exchange is the exchange type of an IKE message, or 0; fragment says whether it is one (RFC 7383).
func (p *Packet) Exchange() (exchange byte, fragment bool) {
	b := p.IKE()
	if b == nil {
		return 0, false
	}
	return b[18], b[16] == fragmentPayload
}

// Count counts the messages of one exchange since an instant. One that is sent again, as a peer does that waits for a busy machine, is the same.
func Count(packets []Packet, exchange byte, since time.Time) int {
	messages := map[string]bool{}
	for i := range packets {
		if e, _ := packets[i].Exchange(); e == exchange && packets[i].Time.After(since) {
			messages[string(packets[i].Payload)] = true
		}
	}
	return len(messages)
}

// neighbour says whether a packet is ARP, neighbour discovery (RFC 4861) or the group membership that it needs (RFC 3810).
func (p *Packet) neighbour() bool {
	if p.EtherType == etherARP {
		return true
	}
	if p.EtherType != etherIPv6 || p.Protocol != protoICMPv6 || len(p.Payload) == 0 {
		return false
	}
	t := p.Payload[0]
	return t >= 133 && t <= 137 || t >= 130 && t <= 132 || t == 143
}

// Outer is what a capture may hold: UDP between one of these clients and the gateway, with a port of the gateway's.
type Outer struct {
	Clients []netip.Addr
	Gateway netip.Addr
	// Pattern is what no packet may hold; ESPAtLeast how many packets must have been ESP, or the capture missed the data.
	Pattern    []byte
	ESPAtLeast int
}

// Check returns what is wrong with a capture.
func (o *Outer) Check(packets []Packet) error {
	var esp int
	for i := range packets {
		p := &packets[i]
		if len(o.Pattern) > 0 && bytes.Contains(p.Frame, o.Pattern) {
			return fmt.Errorf("packet %d (%v to %v) holds the payload's pattern in clear", i+1, p.Src, p.Dst)
		}
		if p.neighbour() {
			continue
		}
		if err := o.one(p); err != nil {
			return fmt.Errorf("packet %d: %w: % x", i+1, err, p.Frame[:min(len(p.Frame), 96)])
		}
		if p.IsESP() {
			esp++
		}
	}
	if esp < o.ESPAtLeast {
		return fmt.Errorf("%d packets of ESP among %d, expected at least %d", esp, len(packets), o.ESPAtLeast)
	}
	return nil
}

// CheckRaw is Check for ESP as protocol 50 (RFC 4303, Section 2) beside IKE.
func (o *Outer) CheckRaw(packets []Packet) error {
	var rest []Packet
	var esp int
	for i := range packets {
		p := &packets[i]
		between := p.Src.Addr() == o.Gateway && slices.Contains(o.Clients, p.Dst.Addr()) ||
			p.Dst.Addr() == o.Gateway && slices.Contains(o.Clients, p.Src.Addr())
		if p.Protocol != protoESP || p.Fragment || !between {
			rest = append(rest, *p)
			continue
		}
		if esp++; bytes.Contains(p.Frame, o.Pattern) {
			return fmt.Errorf("packet %d holds the payload's pattern in clear", i+1)
		}
	}
	if esp < o.ESPAtLeast {
		return fmt.Errorf("%d packets of ESP among %d, expected at least %d", esp, len(packets), o.ESPAtLeast)
	}
	ike := *o
	ike.ESPAtLeast = 0
	return ike.Check(rest)
}

func (o *Outer) one(p *Packet) error {
	if p.Protocol != protoUDP || p.Fragment {
		return fmt.Errorf("%v to %v, type %#x, protocol %d, fragment %v: not a whole UDP datagram", p.Src, p.Dst, p.EtherType,
			p.Protocol, p.Fragment)
	}
	client, gateway := p.Src, p.Dst
	if p.Src.Addr() == o.Gateway {
		client, gateway = p.Dst, p.Src
	}
	switch {
	case gateway.Addr() != o.Gateway || !slices.Contains(o.Clients, client.Addr()):
		return fmt.Errorf("%v to %v: not between the two ends", p.Src, p.Dst)
	case gateway.Port() != 500 && gateway.Port() != 4500:
		return fmt.Errorf("%v to %v: no port 500 or 4500 on the gateway's side", p.Src, p.Dst)
	}
	return nil
}
