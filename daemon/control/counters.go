// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// get-counters and reset-counters: what happened since the start or the last reset, for all connections together and for
// each. The names are charon's; those of exchanges count messages. They are counted from events, as everything else that
// tells of what happened.

package control

import (
	"fmt"
	"strings"
	"sync"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/vici"
)

// maxCounted bounds the connections that are counted by name: those of any sensible configuration. More are counted in the
// total only.
const maxCounted = 1000

// counterNames are charon's, in its order.
var counterNames = [...]string{
	"ike-rekey-init", "ike-rekey-resp", "child-rekey", "invalid", "invalid-spi",
	"ike-init-in-req", "ike-init-in-resp", "ike-init-out-req", "ike-init-out-resp",
	"ike-auth-in-req", "ike-auth-in-resp", "ike-auth-out-req", "ike-auth-out-resp",
	"create-child-in-req", "create-child-in-resp", "create-child-out-req", "create-child-out-resp",
	"info-in-req", "info-in-resp", "info-out-req", "info-out-resp",
}

// counters is safe for concurrent use.
type counters struct {
	mu    sync.Mutex // protects the next two
	total map[string]uint64
	named map[string]map[string]uint64 // by connection
}

func newCounters() *counters {
	return &counters{total: map[string]uint64{}, named: map[string]map[string]uint64{}}
}

// count counts an event; those that no counter is for are ignored.
func (c *counters) count(ev ike.Event) {
	name := counterOf(ev)
	if name == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total[name]++
	if ev.Connection == "" {
		return
	}
	m := c.named[ev.Connection]
	if m == nil {
		if len(c.named) >= maxCounted {
			return
		}
		m = map[string]uint64{}
		c.named[ev.Connection] = m
	}
	m[name]++
}

func counterOf(ev ike.Event) string {
	switch ev.Kind {
	case ike.EventMessage:
		if ev.Retransmit {
			return ""
		}
		return messageCounter(ev.Summary, ev.Sent)
	case ike.EventIKERekeyed:
		if ev.Initiator {
			return "ike-rekey-init"
		}
		return "ike-rekey-resp"
	case ike.EventChildUp:
		if ev.Rekey {
			return "child-rekey"
		}
	case ike.EventDropped:
		if ev.Drop == ike.DropSPI {
			return "invalid-spi"
		}
		return "invalid"
	}
	return ""
}

// messageCounter reads the beginning of a message's summary: "IKE_AUTH req 1 {".
func messageCounter(summary string, sent bool) string {
	exchange, rest, _ := strings.Cut(summary, " ")
	kind, _, _ := strings.Cut(rest, " ")
	prefix := ""
	switch exchange {
	case "IKE_SA_INIT":
		prefix = "ike-init"
	case "IKE_AUTH":
		prefix = "ike-auth"
	case "CREATE_CHILD_SA":
		prefix = "create-child"
	case "INFORMATIONAL":
		prefix = "info"
	default:
		return ""
	}
	if sent {
		return prefix + "-out-" + kind
	}
	return prefix + "-in-" + kind
}

func counterSection(m map[string]uint64) *vici.Section {
	s := vici.New()
	for _, name := range counterNames {
		s.Set(name, number(m[name]))
	}
	return s
}

// getCounters is get-counters {name all}: one connection, all of them, or the total, whose name is empty in charon and
// "(all)" here, for VICI has no empty names.
func (c *Control) getCounters(k *call) *vici.Section {
	if err := k.only("name", "all"); err != nil {
		return result(err)
	}
	c.counters.mu.Lock()
	defer c.counters.mu.Unlock()
	all := vici.New()
	switch name := k.args.Get("name"); {
	case name != "":
		if c.counters.named[name] == nil {
			return result(fmt.Errorf("no counters found for this name"))
		}
		all.SetSub(name, counterSection(c.counters.named[name]))
	case k.args.Bool("all"):
		for _, conn := range c.d.Connections() {
			all.SetSub(conn.Name, counterSection(c.counters.named[conn.Name]))
		}
	default:
		all.SetSub(totalName, counterSection(c.counters.total))
	}
	return vici.New().SetSub("counters", all).Set("success", "yes")
}

// totalName is the section of the counters of all connections together.
const totalName = "(all)"

// resetCounters is reset-counters {name all}.
func (c *Control) resetCounters(k *call) *vici.Section {
	if err := k.only("name", "all"); err != nil {
		return result(err)
	}
	c.counters.mu.Lock()
	defer c.counters.mu.Unlock()
	switch name := k.args.Get("name"); {
	case name != "":
		delete(c.counters.named, name)
	case k.args.Bool("all"):
		clear(c.counters.named)
	default:
		clear(c.counters.total)
	}
	return result(nil)
}
