// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The model of a data plane: SAs with keys, use times and counters, and what of the seam a machine sees.

package simnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// ESP is one packet of the model: it can be opened by who has the key.
type ESP struct {
	SPI   uint32
	Key   string
	Seq   uint64
	Dummy bool
}

// SA is one child as the kernel has it.
type SA struct {
	ike.ChildSA
	Usage   ike.Usage
	seqOut  uint64
	seqIn   uint64
	noOut   bool // its outbound SA was removed
	standby bool
}

// kernel is one host's SAD and its faults.
type kernel struct {
	host     *Host
	next     uint32
	reserved map[uint32]bool
	sas      []*SA
	// Sealed has every outbound key that was ever installed, with the SA's SPI: a key is never installed twice.
	sealed map[string]uint32
	// Broken are keys that were installed twice.
	broken []string
	reqid  uint32
}

func newKernel(h *Host, first uint32) *kernel {
	return &kernel{host: h, next: first, reserved: map[uint32]bool{}, sealed: map[string]uint32{}}
}

// ask answers a question of the seam.
func (k *kernel) ask(now time.Time, q ike.Question) ike.Answer {
	switch q := q.(type) {
	case ike.Reserve:
		if k.host.FailReserve > 0 {
			k.host.FailReserve--
			return ike.Failed{Refusal: ike.RefusalTemporary, Err: errors.New("no SPI")}
		}
		k.next++
		k.reserved[k.next] = true
		reqid := q.Reqid
		if reqid == 0 {
			k.reqid++
			reqid = k.reqid
		}
		return ike.Reserved{SPI: k.next, Reqid: reqid, ChildID: uint64(k.next)}
	case ike.Install:
		return k.install(q.Child)
	case ike.Promote:
		if sa := k.find(q.SPIIn); sa != nil {
			k.promote(sa)
		}
		return ike.Installed{}
	case ike.Move:
		sa := k.find(q.SPIIn)
		if sa == nil {
			return ike.Failed{Err: errors.New("no such SA")}
		}
		sa.Path = q.Path
		k.host.say("moves %08x to %s", q.SPIIn, q.Path.Remote)
		return ike.Installed{}
	case ike.Remove:
		return k.remove(q)
	case ike.Query:
		if sa := k.find(q.SPIIn); sa != nil {
			return sa.Usage
		}
		return ike.Usage{}
	}
	return ike.Failed{Err: fmt.Errorf("question %T is not known", q)}
}

func (k *kernel) install(c ike.ChildSA) ike.Answer {
	if k.host.FailInstall > 0 {
		k.host.FailInstall--
		delete(k.reserved, c.SPIIn)
		return ike.Failed{Refusal: ike.RefusalOther, Err: errors.New("the kernel refuses")}
	}
	if !k.reserved[c.SPIIn] || k.find(c.SPIIn) != nil {
		k.broken = append(k.broken, fmt.Sprintf("SPI %08x was installed without a reservation", c.SPIIn))
	}
	delete(k.reserved, c.SPIIn)
	if c.AH {
		// The model's packets are sealed by one key, which AH has not.
		c.KeyIn, c.KeyOut = c.IntegIn, c.IntegOut
	}
	if spi, twice := k.sealed[string(c.KeyOut.Bytes())]; twice {
		k.broken = append(k.broken, fmt.Sprintf("the outbound key of %08x is that of %08x", c.SPIOut, spi))
	}
	k.sealed[string(c.KeyOut.Bytes())] = c.SPIOut
	c.KeyIn, c.KeyOut = c.KeyIn.Clone(), c.KeyOut.Clone()
	sa := &SA{ChildSA: c, standby: c.Standby}
	k.sas = append(k.sas, sa)
	how := ""
	if c.Standby {
		how = " standby"
	}
	if c.Replaces != 0 {
		how += fmt.Sprintf(" for %08x", c.Replaces)
	}
	k.host.say("installs %s %08x/%08x%s%s", c.Name, c.SPIIn, c.SPIOut, how, kindOf(&c))
	return ike.Installed{}
}

// kindOf says what is not an ESP tunnel about a child.
func kindOf(c *ike.ChildSA) string {
	text := ""
	if c.AH {
		text += " AH " + c.Suite.Integ.String()
	}
	if c.CPIIn != 0 {
		text += fmt.Sprintf(" IPComp %04x/%04x", c.CPIIn, c.CPIOut)
	}
	if c.Mode != ike.ModeTransport {
		return text
	}
	text += " transport"
	for i, s := range []ike.Selector{c.TSLocal[0], c.TSRemote[0]} {
		if i == 1 {
			text += " ==="
		}
		text += " " + s.From.String()
		if s.Proto != 0 {
			text += fmt.Sprintf("[%d/%d-%d]", s.Proto, s.PortFrom, s.PortTo)
		}
		if orig := [...]netip.Addr{c.OrigLocal, c.OrigRemote}[i]; orig.IsValid() {
			text += " (the peer's " + orig.String() + ")"
		}
	}
	return text
}

