// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Liveness (RFC 7296, Section 2.4): an empty INFORMATIONAL request, whose retransmission decides that a peer is dead.
//
//	HDR, SK {} -->
//	          <-- HDR, SK {}
//
// Nothing that is not authenticated counts as a sign of life, and none of it is a sign of death.

package ikev2

import (
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// confirmAfter is when a responder asks an initiator that has not been heard of since IKE_AUTH: one that rejected this
// host's proof, and could not say so, leaves an SA behind that only one side has (HOSTILE T-064).
const confirmAfter = 10 * time.Second

// checkLiveness asks whether the peer is alive. Where a request is outstanding, that one asks already.
func (sa *SA) checkLiveness(now time.Time) {
	if sa.state != established || !sa.windowFree() {
		return
	}
	sa.lastProbe = now
	sa.request(now, sa.cur, ikev2msg.Informational, "liveness", nil, func(time.Time, opened) {})
}

// confirm asks an initiator once that has not been heard of.
func (sa *SA) confirm(now time.Time) {
	sa.confirmAt = time.Time{}
	sa.look(now, func(now time.Time, t traffic) {
		if !t.in.After(sa.establishedAt) {
			sa.checkLiveness(now)
		}
	})
}

// dpdDue reports whether the peer is to be asked: after dpd_delay without anything authenticated.
func (sa *SA) dpdDue(now time.Time, t traffic) bool {
	return sa.conn.DPDDelay > 0 && now.Sub(later(t.in, sa.lastProbe)) >= sa.conn.DPDDelay
}

// unreachable: an ICMP error says so. Anybody can forge one, so it is a reason to ask and no more, and not often
// (RFC 7296, Section 2.4).
func (sa *SA) unreachable(now time.Time, _ ike.Unreachable) {
	const pause = 30 * time.Second
	if sa.conn != nil && sa.conn.DPDDelay > 0 && now.Sub(sa.lastProbe) >= pause {
		sa.checkLiveness(now)
	}
}
