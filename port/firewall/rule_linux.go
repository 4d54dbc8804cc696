// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The expressions of our rules: each function is one condition or one verdict, as nft(8) would write it.

package firewall

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	// ifNameSize is IFNAMSIZ: names are compared with their padding.
	ifNameSize = 16
	// ndFirst to ndLast are the ICMPv6 types of neighbour discovery (RFC 4861, Section 4).
	ndFirst, ndLast = 133, 137
	// ndHopLimit proves that a message came from the link itself (RFC 4861, Section 7.1.1).
	ndHopLimit = 255
)

func rule(parts ...[]expr.Any) []expr.Any { return slices.Concat(parts...) }

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

func drop() []expr.Any { return []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}} }

func equal(data ...byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func port(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

func onDevice(name string, input bool) []expr.Any {
	key := expr.MetaKeyOIFNAME
	if input {
		key = expr.MetaKeyIIFNAME
	}
	var padded [ifNameSize]byte
	copy(padded[:ifNameSize-1], name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, equal(padded[:]...)}
}

// marked: the packet's mark, in the bits of mask, is ours.
func marked(mark, mask uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(mask), Xor: native(0)},
		equal(native(mark & mask)...),
	}
}

// setMark sets the bits of mask and leaves others to whoever uses them.
func setMark(mark, mask uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(^mask), Xor: native(mark & mask)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
}

func toThisHost() []expr.Any {
	return []expr.Any{&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true}, equal(native(unix.RTN_LOCAL)...)}
}

func protocol(p uint8) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(p)}
}

func udpPort(p uint16) []expr.Any {
	return append(protocol(unix.IPPROTO_UDP), transport(2), equal(port(p)...))
}

func transport(offset uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2, DestRegister: 1}
}

func between(from, to []byte) expr.Any {
	return &expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: from, ToData: to}
}

func family(v byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(v)}
}

// neighbourDiscovery must stay possible where a selector covers the peer's own address on the link.
func neighbourDiscovery() []expr.Any {
	return rule(family(unix.NFPROTO_IPV6), protocol(unix.IPPROTO_ICMPV6), []expr.Any{
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 7, Len: 1, DestRegister: 1}, equal(ndHopLimit),
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1, DestRegister: 1}, between([]byte{ndFirst}, []byte{ndLast}),
	})
}

// header says where a family keeps its addresses (RFC 791, Section 3.1; RFC 8200, Section 3).
type header struct {
	family           byte
	src, dst, length uint32
}

func headerOf(s Selector) header {
	if s.From.Is6() {
		return header{unix.NFPROTO_IPV6, 8, 24, 16}
	}
	return header{unix.NFPROTO_IPV4, 12, 16, 4}
}

// match is the condition that a packet goes from src to dst.
func match(src, dst Selector) []expr.Any {
	h := headerOf(src)
	e := rule(family(h.family), address(h.src, h.length, src), address(h.dst, h.length, dst))
	proto := max(src.Proto, dst.Proto)
	if proto == 0 {
		return e
	}
	e = append(e, protocol(proto)...)
	if proto == unix.IPPROTO_ICMP || proto == unix.IPPROTO_ICMPV6 {
		// Type and code are those of the message, whoever sends it (RFC 7296, Section 3.13.1).
		return append(e, ports(0, src)...)
	}
	return append(append(e, ports(0, src)...), ports(2, dst)...)
}

func load(at, size uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: size, DestRegister: 1}
}

func address(at, size uint32, s Selector) []expr.Any {
	if s.From.IsUnspecified() && !s.To.Next().IsValid() {
		return nil // the family says it all
	}
	if s.From == s.To {
		return []expr.Any{load(at, size), equal(s.From.AsSlice()...)}
	}
	return []expr.Any{load(at, size), between(s.From.AsSlice(), s.To.AsSlice())}
}

func ports(at uint32, s Selector) []expr.Any {
	if s.PortFrom == 0 && s.PortTo == 0xffff {
		return nil
	}
	return []expr.Any{transport(at), between(port(s.PortFrom), port(s.PortTo))}
}

// check refuses what cannot be a rule.
func (p Policy) check() error {
	for _, s := range []Selector{p.Local, p.Remote} {
		switch {
		case !s.From.IsValid() || s.From.Is4In6() || s.From.BitLen() != s.To.BitLen() || s.To.Less(s.From):
			return fmt.Errorf("firewall: policy %s: %v to %v is no range", p.ID, s.From, s.To)
		case s.PortTo < s.PortFrom:
			return fmt.Errorf("firewall: policy %s: ports %d to %d are no range", p.ID, s.PortFrom, s.PortTo)
		}
	}
	switch {
	case p.Local.From.BitLen() != p.Remote.From.BitLen():
		return fmt.Errorf("firewall: policy %s: two address families", p.ID)
	case p.Local.Proto != p.Remote.Proto && p.Local.Proto != 0 && p.Remote.Proto != 0:
		return fmt.Errorf("firewall: policy %s: two protocols", p.ID)
	case p.ID == "":
		return fmt.Errorf("firewall: policy without a name")
	}
	return nil
}
