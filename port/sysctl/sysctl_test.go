// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package sysctl

import "testing"

func TestOnlyNetworkSettings(t *testing.T) {
	for _, name := range []string{"kernel/core_pattern", "net/../kernel/core_pattern", "/proc/sys/net/x", "", "net/x\x00"} {
		if Write(name, "x") == nil || Read(name) != "" {
			t.Errorf("%q: not refused", name)
		}
	}
}