func (k *kernel) remove(q ike.Remove) ike.Answer {
	if k.reserved[q.SPIIn] {
		delete(k.reserved, q.SPIIn)
		k.host.say("releases %08x", q.SPIIn)
		return ike.Removed{}
	}
	sa := k.find(q.SPIIn)
	if sa == nil {
		return ike.Removed{}
	}
	for _, o := range k.sas {
		if o.Replaces == q.SPIIn {
			k.promote(o)
		}
	}
	if q.OnlyOut {
		if !sa.noOut {
			k.host.say("removes outbound %08x", sa.SPIOut)
		}
		sa.noOut = true
		return ike.Removed{Final: sa.Usage}
	}
	k.sas = slices.DeleteFunc(k.sas, func(o *SA) bool { return o == sa })
	k.host.say("removes %08x/%08x", sa.SPIIn, sa.SPIOut)
	return ike.Removed{Final: sa.Usage}
}

// promote has the outbound SA used from now on.
func (k *kernel) promote(sa *SA) {
	if sa.standby {
		sa.standby = false
		k.host.say("sends on %08x", sa.SPIOut)
	}
}

func (k *kernel) find(spiIn uint32) *SA {
	for _, sa := range k.sas {
		if sa.SPIIn == spiIn {
			return sa
		}
	}
	return nil
}

// outbound is the SA of a child that is sent on: the newest that is not on standby.
func (k *kernel) outbound(name string) *SA {
	for _, sa := range slices.Backward(k.sas) {
		if (name == "" || sa.Name == name) && !sa.standby && !sa.noOut {
			return sa
		}
	}
	return nil
}

// seal sends one packet on an SA.
func (k *kernel) seal(now time.Time, sa *SA, dummy bool) {
	sa.seqOut++
	sa.Usage.PacketsOut++
	sa.Usage.LastOut = now
	k.host.world.send(&Packet{From: sa.Path.Local, To: sa.Path.Remote, by: k.host, What: fmt.Sprintf("ESP %08x", sa.SPIOut),
		ESP: &ESP{SPI: sa.SPIOut, Key: string(sa.KeyOut.Bytes()), Seq: sa.seqOut, Dummy: dummy}})
}

// open takes a packet: only a right key counts, only a new sequence number moves anything.
func (k *kernel) open(now time.Time, p *Packet) {
	sa := k.find(p.ESP.SPI)
	if sa == nil {
		k.host.say("drops ESP %08x: no SA", p.ESP.SPI)
		return
	}
	if p.ESP.Key != string(sa.KeyIn.Bytes()) {
		k.broken = append(k.broken, fmt.Sprintf("the two keys of %08x differ", p.ESP.SPI))
		return
	}
	if p.ESP.Seq <= sa.seqIn {
		return // late or replayed; the model has a window of one
	}
	sa.seqIn = p.ESP.Seq
	firstUse := sa.Usage.PacketsIn == 0
	sa.Usage.PacketsIn++
	sa.Usage.LastIn = now
	k.promote(sa)
	if !p.ESP.Dummy {
		k.host.Delivered++
	}
	path := ike.Path{Local: p.To, Remote: p.From, Encap: sa.Path.Encap}
	owner := k.host.byUnique(sa.Unique)
	if owner == nil {
		return
	}
	if firstUse {
		owner.notice(ike.FirstUse{SPIIn: sa.SPIIn})
	}
	if p.From != sa.Path.Remote {
		owner.notice(ike.NewMapping{SPIIn: sa.SPIIn, From: sa.Path.Remote, To: p.From, Path: path})
	}
}

// Broken are the promises that were not kept: keys or SPIs used twice, keys that differ between the two ends.
func (h *Host) Broken() []string { return h.kernel.broken }

// SAs are the installed children, oldest first.
func (h *Host) SAs() []*SA { return slices.Clone(h.kernel.sas) }

// Reservations is the number of SPIs that are reserved and not installed.
func (h *Host) Reservations() int { return len(h.kernel.reserved) }

// Ping sends an inner packet by a child ("" any) and reports whether there was an SA to send it on.
func (h *Host) Ping(child string) bool {
	sa := h.kernel.outbound(child)
	if sa == nil {
		return false
	}
	h.kernel.seal(h.world.Now, sa, false)
	return true
}

// Expire makes the kernel report a lifetime of the SA.
func (h *Host) Expire(spiIn uint32, hard bool) {
	if sa := h.kernel.find(spiIn); sa != nil {
		if m := h.byUnique(sa.Unique); m != nil {
			m.notice(ike.Expire{SPIIn: spiIn, Hard: hard})
		}
	}
}

// addrOf is for hosts with one address.
func addrOf(s string) netip.Addr { return netip.MustParseAddr(s) }
