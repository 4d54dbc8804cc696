// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"slices"
	"testing"

	"github.com/natterjack/natterjack/wire/ikev1msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// FuzzOpen: whatever is in an encrypted message, first of an exchange or later, nothing panics, nothing of it is believed without the
// key, and the chain stands still.
func FuzzOpen(f *testing.F) {
	i, _ := pair(f, sampleSuite())
	ours, _ := i.begin(&source{})
	f.Add(ours.seal(header(ikev1msg.Informational), first(ours.chain.messageID), deletePayload(1)))
	for _, name := range []string{"ikev1-main-psk", "ikev1-agg-xauth", "vpnc-natt", "ecdsa256"} {
		for _, m := range readRecording(f, name).messages {
			f.Add(m.octets)
		}
	}
	x := read(f, "ikev1-main-psk", 4)
	// Padding is covered by nothing: blocks of it may be missing or too many.
	known := func(b []byte) bool {
		return slices.ContainsFunc(x.r.messages, func(m recorded) bool {
			body := m.octets[isakmp.HeaderLen:]
			return bytes.HasPrefix(b, body) || bytes.HasPrefix(body, b)
		})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ikev1msg.Parse(b)
		if err != nil {
			return
		}
		before := x.chain
		if tentative, err := x.chain.decrypt(m, b); err == nil && len(tentative.chain.Payloads) == 0 {
			t.Fatal("a message of no payloads")
		}
		p := newProtection(x.suite, x.keys, x.chain)
		if _, _, err := p.open(m, b); err == nil && !known(b[isakmp.HeaderLen:]) {
			t.Fatal("opened without the key")
		}
		e, err := p.exchange(m.MessageID)
		if err == nil {
			_, _ = e.open(m, b, third(m.MessageID, x.phase1.ni, x.phase1.nr))
		}
		if !unmoved(before, x.chain) {
			t.Fatal("the chain of phase 1 moved")
		}
	})
}
