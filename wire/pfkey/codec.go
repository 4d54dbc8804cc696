// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Reading and writing in the byte order of the host, and the message around its extensions. What is parsed comes from any local
// process: the header's length must be the message's, each extension must lie within it.

package pfkey

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

// reader is a wire.Reader whose integers are in the host's order; Bytes is as it was, port and SPI are big endian.
type reader struct {
	*wire.Reader
	c Codec
	o binary.ByteOrder
}

func (c Codec) reader(b []byte) *reader { return &reader{wire.NewReader(b), c, c.order()} }

func (r *reader) port(field string) uint16 { return r.Reader.U16(field) }
func (r *reader) spi(field string) uint32  { return r.Reader.U32(field) }

// U16 reads two octets in the host's order.
func (r *reader) U16(field string) uint16 {
	if v := r.Bytes(field, 2); v != nil {
		return r.o.Uint16(v)
	}
	return 0
}

// U32 reads four octets in the host's order.
func (r *reader) U32(field string) uint32 {
	if v := r.Bytes(field, 4); v != nil {
		return r.o.Uint32(v)
	}
	return 0
}

// U64 reads eight octets in the host's order.
func (r *reader) U64(field string) uint64 {
	if v := r.Bytes(field, 8); v != nil {
		return r.o.Uint64(v)
	}
	return 0
}

// skip reads n octets that are reserved or padding.
func (r *reader) skip(n int) { r.Bytes("reserved", n) }

// writer appends in the host's order. Its first error stays.
type writer struct {
	c     Codec
	o     binary.ByteOrder
	b     []byte
	start int // of the message in b
	err   error
}

// firstRoom is what a writer without room makes: few messages have more.
const firstRoom = 512

// room makes sure that n octets more fit. What was written moves with nothing of it left behind, for there may be keys in it.
func (w *writer) room(n int) {
	if cap(w.b)-len(w.b) >= n {
		return
	}
	b := make([]byte, len(w.b), max(2*cap(w.b), len(w.b)+n, firstRoom))
	copy(b, w.b)
	clear(w.b[w.start:])
	w.b = b
}

func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = invalid(format, args...)
	}
}

// zero appends zeros and returns them.
func (w *writer) zero(n int) []byte {
	w.room(n)
	at := len(w.b)
	w.b = w.b[:at+n]
	clear(w.b[at:])
	return w.b[at:]
}

func (w *writer) bytes(v []byte) { copy(w.zero(len(v)), v) }
func (w *writer) u8(v uint8)     { w.zero(1)[0] = v }
func (w *writer) u16(v uint16)   { w.o.PutUint16(w.zero(2), v) }
func (w *writer) u32(v uint32)   { w.o.PutUint32(w.zero(4), v) }
func (w *writer) u64(v uint64)   { w.o.PutUint64(w.zero(8), v) }
func (w *writer) port(v uint16)  { binary.BigEndian.PutUint16(w.zero(2), v) }
func (w *writer) spi(v uint32)   { binary.BigEndian.PutUint32(w.zero(4), v) }

// pad appends zeros until what begins at start has whole words.
func (w *writer) pad(start int) { w.zero(padding(len(w.b) - start)) }

// padding is how many octets are missing to whole words.
func padding(n int) int { return -n & (octetsInWord - 1) }

// wrongLength is what a kernel says to a message that is not as long as it says.
func (d Dialect) wrongLength() Errno {
	if d == Linux {
		return EMSGSIZE
	}
	return EINVAL
}

// header parses the base header (RFC 2367, Section 2.3).
func (c Codec) header(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, &Error{c.Dialect.wrongLength(), fmt.Errorf("message: %d octets, expected at least %d", len(b), HeaderLen)}
	}
	if len(b) > MaxMessage {
		return Header{}, &Error{EMSGSIZE, fmt.Errorf("message: %d octets, expected at most %d", len(b), MaxMessage)}
	}
	r := c.reader(b)
	version := r.U8("version")
	h := Header{Type: Type(r.U8("type")), Errno: c.Dialect.errno(r.U8("errno")), SAType: SAType(r.U8("satype"))}
	n := int(r.U16("length")) * octetsInWord
	r.skip(2)
	h.Seq, h.PID = r.U32("seq"), r.U32("pid")
	switch {
	case version != Version:
		return Header{}, invalid("version: %d, expected %d", version, Version)
	case h.Type == 0 || h.Type > c.Dialect.maxType():
		return Header{}, invalid("type: %d, expected 1 to %d", h.Type, c.Dialect.maxType())
	case n != len(b):
		return Header{}, &Error{c.Dialect.wrongLength(), fmt.Errorf("length: %d octets, found %d", n, len(b))}
	}
	return h, nil
}

// FrameLen is how many octets a message has, from its first octets, for sockets that do not keep messages apart: ok is false while
// there are too few octets to tell. A length that no message has is an error.
func (c Codec) FrameLen(b []byte) (n int, ok bool, err error) {
	if len(b) < 6 {
		return 0, false, nil
	}
	n = int(c.order().Uint16(b[4:])) * octetsInWord
	if n < HeaderLen || n > MaxMessage {
		return 0, false, &Error{EMSGSIZE, fmt.Errorf("length: %d octets, expected %d to %d", n, HeaderLen, MaxMessage)}
	}
	return n, true, nil
}

