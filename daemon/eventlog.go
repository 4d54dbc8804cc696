// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The log is one subscriber of the event hub: one line an event, attributes from one fixed vocabulary (ike_sa, child_sa,
// peer, peer_id, spi_in, spi_out, exchange, reason). Strings a peer chose are cut and escaped here; the slog handlers
// quote them once more. Classes that a stranger can cause are limited to one line a second.

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/natterjack/natterjack/ike"
)

const (
	// maxLogString is how many octets of any string are logged.
	maxLogString = 512
	// maxLoggedSelectors of each side are logged; of IPv6 ranges they are some 400 octets.
	maxLoggedSelectors = 4
	// strangersPause is the time between two lines of one class that needs no authentication to cause.
	strangersPause = time.Second
	// maxProved bounds what is remembered of IKE SAs whose end was not heard of; beyond it all are forgotten, and their
	// lines are as rare as a stranger's.
	maxProved = 1 << 17
)

// eventLog writes events to a logger. It is used by one goroutine.
type eventLog struct {
	log     *slog.Logger
	classes map[logClass]*classState
	// proved are the IKE SAs whose peer has authenticated itself.
	proved map[uint64]struct{}
}

// logClass is what a stranger's line is counted as; there are few, whatever strangers do.
type logClass struct {
	kind   ike.EventKind
	drop   ike.DropReason
	reason ike.CloseReason
	notify uint16
}

type classState struct {
	last time.Time
	held int
}

func newEventLog(log *slog.Logger) *eventLog {
	return &eventLog{log: log, classes: map[logClass]*classState{}, proved: map[uint64]struct{}{}}
}

// run logs until the subscription is closed.
func (l *eventLog) run(s *Subscription) {
	for ev := range s.C {
		l.write(ev)
	}
}

// strange reports whether nobody has been proved to have caused ev, or a proved peer can cause it as often as it likes. IKE
// SAs that this host began are its operator's matter.
func (l *eventLog) strange(ev ike.Event) bool {
	_, proved := l.proved[ev.Unique]
	switch ev.Kind {
	case ike.EventDropped, ike.EventRefused, ike.EventMoved: // a peer moves with every packet if it sends from two ports in turn
		return true
	case ike.EventAuthenticated:
		if len(l.proved) >= maxProved {
			clear(l.proved)
		}
		l.proved[ev.Unique] = struct{}{}
		return false
	case ike.EventIKEDown:
		delete(l.proved, ev.Unique)
	}
	return ev.Unique != 0 && !proved && !ev.Initiator
}

// seldom counts ev in its class; false: it is too early for another line of it.
func (l *eventLog) seldom(ev ike.Event) (held int, ok bool) {
	key := logClass{ev.Kind, ev.Drop, ev.Reason, ev.Notify}
	class := l.classes[key]
	if class == nil {
		class = &classState{}
		l.classes[key] = class
	}
	if ev.At.Sub(class.last) < strangersPause {
		class.held++
		return 0, false
	}
	held = class.held
	*class = classState{last: ev.At}
	return held, true
}

func (l *eventLog) write(ev ike.Event) {
	level, text, attrs := describe(ev)
	if l.strange(ev) && level >= slog.LevelInfo {
		held, ok := l.seldom(ev)
		if !ok {
			return
		}
		if held > 0 {
			attrs = append(attrs, slog.Int("not_logged", held))
		}
	}
	base := make([]slog.Attr, 0, len(attrs)+4)
	if ev.Unique != 0 {
		base = append(base, slog.Uint64("ike_sa", ev.Unique))
	}
	if ev.Connection != "" {
		base = append(base, slog.String("connection", Clean(ev.Connection)))
	}
	if ev.Path.Remote.IsValid() {
		base = append(base, slog.String("peer", ev.Path.Remote.String()))
	}
	l.log.LogAttrs(context.Background(), level, text, append(base, attrs...)...)
}

