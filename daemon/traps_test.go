// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"context"
	"errors"
	"testing"

	"github.com/natterjack/natterjack/ike"
)

// holding is an engine that counts standing policies.
type holding struct {
	ipsec
	n int
}

func (h *holding) hold(*standing) error { h.n++; return nil }
func (h *holding) drop(*standing)       { h.n-- }

// TestTrapTooLate: the host may take its time with a trap. One that was taken back meanwhile, or that another connection of its name
// has replaced, does not come into force afterwards.
func TestTrapTooLate(t *testing.T) {
	d, _ := bare(t)
	h := &holding{}
	d.kernel = h
	ctx, cancel := context.WithCancel(t.Context())
	d.traps.trying[trapName("office", "web")] = cancel
	if !d.traps.remove("office", "web") {
		t.Error("there was nothing to take back")
	}
	if err := d.traps.engage(ctx, &trap{conn: "office", child: "web", host: &ike.ChildSA{}}); !errors.Is(err, context.Canceled) || h.n != 0 || len(d.traps.byName) != 0 {
		t.Errorf("%v; %d policies in force", err, h.n)
	}
	if err := d.traps.engage(t.Context(), &trap{conn: "office", child: "web", host: &ike.ChildSA{}}); err != nil || h.n != 1 {
		t.Errorf("%v; %d policies in force", err, h.n)
	}
}
