// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The failures of commands, each as one sentence for a person. Details may hold what a peer sent: they are escaped.

package daemon

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// NotFoundError means that a name is not loaded, or that no SA matches.
type NotFoundError struct {
	Kind string // "connection", "child", "pool", "SA", …
	Name string
}

func (e *NotFoundError) Error() string {
	switch e.Kind {
	case "SA":
		return fmt.Sprintf("no SA matches %s; `natterjack status` and `swanctl --list-sas` show what is up", e.Name)
	case "connection", "child":
		return fmt.Sprintf("no %s %q is loaded; `natterjack status` and `swanctl --list-conns` show what is", e.Kind, e.Name)
	}
	return fmt.Sprintf("%s %q: not found", e.Kind, e.Name)
}

// CommandError means that an SA could not do what it was told.
type CommandError struct {
	Command string // "terminate", "rekey"
	IKEID   uint64
	ChildID uint64
	Detail  string
}

func (e *CommandError) Error() string {
	what := fmt.Sprintf("IKE SA #%d", e.IKEID)
	if e.ChildID != 0 {
		what = fmt.Sprintf("child SA #%d", e.ChildID)
	}
	return fmt.Sprintf("%s of %s failed: %s", e.Command, what, Clean(e.Detail))
}

// InitiateError means that a connection or child did not come up.
type InitiateError struct {
	Connection, Child string
	Remote            netip.AddrPort
	Reason            ike.CloseReason // zero: the IKE SA stands, the child failed
	Notify            uint16          // the peer's or ours; zero: none
	Offered, Got      string          // proposals, where they were the matter
	Detail            string
	// Hint is what the network said, which proves nothing ("port unreachable").
	Hint string
	// Timeout: the caller's time ended first; the negotiation goes on.
	Timeout bool
}

func (e *InitiateError) Error() string {
	name := e.Connection
	if e.Child != "" {
		name += "/" + e.Child
	}
	text := name + ": " + e.cause()
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// cause is the sentence. The peer's notify says more than how our own IKE SA ended.
func (e *InitiateError) cause() string {
	detail := Clean(e.Detail)
	switch notify := ikev2msg.NotifyType(e.Notify); {
	case e.Timeout:
		return "not up within the time that was given; the negotiation goes on"
	case e.Reason == ike.CloseNoAnswer:
		through := "UDP 500 and 4500"
		if p := e.Remote.Port(); p != 500 && p != 4500 {
			through = "that port"
		}
		return fmt.Sprintf("no answer from %s on UDP %d: is it a gateway, and does the network let %s through?",
			e.Remote.Addr(), e.Remote.Port(), through)
	case notify == ikev2msg.NoProposalChosen, e.Reason == ike.CloseNoProposal:
		return "no common proposal: " + e.proposals(detail)
	case notify == ikev2msg.AuthenticationFailed && detail == "":
		return "authentication failed: the peer refused our identity or key; compare the identities and the PSK or certificate on both sides"
	case notify == ikev2msg.AuthenticationFailed, e.Reason == ike.CloseAuthFailed:
		return "authentication failed" + behindColon(detail)
	case notify == ikev2msg.TSUnacceptable:
		return "the peer accepts none of the traffic selectors (TS_UNACCEPTABLE): compare local_ts and remote_ts on both sides"
	case notify == ikev2msg.InternalAddressFailure:
		return "the peer has no virtual address for us (INTERNAL_ADDRESS_FAILURE)"
	case notify != 0:
		return "refused with " + notify.String() + behindColon(detail)
	case e.Reason != 0:
		return ReasonText(e.Reason) + behindColon(detail)
	case detail != "":
		return detail
	}
	return "failed"
}

func (e *InitiateError) proposals(detail string) string {
	var parts []string
	if e.Offered != "" {
		parts = append(parts, "offered "+Clean(e.Offered))
	}
	switch {
	case e.Got != "":
		parts = append(parts, "the peer answered "+Clean(e.Got))
	case e.Offered != "":
		parts = append(parts, "the peer accepts none of it and does not say what it has (NO_PROPOSAL_CHOSEN): set proposals as they are there")
	}
	if len(parts) < 2 && detail != "" {
		parts = append(parts, detail)
	}
	if len(parts) == 0 {
		return "compare proposals and esp_proposals on both sides"
	}
	return strings.Join(parts, "; ")
}

func behindColon(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}