// Clean makes one harmless, bounded line of a string that may come from a peer: control characters, separators of lines
// and changes of direction are escaped.
func Clean(s string) string {
	if len(s) > maxLogString {
		s = s[:maxLogString] + "…"
	}
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '…' || r >= 0x20 && r <= 0x7e:
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// describe gives an event's level, sentence and own attributes.
func describe(ev ike.Event) (slog.Level, string, []slog.Attr) {
	detail := slog.String("detail", Clean(ev.Detail))
	switch ev.Kind {
	case ike.EventMessage:
		text := "received"
		if ev.Sent {
			text = "sent"
		}
		if ev.Retransmit {
			text += " again"
		}
		return slog.LevelDebug, text, []slog.Attr{slog.String("message", Clean(ev.Summary)), slog.Int("octets", ev.Size)}
	case ike.EventNAT:
		return slog.LevelInfo, "NAT detection: " + natSentence(ev.NATLocal, ev.NATRemote), nil
	case ike.EventFloat:
		return slog.LevelInfo, "IKE moved to the NAT-T port", []slog.Attr{slog.String("from", ev.From.String())}
	case ike.EventAuthenticated:
		return slog.LevelInfo, "peer authenticated", []slog.Attr{slog.String("peer_id", ev.Identity.String()),
			slog.String("local_id", ev.LocalIdentity.String()), slog.String("method", ev.Scheme)}
	case ike.EventIKEUp:
		return slog.LevelInfo, "IKE SA established", []slog.Attr{slog.String("peer_id", ev.Identity.String()),
			slog.String("suite", ev.Suite.String()), slog.String("spi_i", fmt.Sprintf("%016x", ev.SPIi)),
			slog.String("spi_r", fmt.Sprintf("%016x", ev.SPIr))}
	case ike.EventIKERekeyed:
		return slog.LevelInfo, "IKE SA rekeyed", []slog.Attr{slog.String("suite", ev.Suite.String()),
			slog.String("spi_i", fmt.Sprintf("%016x", ev.SPIi)), slog.String("spi_r", fmt.Sprintf("%016x", ev.SPIr))}
	case ike.EventIKEDown:
		return slog.LevelInfo, "IKE SA gone", []slog.Attr{slog.String("reason", ReasonText(ev.Reason)), detail}
	case ike.EventChildUp, ike.EventChildDown:
		return describeChild(ev)
	case ike.EventAddresses:
		return slog.LevelInfo, "virtual addresses assigned", []slog.Attr{slog.Any("addresses", ev.Addrs), slog.Any("dns", ev.DNS)}
	case ike.EventMoved:
		return slog.LevelInfo, "peer's endpoint moved", []slog.Attr{slog.String("from", ev.From.String())}
	case ike.EventKeepalive:
		return slog.LevelDebug, "keepalive", []slog.Attr{detail}
	case ike.EventDropped:
		return slog.LevelInfo, "datagram dropped", []slog.Attr{slog.String("reason", DropText(ev.Drop)), detail}
	case ike.EventRefused:
		return slog.LevelWarn, "refused a request", []slog.Attr{slog.Int("notify", int(ev.Notify)), detail}
	case ike.EventFailed:
		attrs := []slog.Attr{slog.Int("notify", int(ev.Notify)), detail}
		if ev.Offered != "" || ev.Got != "" {
			attrs = append(attrs, slog.String("offered", Clean(ev.Offered)), slog.String("got", Clean(ev.Got)))
		}
		return slog.LevelWarn, "exchange failed", attrs
	case ike.EventCommandDone:
		if ev.Err != "" {
			return slog.LevelWarn, "command failed", []slog.Attr{slog.String("reason", Clean(ev.Err))}
		}
		return slog.LevelDebug, "command done", nil
	case ike.EventKeys:
		return slog.LevelWarn, "keys were written to the key log", nil
	case ike.EventRetry:
		return slog.LevelInfo, "trying again", []slog.Attr{detail}
	}
	return slog.LevelDebug, "event", []slog.Attr{slog.Int("kind", int(ev.Kind)), detail}
}

func describeChild(ev ike.Event) (slog.Level, string, []slog.Attr) {
	up := ev.Kind == ike.EventChildUp
	text := map[[2]bool]string{
		{true, false}: "child SA installed", {true, true}: "child SA rekeyed",
		{false, false}: "child SA gone", {false, true}: "old child SA removed after rekey",
	}[[2]bool{up, ev.Rekey}]
	attrs := []slog.Attr{}
	if c := ev.Child; c != nil {
		attrs = append(attrs, slog.String("child_sa", Clean(c.Name)), slog.Uint64("child_id", c.ChildID),
			slog.String("spi_in", fmt.Sprintf("%08x", c.SPIIn)), slog.String("spi_out", fmt.Sprintf("%08x", c.SPIOut)))
		if up {
			attrs = append(attrs, slog.String("kind", KindText(c)), slog.String("suite", SuiteText(c)), slog.Bool("encap", c.Encap),
				slog.String("ts_local", selectorsLine(c.TSLocal)), slog.String("ts_remote", selectorsLine(c.TSRemote)))
		}
	}
	if !up {
		attrs = append(attrs, slog.Uint64("octets_in", ev.Usage.BytesIn), slog.Uint64("octets_out", ev.Usage.BytesOut))
	}
	return slog.LevelInfo, text, attrs
}

// selectorsLine is SelectorsText in a line of log: a peer may propose 255 selectors.
func selectorsLine(list []ike.Selector) string {
	if len(list) <= maxLoggedSelectors {
		return SelectorsText(list)
	}
	return fmt.Sprintf("%s and %d more", SelectorsText(list[:maxLoggedSelectors]), len(list)-maxLoggedSelectors)
}

func natSentence(local, remote bool) string {
	switch {
	case local && remote:
		return "both sides are behind NATs"
	case local:
		return "this host is behind a NAT"
	case remote:
		return "the peer is behind a NAT"
	}
	return "no NAT in between"
}
