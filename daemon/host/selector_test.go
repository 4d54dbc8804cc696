// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package host

import (
	"fmt"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// A peer that negotiates as many selectors as it can leaves room for others.
func TestChildOfManySelectors(t *testing.T) {
	side := func(n int, ports bool) []ike.Selector {
		var list []ike.Selector
		for i := range n {
			s := selector(fmt.Sprintf("10.%d.0.1", i), fmt.Sprintf("10.%d.0.254", i))
			if ports {
				s.Proto, s.PortFrom, s.PortTo = 6, uint16(i), uint16(i)
			}
			list = append(list, s)
		}
		return list
	}
	for _, c := range []struct {
		local, remote []ike.Selector
		ok            bool
	}{
		{side(16, true), side(16, true), true},
		{side(17, true), side(16, true), false},
		{side(64, true), side(64, true), false},
		{side(64, false), side(64, false), true}, // 14 prefixes each: 896 routes, and one set for each local selector
	} {
		if err := checkSize(pairs(c.local, c.remote)); (err == nil) != c.ok {
			t.Errorf("%d by %d: %v", len(c.local), len(c.remote), err)
		}
	}
	if err := checkSize(pairs(side(1, false), []ike.Selector{selector("2001:db8::1", "2001:db8::2")})); err != nil {
		t.Error(err)
	}
	var many []ike.Selector
	for i := range 64 {
		many = append(many, selector(fmt.Sprintf("10.%d.0.1", i), fmt.Sprintf("10.%d.255.254", i)))
	}
	if checkSize(pairs(side(1, false), many)) == nil {
		t.Error("1,920 routes of one child")
	}
	// The most work there is: every range has 254 prefixes, and every local selector goes with it.
	var local, remote []ike.Selector
	for i := range 64 {
		local = append(local, selector(fmt.Sprintf("fd00::%x", i), fmt.Sprintf("fd00::%x", i)))
		remote = append(remote, selector(fmt.Sprintf("%x::1", 0x2001+i), fmt.Sprintf("%x:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 0x2001+i)))
	}
	begin := time.Now()
	if checkSize(pairs(local, remote)) == nil {
		t.Error("14,000 routes of one child")
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("refused after %v", took)
	}
}
