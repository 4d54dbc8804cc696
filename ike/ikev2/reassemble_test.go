// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/wire/ikev2msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

var reassemblyStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func fragmentOf(number, total uint16) *ikev2msg.Encrypted {
	e := &ikev2msg.Encrypted{Number: number, Total: total}
	if number == 1 {
		e.First = ikev2msg.TypeIDi
	}
	return e
}

// In any order, with any repetitions, a message is whole exactly when its last missing fragment comes (RFC 7383,
// Section 2.6).
func TestReassemblyInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 9), 1, 8).Draw(t, "parts")
		whole := bytes.Join(parts, nil)
		order := rapid.Permutation(indexes(len(parts))).Draw(t, "order")
		var slot *reassembly
		h := isakmp.Header{MessageID: 1}
		missing := len(parts)
		for _, i := range order {
			for again := range rapid.IntRange(1, 2).Draw(t, "copies") {
				got, first, ok := reassemble(&slot, maxReassembled, reassemblyStart, h, fragmentOf(uint16(i+1), uint16(len(parts))), parts[i])
				if again > 0 {
					if missing > 0 && ok {
						t.Fatalf("a repetition of fragment %d made the message whole", i+1)
					}
					continue
				}
				if missing--; ok != (missing == 0) {
					t.Fatalf("with %d fragments missing the message is whole: %t", missing, ok)
				}
				if ok && (!bytes.Equal(got, whole) || first != ikev2msg.TypeIDi) {
					t.Fatalf("got %x of %s, expected %x", got, first, whole)
				}
				if ok {
					return
				}
			}
		}
	})
}

func indexes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func TestT031ReassemblyRules(t *testing.T) {
	var slot *reassembly
	add := func(at time.Duration, id uint32, number, total uint16, part string) (string, bool) {
		b, _, ok := reassemble(&slot, maxReassembled, reassemblyStart.Add(at), isakmp.Header{MessageID: id}, fragmentOf(number, total), []byte(part))
		return string(b), ok
	}
	add(0, 1, 1, 2, "a")
	if _, ok := add(0, 2, 2, 2, "b"); ok {
		t.Error("fragments of two messages were joined")
	}
	// The peer lowered its datagram size: the larger total begins anew, what comes late of the smaller is stale.
	slot = nil
	add(0, 1, 1, 2, "old")
	add(0, 1, 1, 3, "x")
	if _, ok := add(0, 1, 2, 2, "old"); ok {
		t.Error("a stale fragment made a message whole")
	}
	add(0, 1, 2, 3, "y")
	if got, ok := add(0, 1, 3, 3, "z"); !ok || got != "xyz" {
		t.Errorf("got %q, %t, expected xyz", got, ok)
	}
	// What is too old is not joined with what is new (T-032).
	slot = nil
	add(0, 1, 1, 2, "a")
	if _, ok := add(reassemblyLife+1, 1, 2, 2, "b"); ok {
		t.Error("a fragment of 30 s ago was used")
	}
	// An empty fragment is one.
	slot = nil
	add(0, 1, 1, 2, "")
	if _, ok := add(0, 1, 1, 2, ""); ok {
		t.Error("an empty fragment twice made a message whole")
	}
	if got, ok := add(0, 1, 2, 2, "b"); !ok || got != "b" {
		t.Errorf("got %q, %t, expected b", got, ok)
	}
}

// Memory is bounded whatever a peer that holds the keys sends (T-032).
func TestT032ReassemblyIsBounded(t *testing.T) {
	var slot *reassembly
	part := make([]byte, 3000)
	for number := uint16(1); number < ikev2msg.MaxFragments; number++ {
		if _, _, ok := reassemble(&slot, maxReassembled, reassemblyStart, isakmp.Header{}, fragmentOf(number, ikev2msg.MaxFragments), part); ok {
			t.Fatal("whole with a fragment missing")
		}
	}
	if slot.size > maxReassembled {
		t.Errorf("%d octets are kept, expected at most %d", slot.size, maxReassembled)
	}
}

// Before the peer is authenticated less is kept, and a message of that size still becomes whole.
func TestT032HalfOpenReassembly(t *testing.T) {
	for size, want := range map[int]bool{maxReassembledHalfOpen / ikev2msg.MaxFragments: true, maxReassembledHalfOpen/ikev2msg.MaxFragments + 1: false} {
		var slot *reassembly
		whole := false
		for number := uint16(1); number <= ikev2msg.MaxFragments; number++ {
			_, _, ok := reassemble(&slot, maxReassembledHalfOpen, reassemblyStart, isakmp.Header{}, fragmentOf(number, ikev2msg.MaxFragments), make([]byte, size))
			whole = whole || ok
			if slot != nil && slot.size > maxReassembledHalfOpen {
				t.Fatalf("%d octets are kept, expected at most %d", slot.size, maxReassembledHalfOpen)
			}
		}
		if whole != want {
			t.Errorf("%d fragments of %d octets: whole %t", ikev2msg.MaxFragments, size, whole)
		}
	}
}
