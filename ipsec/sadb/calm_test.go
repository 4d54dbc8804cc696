// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a half may do without looking at its limits is nothing that one of them would forbid, or have told.

package sadb

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/crypt/suite"
)

func TestCalm(t *testing.T) {
	held := 0
	rapid.Check(t, func(t *rapid.T) {
		span := func(name string) time.Duration {
			return time.Duration(rapid.SampledFrom([]int{0, 0, 1, 40, 100}).Draw(t, name))
		}
		count := func(name string) uint64 {
			return rapid.SampledFrom([]uint64{0, 0, 1, 40, 100, math.MaxUint64}).Draw(t, name)
		}
		l := Limits{
			SoftTime: span("softTime"), HardTime: span("hardTime"), SoftUse: span("softUse"), HardUse: span("hardUse"),
			SoftBytes: count("softBytes"), HardBytes: count("hardBytes"), SoftPackets: count("softPackets"), HardPackets: count("hardPackets"),
		}
		b := boundsOf(10, l)
		c := &core{proto: ProtoESP, lim: &b}
		c.suite.ESN = rapid.Bool().Draw(t, "esn")
		c.suite.Encr = rapid.SampledFrom([]suite.Encr{suite.EncrAESGCM16, suite.Encr3DESCBC}).Draw(t, "encr")
		c.sequenced()
		if rapid.Bool().Draw(t, "used") {
			c.usedAt.Store(rapid.Int64Range(10, 60).Draw(t, "usedAt"))
		}
		c.softTold.Store(rapid.Bool().Draw(t, "told"))
		kept := c.calm()

		// Some time later, and after some packets, the first perhaps among them, and the notice too.
		now := rapid.Int64Range(10, 200).Draw(t, "now")
		if c.usedAt.Load() == 0 && rapid.Bool().Draw(t, "first") {
			c.usedAt.Store(rapid.Int64Range(10, now).Draw(t, "first at"))
		}
		told := c.softTold.Load()
		tl := &tally{packets: rapid.Uint64Range(0, 120).Draw(t, "packets"), bytes: rapid.Uint64Range(0, 120).Draw(t, "bytes")}
		n := rapid.IntRange(0, 60).Draw(t, "n")
		seq := rapid.SampledFrom([]uint64{0, 1, c.seqSoft - 1, c.seqSoft, c.seqHard - 1, c.seqHard}).Draw(t, "seq")
		if !kept.holds(now, seq, tl, n) {
			return
		}
		held++
		if c.over(now) || seq >= c.seqHard || tl.packets >= b.hardPackets || tl.bytes+uint64(n) > b.hardBytes {
			t.Fatal("it goes on at a hard limit")
		}
		if !told && (seq >= c.seqSoft || c.soft(tl, now)) {
			t.Fatal("it is silent at a soft limit")
		}
	})
	if held == 0 {
		t.Fatal("nothing was ever calm")
	}
}
