// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package firewall

import (
	"net/netip"
	"strings"
	"testing"
)

func TestPolicyCheck(t *testing.T) {
	good := Policy{ID: "a", Local: sel("10.0.0.0", "10.0.0.255"), Remote: sel("192.0.2.1", "192.0.2.1")}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Policy){
		"no name":       func(p *Policy) { p.ID = "" },
		"backwards":     func(p *Policy) { p.Local.To = netip.MustParseAddr("9.0.0.0") },
		"two families":  func(p *Policy) { p.Remote = sel("::1", "::2") },
		"mixed range":   func(p *Policy) { p.Local.To = netip.MustParseAddr("::1") },
		"no address":    func(p *Policy) { p.Local = Selector{} },
		"ports":         func(p *Policy) { p.Local.PortFrom, p.Local.PortTo = 9, 8 },
		"two protocols": func(p *Policy) { p.Local.Proto, p.Remote.Proto = 6, 17 },
		"mapped":        func(p *Policy) { p.Local = sel("::ffff:10.0.0.1", "::ffff:10.0.0.1") },
	} {
		p := good
		change(&p)
		if p.check() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func TestInstanceNames(t *testing.T) {
	for _, bad := range []string{"", "a b", "a;b", "a/b", "ä", strings.Repeat("x", nameLimit+1)} {
		if checkName(bad) == nil {
			t.Errorf("%q: not refused", bad)
		}
	}
	if err := checkName("ipsec0"); err != nil {
		t.Error(err)
	}
}
