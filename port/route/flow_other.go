// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build !linux

package route

import (
	"net/netip"

	"github.com/natterjack/natterjack/port/store"
)

// hasFlows is false: routes of this system go by destination alone.
const hasFlows = false

func acceptFlows(string, netip.Addr) error { return nil }

// changeFlowRule: AddFlow has refused before.
func changeFlowRule(store.Undo, bool) error { return nil }
