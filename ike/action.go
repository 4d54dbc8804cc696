// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ike

import "net/netip"

// Action is something the shell does for a machine. Actions are executed in order, by one goroutine.
type Action interface{ action() }

// Send transmits one IKE message, without marker, by Path; the shell adds what Path.Encap asks for.
// The octets are not changed afterwards: a retransmission is the same slice again.
type Send struct {
	Path  Path
	Bytes []byte
}

// Keepalive sends one octet 0xFF by Path (RFC 3948, Section 4).
type Keepalive struct{ Path Path }

// Probe has the data plane send one ESP dummy packet (next header 59, RFC 4303, Section 2.6) on the outbound SA.
type Probe struct{ SPIOut uint32 }

// Ask puts a question. Its answer, if any, comes by Machine.Answer with the same token.
type Ask struct {
	Token    Token
	Question Question
}

// Cancel withdraws a question: whatever it had begun is released, and no answer comes.
type Cancel struct{ Token Token }

// Claim has the mux deliver messages with this local IKE SPI to the machine.
type Claim struct{ SPI uint64 }

// Release ends a Claim.
type Release struct{ SPI uint64 }

// Configure sets (or, with Remove, takes back) what the peer assigned to this host as a client.
type Configure struct {
	Unique     uint64
	Connection string
	VIPs       []netip.Addr
	DNS        []netip.Addr
	Remove     bool
}

// Unlease gives back the addresses that a Lease answer assigned to the peer.
type Unlease struct {
	Pools    []string
	Identity ID
	Addrs    []netip.Addr
}

// Report is something that happened: for the log, VICI, metrics and the command line alike.
type Report struct{ Event Event }

// Close ends the machine: the shell forgets it after this action, which is the last of its list.
// Everything the machine had installed it has asked to be removed before.
type Close struct{ Reason CloseReason }

func (Send) action()      {}
func (Keepalive) action() {}
func (Probe) action()     {}
func (Ask) action()       {}
func (Cancel) action()    {}
func (Claim) action()     {}
func (Release) action()   {}
func (Configure) action() {}
func (Unlease) action()   {}
func (Report) action()    {}
func (Close) action()     {}
