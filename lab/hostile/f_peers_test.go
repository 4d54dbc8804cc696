// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section F: peers that stop, peers that disagree, and authenticated peers that want too much (T-063 to T-065).

package hostile

import (
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/bogus"
)

// TestT063_SlowPeers: peers that stop after each message, in both roles: all gone when their time is up.
func TestT063_SlowPeers(t *testing.T) {
	w := Open(t, Options{Connection: "dpd_delay = 1s"})
	for range 60 {
		w.Peer(nil).Init() // stops after IKE_SA_INIT
	}
	fragments := w.Peer(nil)
	if _, err := fragments.Init(); err != nil {
		t.Fatal(err)
	}
	fragments.SetBugs(bogus.Bugs{FragmentSize: 60, Wire: func(_ bogus.Step, d [][]byte) [][]byte { return d[:1] }})
	fragments.Post(bogus.AuthRequest, bogus.IKEAuth, fragments.AuthPayloads()...) // stops in the middle of IKE_AUTH
	silent := w.Connect(func(c *bogus.Config) { c.ID = bogus.FQDN("silent.example") })
	silent.SetBugs(bogus.Bugs{Ignore: func(*bogus.Message) bool { return true }}) // stops after IKE_AUTH
	silent.Current().Up = false
	for n := range 3 {
		step := n
		o := w.Out(n+1, "", func(c *bogus.Config) {
			c.Bugs.Wire = func(s bogus.Step, d [][]byte) [][]byte {
				if step == 0 || step == 1 && s == bogus.AuthResponse {
					return nil
				}
				return d
			}
		})
		// The host has packets for a child that may never come; a bounded number of them waits.
		if err := o.Initiate(); (err == nil) != (step == 2) {
			t.Errorf("responder that stops after %d messages: %v", step, err)
		}
		if step < 2 && !o.Gone() {
			t.Errorf("responder that stops after %d messages: the IKE SA is still there", step)
		}
		o.close()
	}
	Eventually(t, 10*time.Second, "the peers that stopped are gone", func() bool {
		st := w.D.Stats()
		return st.HalfOpen == 0 && st.IKESAs == w.base.ikeSAs
	})
}

// TestT064_Deviation: one side believes that there is an IKE SA which the other has rejected.
func TestT064_Deviation(t *testing.T) {
	w := Open(t, Options{Connection: "dpd_delay = 1s"})
	const times = 15
	for n := range times {
		o := w.Out(n+1, "", func(c *bogus.Config) { c.Bugs.Auth = func(a *bogus.AuthInput) { a.PSK = []byte("another key") } })
		if err := o.Initiate(); err == nil {
			t.Fatal("the daemon took a responder with another key for its peer")
		}
		// RFC 7296, Section 2.21.2: the initiator tells the responder, under protection.
		told := false
		Eventually(t, 2*time.Second, "the responder was told", func() bool {
			for _, m := range o.Seen() {
				told = told || m.Sealed && m.Exchange == bogus.Informational && (m.Find(bogus.PayloadDelete) != nil || m.Error() == bogus.AuthenticationFailed)
			}
			return told
		})
		o.close()
	}
	// The other way round: initiators that vanish after a successful IKE_AUTH, without a word.
	for range times {
		p := w.Connect(nil)
		p.SetBugs(bogus.Bugs{Ignore: func(*bogus.Message) bool { return true }})
		p.Current().Up = false
	}
	Eventually(t, 10*time.Second, "liveness checks have removed what nobody answers for", func() bool { return w.D.Stats().IKESAs == w.base.ikeSAs })
}

// maxChildren is the cap of children an IKE SA (G21).
const maxChildren = 64

// TestT065_GreedyPeer: an authenticated peer that makes children, selectors and rekeys without end.
func TestT065_GreedyPeer(t *testing.T) {
	w := Open(t, Options{Drift: 24 << 20})
	p := w.Connect(nil)
	var refused *bogus.Refused
	made, over := 1, 0
	for range maxChildren + 20 {
		_, err := p.NewChild()
		switch {
		case err == nil:
			made++
		case asRefused(err, &refused) && (refused.Notify == bogus.NoAdditionalSAs || refused.Notify == bogus.TemporaryFailure):
			over++
		default:
			t.Fatalf("child %d: %v", made+over, err)
		}
	}
	if made > maxChildren || over == 0 {
		t.Errorf("%d children made and %d refused, expected at most %d", made, over, maxChildren)
	}
	if n := w.D.Stats().Children - w.base.children; n > maxChildren {
		t.Errorf("the data plane has %d children of one peer", n)
	}
	if err := p.Ping(); err != nil {
		t.Errorf("the greedy peer's IKE SA: %v", err)
	}
	if err := p.DeleteIKE(); err != nil {
		t.Error(err)
	}
	rekeys(t, w)
	manySelectors(t, w)
}

// rekeys: as fast as they can be asked for; each is done or refused, and only the newest child and IKE SA stay.
func rekeys(t *testing.T, w *World) {
	p := w.Connect(nil)
	var refused *bogus.Refused
	for i := range 60 {
		if _, err := p.RekeyChild(); err != nil && !asRefused(err, &refused) {
			t.Fatalf("child rekey %d: %v", i, err)
		}
	}
	for i := range 30 {
		if err := p.RekeyIKE(); err != nil && !asRefused(err, &refused) {
			t.Fatalf("IKE rekey %d: %v", i, err)
		}
	}
	w.Settle()
	// Replaced children receive for some seconds more; they count towards the cap.
	if st := w.D.Stats(); st.IKESAs != w.base.ikeSAs+1 || st.Children > w.base.children+maxChildren {
		t.Errorf("after a storm of rekeys %d IKE SAs and %d children more than before", st.IKESAs-w.base.ikeSAs, st.Children-w.base.children)
	}
	if err := p.Ping(); err != nil {
		t.Errorf("the IKE SA after a storm of rekeys: %v", err)
	}
	w.Leave(p)
}

// manySelectors: hundreds of selectors in one child.
func manySelectors(t *testing.T, w *World) {
	var list []bogus.Selector
	for i := range 255 {
		s := bogus.Net("10.20.0.0/24")
		s.Proto, s.PortFrom, s.PortTo = 17, uint16(2*i), uint16(2*i)
		list = append(list, s)
	}
	p := w.Peer(func(c *bogus.Config) { c.TSr = list })
	var refused *bogus.Refused
	if err := p.Connect(); err != nil && !asRefused(err, &refused) {
		t.Errorf("255 selectors: %v", err)
	}
	if p.Current().Up {
		if err := p.Ping(); err != nil {
			t.Errorf("the IKE SA of a peer with 255 selectors: %v", err)
		}
	}
	w.Leave(p)
}
