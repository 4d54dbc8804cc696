// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Who holds which addresses (RFC 3948, Section 5.1): two clients behind different NATs may both be 192.168.1.10, and what is
// for one of them must never go to the other. The first to come holds its selectors against every other identity of all
// shards. Selectors are an authenticated peer's within what is configured; the identity is proved.
//
// In transport mode the remote selectors are the peer's address, which all who are behind its NAT have. Those in UDP are told
// apart by the engine (Section 5.2), over PF_KEY by one of ours, and do not stand in each other's way; one that has no UDP around its ESP
// or AH is not told from others, whatever it says of its NAT.
//
// An identity never stands in its own way. A rekey, a further child and a rekey of the IKE SA are of the same IKE SA. A
// client that comes back by another IKE SA (a restart without INITIAL_CONTACT, a re-authentication) takes its own addresses
// over: the older child does not send from then on, also where it is installed only later (this host was still being set up for it), and
// is deleted a moment after both are there, if it is there still.

package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/route"
)

// takeoverPause is how long an older child of the same identity is left for its peer to delete, as a peer that
// re-authenticates does.
const takeoverPause = 10 * time.Second

// holder is one child, from when its installation begins.
type holder struct {
	unique, childID uint64
	spiIn           uint32
	who             identities
	text            string // for whoever is refused
	since           time.Time
	local, remote   []ike.Selector
	written         bool // the remote selectors are the operator's words, not the peer's choice
	transport, told bool // told: from others at its address
	installed       bool // it may send
	over            bool // a newer child of its identity has taken over
}

// heldError is why a child is refused.
type heldError struct{ text string }

func (e *heldError) Error() string { return e.text }

// holders is safe for concurrent use.
type holders struct {
	mu    sync.Mutex // protects the rest
	bySPI map[uint32]*holder
	// index has each holder under the prefixes that cover its remote selectors, by family.
	index [2]prefixes[*holder]
}

func newHolders() *holders { return &holders{bySPI: map[uint32]*holder{}} }

