// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The window against an oracle that remembers every number, and the cases of HOSTILE T-082 and T-084.

package replay

import (
	"testing"

	"pgregory.net/rapid"
)

// oracle is RFC 4303, Section 3.4.3 without any cleverness.
type oracle struct {
	seen map[uint64]bool
	top  uint64
	size uint64
}

func (o *oracle) check(seq uint64) bool {
	return seq != 0 && (seq > o.top || o.top-seq < o.size) && !o.seen[seq]
}

func (o *oracle) commit(seq uint64) (fresh, newest bool) {
	if !o.check(seq) {
		return false, false
	}
	o.seen[seq] = true
	if seq > o.top {
		o.top, newest = seq, true
	}
	return true, newest
}

// compare drives both with one number.
func compare(t interface{ Fatalf(string, ...any) }, w *Window, o *oracle, seq uint64) {
	if got, want := w.Check(seq), o.check(seq); got != want {
		t.Fatalf("size %d top %d: Check(%d) = %v, oracle %v", o.size, o.top, seq, got, want)
	}
	top := o.top
	gotFresh, gotNewest := w.Commit(seq)
	fresh, newest := o.commit(seq)
	if gotFresh != fresh || gotNewest != newest || w.Top() != o.top {
		t.Fatalf("size %d top %d: Commit(%d) = %v %v top %d, oracle %v %v top %d", o.size, top, seq, gotFresh, gotNewest, w.Top(), fresh, newest, o.top)
	}
}

func TestWindowAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(MinSize, MaxSize).Draw(t, "size")
		w, err := New(size, true)
		if err != nil {
			t.Fatal(err)
		}
		o := &oracle{seen: map[uint64]bool{}, size: uint64(w.Size())}
		step := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(0, 200), rapid.Uint64Range(0, 3*MaxSize), rapid.Uint64Range(0, 1<<40))
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			d := step.Draw(t, "distance")
			seq := o.top + d
			if rapid.Bool().Draw(t, "back") {
				seq = o.top - d // wraps: far right, or left of everything
			}
			compare(t, w, o, seq)
		}
	})
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte{1, 2, 1, 255, 3, 200, 7}, uint16(64))
	f.Fuzz(func(t *testing.T, steps []byte, size uint16) {
		w, err := New(MinSize+int(size)%(MaxSize-MinSize+1), false)
		if err != nil {
			t.Fatal(err)
		}
		o := &oracle{seen: map[uint64]bool{}, size: uint64(w.Size())}
		for i := 0; i+1 < len(steps); i += 2 {
			d := uint64(steps[i+1]) * []uint64{1, 1, 16, 64, 1 << 20}[steps[i]/2%5]
			seq := o.top + d
			if steps[i]&1 == 1 {
				seq = o.top - min(d, o.top)
			}
			compare(t, w, o, seq)
		}
	})
}

// TestT082Edges: window edges, number 0 first, a jump of 2^31, reordering by W-1, a thousand copies.
func TestT082Edges(t *testing.T) {
	for _, size := range []int{32, 64, 100, 128, 1024, 4096} {
		w, err := New(size, false)
		if err != nil {
			t.Fatal(err)
		}
		W := uint64(w.Size())
		if w.Check(0) {
			t.Errorf("size %d: number 0 accepted", size)
		}
		const top = 1 << 20
		w.Commit(top)
		for _, c := range []struct {
			seq uint64
			ok  bool
		}{{top - W, false}, {top - W + 1, true}, {top, false}, {top + 1, true}, {top + 1<<31, true}} {
			if w.Check(c.seq) != c.ok {
				t.Errorf("size %d: Check(top%+d) = %v", size, int64(c.seq)-top, !c.ok)
			}
		}
		if fresh, newest := w.Commit(top - W + 1); !fresh || newest {
			t.Errorf("size %d: reordered by W-1: fresh %v newest %v", size, fresh, newest)
		}
		if w.Check(top - W + 1) {
			t.Errorf("size %d: accepted twice", size)
		}
		w.Commit(top + 1<<31)
		if w.Check(top) || w.Check(top+1) {
			t.Errorf("size %d: numbers from before a jump accepted", size)
		}
		for range 1000 {
			if fresh, _ := w.Commit(top + 1<<31); fresh {
				t.Fatalf("size %d: a copy accepted", size)
			}
		}
	}
}

// TestT084Extend: RFC 4303, Appendix A2: crossing 2^32, losses of up to 2^32-W packets, packets from before the crossing.
func TestT084Extend(t *testing.T) {
	w, err := New(64, true)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(seq uint64) {
		t.Helper()
		if got, ok := w.Extend(uint32(seq)); !ok || got != seq {
			t.Errorf("top %#x: Extend(%#x) = %#x %v, expected %#x", w.Top(), uint32(seq), got, ok, seq)
		}
	}
	expect(1)
	w.Commit(1<<32 - 2)
	expect(1<<32 - 1)
	expect(1 << 32)        // crossing
	expect(1<<32 + 1<<31)  // with a loss of 2^31
	expect(1<<33 - 2 - 64) // the farthest that is recovered
	w.Commit(1<<32 + 3)
	expect(1<<32 - 1) // late, from the lower half: case B
	expect(1<<32 - 60)
	expect(1<<32 + 4)
	expect(1<<33 - 61)
	w.Commit(1<<33 + 1<<31)
	expect(1<<33 + 1<<31 - 63)
	expect(1<<33 + 1<<31 + 1<<32 - 64 - 1)

	// Wrong high bits: a number left of the window is taken for one of the next half, which its ICV refutes.
	if got, _ := w.Extend(uint32(1<<31 - 64)); got != 1<<32*3+1<<31-64 {
		t.Errorf("left of the window: %#x", got)
	}
	// The very last half has no next one, the first none before it.
	w.Commit(^uint64(0) - 1)
	if _, ok := w.Extend(5); ok {
		t.Error("a number beyond 2^64 was made")
	}
	fresh, _ := New(64, true)
	if _, ok := fresh.Extend(1<<32 - 1); ok {
		t.Error("a number below 0 was made")
	}
	if _, ok := fresh.Extend(0); ok {
		t.Error("number 0 was made")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, size := range []int{-1, 1, 31, 4097} {
		if _, err := New(size, false); err == nil {
			t.Errorf("size %d accepted", size)
		}
	}
	if w, _ := New(0, false); w.Size() != 64 {
		t.Errorf("the default is %d", w.Size())
	}
	if w, _ := New(100, false); w.Size() != 128 {
		t.Errorf("100 rounds to %d", w.Size())
	}
}

// TestBeginsAtZero: RFC 4303, Section 3.4.3: the receive counter is zero when the SA begins.
func TestBeginsAtZero(t *testing.T) {
	for _, esn := range []bool{false, true} {
		w, err := New(64, esn)
		if err != nil {
			t.Fatal(err)
		}
		if w.Top() != 0 || w.Check(0) || !w.Check(1) || !w.Check(64) {
			t.Errorf("esn %v: a new window begins at %d", esn, w.Top())
		}
	}
}
