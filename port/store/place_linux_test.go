// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package store

import (
	"strings"
	"testing"
)

func TestHere(t *testing.T) {
	now := place()
	boot, ns, ok := strings.Cut(now, " ")
	if !ok {
		t.Skip("no /proc")
	}
	for at, want := range map[string]bool{now: true, "": true, "another " + ns: false, boot + " net:[1]": false, "nonsense": false} {
		if here, err := Here(at); here != want || err != nil {
			t.Errorf("%q: %v, %v", at, here, err)
		}
	}
}
