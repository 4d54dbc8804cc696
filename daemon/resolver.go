// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Host names in remote_addrs and local_addrs. Names are resolved outside the shards, with a deadline, and remembered; a
// shard reads only what is remembered. A name's addresses are a place to send to, never an identity.

package daemon

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	resolveDeadline = 5 * time.Second
	resolveLife     = time.Minute // how long an answer is used
)

// resolver is safe for concurrent use.
type resolver struct {
	mu    sync.Mutex // protects names
	names map[string]resolved
}

type resolved struct {
	addrs []netip.Addr
	at    time.Time
}

func newResolver() *resolver { return &resolver{names: map[string]resolved{}} }

// known returns what is remembered of a host name; it never waits.
func (r *resolver) known(host string) []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names[host].addrs
}

// resolve returns a name's addresses, looking it up when what is remembered is too old. It may wait resolveDeadline.
func (r *resolver) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	r.mu.Lock()
	old := r.names[host]
	r.mu.Unlock()
	if len(old.addrs) > 0 && time.Since(old.at) < resolveLife {
		return old.addrs, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveDeadline)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		if len(old.addrs) > 0 {
			return old.addrs, nil
		}
		return nil, fmt.Errorf("remote_addrs: %s: cannot be resolved; write its address, or check the host's DNS: %w", host, err)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	r.mu.Lock()
	r.names[host] = resolved{addrs: addrs, at: time.Now()}
	r.mu.Unlock()
	return addrs, nil
}
