// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"errors"
	"net/netip"
	"sync"
	"testing"

	"github.com/natterjack/natterjack/ike"
)

func TestPoolsLeaseEveryAddressOnce(t *testing.T) {
	p := newPools()
	if err := p.load(ike.Pool{Name: "p", Prefix: netip.MustParsePrefix("10.9.0.0/25")}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[netip.Addr]int{}
	var wg sync.WaitGroup
	for i := range 126 {
		wg.Go(func() {
			a := p.lease(ike.Lease{Pools: []string{"p"}, Identity: fqdn(string(rune('A' + i))), Wanted: []netip.Addr{netip.IPv4Unspecified()}})
			leased, ok := a.(ike.Leased)
			mu.Lock()
			defer mu.Unlock()
			if !ok {
				t.Errorf("lease %d: %+v", i, a)
				return
			}
			seen[leased.Addrs[0]]++
		})
	}
	wg.Wait()
	if len(seen) != 126 {
		t.Errorf("%d addresses were leased, expected 126", len(seen))
	}
	a := p.lease(ike.Lease{Pools: []string{"p"}, Identity: fqdn("late"), Wanted: []netip.Addr{netip.IPv4Unspecified()}})
	if f, ok := a.(ike.Failed); !ok || f.Refusal != ike.RefusalNoAddress {
		t.Errorf("an exhausted pool answered %+v", a)
	}
	if err := p.unload("p"); err == nil {
		t.Error("a pool in use was unloaded")
	}
	var missing *NotFoundError
	if err := p.unload("q"); !errors.As(err, &missing) {
		t.Errorf("unload of an unknown pool: %v", err)
	}
}
