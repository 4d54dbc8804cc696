// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// TestT032UnprovenPeer: a peer whose user was not asked yet has few message IDs to spend; behind XAUTH it has all of them. With a method
// that asks no user it has them from the beginning.
func TestT032UnprovenPeer(t *testing.T) {
	for _, auth := range []ikev1msg.AuthMethod{ikev1msg.AuthXAUTHInitPSK, ikev1msg.AuthXAUTHInitRSA, ikev1msg.AuthHybridInitRSA, ikev1msg.AuthHybridRespRSA} {
		s := sampleSuite()
		i, r := pair(t, s)
		r = newProtection(Suite{Encr: s.Encr, EncrBits: s.EncrBits, Hash: s.Hash, KE: s.KE, Auth: auth}, r.keys, r.root)
		send := func() error {
			id := binary.BigEndian.AppendUint32(nil, uint32(len(i.spent)+1))
			ours, err := i.begin(bytes.NewReader(id))
			if err != nil {
				t.Fatal(err)
			}
			b := ours.seal(header(ikev1msg.Informational), first(ours.chain.messageID), deletePayload(1))
			_, _, err = r.open(parse(t, b), b)
			return err
		}
		for n := range mostUnproven - 1 {
			if err := send(); err != nil {
				t.Fatalf("%s, message %d: %v", auth, n, err)
			}
		}
		if _, err := r.begin(&source{n: 200}); err != nil {
			t.Fatalf("%s: our own: %v", auth, err)
		}
		if err := send(); !errors.Is(err, errWorn) || len(r.spent) != mostUnproven {
			t.Errorf("%s: more than an unproven peer has: %v, %d spent", auth, err, len(r.spent))
		}
		if r.proven(); send() != nil {
			t.Errorf("%s: refused behind XAUTH", auth)
		}
	}
	for _, auth := range []ikev1msg.AuthMethod{ikev1msg.AuthPSK, ikev1msg.AuthRSA, ikev1msg.AuthECDSA256, ikev1msg.AuthECDSA384, ikev1msg.AuthECDSA521} {
		if p := newProtection(Suite{Auth: auth}, keys{}, chain{}); p.most != mostSpent {
			t.Errorf("%s: %d", auth, p.most)
		}
	}
}

// TestEndedOpensNothing: behind the end of a phase 1 its keys are zeros, which everybody has: a message made with keys of zeros and the IV
// that was on the wire opens neither a new exchange nor one that was held, and nothing is sealed.
func TestEndedOpensNothing(t *testing.T) {
	for _, s := range []Suite{sampleSuite(), suites()[0]} {
		i, r := pair(t, s)
		ours, _ := i.begin(&source{})
		id := ours.chain.messageID
		b := ours.seal(header(ikev1msg.QuickMode), first(id), deletePayload(1))
		held, _, err := r.open(parse(t, b), b)
		if err != nil {
			t.Fatal(err)
		}
		r.end()
		i.keys.wipe() // the stranger, with keys of zeros; its chain's key is the same octets
		before := held.chain
		b = ours.seal(header(ikev1msg.QuickMode), first(id), deletePayload(2))
		if _, err := held.open(parse(t, b), b, first(id)); !errors.Is(err, errEnded) || !unmoved(held.chain, before) {
			t.Errorf("%s: an exchange that was held: %v", s, err)
		}
		fresh, err := i.begin(&source{n: 100})
		if err != nil {
			t.Fatal(err)
		}
		b = fresh.seal(header(ikev1msg.Informational), first(fresh.chain.messageID), deletePayload(3))
		if _, _, err := r.open(parse(t, b), b); !errors.Is(err, errEnded) {
			t.Errorf("%s: a new exchange: %v", s, err)
		}
		if _, err := r.begin(&source{n: 50}); !errors.Is(err, errEnded) {
			t.Errorf("%s: begun: %v", s, err)
		}
		if b := held.seal(header(ikev1msg.Informational), first(id), deletePayload(4)); b != nil {
			t.Errorf("%s: sealed %x", s, b)
		}
	}
}
