// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package scripts

import (
	"testing"

	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// FuzzSealed has an authenticated peer send any chain of payloads by any exchange, in every state: the machine never
// panics, never answers twice, and its data plane's promises hold.
func FuzzSealed(f *testing.F) {
	for i, m := range [][]ikev2msg.Payload{offer(1), offer(2, rekeySA(0xb0000001)), offerIKE(nil)} {
		first, plain := ikev2msg.AppendPayloads(nil, m)
		f.Add(uint8(i), uint8(36), uint8(first), false, plain)
	}
	first, plain := ikev2msg.AppendPayloads(nil, []ikev2msg.Payload{&ikev2msg.Delete{Protocol: ikev2msg.ProtoESP, SPIs: []uint32{0xb0000001}},
		&ikev2msg.Notify{Notify: ikev2msg.InitialContact}})
	f.Add(uint8(5), uint8(37), uint8(first), false, plain)
	f.Add(uint8(8), uint8(37), uint8(first), true, plain)
	all := stages()
	f.Fuzz(func(t *testing.T, stage, exchange, first uint8, response bool, plain []byte) {
		s := all[int(stage)%len(all)]
		if !s.sealed || len(plain) > 2000 {
			return
		}
		w, v, peer, initiated := s.make()
		forger := v.Forge(peer, initiated)
		id := s.next
		if response {
			id = s.ours
		}
		before := len(w.Flight)
		forger.Deliver(forger.Seal(forger.Header(ikev2msg.Exchange(exchange), id, response), ikev2msg.PayloadType(first), plain))
		if n := len(w.Flight) - before; n > 2 {
			t.Errorf("%d messages because of one", n)
		}
		if b := v.Broken(); len(b) > 0 {
			t.Error(b)
		}
		v.Release()
		w.Settle()
	})
}
