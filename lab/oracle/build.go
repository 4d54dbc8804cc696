// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A builder of PF_KEY messages of the tests' own, so that what the codec of wire/pfkey believes of the format is not what it is
// tested with. Numbers are those of RFC 2367, Section 3, and of Linux's linux/pfkeyv2.h; what a message says may be as wrong as a case wants.

package oracle

import (
	"encoding/binary"
	"net/netip"
)

// Message types.
const (
	getSPI uint8 = iota + 1
	update
	add
	del
	get
	acquire
	register
	expire
	flush
	dump
	promisc
	pchange
	spdUpdate
	spdAdd
	spdDelete
	spdGet
	spdAcquire
	spdDump
	spdFlush
	spdSetIdx
	spdExpire
	spdDelete2
	newMapping
	migrate
)

// SA types.
const (
	unspec  uint8 = 0
	ah      uint8 = 2
	esp     uint8 = 3
	ospf    uint8 = 6
	ipcomp  uint8 = 9
	badType uint8 = 10
)

// Extension types.
const (
	extSA uint16 = iota + 1
	extCurrent
	extHard
	extSoft
	extSrc
	extDst
	extProxy
	extKeyAuth
	extKeyEncrypt
	extIDSrc
	extIDDst
	extSensitivity
	extProposal
	extSupportedAuth
	extSupportedEncrypt
	extSPIRange
	extKMPrivate
	extPolicy
	extSA2
	extNATTType
	extNATTSPort
	extNATTDPort
	extNATTOA
	extSecCtx
	extKMAddress
	extFilter
)

const (
	headerLen = 16
	// word is PF_KEY's unit of length.
	word = 8
	// version2 is PF_KEY's version; ourPID the process id that our messages give.
	version2 = 2
	ourPID   = 4242
	afInet   = 2
	afInet6  = 10
)

// message is one being built. Its methods return it, so that they can be chained; none changes its receiver's octets in place.
type message struct {
	b []byte
	// seq is written as it is if fixed, else by the session.
	fixedSeq, fixedLen bool
}

// msg begins a message.
func msg(typ, satype uint8) message {
	b := make([]byte, headerLen)
	b[0], b[1], b[3] = version2, typ, satype
	binary.NativeEndian.PutUint32(b[12:], ourPID)
	return message{b: b}
}

// at sets an octet, anywhere; of the header or of what was built so far.
func (m message) at(i int, v byte) message {
	m.b = append([]byte(nil), m.b...)
	m.b[i] = v
	return m
}

func (m message) seq(n uint32) message {
	m.b = append([]byte(nil), m.b...)
	binary.NativeEndian.PutUint32(m.b[8:], n)
	m.fixedSeq = true
	return m
}

func (m message) pid(n uint32) message {
	m.b = append([]byte(nil), m.b...)
	binary.NativeEndian.PutUint32(m.b[12:], n)
	return m
}

// words sets sadb_msg_len to something of the case's choice.
func (m message) words(n uint16) message {
	m.b = append([]byte(nil), m.b...)
	binary.NativeEndian.PutUint16(m.b[4:], n)
	m.fixedLen = true
	return m
}

// raw appends octets.
func (m message) raw(b ...byte) message {
	m.b = append(append([]byte(nil), m.b...), b...)
	return m
}

// ext appends an extension with its length, padded to words.
func (m message) ext(typ uint16, body []byte) message {
	e := binary.NativeEndian.AppendUint16(nil, uint16((4+len(body)+word-1)/word))
	e = binary.NativeEndian.AppendUint16(e, typ)
	e = append(e, body...)
	for len(e)%word != 0 {
		e = append(e, 0)
	}
	return m.raw(e...)
}

// saExt is the SA extension (RFC 2367, Section 2.3.1).
type saExt struct {
	spi                          uint32
	replay, state, auth, encrypt uint8
	flags                        uint32
}

func (m message) sa(s saExt) message {
	b := binary.BigEndian.AppendUint32(nil, s.spi)
	b = append(b, s.replay, s.state, s.auth, s.encrypt)
	return m.ext(extSA, binary.NativeEndian.AppendUint32(b, s.flags))
}

// lifetime is a lifetime extension; times are seconds.
func (m message) lifetime(typ uint16, allocations uint32, octets, added, used uint64) message {
	b := binary.NativeEndian.AppendUint32(nil, allocations)
	b = binary.NativeEndian.AppendUint64(b, octets)
	b = binary.NativeEndian.AppendUint64(b, added)
	return m.ext(typ, binary.NativeEndian.AppendUint64(b, used))
}

