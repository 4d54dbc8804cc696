// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// elsewhere is a path whose remote end is not that of the machine.
func elsewhere(sa *SA) ike.Path {
	p := sa.path
	p.Remote = netip.MustParseAddrPort("203.0.113.77:31000")
	return p
}

// RFC 7296, Section 2.23: a host behind a NAT that began the SA does not follow its peer; everybody else does.
func TestWhoFollows(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		initiator, natLocal, follows bool
	}{{true, true, false}, {true, false, true}, {false, true, true}, {false, false, true}} {
		sa := up(start, ike.Env{}, &ike.Connection{})
		sa.initiator, sa.natLocal = c.initiator, c.natLocal
		to := elsewhere(sa)
		sa.follow(start, to)
		if followed := sa.path == to; followed != c.follows {
			t.Errorf("initiator %t, behind a NAT %t: followed %t", c.initiator, c.natLocal, followed)
		}
	}
}

// RFC 3947, Section 4; RFC 7296, Section 2.23: a responder goes to where the initiator floated to. Before AUTH an
// initiator stays where it is.
func TestResponderGoesToTheFloatedPort(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, initiator := range []bool{false, true} {
		sa := up(start, ike.Env{}, &ike.Connection{})
		sa.initiator, sa.natLocal, sa.state = initiator, false, authenticating
		to := elsewhere(sa)
		sa.follow(start, to)
		if followed := sa.path == to; followed == initiator {
			t.Errorf("initiator %t: followed %t", initiator, followed)
		}
	}
}

// RFC 7296, Section 2.11: a response goes to where the request came from, by the way it came, wherever the peer was before.
func TestResponseGoesTheWayOfTheRequest(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sa := up(start, ike.Env{}, &ike.Connection{})
	way := elsewhere(sa)
	sa.respond(start, sa.cur, ikev2msg.Informational, way, nil)
	for _, a := range sa.take(start) {
		if s, ok := a.(ike.Send); ok {
			if s.Path != way {
				t.Errorf("sent to %s, the request came from %s", s.Path.Remote, way.Remote)
			}
			return
		}
	}
	t.Error("no response")
}
