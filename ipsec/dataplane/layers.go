// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What may lie in what: RFC 4301, Section 5.2, the loop over the headers of a packet that was received. From outside to inside AH, ESP,
// IPComp, each once and in this order, then an IP packet (tunnel mode) or an upper layer (transport mode); so nothing is opened
// in itself (HOSTILE T-092), and what is opened costs at most two ICVs and one decompression. All of it is the peer's.

package dataplane

import (
	"encoding/binary"

	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

// maxLayers: AH, ESP, IPComp.
const maxLayers = 3

// chain is the SAs that a packet came by, the outermost first.
type chain struct {
	n    int
	sas  [maxLayers]*sadb.Receiver
	pair *sadb.Pair // whose SA it is; nil: single SAs
	in   uint8      // the protocol of the innermost
}

func (c *chain) begin() { c.n, c.pair, c.in = 0, nil, 0 }

func (c *chain) list() []*sadb.Receiver { return c.sas[:c.n] }

// rank is the order of the layers; zero: it is none.
func rank(proto uint8) int {
	switch proto {
	case protoAH:
		return 1
	case protoESP:
		return 2
	case protoIPComp:
		return 3
	}
	return 0
}

// fits reports whether a layer of proto may be inside of what was opened.
func (c *chain) fits(proto uint8) bool { return rank(proto) > rank(c.in) }

// push adds an SA. A pair's packet has one, and IPComp of the pair's own; single SAs and pairs do not mix.
func (c *chain) push(r *sadb.Receiver, proto uint8) bool {
	pair := r.Pair()
	if c.n > 0 && (pair != nil || c.pair != nil) {
		return false
	}
	c.sas[c.n], c.pair, c.in = r, pair, proto
	c.n++
	return true
}

// modes says what the chain may carry. A single SA whose mode is any carries both.
func (c *chain) modes() (tunnel, transport bool) {
	if c.n == 0 {
		return false, false
	}
	m := c.sas[c.n-1].Mode()
	return m != sadb.Transport, m != sadb.Tunnel
}

// unwrap opens b[at:end], which is of protocol proto, as far as it goes, and delivers what is inside.
func (in *Inbound) unwrap(b []byte, at, end int, proto uint8) {
	for rank(proto) > 0 {
		if !in.chain.fits(proto) {
			in.n[InNextHeader]++
			return
		}
		var ok bool
		switch proto {
		case protoESP:
			at, end, proto, ok = in.openESP(b, at, end)
		case protoIPComp:
			b, at, end, proto, ok = in.expand(b, at, end)
		default: // AH in front of a payload was taken by ah
			in.n[InNextHeader]++
			return
		}
		if !ok {
			return
		}
	}
	tunnel, transport := in.chain.modes()
	switch {
	case proto == esp.NextHeaderNone: // RFC 4303, Section 2.6: a dummy MUST be discarded without an error
		in.n[InDummies]++
	case proto == protoIPv4 || proto == protoIPv6:
		if !tunnel {
			in.n[InNextHeader]++
			return
		}
		in.tunnel(b, at, end, proto == protoIPv6)
	case transport:
		in.transport(b, at, end, proto)
	default:
		in.n[InNextHeader]++
	}
}

// openESP opens one ESP packet in place.
func (in *Inbound) openESP(b []byte, at, end int) (from, to int, next uint8, ok bool) {
	if end-at < esp.HeaderLen {
		in.n[InShort]++
		return 0, 0, 0, false
	}
	if !in.find(protoESP, binary.BigEndian.Uint32(b[at:])) {
		return 0, 0, 0, false
	}
	o, err := in.rcv.Open(b[at:end], &in.arrival)
	if err != nil {
		in.n[reason(err)]++
		return 0, 0, 0, false
	}
	if !in.chain.push(in.rcv, protoESP) {
		in.n[InSelectors]++
		return 0, 0, 0, false
	}
	at += in.rcv.Head()
	return at, at + len(o.Payload), o.Next, true
}

func (in *Inbound) expand(b []byte, at, end int) (out []byte, from, to int, next uint8, ok bool) {
	in.n[InCompression]++
	return nil, 0, 0, 0, false
}

func (in *Inbound) ah(b []byte) { in.n[InNextHeader]++ }
