// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// PF_KEY messages as text for transcripts. Everything in a message is printed: what is not where the format has something is
// printed as octets, so two messages with equal text are equal but for the rules of normal.go.

package oracle

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
)

var typeNames = [...]string{"RESERVED", "GETSPI", "UPDATE", "ADD", "DELETE", "GET", "ACQUIRE", "REGISTER", "EXPIRE", "FLUSH", "DUMP",
	"X_PROMISC", "X_PCHANGE", "X_SPDUPDATE", "X_SPDADD", "X_SPDDELETE", "X_SPDGET", "X_SPDACQUIRE", "X_SPDDUMP", "X_SPDFLUSH",
	"X_SPDSETIDX", "X_SPDEXPIRE", "X_SPDDELETE2", "X_NAT_T_NEW_MAPPING", "X_MIGRATE"}

var extNames = [...]string{"RESERVED", "SA", "CURRENT", "HARD", "SOFT", "SRC", "DST", "PROXY", "KEY_AUTH", "KEY_ENCRYPT", "ID_SRC", "ID_DST",
	"SENSITIVITY", "PROPOSAL", "SUPPORTED_AUTH", "SUPPORTED_ENCRYPT", "SPIRANGE", "X_KMPRIVATE", "X_POLICY", "X_SA2",
	"X_NAT_T_TYPE", "X_NAT_T_SPORT", "X_NAT_T_DPORT", "X_NAT_T_OA", "X_SEC_CTX", "X_KMADDRESS", "X_FILTER"}

func name(list []string, n int) string {
	if n < len(list) {
		return list[n]
	}
	return fmt.Sprintf("%d", n)
}

func saName(n uint8) string {
	switch n {
	case unspec:
		return "UNSPEC"
	case ah:
		return "AH"
	case esp:
		return "ESP"
	case ipcomp:
		return "IPCOMP"
	}
	return fmt.Sprintf("satype%d", n)
}

var native = binary.NativeEndian

// print is a message's lines. names is how it calls what varies; seq and pid those that are not worth saying.
func (n *names) print(b []byte, seq, pid uint32) string {
	if len(b) < headerLen {
		return "octets " + hex.EncodeToString(b) + "\n"
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s", name(typeNames[:], int(b[1])), saName(b[3]))
	if b[0] != version2 {
		fmt.Fprintf(&s, " version=%d", b[0])
	}
	if b[2] != 0 {
		fmt.Fprintf(&s, " errno=%d", b[2])
	}
	if l := int(native.Uint16(b[4:])); l*word != len(b) {
		fmt.Fprintf(&s, " len=%d of %d octets", l, len(b))
	}
	if r := native.Uint16(b[6:]); r != 0 {
		fmt.Fprintf(&s, " reserved=%d", r)
	}
	if v := native.Uint32(b[8:]); v != seq {
		fmt.Fprintf(&s, " seq=%s", n.seq(b[1], v))
	}
	if v := native.Uint32(b[12:]); v != pid {
		fmt.Fprintf(&s, " pid=%d", v)
	}
	s.WriteByte('\n')
	typ := b[1]
	for b = b[headerLen:]; len(b) > 0; {
		l := 0
		if len(b) >= 4 {
			l = int(native.Uint16(b)) * word
		}
		if l < word || l > len(b) {
			fmt.Fprintf(&s, "   octets %x\n", b)
			break
		}
		kind := native.Uint16(b[2:])
		fmt.Fprintf(&s, "   %s%s\n", name(extNames[:], int(kind)), n.extension(typ, kind, b[4:l]))
		b = b[l:]
	}
	return s.String()
}

// extension is what an extension says, with a space before.
func (n *names) extension(typ uint8, kind uint16, b []byte) string {
	switch kind {
	case extSA:
		if len(b) == 12 {
			s := fmt.Sprintf(" spi=%s replay=%d state=%d auth=%d enc=%d", n.spi(typ, binary.BigEndian.Uint32(b)), b[4], b[5], b[6], b[7])
			return s + nonzero(" flags=0x%x", native.Uint32(b[8:]))
		}
	case extCurrent, extHard, extSoft:
		if len(b) == 28 {
			return n.lifetime(kind, b)
		}
	case extSrc, extDst, extProxy, extNATTOA:
		if len(b) > 4 {
			return fmt.Sprintf(" proto=%d prefix=%d", b[0], b[1]) + nonzero(" reserved=%d", uint32(native.Uint16(b[2:]))) + address(b[4:])
		}
	case extKeyAuth, extKeyEncrypt:
		if bits := int(native.Uint16(b)); len(b) >= 4+(bits+7)/8 {
			l := 4 + (bits+7)/8
			return fmt.Sprintf(" bits=%d", bits) + nonzero(" reserved=%d", uint32(native.Uint16(b[2:]))) + fmt.Sprintf(" %x", b[4:l]) + rest(b[l:])
		}
	case extSPIRange:
		if len(b) == 12 {
			return fmt.Sprintf(" 0x%x-0x%x", native.Uint32(b), native.Uint32(b[4:])) + rest(b[8:])
		}
	case extPolicy:
		if len(b) >= 12 {
			return n.policy(b)
		}
	case extSA2:
		if len(b) == 12 {
			return fmt.Sprintf(" mode=%d", b[0]) + nonzero(" reserved=%d", uint32(b[1])) + nonzero(" reserved=%d", uint32(native.Uint16(b[2:]))) +
				nonzero(" sequence=%d", native.Uint32(b[4:])) + fmt.Sprintf(" reqid=%s", n.reqid(native.Uint32(b[8:])))
		}
	case extNATTType:
		if len(b) == 4 {
			return fmt.Sprintf(" %d", b[0]) + rest(b[1:])
		}
	case extNATTSPort, extNATTDPort:
		if len(b) == 4 {
			return fmt.Sprintf(" %d", binary.BigEndian.Uint16(b)) + rest(b[2:])
		}
	case extSupportedAuth, extSupportedEncrypt:
		return supported(b)
	case extProposal:
		return proposal(b)
	}
	return fmt.Sprintf(" octets %x", b)
}

// rest is octets that ought to be zero.
func rest(b []byte) string {
	for _, v := range b {
		if v != 0 {
			return fmt.Sprintf(" padding=%x", b)
		}
	}
	return ""
}

func nonzero(format string, v uint32) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(format, v)
}

