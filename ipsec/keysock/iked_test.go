// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// OpenIKED 7.2's side of real conversations (../shared/fixtures/pfkey/trace-*.log) against this server: everything that the daemon asked
// for is done. What the recorded answers were matters only for the SPIs and policy numbers that the daemon took from them.

package keysock_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

func TestIkedConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/iked-*.hex")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d conversations, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) { replay(t, f) })
	}
}

// replay plays one conversation. SPIs and policy numbers of the recorded answers are replaced by ours.
func replay(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, keysock.Config{})
	c := w.client(pfkey.Linux, true)
	spis, policies := map[uint32]uint32{}, map[uint32]uint32{}
	alive := map[uint32]bool{}
	requests, expected := 0, 0
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		b := unhex(t, line[1:])
		if line[0] == '<' {
			learn(b, w.got[c][0], spis, policies)
			clear(w.got)
			continue
		}
		clear(w.got)
		replaceNumbers(b, spis, policies)
		if err := w.raw(c, b); err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(describe(b), "\n"))
		}
		requests++
		if len(w.got[c]) == 0 {
			t.Fatalf("no answer to\n%s", strings.Join(describe(b), "\n"))
		}
		answer := w.got[c][0]
		want := byte(0)
		spi := spiOf(b)
		switch pfkey.Type(b[1]) {
		case pfkey.TypeAdd, pfkey.TypeUpdate:
			alive[spi] = true
		case pfkey.TypeDelete:
			if !alive[spi] {
				want = byte(pfkey.ESRCH) // the daemon deletes what it has deleted, or what a flush took
			}
			delete(alive, spi)
		case pfkey.TypeGet:
			if !alive[spi] {
				want = byte(pfkey.ESRCH)
			}
		}
		if answer[1] != b[1] || answer[2] != want {
			t.Errorf("errno %d, expected %d, to\n%s", answer[2], want, strings.Join(describe(b), "\n"))
		}
		if want == 0 {
			expected++
		}
	}
	if requests < 4 || expected < requests*2/3 {
		t.Errorf("%d requests, %d of them good: expected a conversation", requests, expected)
	}
	sas := w.db.SAs(0, false)
	larval := 0
	for _, ref := range sas {
		if i, ok := ref.Info(); ok && i.State == sadb.StateLarval {
			larval++
		}
	}
	if len(sas)-larval != len(alive) {
		t.Errorf("%d SAs with keys, expected %d", len(sas)-larval, len(alive))
	}
}

// spiOf is the SPI in a message, replaceNumbers puts ours in.
func spiOf(b []byte) (spi uint32) {
	extensions(b, func(t uint16, e []byte) {
		if t == 1 {
			spi = binary.BigEndian.Uint32(e[4:])
		}
	})
	return spi
}

func policyID(b []byte) (id uint32) {
	extensions(b, func(t uint16, e []byte) {
		if t == 18 {
			id = binary.LittleEndian.Uint32(e[8:])
		}
	})
	return id
}

func extensions(b []byte, f func(t uint16, e []byte)) {
	for b = b[16:]; len(b) >= 8; {
		n := int(binary.LittleEndian.Uint16(b)) * 8
		f(binary.LittleEndian.Uint16(b[2:]), b[:n])
		b = b[n:]
	}
}

func learn(theirs, ours []byte, spis, policies map[uint32]uint32) {
	if s := spiOf(theirs); s != 0 {
		spis[s] = spiOf(ours)
	}
	if p := policyID(theirs); p != 0 {
		policies[p] = policyID(ours)
	}
}

func replaceNumbers(b []byte, spis, policies map[uint32]uint32) {
	extensions(b, func(t uint16, e []byte) {
		if n, ok := spis[binary.BigEndian.Uint32(e[4:])]; t == 1 && ok {
			binary.BigEndian.PutUint32(e[4:], n)
		}
		if t != 18 {
			return
		}
		if n, ok := policies[binary.LittleEndian.Uint32(e[8:])]; ok {
			binary.LittleEndian.PutUint32(e[8:], n)
		}
	})
}
