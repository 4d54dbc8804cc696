// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ipcomp

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"math/rand"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// squeeze is a packet by the standard library's own hand, at another level than ours.
func squeeze(t testing.TB, next uint8, cpi uint16, plain []byte) []byte {
	t.Helper()
	b := bytes.NewBuffer(binary.BigEndian.AppendUint16([]byte{next, 0}, cpi))
	w, err := flate.NewWriter(b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(plain)
	w.Close()
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	c := NewCodec(1)
	text := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog. "), 2000)
	dst, back := make([]byte, 2*MaxOutput), make([]byte, MaxOutput)
	for n := 0; n <= MaxOutput; n += 1 + n/7 {
		src := text[:n]
		size, ok := c.Compress(dst, src, 0x1234, 6)
		if !ok {
			if n > 200 {
				t.Errorf("%d octets of text were not compressed", n)
			}
			continue
		}
		if n < minInput || size >= n {
			t.Fatalf("%d octets became %d", n, size)
		}
		if cpi, ok := CPI(dst[:size]); !ok || cpi != 0x1234 || dst[0] != 6 || dst[1] != 0 {
			t.Fatalf("header %x", dst[:HeaderLen])
		}
		plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(dst[HeaderLen:size])))
		if err != nil || !bytes.Equal(plain, src) {
			t.Fatalf("%d octets: the oracle reads something else: %v", n, err)
		}
		got, next, err := c.Decompress(back[:n], dst[:size])
		if err != nil || next != 6 || !bytes.Equal(back[:got], src) {
			t.Fatalf("%d octets: %d, %d, %v", n, got, next, err)
		}
		other := squeeze(t, 4, 2, src)
		if got, next, err := c.Decompress(back, other); err != nil || next != 4 || !bytes.Equal(back[:got], src) {
			t.Fatalf("%d octets by another: %d, %d, %v", n, got, next, err)
		}
	}
}

// TestNeverExpands: RFC 3173, Section 2.2: what does not get shorter goes as it is.
func TestNeverExpands(t *testing.T) {
	c := NewCodec(1)
	r := rand.New(rand.NewSource(1))
	dst := make([]byte, 4096)
	for range 200 {
		src := make([]byte, r.Intn(1500))
		r.Read(src)
		if n, ok := c.Compress(dst, src, 2, 17); ok {
			t.Fatalf("%d random octets became %d", len(src), n)
		}
	}
	if _, ok := c.Compress(dst[:40], make([]byte, 1400), 2, 17); !ok {
		t.Error("zeros do not fit 40 octets")
	}
	for room := range 20 {
		if n, ok := c.Compress(dst[:room:room], bytes.Repeat([]byte("abcdefg0123456789"), 80), 2, 17); ok {
			t.Errorf("%d octets in %d", n, room)
		}
	}
	if _, ok := c.Compress(dst, make([]byte, 1400), 2, Proto); ok {
		t.Error("compressed twice")
	}
}

// TestT094 has bombs, nesting, streams that are stored only, cut off, followed by something, or nothing.
func TestT094HostileIPComp(t *testing.T) {
	c := NewCodec(1)
	dst := make([]byte, 1<<17)
	bomb := squeeze(t, 4, 2, make([]byte, 1<<26))[:60000]
	stored := func(b []byte) []byte {
		p := []byte{4, 0, 0, 2, 1}
		p = binary.LittleEndian.AppendUint16(p, uint16(len(b)))
		p = binary.LittleEndian.AppendUint16(p, ^uint16(len(b)))
		return append(p, b...)
	}
	full := squeeze(t, 4, 2, make([]byte, MaxOutput))
	nested := squeeze(t, Proto, 2, squeeze(t, 4, 2, make([]byte, 1000)))
	for name, v := range map[string]struct {
		src  []byte
		room int
		n    int
		want error
	}{
		"bomb 1:1000":                      {bomb, len(dst), 0, ErrTooBig},
		"one octet more than a packet":     {squeeze(t, 4, 2, make([]byte, MaxOutput+1)), len(dst), 0, ErrTooBig},
		"the largest packet":               {full, len(dst), MaxOutput, nil},
		"the largest packet without room":  {full, MaxOutput - 1, 0, ErrTooBig},
		"no room at all":                   {squeeze(t, 4, 2, []byte{1}), 0, 0, ErrTooBig},
		"nothing comes out, and no room":   {squeeze(t, 4, 2, nil), 0, 0, nil},
		"nested":                           {nested, len(dst), 0, ErrNested},
		"stored":                           {stored([]byte("as it is")), len(dst), 8, nil},
		"stored, length wrong":             {append([]byte{4, 0, 0, 2, 1, 8, 0, 0, 0}, "as it is"...), len(dst), 0, ErrData},
		"stored, cut off":                  {stored([]byte("as it is"))[:14], len(dst), 0, ErrData},
		"followed by an octet":             {append(bytes.Clone(full), 0), len(dst), 0, ErrData},
		"followed by another stream":       {append(bytes.Clone(full), full[4:]...), len(dst), 0, ErrData},
		"only empty blocks, never the end": {append([]byte{4, 0, 0, 2}, bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 12000)...), len(dst), 0, ErrData},
		"block of the reserved type":       {[]byte{4, 0, 0, 2, 7, 0, 0, 0}, len(dst), 0, ErrData},
		"no stream":                        {[]byte{4, 0, 0, 2}, len(dst), 0, ErrData},
		"half a header":                    {[]byte{4, 0, 0}, len(dst), 0, ErrHeader},
		"nothing":                          {nil, len(dst), 0, ErrHeader},
	} {
		n, _, err := c.Decompress(dst[:v.room], v.src)
		if err != v.want || n != v.n {
			t.Errorf("%s: %d octets, %v; expected %d, %v", name, n, err, v.n, v.want)
		}
	}
	// Every strict prefix, and flags, which are ignored: RFC 3173, Section 3.3.
	whole := squeeze(t, 4, 2, []byte(strings.Repeat("prefix ", 100)))
	for n := range len(whole) {
		if got, _, err := c.Decompress(dst, whole[:n]); err == nil {
			t.Errorf("prefix of %d octets gave %d", n, got)
		}
	}
	whole[1] = 0xff
	if _, _, err := c.Decompress(dst, whole); err != nil {
		t.Errorf("flags: %v", err)
	}
	// Nothing of a packet is left for the next one, whatever it did.
	if n, next, err := c.Decompress(dst, whole); err != nil || next != 4 || string(dst[:n]) != strings.Repeat("prefix ", 100) {
		t.Errorf("after all that: %v", err)
	}
}

