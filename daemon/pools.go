// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The pools of virtual addresses: ike/pool behind a lock, because all shards lease from the same ones. Who asks has proved
// its identity; which addresses it wishes for is its own choice and no more than a wish.

package daemon

import (
	"errors"
	"sync"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/pool"
)

// maxPools bounds what a control client can load.
const maxPools = 10000

// pools is safe for concurrent use; no call takes longer than a lease.
type pools struct {
	mu  sync.Mutex // protects set and names
	set *pool.Set
	// names are the loaded pools.
	names map[string]ike.Pool
}

func newPools() *pools { return &pools{set: pool.New(), names: map[string]ike.Pool{}} }

func (p *pools) load(conf ike.Pool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, has := p.names[conf.Name]; !has && len(p.names) >= maxPools {
		return errors.New("pools: too many are loaded")
	}
	if err := p.set.Load(conf); err != nil {
		return err
	}
	p.names[conf.Name] = conf
	return nil
}

func (p *pools) unload(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, has := p.names[name]; !has {
		return &NotFoundError{Kind: "pool", Name: name}
	}
	if err := p.set.Unload(name); err != nil {
		return err
	}
	delete(p.names, name)
	return nil
}

// loaded returns the pools as they were configured.
func (p *pools) loaded() map[string]ike.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]ike.Pool, len(p.names))
	for n, c := range p.names {
		all[n] = c
	}
	return all
}

func (p *pools) lease(q ike.Lease) ike.Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	leased, err := p.set.Lease(q.Pools, q.Identity, q.Wanted)
	if err != nil {
		return ike.Failed{Refusal: ike.RefusalNoAddress, Err: err}
	}
	return leased
}

func (p *pools) release(a ike.Unlease) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set.Release(a.Pools, a.Identity, a.Addrs)
}

func (p *pools) status(leases bool) []pool.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.set.Status(leases)
}
