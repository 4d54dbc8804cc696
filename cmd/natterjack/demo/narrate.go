// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The narrator: one line a step with its time, made of the events that the two daemons publish, and the progress bar below
// them. Everything that is waited for is waited for as an event, so that what is told is what the daemons say.

package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/ike"
)

// narrator writes lines; it is safe for concurrent use.
type narrator struct {
	mu    sync.Mutex // protects out and bar
	out   io.Writer
	json  bool
	live  bool // out is a terminal: the bar is drawn over itself
	begin time.Time
	bar   string
}

// say prints a step.
func (n *narrator) say(format string, args ...any) {
	if n.json {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clear()
	fmt.Fprintf(n.out, "%7.3fs  %s\n", time.Since(n.begin).Seconds(), fmt.Sprintf(format, args...))
	n.draw()
}

// progress shows a bar below the lines; on anything but a terminal only say shows how far it is.
func (n *narrator) progress(octets, of int64, rate float64) {
	if n.json || !n.live {
		return
	}
	const width = 40
	full := int(min(octets*width/max(of, 1), width))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clear()
	n.bar = fmt.Sprintf("          [%s%s] %9s  %6.0f Mbit/s", strings.Repeat("#", full), strings.Repeat(".", width-full), mib(octets), rate/1e6)
	n.draw()
}

// endProgress takes the bar away.
func (n *narrator) endProgress() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clear()
	n.bar = ""
}

func (n *narrator) clear() {
	if n.bar != "" {
		fmt.Fprint(n.out, "\r\x1b[K")
	}
}

func (n *narrator) draw() {
	if n.bar != "" {
		fmt.Fprint(n.out, n.bar)
	}
}

// watcher keeps the events of one daemon and lets others wait for one.
type watcher struct {
	name string
	n    *narrator
	sub  *daemon.Subscription

	mu     sync.Mutex // protects events and news
	events []ike.Event
	news   chan struct{} // closed and replaced at every event
	done   chan struct{}
}

func watch(n *narrator, name string, d *daemon.Daemon) *watcher {
	w := &watcher{name: name, n: n, sub: d.Events(), news: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *watcher) run() {
	defer close(w.done)
	for ev := range w.sub.C {
		w.tell(ev)
		w.mu.Lock()
		w.events = append(w.events, ev)
		close(w.news)
		w.news = make(chan struct{})
		w.mu.Unlock()
	}
}

func (w *watcher) close() {
	w.sub.Close()
	<-w.done
}

// mark is a position in the events: what comes after it is new.
func (w *watcher) mark() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events)
}

// since returns the events of a kind after a mark.
func (w *watcher) since(mark int, kind ike.EventKind) []ike.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []ike.Event
	for _, ev := range w.events[mark:] {
		if ev.Kind == kind {
			list = append(list, ev)
		}
	}
	return list
}

// wait returns the first event after mark that is wanted.
func (w *watcher) wait(mark int, limit time.Duration, wanted func(ike.Event) bool) (ike.Event, bool) {
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		w.mu.Lock()
		for ; mark < len(w.events); mark++ {
			if wanted(w.events[mark]) {
				ev := w.events[mark]
				w.mu.Unlock()
				return ev, true
			}
		}
		news := w.news
		w.mu.Unlock()
		select {
		case <-news:
		case <-end.C:
			return ike.Event{}, false
		}
	}
}

// tell prints an event: all of them as JSON, or the ones a person wants as lines.
func (w *watcher) tell(ev ike.Event) {
	if w.n.json {
		w.n.mu.Lock()
		defer w.n.mu.Unlock()
		b, err := json.Marshal(struct {
			Daemon string `json:"daemon"`
			daemon.EventRecord
		}{w.name, daemon.RecordOf(ev)})
		if err == nil {
			fmt.Fprintf(w.n.out, "%s\n", b)
		}
		return
	}
	if line := w.line(ev); line != "" {
		w.n.say("%-8s %s", w.name, line)
	}
}

// line is what a person is told of an event; empty: nothing.
func (w *watcher) line(ev ike.Event) string {
	switch ev.Kind {
	case ike.EventMessage:
		if ev.Sent && !ev.Retransmit && (strings.Contains(ev.Summary, "IKE_SA_INIT") || strings.Contains(ev.Summary, "IKE_AUTH")) {
			return "sent " + ev.Summary
		}
	case ike.EventNAT:
		return natLine(ev)
	case ike.EventFloat:
		return fmt.Sprintf("IKE floats: port %d -> %d", ev.From.Port(), ev.Path.Remote.Port())
	case ike.EventAuthenticated:
		return fmt.Sprintf("authenticated the peer as %s (%s), itself as %s", ev.Identity, ev.Scheme, ev.LocalIdentity)
	case ike.EventIKEUp:
		return "IKE SA established, " + ev.Suite.String()
	case ike.EventIKERekeyed:
		return fmt.Sprintf("IKE SA rekeyed, SPIs %016x %016x", ev.SPIi, ev.SPIr)
	case ike.EventChildUp:
		what := "child SA installed"
		if ev.Rekey {
			what = "child SA rekeyed"
		}
		return fmt.Sprintf("%s: SPIs %08x in, %08x out, %s, ESP in UDP: %t", what, ev.Child.SPIIn, ev.Child.SPIOut, ev.Child.Suite, ev.Child.Encap)
	case ike.EventAddresses:
		return "inner address " + strings.Join(daemon.AddrTexts(ev.Addrs), ", ")
	case ike.EventMoved:
		return fmt.Sprintf("the peer moved: %s -> %s", ev.From, ev.Path.Remote)
	case ike.EventKeepalive:
		return "keepalive: " + ev.Detail
	case ike.EventFailed, ike.EventRefused:
		return "failed: " + ev.Detail
	case ike.EventIKEDown:
		return "IKE SA gone: " + daemon.ReasonText(ev.Reason)
	}
	return ""
}

func natLine(ev ike.Event) string {
	switch {
	case ev.NATLocal && ev.NATRemote:
		return "NAT found on both sides"
	case ev.NATLocal:
		return "NAT found: on this side"
	case ev.NATRemote:
		return "NAT found: on the peer's side"
	}
	return "no NAT found"
}
