// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// UPDATE of an SA that has followed its peer: key daemons that know nothing of it (OpenIKED and racoon have no handler of NEW_MAPPING) say
// what they said before, and others what GET shows. Neither moves it away from the peer.

package keysock_test

import (
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// updating is the UPDATE of an SA that sets its lifetimes.
func updating(d pfkey.Dialect, m *pfkey.Message, hard time.Duration) *pfkey.Message {
	u := *m
	u.Type, u.SA2, u.SA = pfkey.TypeUpdate, &pfkey.SA2{Mode: pfkey.ModeTunnel, Reqid: 5}, &pfkey.SA{SPI: m.SA.SPI, Replay: 4, Auth: 3, Encrypt: 12}
	u.LifetimeCurrent, u.SAReplay, u.Proxy, u.Order = nil, nil, nil, nil
	u.LifetimeHard, u.LifetimeSoft = &pfkey.Lifetime{AddTime: uint64(hard / time.Second)}, &pfkey.Lifetime{AddTime: 1}
	u.KeyEncrypt, u.KeyAuth = nil, nil
	if d != pfkey.FreeBSD {
		u.KeyEncrypt, u.KeyAuth = key(16, 1), key(20, 50)
	}
	return &u
}

// ends are where an SA is said to go from and to.
func ends(a *pfkey.Message) string { return text(a.Src) + " " + text(a.Dst) + " " + nattOf2(a) }

// TestUpdateOfTheFollowed: by its old name with the old ports, and as it is shown.
func TestUpdateOfTheFollowed(t *testing.T) {
	for _, to := range []string{"192.0.2.2:50000", "198.51.100.9:50000"} {
		each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
			w.want(c, header(pfkey.TypeRegister, pfkey.SATypeESP), pfkey.OK)
			in, out := natted(add(0x1001, "192.0.2.2", "192.0.2.1"), 40000, 4500), natted(add(0x2001, "192.0.2.1", "192.0.2.2"), 4500, 40000)
			w.want(c, in, pfkey.OK)
			w.want(c, out, pfkey.OK)
			p := newPeer(t, in)
			w.sends(p, "192.0.2.2:40000", "192.0.2.1:4500")
			w.sends(p, to, "192.0.2.1:4500")
			for i, m := range []*pfkey.Message{in, out} {
				was := ends(w.want(c, about(pfkey.TypeGet, m), pfkey.OK))
				for k := range 4 {
					u := m
					if k%2 == 1 {
						u = w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
					}
					hard := time.Duration(100*(i+1)+k) * time.Second
					w.want(c, updating(d, u, hard), pfkey.OK)
					a := w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
					if ends(a) != was || a.LifetimeHard == nil || a.LifetimeHard.AddTime != uint64(hard/time.Second) {
						t.Errorf("to %s, %d, %d: %s %v, expected %s %v", to, i, k, ends(a), a.LifetimeHard, was, hard)
					}
				}
			}
			w.take(c)
			w.sends(p, "203.0.113.7:60000", "192.0.2.1:4500") // both follow still
			if a := w.want(c, about(pfkey.TypeGet, out), pfkey.OK); text(a.Dst) != "203.0.113.7" || *a.NATDstPort != 60000 {
				t.Errorf("the outbound SA goes to %s", ends(a))
			}
		})
	}
}

