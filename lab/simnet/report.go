// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a transcript says of a machine's events.

package simnet

import (
	"fmt"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// report keeps an event and says what a reader of a transcript wants to know.
func (h *Host) report(ev ike.Event) {
	h.Events = append(h.Events, ev)
	switch ev.Kind {
	case ike.EventMessage:
		if ev.Sent {
			again := ""
			if ev.Retransmit {
				again = " (again)"
			}
			h.world.say("%s -> %s %s%s", h.Name, h.world.nameOf(ev.Path.Remote), ev.Summary, again)
		}
	case ike.EventIKEUp:
		h.say("IKE SA %s up, peer %s", ev.Suite, ev.Identity)
	case ike.EventIKERekeyed:
		h.say("IKE SA rekeyed to %016x %016x", ev.SPIi, ev.SPIr)
	case ike.EventIKEDown:
		h.say("IKE SA down (%d): %s", ev.Reason, ev.Detail)
	case ike.EventChildDown:
		if ev.Rekey {
			h.say("child replaced")
		}
	case ike.EventMoved:
		h.say("the peer moved from %s to %s", ev.From, ev.Path.Remote)
	case ike.EventDropped:
		h.drop(ev.Drop, ev.Detail)
	case ike.EventRefused:
		h.say("refuses: %s, %s", ikev2msg.NotifyType(ev.Notify), ev.Detail)
	case ike.EventFailed:
		h.say("fails: %s", ev.Detail)
	case ike.EventRetry:
		h.say("tries again: %s", ev.Detail)
	case ike.EventCommandDone:
		how := "done"
		if ev.Err != "" {
			how = ev.Err
		}
		h.say("command %d: %s", ev.Request, how)
	}
}

// Count is how many events of a kind there were.
func (h *Host) Count(kind ike.EventKind) int {
	n := 0
	for _, ev := range h.Events {
		if ev.Kind == kind {
			n++
		}
	}
	return n
}

// String is the host's name.
func (h *Host) String() string { return fmt.Sprintf("host %s", h.Name) }