func (n *names) lifetime(kind uint16, b []byte) string {
	added, used := n.moment(kind, native.Uint64(b[12:])), n.moment(kind, native.Uint64(b[20:]))
	return fmt.Sprintf(" allocations=%d octets=%d added=%s used=%s", native.Uint32(b), native.Uint64(b[4:]), added, used)
}

// address is a sockaddr with what follows it.
func address(b []byte) string {
	text, l := socket(b)
	return " " + text + rest(b[l:])
}

// socket reads one sockaddr and says how long it is.
func socket(b []byte) (text string, length int) {
	if len(b) >= 16 && native.Uint16(b) == afInet {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])).String() + rest(b[8:16]), 16
	}
	if len(b) >= 28 && native.Uint16(b) == afInet6 {
		ap := netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), binary.BigEndian.Uint16(b[2:]))
		return ap.String() + rest(b[4:8]) + nonzero(" scope=%d", native.Uint32(b[24:])), 28
	}
	return fmt.Sprintf("octets %x", b), len(b)
}

func (n *names) policy(b []byte) string {
	var s strings.Builder
	fmt.Fprintf(&s, " type=%d dir=%d%s id=%s priority=%d", native.Uint16(b), b[2], nonzero(" reserved=%d", uint32(b[3])),
		n.policyID(native.Uint32(b[4:])), native.Uint32(b[8:]))
	for b = b[12:]; len(b) >= 16; {
		l := int(native.Uint16(b))
		if l < 16 || l > len(b) {
			break
		}
		fmt.Fprintf(&s, "\n      proto=%d mode=%d level=%d%s reqid=%s%s", native.Uint16(b[2:]), b[4], b[5], nonzero(" reserved=%d", uint32(native.Uint16(b[6:]))),
			n.reqid(native.Uint32(b[8:])), nonzero(" reserved2=%d", native.Uint32(b[12:])))
		for ends := b[16:l]; len(ends) > 0; {
			text, used := socket(ends)
			s.WriteString(" " + text)
			ends = ends[used:]
		}
		b = b[l:]
	}
	if len(b) > 0 {
		fmt.Fprintf(&s, "\n      octets %x", b)
	}
	return s.String()
}

func supported(b []byte) string {
	var s strings.Builder
	s.WriteString(rest(b[:min(4, len(b))]))
	for b = b[min(4, len(b)):]; len(b) >= 8; b = b[8:] {
		fmt.Fprintf(&s, " %d/iv%d/%d-%d%s", b[0], b[1], native.Uint16(b[2:]), native.Uint16(b[4:]), rest(b[6:8]))
	}
	return s.String() + rest(b)
}

// proposal is a replay window and combs (RFC 2367, Section 2.3.7).
func proposal(b []byte) string {
	if len(b) < 4 {
		return fmt.Sprintf(" octets %x", b)
	}
	var s strings.Builder
	fmt.Fprintf(&s, " replay=%d%s", b[0], rest(b[1:4]))
	for b = b[4:]; len(b) >= 72; b = b[72:] {
		fmt.Fprintf(&s, "\n      auth=%d enc=%d flags=%d auth=%d-%d enc=%d-%d rest=%x", b[0], b[1], native.Uint16(b[2:]), native.Uint16(b[4:]),
			native.Uint16(b[6:]), native.Uint16(b[8:]), native.Uint16(b[10:]), b[12:72])
	}
	if len(b) > 0 {
		fmt.Fprintf(&s, "\n      octets %x", b)
	}
	return s.String()
}
