// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// HOSTILE T-103: a peer that has proved itself and sends from two ports in turn moves with every packet; it fills no log.
func TestT103MovingPeer(t *testing.T) {
	var out bytes.Buffer
	l := newEventLog(slog.New(slog.NewTextHandler(&out, nil)))
	at := time.Unix(1000, 0)
	l.write(ike.Event{Kind: ike.EventAuthenticated, Unique: 1, At: at})
	for i := range 2000 { // two seconds
		l.write(ike.Event{Kind: ike.EventMoved, Unique: 1, At: at.Add(time.Duration(i) * time.Millisecond), From: netip.MustParseAddrPort("192.0.2.1:4500")})
	}
	if n := strings.Count(out.String(), "endpoint moved"); n != 2 {
		t.Errorf("%d lines, expected one a second:\n%s", n, out.String())
	}
	if !strings.Contains(out.String(), "not_logged=999") {
		t.Errorf("what was left out is not said:\n%s", out.String())
	}
}
