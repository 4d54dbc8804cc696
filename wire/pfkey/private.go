// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The private part of a REGISTER and of its answer, and of the answers to GET for who asked for it: SADB_X_EXT_KMPRIVATE, which every dialect numbers 17
// and no kernel reads, with this inside:
//
//	u16 len = 3 | u16 type = 17 | u32 reserved = 0 | "NATTERJK" | u32 flags (host order) | u32 idle (host order)
//
// It says what a key daemon that knows this server wants of it, and idle, in an answer to GET, how many milliseconds ago the SA was
// used last. In the answer to a REGISTER flags are those of the request that the server serves and that change what a client may say. Whatever
// else is in the extension is ignored.

package pfkey

import (
	"bytes"
	"time"
)

const (
	// PrivateMoves: the client moves its SAs itself (UPDATE with NEW_ADDRESS, MIGRATE), and the engine must not let them follow an
	// authentic new endpoint of the peer. It is told of one by NEW_MAPPING, as ever.
	PrivateMoves uint32 = 1 << 0
	// PrivateFresh: the client is a key daemon that starts with nothing. What clients that said the same have left behind when they
	// ended (a crash) is removed now, and not when they ended: until then it protects what it protected.
	PrivateFresh uint32 = 1 << 1
	// PrivateIdle: answers to GET say when the SA was used last, for an SA that was. PF_KEY itself says when it was used first.
	PrivateIdle uint32 = 1 << 2
	// PrivateNames: the client's SAs are named by destination, protocol and SPI (RFC 4301, Section 4.1) also in FreeBSD's dialect, where an
	// SPI is everybody's: outbound ones are the peers' choice, and no peer must be able to take another's. SPIs of GETSPI stay unique.
	PrivateNames uint32 = 1 << 3
	// PrivateHost: X_SPDADD and X_SPDUPDATE are answered with ErrnoHost where the host does not put the policy in force outside of the
	// engine. It is in the SPD all the same, so that what reaches the engine goes by it, until the client takes it back.
	PrivateHost uint32 = 1 << 4
	// PrivateTraffic: the client says of SAs what they carry (private_traffic.go), so that one policy can be that of several peers at one address
	// (RFC 3948, Section 5.2) of whom each sends and gets what is its own alone. A server that serves it says so in its answer to the REGISTER.
	PrivateTraffic uint32 = 1 << 5

	// ErrnoHost is what no kernel answers to a policy.
	ErrnoHost = EIO

	privateMagic = "NATTERJK"
	privateLen   = 20 // behind the extension's header
)

// Private makes the extension.
func (c Codec) Private(flags uint32) *Opaque {
	b := make([]byte, privateLen)
	copy(b[4:], privateMagic)
	c.order().PutUint32(b[12:], flags)
	return &Opaque{Data: b}
}

// PrivateSince makes the extension of an answer to GET.
func (c Codec) PrivateSince(idle time.Duration) *Opaque {
	o := c.Private(PrivateIdle)
	c.order().PutUint32(o.Data[16:], uint32(min(max(0, idle.Milliseconds()), 1<<32-1)))
	return o
}

// IdleSince reads it; false: the answer does not say.
func (c Codec) IdleSince(o *Opaque) (time.Duration, bool) {
	if c.PrivateFlags(o)&PrivateIdle == 0 {
		return 0, false
	}
	return time.Duration(c.order().Uint32(o.Data[16:])) * time.Millisecond, true
}

// PrivateFlags reads it; zero where the extension is absent or another's.
func (c Codec) PrivateFlags(o *Opaque) uint32 {
	if o == nil || len(o.Data) < privateLen || !bytes.Equal(o.Data[4:12], []byte(privateMagic)) {
		return 0
	}
	return c.order().Uint32(o.Data[12:])
}
