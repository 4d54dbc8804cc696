// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package esp

import (
	"bytes"
	"testing"
)

// FuzzOpen: whatever arrives, no suite opens what its SA did not seal, and the window stays. A packet of the SA's own opens once, and
// gives what was sealed.
func FuzzOpen(f *testing.F) {
	suites := allSuites()
	sas := make([]*sa, len(suites))
	for i, s := range suites {
		sas[i] = newSA(f, s)
		f.Add(newSA(f, s).seal(f, []byte("seed"), NextHeaderIPv4), uint8(i)) // under other keys
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		x := sas[int(which)%len(sas)]
		top := x.Top()
		if _, err := x.Open(bytes.Clone(b)); err == nil || x.Top() != top {
			t.Errorf("opened, or the window moved: %v", err)
		}
		if len(b) > 2000 {
			return
		}
		pkt := x.seal(t, b, which)
		again := bytes.Clone(pkt)
		got, err := x.Open(pkt)
		if err != nil || !bytes.Equal(got.Payload, b) || got.Next != which || !got.Newest {
			t.Errorf("our own packet: %v", err)
		}
		if _, err := x.Open(again); err != ErrReplay {
			t.Errorf("our own packet twice: %v", err)
		}
	})
}

// FuzzTrailer: any authentic plaintext.
func FuzzTrailer(f *testing.F) {
	f.Add([]byte{1, 2, 2, 4})
	f.Fuzz(func(t *testing.T, plain []byte) {
		if len(plain) < trailerLen {
			return
		}
		o := &Opener{}
		got, err := o.trailer(plain, true)
		if err == nil && len(got.Payload)+int(plain[len(plain)-2])+trailerLen != len(plain) {
			t.Errorf("%x: payload %x", plain, got.Payload)
		}
	})
}
