// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package route

import "testing"

func TestOnlyNetSysctlsAreWritten(t *testing.T) {
	for _, name := range []string{"kernel/core_pattern", "net/../kernel/core_pattern", "/proc/sys/net/x"} {
		if writeSysctl(name, "x") == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}
