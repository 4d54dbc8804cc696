// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// How many lines of memory a packet needs of a pair among a hundred thousand: each is as dear as a tenth of a packet, so that a field
// put in the wrong place costs more than what it is for.

package sadb

import (
	"reflect"
	"strings"
	"testing"
)

const (
	lineOctets = 64
	// allocHeader is what Go's allocator puts in front of an object of more than 512 octets that has pointers. Objects of these sizes begin
	// at a line.
	allocHeader = 8
	// pairClass is the size class of the allocator that pairs are meant for.
	pairClass = 896
)

// spanned are the lines that fields of a struct lie on, by names with dots.
func spanned(t *testing.T, of reflect.Type, header uintptr, names string) map[uintptr]bool {
	t.Helper()
	lines := map[uintptr]bool{}
	for name := range strings.FieldsSeq(names) {
		at, typ := header, of
		for part := range strings.SplitSeq(name, ".") {
			f, ok := typ.FieldByName(part)
			if !ok || len(f.Index) > 1 {
				t.Fatalf("%s has no field %s of its own", typ, part)
			}
			at, typ = at+f.Offset, f.Type
		}
		for i := at / lineOctets; i <= (at+typ.Size()-1)/lineOctets; i++ {
			lines[i] = true
		}
	}
	return lines
}

func TestPairLines(t *testing.T) {
	const (
		both = "spiIn cpiOut core.endpoint core.state core.proto core.mode core.DSCP core.several core.pair core.home.Endpoint "
		seal = both + "policy Sender.core Sender.mu Sender.now Sender.count Sender.calm Sender.sealer"
		open = both + "Receiver.core Receiver.mu Receiver.spi Receiver.opened Receiver.now Receiver.count Receiver.calm Receiver.peer " +
			"Receiver.opn local remote"
	)
	of := reflect.TypeFor[Pair]()
	if n := of.Size() + allocHeader; n > pairClass {
		t.Errorf("a pair takes %d octets with its header, expected at most %d", n, pairClass)
	}
	if n := len(spanned(t, of, allocHeader, seal)); n > 5 {
		t.Errorf("sealing needs %d lines of a pair, expected 5", n)
	}
	if n := len(spanned(t, of, allocHeader, open)); n > 7 {
		t.Errorf("opening needs %d lines of a pair, expected 7", n)
	}
	b := reflect.TypeFor[bundle]()
	if n := len(spanned(t, b, 0, "sending road.host")); n > 1 {
		t.Errorf("a host and who sends to it lie on %d lines, expected one", n)
	}
	writers, readers := spanned(t, of, allocHeader, "Sender"), spanned(t, of, allocHeader, both+"Receiver local remote")
	for line := range writers {
		if readers[line] {
			t.Errorf("line %d is written by what seals and read by what opens", line)
		}
	}
}
