// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package iked

import (
	"strings"
	"testing"

	"github.com/natterjack/natterjack/lab/netlab"
)

func pair(w *netlab.World, auth string) (c, g *iked) {
	w.Helper()
	client, gateway := w.Clients[0], w.Gateway
	g = start(w, gateway, policy("passive", right, left, gateway.Addr.String(), "any", "gateway.lab", "client.lab", auth, ""))
	c = start(w, client, policy("active", left, right, client.Addr.String(), gateway.Addr.String(), "client.lab", "gateway.lab", auth, ""))
	return c, g
}

// TestPair: two unmodified OpenIKEDs, a NAT between them, and traffic that passes through ESP in UDP of ours alone.
func TestPair(t *testing.T) {
	w := world(t)
	capture := w.Router.Capture("wan")
	c, g := pair(w, "hmac-sha2-512")
	t.Logf("up after %v", up(w))
	traffic(w)
	for _, d := range []*iked{c, g} {
		if out := d.dump(); strings.Count(out, "mature") < 2 {
			t.Errorf("%s: the engine has:\n%s", d.Role, out)
		}
	}
	_ = capture.Stop()
	c.stop()
	g.stop()
}
