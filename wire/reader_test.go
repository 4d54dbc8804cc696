// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package wire

import (
	"bytes"
	"strings"
	"testing"
)

func TestReaderReadsInOrder(t *testing.T) {
	r := NewReader([]byte{1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 5, 6, 7})
	if r.U8("a") != 1 || r.U16("b") != 2 || r.U32("c") != 3 || r.U64("d") != 4 {
		t.Error("fields were read wrongly")
	}
	if got := r.Bytes("e", 2); !bytes.Equal(got, []byte{5, 6}) || cap(got) != 2 {
		t.Errorf("bytes %v with capacity %d, expected 2 octets that cannot grow into their neighbour", got, cap(got))
	}
	if got := r.Rest(); !bytes.Equal(got, []byte{7}) || r.Len() != 0 {
		t.Errorf("rest %v", got)
	}
	if r.End("f"); r.Err() != nil {
		t.Error(r.Err())
	}
}

// TestReaderErrorSticks: nothing after the first field that does not fit is read, and the error names that field.
func TestReaderErrorSticks(t *testing.T) {
	for name, read := range map[string]func(*Reader){
		"one":    func(r *Reader) { r.Bytes("one", 4) },
		"two":    func(r *Reader) { r.Bytes("two", -1) },
		"three":  func(r *Reader) { r.U32("three") },
		"four":   func(r *Reader) { r.U64("four") },
		"behind": func(r *Reader) { r.End("behind") },
	} {
		r := NewReader([]byte{1, 2, 3})
		read(r)
		if r.Err() == nil || !strings.HasPrefix(r.Err().Error(), name+": ") {
			t.Errorf("%s: error %v", name, r.Err())
		}
		before := r.Err()
		if r.U8("later") != 0 || r.U16("later") != 0 || r.Rest() != nil && len(r.Rest()) > 0 {
			t.Errorf("%s: octets were read after an error", name)
		}
		if r.Fail("later"); r.Err() != before {
			t.Errorf("%s: a later error replaced the first", name)
		}
	}
}

func TestReaderAllocatesNothing(t *testing.T) {
	b := make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		r := Reader{b: b}
		r.U8("a")
		r.U16("b")
		r.U32("c")
		r.Bytes("d", 10)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