// TestUpdateAmongOthers: an owner whose daemon has never heard of names finds its own SA by where it has gone to, though SAs of others have
// the same SPI by now, at the old address and at the new one; nobody else's SA changes.
func TestUpdateAmongOthers(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	db, err := sadb.New(start, sadb.Config{Rand: zeros{}, SPIPerDestination: true})
	if err != nil {
		t.Fatal(err)
	}
	w.db, w.s = db, keysock.New(db, keysock.Config{})
	c, mine := w.client(pfkey.FreeBSD, true), w.client(pfkey.FreeBSD, true)
	in, out := natted(add(0x1001, "192.0.2.2", "192.0.2.1"), 40000, 4500), natted(add(0x2001, "192.0.2.1", "192.0.2.2"), 4500, 40000)
	w.want(c, in, pfkey.OK)
	w.want(c, out, pfkey.OK)
	p := newPeer(t, in)
	w.sends(p, "198.51.100.9:50000", "192.0.2.1:4500")
	gone := w.want(c, about(pfkey.TypeGet, out), pfkey.OK)
	if text(gone.Dst) != "198.51.100.9" {
		t.Fatalf("it goes to %s", ends(gone))
	}
	reg := header(pfkey.TypeRegister, pfkey.SATypeESP)
	reg.KMPrivate = pfkey.Codec{Dialect: pfkey.FreeBSD}.Private(pfkey.PrivateNames)
	w.want(mine, reg, pfkey.OK)
	for _, dst := range []string{"192.0.2.3", "198.51.100.9"} {
		w.want(mine, natted(add(0x2001, "192.0.2.1", dst), 4500, 40000), pfkey.OK)
	}
	for _, m := range []*pfkey.Message{gone, out} {
		w.want(c, updating(pfkey.FreeBSD, m, 77*time.Second), pfkey.OK)
	}
	w.want(c, updating(pfkey.FreeBSD, natted(add(0x2001, "192.0.2.1", "192.0.2.3"), 4500, 40000), 88*time.Second), pfkey.EINVAL)
	if a := w.want(c, about(pfkey.TypeGet, out), pfkey.OK); a.LifetimeHard == nil || a.LifetimeHard.AddTime != 77 || ends(a) != ends(gone) {
		t.Errorf("%s %v", ends(a), a.LifetimeHard)
	}
	for _, dst := range []string{"192.0.2.3", "198.51.100.9"} {
		if a := w.want(mine, about(pfkey.TypeGet, add(0x2001, "192.0.2.1", dst)), pfkey.OK); a.LifetimeHard != nil || *a.NATDstPort != 40000 {
			t.Errorf("another's SA was changed: %s %v", ends(a), a.LifetimeHard)
		}
	}
	// Who names SAs so, and has them follow, finds them too.
	w.want(mine, natted(add(0x1002, "192.0.2.7", "192.0.2.1"), 40000, 4500), pfkey.OK)
	w.sends(newPeer(t, add(0x1002, "192.0.2.7", "192.0.2.1")), "198.51.100.8:50000", "192.0.2.1:4500")
	a := w.want(mine, about(pfkey.TypeGet, add(0x1002, "192.0.2.7", "192.0.2.1")), pfkey.OK)
	w.want(mine, updating(pfkey.FreeBSD, a, 99*time.Second), pfkey.OK)
	if b := w.want(mine, about(pfkey.TypeGet, a), pfkey.OK); ends(b) != ends(a) || b.LifetimeHard.AddTime != 99 {
		t.Errorf("%s %v, expected %s", ends(b), b.LifetimeHard, ends(a))
	}
}

// TestUpdateForgetsOriginals: an UPDATE without NAT-OA takes it from the SA, as in the BSDs, and does not take the SA from its peer.
func TestUpdateForgetsOriginals(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	c := w.client(pfkey.FreeBSD, true)
	in := natted(add(0x1001, "192.0.2.2", "192.0.2.1"), 40000, 4500)
	in.SA2.Mode, in.NATOAi = pfkey.ModeTransport, addr("10.0.0.7")
	w.want(c, in, pfkey.OK)
	w.sends(newPeer(t, in), "192.0.2.2:50000", "192.0.2.1:4500")
	shown := w.want(c, about(pfkey.TypeGet, in), pfkey.OK)
	if shown.NATOAi == nil || *shown.NATSrcPort != 50000 {
		t.Fatalf("%s %v", ends(shown), shown.NATOAi)
	}
	u := updating(pfkey.FreeBSD, in, time.Minute)
	u.SA2.Mode, u.NATOAi = pfkey.ModeTransport, nil
	w.want(c, u, pfkey.OK)
	if a := w.want(c, about(pfkey.TypeGet, in), pfkey.OK); a.NATOAi != nil || ends(a) != ends(shown) {
		t.Errorf("%s %v, expected %s", ends(a), a.NATOAi, ends(shown))
	}
}