// TestStateless: a packet that refers to the one before is refused: nothing of it is there.
func TestStateless(t *testing.T) {
	c := NewCodec(1)
	secret := []byte(strings.Repeat("what the packet before contained ", 10))
	dst := make([]byte, MaxOutput)
	if _, _, err := c.Decompress(dst, squeeze(t, 4, 2, secret)); err != nil {
		t.Fatal(err)
	}
	b := bytes.NewBuffer([]byte{4, 0, 0, 2})
	w, err := flate.NewWriterDict(b, flate.BestCompression, secret)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(secret)
	w.Close()
	clear(dst)
	if n, _, err := c.Decompress(dst, b.Bytes()); err == nil || bytes.Contains(dst, secret[:20]) {
		t.Errorf("%d octets came out: %q", n, dst[:n])
	}
}

// TestBounded: more callers than compressors get none, and all of them decompress.
func TestBounded(t *testing.T) {
	const max = 2
	c := NewCodec(max)
	src := make([]byte, 30000)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			dst, back := make([]byte, len(src)), make([]byte, len(src))
			for range 20 {
				if n, ok := c.Compress(dst, src, 2, 4); ok {
					if got, _, err := c.Decompress(back, dst[:n]); err != nil || got != len(src) {
						t.Errorf("%d, %v", got, err)
					}
				}
			}
		})
	}
	wg.Wait()
	if c.made > max || len(c.spare) != c.made || len(c.readers) > max {
		t.Errorf("%d compressors, %d of them idle, %d decompressors", c.made, len(c.spare), len(c.readers))
	}
	held := []*deflater{c.takeDeflater(), c.takeDeflater()}
	if _, ok := c.Compress(make([]byte, 1000), make([]byte, 1000), 2, 4); ok {
		t.Error("compressed with a third compressor")
	}
	for _, d := range held {
		c.giveDeflater(d)
	}
	if _, ok := NewCodec(0).Compress(make([]byte, 1000), make([]byte, 1000), 2, 4); ok {
		t.Error("compressed with none")
	}
}

func TestNoAllocation(t *testing.T) {
	c := NewCodec(1)
	src := bytes.Repeat([]byte("the quick brown fox. "), 70)
	dst, back := make([]byte, len(src)), make([]byte, len(src))
	size, _ := c.Compress(dst, src, 2, 4)
	if n := testing.AllocsPerRun(200, func() {
		n, ok := c.Compress(dst, src, 2, 4)
		if !ok || n != size {
			t.Fatal("not compressed")
		}
		if _, _, err := c.Decompress(back, dst[:n]); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDecompress: whatever arrives: never more than the room, never past it, no memory that grows with the input, and what comes out
// is what the standard library's reader says.
func FuzzDecompress(f *testing.F) {
	f.Add(squeeze(f, 4, 2, make([]byte, 5000)), uint16(6000))
	f.Add(squeeze(f, 4, 2, []byte("a few octets")), uint16(5))
	f.Add(squeeze(f, Proto, 2, []byte("nested")), uint16(500))
	f.Add([]byte{4, 0, 0, 2, 1, 0, 0, 0xff, 0xff}, uint16(0))
	c := NewCodec(1)
	buf := make([]byte, MaxOutput+64)
	f.Fuzz(func(t *testing.T, src []byte, room uint16) {
		guard := buf[room : int(room)+64]
		for i := range guard {
			guard[i] = 0xa5
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n, _, err := c.Decompress(buf[:room], src)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
			t.Errorf("%d octets were allocated", got)
		}
		if !bytes.Equal(guard, bytes.Repeat([]byte{0xa5}, 64)) {
			t.Fatal("written past the room")
		}
		if err != nil {
			if n != 0 {
				t.Errorf("%d octets with %v", n, err)
			}
			return
		}
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(src[HeaderLen:])), MaxOutput+1))
		if err != nil || !bytes.Equal(want, buf[:n]) || n > int(room) {
			t.Errorf("%d octets, the oracle has %d: %v", n, len(want), err)
		}
		// What came out goes in again.
		out := make([]byte, n+HeaderLen)
		plain := bytes.Clone(buf[:n])
		size, ok := c.Compress(out, plain, 2, 4)
		if !ok {
			return
		}
		if size >= n {
			t.Errorf("%d octets became %d", n, size)
		}
		if got, _, err := c.Decompress(buf, out[:size]); err != nil || !bytes.Equal(buf[:got], plain) {
			t.Errorf("our own: %v", err)
		}
	})
}

func BenchmarkIPComp(b *testing.B) {
	c := NewCodec(1)
	src := bytes.Repeat([]byte("the quick brown fox. "), 66)
	dst, back := make([]byte, len(src)), make([]byte, len(src))
	n, _ := c.Compress(dst, src, 2, 4)
	b.Run("compress", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			c.Compress(dst, src, 2, 4)
		}
	})
	b.Run("decompress", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			c.Decompress(back, dst[:n])
		}
	})
}
