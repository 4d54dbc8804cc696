// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package tun

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		want error
		says string
	}{
		{fs.ErrPermission, ErrPrivilege, "netstack"},
		{os.ErrNotExist, ErrNoDevice, "netstack"},
		{errors.New("odd"), nil, "odd"},
	} {
		got := explain("ipsec0", c.err)
		if c.want != nil && !errors.Is(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
		if !strings.Contains(got.Error(), "ipsec0") || !strings.Contains(got.Error(), c.says) {
			t.Errorf("%v: %q says neither the name nor what to do", c.err, got)
		}
	}
}

func TestOpenRefusesMTU(t *testing.T) {
	for _, mtu := range []int{-1, 1, 575, 65536} {
		if d, err := Open("", mtu); err == nil {
			d.Close()
			t.Errorf("mtu %d: accepted", mtu)
		}
	}
}
