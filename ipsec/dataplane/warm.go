// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Among very many SAs a batch is looked over before it is worked on, so that the processor waits once for the memory of all its
// packets and not for each one's (sadb.Warm). Nothing is decided here: the octets are anybody's, and everything is looked up and checked
// again.

package dataplane

import (
	"encoding/binary"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

// warm looks over packets that are going to be sealed.
func (o *Outbound) warm(bufs [][]byte, sizes []int, offset int) {
	n := 0
	for i, size := range sizes[:min(len(sizes), len(bufs), BatchSize)] {
		p := bufs[i][offset : offset+size]
		switch {
		case len(p) >= ipv4Header && p[0]>>4 == 4:
			o.remotes[n] = sadb.Remote{Addr: sadb.IP{Lo: uint64(binary.BigEndian.Uint32(p[16:]))}}
		case len(p) >= ipv6Header && p[0]>>4 == 6:
			o.remotes[n] = sadb.Remote{Addr: sadb.IP{Hi: binary.BigEndian.Uint64(p[24:]), Lo: binary.BigEndian.Uint64(p[32:])}, V6: true}
		default:
			continue
		}
		n++
	}
	o.warmth.Sealing(o.e.db, o.remotes[:n])
}

// warm looks over datagrams that are going to be opened: the first of each run.
func (in *Inbound) warm(msgs []Datagram) {
	n := 0
	for i := range msgs[:min(len(msgs), BatchSize)] {
		m := &msgs[i]
		at := m.Encap.Overhead()
		if m.N < at+4 || m.Proto == protoAH {
			continue
		}
		in.spis[n] = binary.BigEndian.Uint32(m.Buf[at:])
		n++
	}
	in.warmth.Opening(in.e.db, in.spis[:n])
}
