// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package simnet runs real IKE machines and the real mux in virtual time, over a network that is a list of packets:
// nothing waits, nothing is random that was not seeded, and the same calls always give the same transcript. Exchange
// scripts, property tests and the simulated NATs are built on it. The data plane is a model: an ESP packet is the key it
// was sealed with, and whoever has no SA with that key cannot open it.
package simnet

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Start is the instant at which every world begins.
func Start() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// Packet is one UDP datagram on its way.
type Packet struct {
	From, To netip.AddrPort
	IKE      []byte // without marker
	ESP      *ESP
	// Keepalive is one octet 0xFF.
	Keepalive bool
	// What is the message in words, for transcripts.
	What string
	Due  time.Time
	by   *Host
}

// Network decides what becomes of a packet: where it seems to come from and goes to, or that it is lost.
type Network interface {
	Carry(now time.Time, p *Packet) bool
}

// World is the clock, the hosts and the packets that are under way. It has one goroutine: its caller's.
type World struct {
	Now   time.Time
	Hosts []*Host
	// Net is between all hosts; nil: everything arrives as it was sent.
	Net Network
	// Latency is how long a packet takes.
	Latency time.Duration
	// Flight are the packets under way, in the order in which they were sent.
	Flight []*Packet
	// Say is told every line of the transcript; nil: nobody.
	Say func(line string)
}

// New makes a world without hosts.
func New() *World { return &World{Now: Start(), Latency: 10 * time.Millisecond} }

func (w *World) say(format string, args ...any) {
	if w.Say != nil {
		w.Say(fmt.Sprintf(format, args...))
	}
}

// send puts a packet under way.
func (w *World) send(p *Packet) {
	p.Due = w.Now.Add(w.Latency)
	w.Flight = append(w.Flight, p)
}

// Deliver takes packet i out of the flight and gives it to whom it is for. A NAT in between may lose it.
func (w *World) Deliver(i int) {
	p := w.Flight[i]
	w.Flight = slices.Delete(w.Flight, i, i+1)
	w.arrive(*p)
}

// arrive lets a copy of a packet pass the network.
func (w *World) arrive(p Packet) {
	if w.Net != nil && !w.Net.Carry(w.Now, &p) {
		return
	}
	for _, h := range w.Hosts {
		if slices.Contains(h.Addrs, p.To.Addr()) {
			h.receive(&p)
			return
		}
	}
}

// Settle delivers everything that is under way, and what is sent because of it, without letting time pass.
func (w *World) Settle() {
	for n := 0; len(w.Flight) > 0; n++ {
		if n == 10000 {
			panic("simnet: the hosts never stop talking")
		}
		w.Deliver(0)
	}
}

// Advance lets time pass. Deadlines are met at their instants; packets stay where they are, so that a test decides about
// them.
func (w *World) Advance(d time.Duration) { w.run(d, false) }

// Run lets time pass with packets arriving when they are due.
func (w *World) Run(d time.Duration) { w.run(d, true) }

func (w *World) run(d time.Duration, deliver bool) {
	end := w.Now.Add(d)
	for {
		at, host := w.nextDeadline()
		packet := w.nextPacket(deliver)
		switch {
		case packet >= 0 && !w.Flight[packet].Due.After(end) && (host == nil || !at.Before(w.Flight[packet].Due)):
			w.Now = later(w.Now, w.Flight[packet].Due)
			w.Deliver(packet)
		case host != nil && !at.After(end):
			w.Now = later(w.Now, at)
			host.tick()
		default:
			w.Now = end
			return
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// nextDeadline is the earliest instant at which a host has something to do.
func (w *World) nextDeadline() (time.Time, *Host) {
	var first time.Time
	var host *Host
	for _, h := range w.Hosts {
		if at := h.deadline(); !at.IsZero() && (host == nil || at.Before(first)) {
			first, host = at, h
		}
	}
	return first, host
}

// nextPacket is the packet that is due first; -1: none.
func (w *World) nextPacket(deliver bool) int {
	best := -1
	for i, p := range w.Flight {
		if deliver && (best < 0 || p.Due.Before(w.Flight[best].Due)) {
			best = i
		}
	}
	return best
}
