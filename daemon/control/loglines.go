// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Events as the log lines that charon's clients show: a group, a level and a sentence. What a peer chose is escaped.

package control

import (
	"fmt"
	"strings"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
	"github.com/natterjack/natterjack/wire/vici"
)

// logLine is one line. Groups are charon's: IKE, NET, ENC, CFG, CHD.
type logLine struct {
	group string
	level int
	text  string
}

// section is the line as control-log carries it and, with the number of a thread, log.
func (l logLine) section(ev ike.Event, thread string) *vici.Section {
	s := vici.New().Set("group", l.group).Set("level", number(l.level))
	if thread != "" {
		s.Set("thread", thread)
	}
	if ev.Connection != "" || ev.Unique != 0 {
		s.Set("ikesa-name", nameOf(ev.Connection)).Set("ikesa-uniqueid", number(ev.Unique))
	}
	return s.Set("msg", l.text)
}

func line(group string, level int, format string, args ...any) []logLine {
	return []logLine{{group, level, fmt.Sprintf(format, args...)}}
}

// logLines describes an event; some have more than one line, some none.
func logLines(ev ike.Event) []logLine {
	detail := daemon.Clean(ev.Detail)
	switch ev.Kind {
	case ike.EventMessage:
		return messageLines(ev)
	case ike.EventNAT:
		return natLines(ev)
	case ike.EventFloat:
		return line("IKE", 1, "moving to UDP port %d", ev.Path.Remote.Port())
	case ike.EventAuthenticated:
		return line("IKE", 1, "authentication of '%s' with %s successful", ev.Identity, methodText(ev.Scheme))
	case ike.EventIKEUp:
		return line("IKE", 0, "IKE_SA %s[%d] established between %s[%s]...%s[%s]", nameOf(ev.Connection), ev.Unique,
			hostText(ev.Path.Local), ev.LocalIdentity, hostText(ev.Path.Remote), ev.Identity)
	case ike.EventIKERekeyed:
		return line("IKE", 0, "IKE_SA %s[%d] rekeyed between %s...%s", nameOf(ev.Connection), ev.Unique, hostText(ev.Path.Local), hostText(ev.Path.Remote))
	case ike.EventIKEDown:
		return line("IKE", 0, "IKE_SA %s[%d] deleted: %s%s", nameOf(ev.Connection), ev.Unique, daemon.ReasonText(ev.Reason), colon(detail))
	case ike.EventChildUp, ike.EventChildDown:
		return childLines(ev)
	case ike.EventAddresses:
		if !ev.Initiator {
			return line("IKE", 1, "assigning virtual IP %s to peer '%s'", strings.Join(daemon.AddrTexts(ev.Addrs), " "), ev.Identity)
		}
		return line("IKE", 1, "installing new virtual IP %s", strings.Join(daemon.AddrTexts(ev.Addrs), " "))
	case ike.EventMoved:
		return line("IKE", 1, "peer moved from %s to %s", ev.From, ev.Path.Remote)
	case ike.EventKeepalive:
		return line("NET", 2, "sending keep alive to %s%s", ev.Path.Remote, colon(detail))
	case ike.EventDropped:
		return line("NET", 1, "dropped a datagram from %s (%s)%s", ev.Path.Remote, daemon.DropText(ev.Drop), colon(detail))
	case ike.EventRefused:
		return line("IKE", 1, "refused a request with %s%s", notifyText(ev.Notify), colon(detail))
	case ike.EventFailed:
		return failedLines(ev, detail)
	case ike.EventRetry:
		return line("IKE", 1, "%s", detail)
	}
	return nil
}

func colon(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}

func notifyText(n uint16) string { return ikev2msg.NotifyType(n).String() }

// methodText is charon's word for a shared key.
func methodText(scheme string) string {
	if strings.EqualFold(scheme, "psk") {
		return "pre-shared key"
	}
	return scheme
}

// messageLines are two lines for a message: what is in it, and where it went.
func messageLines(ev ike.Event) []logLine {
	text := daemon.Clean(ev.Summary)
	if ev.Sent {
		again := ""
		if ev.Retransmit {
			again = " again"
		}
		return []logLine{
			{"ENC", 1, "generating " + text},
			{"NET", 1, fmt.Sprintf("sending packet%s: from %s to %s (%d bytes)", again, endpoint(ev.Path.Local.String()), endpoint(ev.Path.Remote.String()), ev.Size)},
		}
	}
	return []logLine{
		{"NET", 1, fmt.Sprintf("received packet: from %s to %s (%d bytes)", endpoint(ev.Path.Remote.String()), endpoint(ev.Path.Local.String()), ev.Size)},
		{"ENC", 1, "parsed " + text},
	}
}

// endpoint is "address[port]".
func endpoint(addrPort string) string {
	i := strings.LastIndexByte(addrPort, ':')
	if i < 0 {
		return addrPort
	}
	return strings.Trim(addrPort[:i], "[]") + "[" + addrPort[i+1:] + "]"
}

func natLines(ev ike.Event) []logLine {
	var lines []logLine
	if ev.NATLocal {
		lines = append(lines, logLine{"IKE", 1, "local host is behind NAT, sending keep alives"})
	}
	if ev.NATRemote {
		lines = append(lines, logLine{"IKE", 1, "remote host is behind NAT"})
	}
	if lines == nil {
		return line("IKE", 1, "no NAT between the hosts")
	}
	return lines
}

func childLines(ev ike.Event) []logLine {
	c := ev.Child
	if c == nil {
		return nil
	}
	ts := daemon.SelectorsText(c.TSLocal) + " === " + daemon.SelectorsText(c.TSRemote)
	switch {
	case ev.Kind == ike.EventChildUp:
		return []logLine{
			{"CFG", 1, "selected proposal: " + protocolText(c.AH) + ":" + daemon.SuiteText(c)},
			{"IKE", 0, fmt.Sprintf("CHILD_SA %s{%d} established with SPIs %08x_i %08x_o and TS %s", c.Name, c.ChildID, c.SPIIn, c.SPIOut, ts)},
		}
	case ev.Rekey:
		return line("IKE", 1, "rekeyed CHILD_SA %s{%d} closed", c.Name, c.ChildID)
	}
	return line("IKE", 0, "closing CHILD_SA %s{%d} with SPIs %08x_i (%d bytes) %08x_o (%d bytes) and TS %s%s", c.Name, c.ChildID,
		c.SPIIn, ev.Usage.BytesIn, c.SPIOut, ev.Usage.BytesOut, ts, colon(daemon.Clean(ev.Detail)))
}

func failedLines(ev ike.Event, detail string) []logLine {
	var lines []logLine
	if ev.Offered != "" {
		lines = append(lines, logLine{"CFG", 1, "configured proposals: " + daemon.Clean(ev.Offered)})
	}
	if ev.Got != "" {
		lines = append(lines, logLine{"CFG", 1, "received proposals: " + daemon.Clean(ev.Got)})
	}
	text := "exchange failed"
	if ev.Notify != 0 {
		text = "failed with " + notifyText(ev.Notify)
	}
	return append(lines, logLine{"IKE", 1, text + colon(detail)})
}
