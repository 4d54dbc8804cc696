// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Compression and decompression (RFC 3173, Section 2; RFC 2394, Section 2), with a bounded number of compressors, which are large.

package ipcomp

import (
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// level is DEFLATE's fastest: IPComp is for links that are slower than this host.
const level = flate.BestSpeed

// Codec holds the state that packets are compressed and decompressed with; nothing of one packet is left for the next. It serves any
// number of SAs and is safe for concurrent use. A compressor takes more than a megabyte, a decompressor about 40 KiB.
type Codec struct {
	mu      sync.Mutex // guards what follows
	spare   []*deflater
	readers []*inflater
	made    int // deflaters that exist
	max     int
}

type deflater struct {
	w   *flate.Writer
	out sink
}

type inflater struct {
	r  io.ReadCloser
	in source
	// probe is where an octet too many would go.
	probe [1]byte
}

// NewCodec makes a Codec with at most max compressors, and as many decompressors kept; they are made when first needed. More callers
// than max at once send packets uncompressed, which RFC 3173, Section 2.2 always allows.
func NewCodec(max int) *Codec { return &Codec{max: max} }

// Compress writes the IPComp header with cpi, and the compressed src, to dst, and returns its length. next is src's own protocol.
// False: the packet is to be sent as it is, without header: it would not get shorter (RFC 3173, Section 2.2), dst is too small, or
// all compressors are busy. dst and src must not overlap.
func (c *Codec) Compress(dst, src []byte, cpi uint16, next uint8) (n int, ok bool) {
	if len(src) < minInput || len(dst) < HeaderLen || next == Proto {
		return 0, false
	}
	d := c.takeDeflater()
	if d == nil {
		return 0, false
	}
	defer c.giveDeflater(d)
	// RFC 3173, Section 2.2: compressed only if it gets shorter, header included.
	room := min(len(dst), len(src)-1)
	d.out = sink{b: dst[HeaderLen:HeaderLen:room]}
	d.w.Reset(&d.out)
	if _, err := d.w.Write(src); err != nil {
		return 0, false
	}
	if err := d.w.Close(); err != nil {
		return 0, false
	}
	dst[0], dst[1] = next, 0
	binary.BigEndian.PutUint16(dst[2:], cpi)
	return HeaderLen + len(d.out.b), true
}

// Decompress reads src, which begins with an IPComp header, and writes what comes out of it to dst, whose length bounds it, as
// MaxOutput does. dst and src must not overlap. What is in dst after an error is of no use.
func (c *Codec) Decompress(dst, src []byte) (n int, next uint8, err error) {
	if len(src) < HeaderLen {
		return 0, 0, ErrHeader
	}
	next = src[0] // RFC 3173, Section 3.3: the flags MUST be ignored
	if next == Proto {
		return 0, next, ErrNested
	}
	i := c.takeInflater()
	defer c.giveInflater(i)
	n, err = i.inflate(dst[:min(len(dst), MaxOutput)], src[HeaderLen:])
	return n, next, err
}

// inflate fills dst and then asks for one octet more, which must not come.
func (i *inflater) inflate(dst, src []byte) (int, error) {
	i.in = source{b: src}
	if err := i.r.(flate.Resetter).Reset(&i.in, nil); err != nil {
		return 0, ErrData
	}
	n := 0
	for {
		into := dst[n:]
		if len(into) == 0 {
			into = i.probe[:]
		}
		k, err := i.r.Read(into)
		if k > 0 && n == len(dst) {
			return 0, ErrTooBig
		}
		n += k
		switch {
		case err == io.EOF && len(i.in.b) == 0: // flate says io.ErrUnexpectedEOF where the input ends before the stream
			return n, nil
		case err != nil:
			return 0, ErrData
		}
	}
}

// sink is memory of a fixed size.
type sink struct{ b []byte }

var errFull = errors.New("full")

func (s *sink) Write(p []byte) (int, error) {
	if len(p) > cap(s.b)-len(s.b) {
		return 0, errFull
	}
	s.b = append(s.b, p...)
	return len(p), nil
}

// source is an io.ByteReader, so that no octet behind the stream's end is taken.
type source struct{ b []byte }

func (s *source) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.b)
	s.b = s.b[n:]
	return n, nil
}

func (s *source) ReadByte() (byte, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	b := s.b[0]
	s.b = s.b[1:]
	return b, nil
}

func (c *Codec) takeDeflater() *deflater {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.spare); n > 0 {
		d := c.spare[n-1]
		c.spare = c.spare[:n-1]
		return d
	}
	if c.made == c.max {
		return nil
	}
	d := &deflater{}
	w, err := flate.NewWriter(&d.out, level)
	if err != nil {
		panic(err) // the level is a constant
	}
	d.w = w
	c.made++
	return d
}

func (c *Codec) giveDeflater(d *deflater) {
	d.out = sink{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spare = append(c.spare, d)
}

// takeInflater always has one: what a peer compressed must be read.
func (c *Codec) takeInflater() *inflater {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.readers); n > 0 {
		i := c.readers[n-1]
		c.readers = c.readers[:n-1]
		return i
	}
	i := &inflater{}
	i.r = flate.NewReader(&i.in)
	return i
}

func (c *Codec) giveInflater(i *inflater) {
	i.in = source{}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.readers) < c.max {
		c.readers = append(c.readers, i)
	}
}