// sockaddr is Linux's sockaddr_in or sockaddr_in6 of an address and a port, both from text.
func sockaddr(s string) []byte {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		ap = netip.AddrPortFrom(netip.MustParseAddr(s), 0)
	}
	a := ap.Addr()
	if a.Is4() {
		b := binary.NativeEndian.AppendUint16(nil, afInet)
		b = binary.BigEndian.AppendUint16(b, ap.Port())
		b = append(b, a.AsSlice()...)
		return append(b, make([]byte, 8)...)
	}
	b := binary.NativeEndian.AppendUint16(nil, afInet6)
	b = binary.BigEndian.AppendUint16(b, ap.Port())
	b = append(b, 0, 0, 0, 0)
	b = append(b, a.AsSlice()...)
	return append(b, 0, 0, 0, 0)
}

// address is an address extension with a protocol and a prefix length.
func (m message) address(typ uint16, s string, proto, prefix uint8) message {
	return m.ext(typ, append([]byte{proto, prefix, 0, 0}, sockaddr(s)...))
}

// ends appends both addresses with the prefix length of a host.
func (m message) ends(src, dst string) message {
	return m.address(extSrc, src, 0, hostPrefix(src)).address(extDst, dst, 0, hostPrefix(dst))
}

func hostPrefix(s string) uint8 {
	if sockaddr(s)[0] == afInet {
		return 32
	}
	return 128
}

// key is a key extension whose key counts its octets.
func (m message) key(typ uint16, bits int) message {
	b := binary.NativeEndian.AppendUint16(nil, uint16(bits))
	b = append(b, 0, 0)
	for i := range (bits + 7) / 8 {
		b = append(b, byte(i))
	}
	return m.ext(typ, b)
}

func (m message) sa2(mode uint8, reqid uint32) message {
	b := []byte{mode, 0, 0, 0, 0, 0, 0, 0}
	return m.ext(extSA2, binary.NativeEndian.AppendUint32(b, reqid))
}

func (m message) spiRange(lo, hi uint32) message {
	b := binary.NativeEndian.AppendUint32(nil, lo)
	b = binary.NativeEndian.AppendUint32(b, hi)
	return m.ext(extSPIRange, append(b, 0, 0, 0, 0))
}

func (m message) nattType(v uint8) message { return m.ext(extNATTType, []byte{v, 0, 0, 0}) }

func (m message) nattPort(typ, port uint16) message {
	return m.ext(typ, append(binary.BigEndian.AppendUint16(nil, port), 0, 0))
}

// natt is the three extensions that daemons send.
func (m message) natt(typ uint8, sport, dport uint16) message {
	return m.nattType(typ).nattPort(extNATTSPort, sport).nattPort(extNATTDPort, dport)
}

// identity is an identity extension.
func (m message) identity(typ, kind uint16, name string) message {
	b := binary.NativeEndian.AppendUint16(nil, kind)
	b = append(b, make([]byte, 10)...)
	return m.ext(typ, append(append(b, name...), 0))
}

// request is a sadb_x_ipsecrequest; without ends it has no addresses.
type request struct {
	proto       uint16
	mode, level uint8
	reqid       uint32
	src, dst    string
	length      uint16 // 0: what it is
}

func (r request) octets() []byte {
	var ends []byte
	if r.src != "" {
		ends = append(sockaddr(r.src), sockaddr(r.dst)...)
	}
	n := r.length
	if n == 0 {
		n = uint16(16 + len(ends))
	}
	b := binary.NativeEndian.AppendUint16(nil, n)
	b = binary.NativeEndian.AppendUint16(b, r.proto)
	b = append(b, r.mode, r.level, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, r.reqid)
	return append(append(b, 0, 0, 0, 0), ends...)
}

// policy is a policy extension; typ is 0 discard, 1 none, 2 ipsec, 3 entrust, 4 bypass; dir 1 in, 2 out, 3 forward.
func (m message) policy(typ uint16, dir uint8, id, priority uint32, requests ...request) message {
	b := binary.NativeEndian.AppendUint16(nil, typ)
	b = append(b, dir, 0)
	b = binary.NativeEndian.AppendUint32(b, id)
	b = binary.NativeEndian.AppendUint32(b, priority)
	for _, r := range requests {
		b = append(b, r.octets()...)
	}
	return m.ext(extPolicy, b)
}

// octets are the message with its length and sequence number.
func (m message) octets(seq uint32) []byte {
	b := append([]byte(nil), m.b...)
	if !m.fixedLen {
		binary.NativeEndian.PutUint16(b[4:], uint16(len(b)/word))
	}
	if !m.fixedSeq {
		binary.NativeEndian.PutUint32(b[8:], seq)
	}
	return b
}
