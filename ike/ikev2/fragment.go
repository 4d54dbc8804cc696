// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Reassembly of RFC 7383. Fragments come here verified, one message at a time and direction: memory is bounded by
// MaxFragments datagrams a generation, and only a peer that holds the keys can use it.

package ikev2

import (
	"time"

	"github.com/natterjack/natterjack/wire/ikev2msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

const (
	// maxReassembled bounds a reassembled message in octets.
	maxReassembled = 64 * 1024
	// maxReassembledHalfOpen likewise before the peer is authenticated: of 1,000 half-open IKE SAs, which is all there may be,
	// strangers then have 16 MiB (HOSTILE T-032). A chain of several certificates fits.
	maxReassembledHalfOpen = 16 * 1024
	// reassemblyLife is how long an incomplete message is kept (RFC 7383, Section 2.6).
	reassemblyLife = 30 * time.Second
)

// reassembly is one incomplete message.
type reassembly struct {
	id    uint32
	total uint16
	first ikev2msg.PayloadType
	parts [][]byte
	have  int
	size  int
	until time.Time
}

// reassemble adds a verified fragment. It returns the whole message when this was the last missing one.
// RFC 7383, Section 2.6: a larger Total Fragments replaces what was kept (the peer has lowered its datagram size), a
// smaller one is stale. limit is the largest message, in octets.
func reassemble(slot **reassembly, limit int, now time.Time, h isakmp.Header, e *ikev2msg.Encrypted, plain []byte) ([]byte, ikev2msg.PayloadType, bool) {
	r := *slot
	if r == nil || r.id != h.MessageID || e.Total > r.total || now.After(r.until) {
		r = &reassembly{id: h.MessageID, total: e.Total, parts: make([][]byte, e.Total), until: now.Add(reassemblyLife)}
		*slot = r
	}
	if e.Total < r.total || r.parts[e.Number-1] != nil || r.size+len(plain) > limit {
		return nil, 0, false
	}
	r.parts[e.Number-1] = append(make([]byte, 0, len(plain)+1), plain...) // never nil
	r.have++
	r.size += len(plain)
	if e.Number == 1 {
		r.first = e.First
	}
	if r.have < int(r.total) {
		return nil, 0, false
	}
	whole := make([]byte, 0, r.size)
	for _, p := range r.parts {
		whole = append(whole, p...)
	}
	*slot = nil
	return whole, r.first, true
}
