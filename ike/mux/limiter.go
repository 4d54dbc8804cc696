// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Limits of what strangers can cause: notifies without protection, and half-open IKE SAs by source.

package mux

import (
	"net/netip"
	"time"
)

// limiter lets rate events a second pass, and at most rate at once.
type limiter struct {
	rate  float64
	have  float64
	since time.Time
}

func (l *limiter) allow(now time.Time) bool {
	if l.since.IsZero() || now.Before(l.since) {
		l.have, l.since = l.rate, now
	}
	l.have = min(max(l.rate, 1), l.have+now.Sub(l.since).Seconds()*l.rate)
	l.since = now
	if l.have < 1 {
		return false
	}
	l.have--
	return true
}

// network is what counts as one source: a /32, or a /64, which is the least that a host on IPv6 has.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, _ := a.Prefix(64)
	return p.Addr()
}
