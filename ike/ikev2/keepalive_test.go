// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/natt"
)

// up is an established machine without a peer.
func up(now time.Time, env ike.Env, conn *ike.Connection) *SA {
	env.Rand = bytes.NewReader(make([]byte, 1<<16))
	env.Retransmit = ike.Retransmit{Initial: 4 * time.Second, Base: 1.8, Tries: 5}
	env.FragmentSize = 1280
	path := ike.Path{Local: netip.MustParseAddrPort("192.168.0.2:4500"), Remote: netip.MustParseAddrPort("203.0.113.9:4500"), Encap: natt.NonESP}
	sa := NewInitiator(env, conn, path, path)
	sa.init = nil
	g := sa.newGeneration(now, true, 1, 2)
	g.suite = suite.IKE{Encr: suite.EncrAESGCM16, EncrBits: 128, PRF: suite.PRFHMACSHA2256, KE: suite.KECurve25519}
	g.keys = deriveKeys(g.suite, secret.New(make([]byte, 32)), make([]byte, 32), make([]byte, 32), 1, 2)
	sa.cur = g
	sa.natLocal, sa.lastSent = true, now
	sa.establish(now)
	sa.take(now)
	return sa
}

// tick lets time pass until something is sent, and says what.
func tick(t *testing.T, sa *SA) (time.Time, string) {
	t.Helper()
	now := sa.Deadline()
	for range 10 {
		for _, a := range sa.Tick(now) {
			switch a := a.(type) {
			case ike.Keepalive:
				return now, "keepalive"
			case ike.Probe:
				return now, "probe"
			case ike.Send:
				return now, "IKE"
			case ike.Ask:
				if _, ok := a.Question.(ike.Query); ok {
					t.Fatal("there are no children to ask about")
				}
			}
		}
		now = sa.Deadline()
	}
	return now, "nothing"
}

// To a peer that is not one of us, the authenticated packet in a keepalive's place is an empty INFORMATIONAL request.
func TestProbeOfAnotherPeer(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sa := up(start, ike.Env{KeepaliveInterval: 20 * time.Second}, &ike.Connection{})
	if at, what := tick(t, sa); at != start.Add(20*time.Second) || what != "IKE" {
		t.Errorf("after %s: %s", at.Sub(start), what)
	}
}

// The answer to a probe came a moment after it: when an interval later the keepalive is due, the authenticated packet would be
// due a moment after that, and the next look only a second later. It goes at once, or a forgotten mapping costs that second too.
func TestProbeAMomentEarly(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sa := up(start, ike.Env{KeepaliveInterval: 20 * time.Second}, &ike.Connection{})
	sa.lastAuthentic = start.Add(2 * time.Millisecond)
	if at, what := tick(t, sa); at != start.Add(20*time.Second) || what != "IKE" {
		t.Errorf("after %s: %s", at.Sub(start), what)
	}
	// What came in two seconds ago has shown the peer's side alive since: a keepalive does.
	sa = up(start, ike.Env{KeepaliveInterval: 20 * time.Second}, &ike.Connection{})
	sa.lastAuthentic = start.Add(2 * time.Second)
	if at, what := tick(t, sa); at != start.Add(20*time.Second) || what != "keepalive" {
		t.Errorf("after %s: %s", at.Sub(start), what)
	}
}

// Without a NAT before this host there are no keepalives (RFC 3948, Section 4), and with an interval of zero neither.
func TestNoKeepalives(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sa := up(start, ike.Env{KeepaliveInterval: 20 * time.Second}, &ike.Connection{})
	sa.natLocal = false
	sa.planTraffic(start)
	if at := sa.Deadline(); !at.IsZero() {
		t.Errorf("no NAT here: something is due at %s", at.Sub(start))
	}
	sa = up(start, ike.Env{}, &ike.Connection{})
	if at := sa.Deadline(); !at.IsZero() {
		t.Errorf("interval zero: something is due at %s", at.Sub(start))
	}
}

// A responder behind a static NAT sends keepalives and nothing in their place: its initiator would not follow.
func TestResponderOnlyKeepsAlive(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sa := up(start, ike.Env{KeepaliveInterval: 20 * time.Second}, &ike.Connection{})
	sa.initiator = false
	sa.planTraffic(start)
	for range 3 {
		if _, what := tick(t, sa); what != "keepalive" {
			t.Errorf("%s, expected a keepalive", what)
		}
	}
}

// Before a message ID would be used twice the IKE SA ends (RFC 7296, Section 2.2).
func TestT019LastMessageID(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sa := up(start, ike.Env{}, &ike.Connection{})
	sa.cur.nextID = lastMessageID
	closed := false
	for _, a := range sa.Do(start, ike.CheckLiveness{}) {
		c, ok := a.(ike.Close)
		closed = closed || ok && c.Reason == ike.CloseMessageIDs
		if _, ok := a.(ike.Send); ok {
			t.Error("the last message ID was sent")
		}
	}
	if !closed {
		t.Error("the IKE SA is still there")
	}
}

// Every pair of the collision table has an entry for every row that can be reached, and none of them is the zero value by
// accident: what is closing, replaced or being rekeyed never makes a successor.
func TestCollisionTable(t *testing.T) {
	for d := range doingKinds {
		for w := range wantKinds {
			r := collide(d, w)
			making := w == wantChild || w == wantRekeyChild || w == wantRekeyIKE
			if making && (d == closingIKE || d == replacedIKE) && r != temporary {
				t.Errorf("doing %d, wanted %d: %d, expected TEMPORARY_FAILURE", d, w, r)
			}
			if w == wantRekeyIKE && (d == doingChild || d == rekeyingChild || d == closingChild) && r != temporary {
				t.Errorf("doing %d: the IKE SA is rekeyed while a child is being changed", d)
			}
			if !making && (r == temporary || r == notFound) {
				t.Errorf("doing %d, wanted %d: a delete is refused", d, w)
			}
		}
	}
}

// RFC 7296, Section 2.8.1: octet by octet, and where one nonce ends it is the lower.
func TestLowestNonce(t *testing.T) {
	n := func(b ...byte) []byte { return b }
	for _, c := range []struct {
		ai, ar, bi, br []byte
		lower          bool
	}{
		{n(1), n(9), n(2), n(3), true},
		{n(9), n(1), n(2), n(3), true},
		{n(4), n(5), n(2), n(9), false},
		{n(1), n(5), n(1, 0), n(9), true},
		{n(1, 0), n(5), n(1), n(9), false},
		{n(0xff), n(0x80), n(0x7f), n(0xff), false},
	} {
		if got := lower(c.ai, c.ar, c.bi, c.br); got != c.lower {
			t.Errorf("lower(%x %x, %x %x) = %t", c.ai, c.ar, c.bi, c.br, got)
		}
	}
}