func (c Codec) parse(b []byte) (*Message, error) {
	h, err := c.header(b)
	if err != nil {
		return nil, err
	}
	m := &Message{Header: h}
	if h.Type == TypePromisc && c.Dialect != Linux && len(b) > HeaderLen {
		if _, err := c.header(b[HeaderLen:]); err != nil {
			return m, invalid("inner message: %w", err)
		}
		m.Inner = bytes.Clone(b[HeaderLen:])
		return m, nil
	}
	if err = c.extensions(m, b[HeaderLen:]); err == nil {
		err = c.check(m)
	}
	if err != nil {
		m.wipe()
		return &Message{Header: h}, err
	}
	return m, nil
}

// extensions parses what is behind the header.
func (c Codec) extensions(m *Message, b []byte) error {
	for len(b) > 0 {
		// Whole words are left: the message has them, and so had each extension.
		n, number := int(c.order().Uint16(b))*octetsInWord, c.order().Uint16(b[2:])
		t, known := c.Dialect.ext(number)
		switch {
		case number == 0:
			return invalid("extension type: 0, expected another")
		case n == 0 || n > len(b):
			return invalid("%s length: %d octets, expected 8 to %d", c.extName(t, known, number), n, len(b))
		case !known && c.Dialect != Linux:
			return invalid("extension type: %d, which %s does not have", number, c.Dialect)
		case known && m.Has(t):
			return invalid("%s: is there twice", t)
		}
		if known {
			r := c.reader(b[4:n])
			r.ext(m, t)
			r.End(t.String())
			if err := r.Err(); err != nil {
				return &Error{EINVAL, fmt.Errorf("%s: %w", t, err)}
			}
			m.Order = append(m.Order, t)
		}
		b = b[n:]
	}
	return nil
}

func (c Codec) extName(t ExtType, known bool, number uint16) string {
	if known {
		return t.String()
	}
	return fmt.Sprintf("extension %d", number)
}

func (c Codec) append(dst []byte, m *Message) ([]byte, error) {
	if c.Dialect == OpenBSD {
		return nil, &Error{EOPNOTSUPP, fmt.Errorf("dialect %s: can be read only; use freebsd, netbsd or linux", c.Dialect)}
	}
	if m.Type == 0 || m.Type > c.Dialect.maxType() {
		return nil, invalid("type: %d, expected 1 to %d", m.Type, c.Dialect.maxType())
	}
	if err := c.check(m); err != nil {
		return nil, err
	}
	start := len(dst)
	w := &writer{c: c, o: c.order(), b: dst, start: start}
	w.u8(Version)
	w.u8(uint8(m.Type))
	w.u8(c.Dialect.number(m.Errno))
	w.u8(uint8(m.SAType))
	// Deviation: behind the length, set below, kernels have a count of references in the reserved octets. RFC 2367, Section 2.1 wants
	// zeros.
	w.zero(4)
	w.u32(m.Seq)
	w.u32(m.PID)
	if m.Inner != nil {
		w.inner(m)
	} else {
		w.extensions(m)
	}
	n := len(w.b) - start
	if n > MaxMessage && w.err == nil {
		w.err = &Error{EMSGSIZE, fmt.Errorf("message: %d octets, at most %d", n, MaxMessage)}
	}
	if w.err != nil {
		clear(w.b[start:]) // a key may be among them
		return nil, w.err
	}
	w.o.PutUint16(w.b[start+4:], uint16(n/octetsInWord))
	return w.b, nil
}

func (w *writer) inner(m *Message) {
	if m.Type != TypePromisc || w.c.Dialect == Linux {
		w.fail("inner message: only in a SADB_X_PROMISC of a BSD")
	} else if _, err := w.c.header(m.Inner); err != nil {
		w.fail("inner message: %w", err)
	}
	w.bytes(m.Inner)
}

// extensions appends what is present, each once.
func (w *writer) extensions(m *Message) {
	var done [maxExt]bool
	one := func(t ExtType) {
		i := t.index()
		if i < 0 || done[i] || !m.Has(t) {
			return
		}
		done[i] = true
		w.ext(m, t)
	}
	for _, t := range m.Order {
		one(t)
	}
	for _, t := range w.c.Dialect.order(m.Type) {
		one(t)
	}
	for i := range ExtType(maxExt) {
		one(i.fromIndex())
	}
}

// ext appends one extension with its header.
func (w *writer) ext(m *Message, t ExtType) {
	number := w.c.Dialect.Number(t)
	if number == 0 {
		w.fail("%s: the dialect %s does not have it", t, w.c.Dialect)
		return
	}
	start := len(w.b)
	w.zero(2)
	w.u16(number)
	w.body(m, t)
	w.pad(start)
	w.o.PutUint16(w.b[start:], uint16((len(w.b)-start)/octetsInWord))
}
