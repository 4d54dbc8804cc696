// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/natterjack/natterjack/daemon/config"
)

// TestOthersOptions: who sets an option of the interface where the interface is another process's is told.
func TestOthersOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "swanctl.conf")
	if err := os.WriteFile(path, []byte("daemon { keepalive = 2s }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := othersOptions(c.Daemon); len(got) != 0 {
		t.Errorf("the defaults: %v", got)
	}
	o := c.Daemon
	o.Tun, o.MTU, o.Table, o.Fwmark, o.GSO, o.Routes = "ipsec7", 1300, 7, 7, "off", false
	if got, want := othersOptions(o), []string{"tun", "mtu", "table", "fwmark", "gso", "routes"}; !slices.Equal(got, want) {
		t.Errorf("%v, expected %v", got, want)
	}
}
