// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package wire has what the codecs below it share: a bounded reader whose first error sticks, and the errors it makes.
// All its input is attacker controlled. Lengths are int from the moment they are read.
package wire

import (
	"encoding/binary"
	"fmt"
)

// Reader reads big-endian fields from octets. The first field that does not fit sets Err; every later read gives zero
// values. What it returns are parts of the octets it was given, never copies.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err is the first error.
func (r *Reader) Err() error { return r.err }

// Len is how many octets are left.
func (r *Reader) Len() int { return len(r.b) }

// Fail sets the error, unless there is one already.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
		r.b = nil
	}
}

// Bytes reads n octets of the named field.
func (r *Reader) Bytes(field string, n int) []byte {
	if n < 0 || n > len(r.b) {
		r.Fail("%s: %d octets left, expected %d", field, len(r.b), n)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// Rest reads what is left.
func (r *Reader) Rest() []byte { return r.Bytes("rest", len(r.b)) }

// U8 reads one octet.
func (r *Reader) U8(field string) uint8 {
	if v := r.Bytes(field, 1); v != nil {
		return v[0]
	}
	return 0
}

// U16 reads two octets.
func (r *Reader) U16(field string) uint16 {
	if v := r.Bytes(field, 2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

// U32 reads four octets.
func (r *Reader) U32(field string) uint32 {
	if v := r.Bytes(field, 4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// U64 reads eight octets.
func (r *Reader) U64(field string) uint64 {
	if v := r.Bytes(field, 8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// End fails when octets are left.
func (r *Reader) End(field string) {
	if len(r.b) > 0 {
		r.Fail("%s: %d octets too many", field, len(r.b))
	}
}
