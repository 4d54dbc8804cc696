// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Words for people: reasons, drops and selectors as the log, VICI and the command line print them alike.

package daemon

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/natterjack/natterjack/ike"
)

// ReasonText says in words why an IKE SA went away.
func ReasonText(r ike.CloseReason) string {
	switch r {
	case ike.CloseOperator:
		return "terminated by command"
	case ike.CloseShutdown:
		return "the daemon ends"
	case ike.ClosePeerDeleted:
		return "the peer deleted it"
	case ike.ClosePeerDead:
		return "the peer does not answer any more"
	case ike.CloseNoAnswer:
		return "no answer from the peer"
	case ike.CloseAuthFailed:
		return "authentication failed"
	case ike.CloseNoProposal:
		return "no common proposal"
	case ike.CloseNegotiation:
		return "negotiation failed"
	case ike.CloseHalfOpenTimeout:
		return "the peer did not finish the negotiation"
	case ike.CloseLifetime:
		return "its lifetime ended"
	case ike.CloseReplaced:
		return "replaced by a newer IKE SA of the same peer"
	case ike.CloseRekeyed:
		return "rekeyed"
	case ike.CloseMessageIDs:
		return "its message IDs are used up"
	case ike.CloseLimit:
		return "a limit of this host"
	case ike.CloseLost:
		return "the data plane restarted"
	case ike.CloseInternal:
		return "an internal failure"
	}
	return fmt.Sprintf("reason %d", r)
}

// DropText names the class of a dropped datagram.
func DropText(r ike.DropReason) string {
	switch r {
	case ike.DropSyntax:
		return "syntax"
	case ike.DropVersion:
		return "version"
	case ike.DropSPI:
		return "unknown SPI"
	case ike.DropMessageID:
		return "message ID"
	case ike.DropExchange:
		return "exchange"
	case ike.DropIntegrity:
		return "integrity"
	case ike.DropFragment:
		return "fragment"
	case ike.DropLimit:
		return "limit"
	case ike.DropRate:
		return "rate"
	case ike.DropState:
		return "state"
	case ike.DropCookie:
		return "cookie"
	}
	return fmt.Sprintf("class %d", r)
}

// SelectorsText prints selectors as swanctl does, separated by blanks.
func SelectorsText(list []ike.Selector) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = SelectorText(s)
	}
	return strings.Join(parts, " ")
}

// SelectorText prints one selector: a prefix where the range is one, else from..to; with [proto/port] if limited.
func SelectorText(s ike.Selector) string {
	var text string
	switch p, ok := RangePrefix(s.From, s.To); {
	case s.Dynamic:
		text = "dynamic"
	case ok:
		text = p.String()
	default:
		text = s.From.String() + ".." + s.To.String()
	}
	allPorts := s.PortFrom == 0 && s.PortTo == 0xffff
	if s.Proto == 0 && (allPorts || s.Dynamic) {
		return text
	}
	proto := fmt.Sprint(s.Proto)
	switch s.Proto {
	case 1:
		proto = "icmp"
	case 6:
		proto = "tcp"
	case 17:
		proto = "udp"
	case 58:
		proto = "ipv6-icmp"
	}
	switch {
	case allPorts:
		return text + "[" + proto + "]"
	case s.PortFrom == s.PortTo:
		return fmt.Sprintf("%s[%s/%d]", text, proto, s.PortFrom)
	}
	return fmt.Sprintf("%s[%s/%d-%d]", text, proto, s.PortFrom, s.PortTo)
}

// AddrTexts prints addresses one by one; nil for none.
func AddrTexts(list []netip.Addr) []string {
	var texts []string
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return texts
}

// RangePrefix returns the prefix that a range of addresses is, if it is one.
func RangePrefix(from, to netip.Addr) (netip.Prefix, bool) {
	if !from.IsValid() || from.BitLen() != to.BitLen() {
		return netip.Prefix{}, false
	}
	a, b := from.AsSlice(), to.AsSlice()
	bits := 0
	for i := range a {
		if a[i] == b[i] {
			bits += 8
			continue
		}
		for m := byte(0x80); m != 0 && a[i]&m == b[i]&m; m >>= 1 {
			bits++
		}
		break
	}
	p := netip.PrefixFrom(from, bits)
	if p.Masked().Addr() != from || lastOf(p) != to {
		return netip.Prefix{}, false
	}
	return p, true
}

// lastOf is the highest address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// SuiteText is the chosen proposal of a child in strongSwan's notation.
func SuiteText(c *ike.ChildSA) string { return strings.TrimPrefix(c.Suite.String(), "NONE/") }

// KindText says what kind of child it is: "ESP tunnel", "AH transport", "ESP tunnel with IPComp".
func KindText(c *ike.ChildSA) string {
	text := "ESP"
	if c.AH {
		text = "AH"
	}
	if c.Mode == ike.ModeTransport {
		text += " transport"
	} else {
		text += " tunnel"
	}
	if c.CPIIn != 0 {
		text += " with IPComp"
	}
	return text
}