// covers are the prefixes under which a holder stands.
func (h *holder) covers() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range h.remote {
		if p := route.Cover(s.From, s.To); p.IsValid() && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// hold notes what a child has, or says who has it already. The second result are older children of the same identity that
// it takes over from. tells: in transport mode and in UDP it is told from others at its address.
func (r *holders) hold(now time.Time, c *ike.ChildSA, tells bool) ([]*holder, error) {
	if c.Mode.Shunt() || c.Config == nil || c.Config.NoPolicies {
		return nil, nil
	}
	h := &holder{
		unique: c.Unique, childID: c.ChildID, spiIn: c.SPIIn, who: identityKey(c.LocalID, c.RemoteID), since: now,
		text:  fmt.Sprintf("connection %s, child %s of %s, IKE SA #%d", c.Connection, c.Name, c.RemoteID, c.Unique),
		local: slices.Clone(c.TSLocal), remote: slices.Clone(c.TSRemote), written: written(c),
		transport: c.Mode == ike.ModeTransport, told: c.Encap && tells,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var older []*holder
	for _, p := range h.covers() {
		var refusal error
		r.index[family(p.Addr())].overlapping(p, func(o *holder) bool {
			switch {
			case o.unique == h.unique || o.over || !o.meets(h) || o.beside(h):
			case o.who == h.who:
				if !slices.Contains(older, o) {
					older = append(older, o)
				}
			default:
				refusal = h.refusedBy(o)
				return false
			}
			return true
		})
		if refusal != nil {
			return nil, refusal
		}
	}
	r.bySPI[h.spiIn] = h
	for _, p := range h.covers() {
		r.index[family(p.Addr())].add(p, h)
	}
	return older, nil
}

// beside reports whether two children that meet do not stand in each other's way.
func (o *holder) beside(h *holder) bool {
	switch {
	case o.transport && h.transport:
		return o.told && h.told
	case o.transport:
		return h.around(o)
	case h.transport:
		return o.around(h)
	}
	// The operator has written a network and a part of it: the part goes its own way, as policies do.
	return o.who != h.who && o.written && h.written && !sameSelectors(o.remote, h.remote)
}

// around reports whether a tunnel is to networks that the operator has written, of which the peer in transport mode is a host: that
// goes its own way.
func (h *holder) around(host *holder) bool {
	return h.written && !slices.ContainsFunc(h.remote, func(s ike.Selector) bool { return s.From == s.To && s.From == host.remote[0].From })
}

// refusedBy says who has what is asked for, and what there is to do.
func (h *holder) refusedBy(o *holder) *heldError {
	why := "without virtual addresses (pools) two clients cannot have the same one (RFC 3948, Section 5.1)"
	if h.transport || o.transport {
		why = "behind one address there can be several peers only if all are in transport mode, in UDP (encap = yes), and with " +
			"--ipsec pfkey:PATH the service is Natterjack's and none of them has IPComp or a trap (RFC 3948, Section 5.2)"
	}
	return &heldError{fmt.Sprintf("%s is held by %s since %s: %s", selectorTexts(h.remote), o.text, o.since.UTC().Format(time.RFC3339), why)}
}

// outdo notes that a newer child has taken over from these, and returns those of them that may send. The others hear of it from settle:
// a reservation that is removed would be somebody else's SPI.
func (r *holders) outdo(older []*holder) (sending []*holder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range older {
		if o.over = true; o.installed {
			sending = append(sending, o)
		}
	}
	return sending
}

// settle notes that a child is installed, and reports whether a newer one has taken over from it meanwhile.
func (r *holders) settle(spiIn uint32) (over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.bySPI[spiIn]
	if h == nil {
		return false
	}
	h.installed = true
	return h.over
}

// release forgets what a child had. Unknown ones are ignored.
func (r *holders) release(spiIn uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.bySPI[spiIn]
	if h == nil {
		return
	}
	delete(r.bySPI, spiIn)
	for _, p := range h.covers() {
		r.index[family(p.Addr())].remove(p, h)
	}
}

// meets reports whether there is a packet that both have.
func (h *holder) meets(o *holder) bool {
	meet := func(a, b []ike.Selector) bool {
		return slices.ContainsFunc(a, func(s ike.Selector) bool {
			return slices.ContainsFunc(b, func(o ike.Selector) bool { return overlap(s, o) })
		})
	}
	return meet(h.remote, o.remote) && meet(h.local, o.local)
}

func overlap(a, b ike.Selector) bool {
	return a.From.BitLen() == b.From.BitLen() && !a.To.Less(b.From) && !b.To.Less(a.From) &&
		(a.Proto == 0 || b.Proto == 0 || a.Proto == b.Proto) && a.PortFrom <= b.PortTo && b.PortFrom <= a.PortTo
}

// written reports whether the remote selectors are all that the configuration has.
func written(c *ike.ChildSA) bool {
	return sameSelectors(c.TSRemote, c.Config.RemoteTS)
}

// sameSelectors reports whether two lists have the same selectors.
func sameSelectors(a, b []ike.Selector) bool {
	in := func(a, b []ike.Selector) bool {
		return !slices.ContainsFunc(a, func(s ike.Selector) bool { return !slices.Contains(b, s) })
	}
	return in(a, b) && in(b, a)
}

func selectorTexts(list []ike.Selector) string {
	text := ""
	for i, s := range list {
		if i > 0 {
			text += " "
		}
		text += SelectorText(s)
	}
	return text
}

// takeOver has older children of an identity stop to send, at once. Those that are not installed yet stop as soon as they are.
func (d *Daemon) takeOver(older []*holder) {
	for _, o := range older {
		d.log.Info("a child is taken over by a newer one of the same identity", "ike_sa", o.unique, "child_sa", o.childID, "held_by", o.text)
	}
	for _, o := range d.holders.outdo(older) {
		d.stopTaken(o.unique, o.spiIn, o.childID)
	}
}

// stopTaken has an installed child that was taken over stop to send, and deletes it if it is there after a while. Before it is installed
// nobody could: its machine has no such child yet.
func (d *Daemon) stopTaken(unique uint64, spiIn uint32, childID uint64) {
	d.kernel.Ask(time.Now(), unique, ike.Remove{SPIIn: spiIn, OnlyOut: true})
	time.AfterFunc(takeoverPause, func() {
		if !d.closing.Load() {
			d.command(unique, ike.Terminate{ChildID: childID, Reason: ike.CloseReplaced})
		}
	})
}
