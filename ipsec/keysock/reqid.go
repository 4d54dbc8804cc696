// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The reqids that are picked for level unique (NATT.md, Section 2.5): above those that people choose, one after the other, and none that
// a policy has. A request of the BSDs has 16 bits for it: there is a next one for a policy of theirs as long as fewer than 49,152
// policies have one, however many there were before.

package keysock

import (
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

const (
	// manualReqidMax is IPSEC_MANUAL_REQID_MAX: level unique with a larger reqid, or none, is given one.
	manualReqidMax = 0x3fff
	// maxShort is the largest that a BSD can say, maxLong the largest that is picked for Linux.
	maxShort, maxLong = 1<<16 - 1, 1<<31 - 1
	shorts            = maxShort - manualReqidMax
)

// reqids are those that were picked.
type reqids struct {
	used        map[uint32]bool
	short, long uint32 // the last ones
	shortUsed   int
}

func newReqids() reqids {
	return reqids{used: map[uint32]bool{}, short: manualReqidMax, long: maxShort}
}

// give gives the requests of a policy, and its templates, the reqids that they lack. Leave takes them back.
func (r *reqids) give(d pfkey.Dialect, requests []pfkey.Request, templates []sadb.Template) error {
	for i := range requests {
		if requests[i].Level != pfkey.LevelUnique || requests[i].Reqid != 0 {
			continue
		}
		id, ok := r.pick(d)
		if !ok {
			r.leave(requests)
			return pfkey.ENOBUFS
		}
		requests[i].Reqid, templates[i].Reqid = id, id
	}
	return nil
}

// pick picks one that is not used; false: there is none that the dialect can say. There are fewer policies than long ones.
func (r *reqids) pick(d pfkey.Dialect) (uint32, bool) {
	last, from, to := &r.short, uint32(manualReqidMax+1), uint32(maxShort)
	if r.shortUsed == shorts {
		if d != pfkey.Linux {
			return 0, false
		}
		last, from, to = &r.long, maxShort+1, maxLong
	}
	for {
		if *last++; *last > to {
			*last = from
		}
		if r.used[*last] {
			continue
		}
		r.used[*last] = true
		if *last <= maxShort {
			r.shortUsed++
		}
		return *last, true
	}
}

// leave takes back the reqids of a policy that is gone.
func (r *reqids) leave(requests []pfkey.Request) {
	for i := range requests {
		id := requests[i].Reqid
		if !r.used[id] {
			continue // a person's
		}
		delete(r.used, id)
		if id <= maxShort {
			r.shortUsed--
		}
	}
}
