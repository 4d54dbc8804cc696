// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The one registry of identities for all shards: the `unique` policies, INITIAL_CONTACT and the total of IKE SAs are
// decided here. Identities are only those that a peer has proved (Admit is asked after authentication), so that nobody
// removes another's SA by claiming its name (RFC 7296, Section 2.4).

package daemon

import (
	"errors"
	"sync"

	"github.com/natterjack/natterjack/ike"
)

// maxIKESAs bounds the established IKE SAs of a daemon: at 20 KiB each, 1 GiB.
const maxIKESAs = 50000

// identities names a pair of proved identities.
type identities struct{ local, remote string }

func identityKey(local, remote ike.ID) identities {
	return identities{string(rune(local.Type)) + string(local.Data), string(rune(remote.Type)) + string(remote.Data)}
}

// registry is safe for concurrent use.
type registry struct {
	mu   sync.Mutex // protects the two maps
	sas  map[identities][]uint64
	keys map[uint64]identities
}

func newRegistry() *registry {
	return &registry{sas: map[identities][]uint64{}, keys: map[uint64]identities{}}
}

// admit decides on a newly authenticated SA. It returns the uniques that must be closed because of it, and whether this
// host already had an SA with the same identities.
func (r *registry) admit(q ike.Admit) (replaced []uint64, others bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := identityKey(q.Local, q.Remote)
	var old []uint64
	for _, u := range r.sas[k] {
		if u != q.Unique {
			old = append(old, u)
		}
	}
	if len(r.keys) >= maxIKESAs {
		return nil, len(old) > 0, errors.New("this daemon has as many IKE SAs as it may have")
	}
	if !q.Initiator && len(old) > 0 {
		switch {
		case q.Policy == ike.UniqueKeep && !q.InitialContact:
			return nil, true, errors.New("unique = keep: the identity has an IKE SA already")
		case q.Policy == ike.UniqueReplace, q.InitialContact && q.Policy != ike.UniqueNever:
			replaced = old
		}
	}
	if _, ok := r.keys[q.Unique]; !ok {
		r.keys[q.Unique] = k
		r.sas[k] = append(r.sas[k], q.Unique)
	}
	return replaced, len(old) > 0, nil
}

// forget removes an SA that is gone. Unknown ones are ignored.
func (r *registry) forget(unique uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.keys[unique]
	if !ok {
		return
	}
	delete(r.keys, unique)
	list := r.sas[k]
	for i, u := range list {
		if u == unique {
			list = append(list[:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(r.sas, k)
		return
	}
	r.sas[k] = list
}
