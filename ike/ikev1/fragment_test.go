// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/wire/ikev1msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// addTo gives a datagram to f.
func addTo(t testing.TB, f *fragments, b []byte) ([]byte, error) {
	t.Helper()
	m := parse(t, b)
	return f.add(m, m.Payloads[0].(*ikev1msg.Fragment))
}

func longMessage(n int) []byte {
	m := ikev1msg.Message{Header: header(ikev1msg.MainMode), Encrypted: bytes.Repeat([]byte{1, 2, 3, 4}, n/4)}
	m.Major, m.Flags, m.NextPayload = 1, ikev1msg.FlagEncryption, uint8(ikev1msg.TypeID)
	return m.Append(nil)
}

// TestRecordedFragments: charon's two fragments make the message whose signature TestRecordedSignatures verifies, and we cut it in the same
// way to the octet.
func TestRecordedFragments(t *testing.T) {
	all := readRecording(t, "rsa").messages
	first, second := all[4].octets, all[5].octets
	var f fragments
	if whole, err := addTo(t, &f, first); err != nil || whole != nil {
		t.Fatal(whole, err)
	}
	whole, err := addTo(t, &f, second)
	if err != nil || !bytes.Equal(whole, join(t, all)[4].octets) {
		t.Fatal(err)
	}
	list, err := split(whole, 1, len(first))
	if err != nil || len(list) != 2 || !bytes.Equal(list[0], first) || !bytes.Equal(list[1], second) {
		t.Errorf("cut into %d datagrams, %v", len(list), err)
	}
}

// TestFragmentsInAnyOrder: of each size, in any order, with any of them twice, and with fragments of another message before them, the
// message is put together once, and again when all come again.
func TestFragmentsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		octets := longMessage(rapid.IntRange(200, maxWhole-isakmp.HeaderLen).Draw(rt, "length"))
		room := rapid.IntRange(fragmentOverhead+maxWhole/maxFragments, 1500).Draw(rt, "room")
		list, err := split(octets, 7, room)
		if err != nil {
			rt.Fatal(err)
		}
		if len(list) == 1 {
			if !bytes.Equal(list[0], octets) {
				rt.Fatal("changed, though it fits")
			}
			return
		}
		var f fragments
		other, _ := split(octets, 6, room)
		if whole, err := addTo(t, &f, other[0]); err != nil || whole != nil {
			rt.Fatal(err)
		}
		for range 2 {
			var whole []byte
			order := rapid.Permutation(list).Draw(rt, "order")
			for i, b := range order {
				if len(b) > room || whole != nil {
					rt.Fatalf("%d octets, room for %d; whole before the end: %t", len(b), room, whole != nil)
				}
				if rapid.Bool().Draw(rt, "twice") && i < len(order)-1 {
					if again, err := addTo(t, &f, b); err != nil || again != nil {
						rt.Fatal(err)
					}
				}
				if whole, err = addTo(t, &f, b); err != nil {
					rt.Fatal(err)
				}
			}
			if !bytes.Equal(whole, octets) {
				rt.Fatal("another message, or none")
			}
		}
	})
}

// TestT031Fragments: numbers too high, two last ones, one behind the last, more octets than a message may have, and what is no message of
// the SA when it is whole; after each the true fragments make their message.
func TestT031Fragments(t *testing.T) {
	octets := longMessage(3000)
	list, err := split(octets, 7, 1200)
	if err != nil || len(list) != 3 {
		t.Fatal(len(list), err)
	}
	fragment := func(n uint8, last bool, data []byte) []byte {
		p := &ikev1msg.Fragment{ID: 7, Number: n, Data: data}
		if last {
			p.Flags = ikev1msg.FragmentLast
		}
		h := header(ikev1msg.MainMode)
		h.Major = 1
		m := ikev1msg.Message{Header: h, Chain: ikev1msg.Chain{Payloads: []ikev1msg.Payload{p}}}
		return m.Append(nil)
	}
	foreign := bytes.Clone(octets[:100])
	foreign[0] ^= 1
	nested := bytes.Clone(octets[:100])
	nested[16] = uint8(ikev1msg.TypeFragment)
	for name, c := range map[string][][]byte{
		"number 65":         {fragment(65, false, []byte{1})},
		"number 255":        {list[0], fragment(255, true, []byte{1})},
		"two last ones":     {list[2], fragment(2, true, []byte{1})},
		"behind the last":   {list[2], fragment(4, false, []byte{1})},
		"last before":       {fragment(4, false, []byte{1}), list[2]},
		"too many octets":   {fragment(1, false, make([]byte, 9000)), fragment(2, false, make([]byte, 9000))},
		"too short":         {fragment(1, true, make([]byte, 27))},
		"of another SA":     {fragment(1, true, foreign)},
		"of a fragment":     {fragment(1, true, nested)},
		"only the last one": {list[2], fragment(1, false, list[0]), fragment(2, false, octets[:20])},
	} {
		var f fragments
		refused := false
		for _, b := range c {
			whole, err := addTo(t, &f, b)
			refused = refused || err != nil
			if whole != nil {
				t.Errorf("%s: a message of %d octets", name, len(whole))
			}
		}
		if !refused {
			t.Errorf("%s: nothing was refused", name)
		}
		if f.size > maxWhole {
			t.Errorf("%s: %d octets are kept", name, f.size)
		}
		f.reset()
		var whole []byte
		for _, b := range list {
			whole, _ = addTo(t, &f, b)
		}
		if !bytes.Equal(whole, octets) {
			t.Errorf("%s: the true fragments make nothing", name)
		}
	}
}

// TestT032FragmentsAreBounded: one message at a time is kept, however many are begun.
func TestT032FragmentsAreBounded(t *testing.T) {
	var f fragments
	for id := range uint16(2000) {
		list, err := split(longMessage(8000), id, 1200)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range slices.Backward(list[1:]) {
			if _, err := addTo(t, &f, b); err != nil {
				t.Fatal(err)
			}
		}
		if f.size > maxWhole || f.id != id || len(f.parts) != maxFragments {
			t.Fatalf("%d octets of message %d are kept", f.size, f.id)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		octets []byte
		room   int
	}{"no room": {longMessage(3000), fragmentOverhead}, "too many": {longMessage(3000), fragmentOverhead + 40}, "no message": {make([]byte, 20), 10}} {
		if _, err := split(c.octets, 1, c.room); err == nil {
			t.Errorf("%s: cut", name)
		}
	}
}
