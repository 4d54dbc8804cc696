// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Which shard an IKE message belongs to: the SPI that this host allocated names it; a first message, which has none yet,
// is spread by a keyed hash of its source and SPIi (a peer cannot aim at one shard, and a retransmission or the same
// request with a cookie meets the same one).

package mux

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// Router sends messages to shards. It is immutable and safe for concurrent use.
type Router struct {
	key    [32]byte
	shards uint64
}

// NewRouter makes the router of a daemon with a number of shards, at least one.
func NewRouter(rand io.Reader, shards int) (*Router, error) {
	r := &Router{shards: uint64(max(1, shards))}
	if _, err := io.ReadFull(rand, r.key[:]); err != nil {
		return nil, fmt.Errorf("router key: %w", err)
	}
	return r, nil
}

// NewSPI draws an IKE SPI that names a shard. It is never zero (RFC 7296, Section 2.6).
func (r *Router) NewSPI(rand io.Reader, shard int) (uint64, error) {
	for {
		var b [8]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, fmt.Errorf("IKE SPI: %w", err)
		}
		v := binary.BigEndian.Uint64(b[:])
		if v -= v % r.shards; v > ^uint64(0)-r.shards {
			continue
		}
		if v += uint64(shard); v != 0 {
			return v, nil
		}
	}
}

// Shard names the shard of a message. Octets that are too few for a header go to shard 0, whose mux counts and drops them.
func (r *Router) Shard(d ike.Datagram) int {
	h, err := isakmp.ParseHeader(d.Bytes)
	if err != nil {
		return 0
	}
	if spi := LocalSPI(h); spi != 0 {
		return int(spi % r.shards)
	}
	mac := hmac.New(sha256.New, r.key[:])
	b := d.Remote.Addr().As16()
	mac.Write(binary.BigEndian.AppendUint64(b[:], h.SPIi))
	return int(binary.BigEndian.Uint64(mac.Sum(nil)) % r.shards)
}

// LocalSPI is the SPI of a received message that this host must have allocated: the sender says by the initiator flag
// that SPIi is its own. Zero: a first message.
func LocalSPI(h isakmp.Header) uint64 {
	if h.Initiator() {
		return h.SPIr
	}
	return h.SPIi
}
