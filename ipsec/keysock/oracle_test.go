// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the Linux kernel answered (6.1, AF_KEY; ../shared/fixtures/pfkey/kernel-oracle2.hex) against what this server answers in the Linux
// dialect, message by message. Every difference that is meant stands in differences, with its reason.

package keysock_test

import (
	"bufio"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// difference is one that is meant. section is where, "" anywhere; kernel and ours are regular expressions of lines, "" one that is not there.
type difference struct{ section, kernel, ours, reason string }

var differences = []difference{
	{"register ESP", `^EXT14 `, `^EXT14 `, "the algorithms are this project's: no RIPEMD-160, no unauthenticated NULL"},
	{"register ESP", `^EXT15 `, `^EXT15 `, "no DES, CAST, Blowfish, Serpent, Twofish and Camellia; AEADs, which AF_KEY cannot do"},
	{"UPDATE of a mature SA", `^SA .* state=3 `, `^SA .* state=1 `, "the kernel shows the state of the scratch copy that it has compared with"},
	{"bad key length", ``, ``, "a key of 160 bits for HMAC-SHA2-256: RFC 4868 has 256, anything else is a mistake"},
	{"GETSPI no range", `^SA spi=`, `^SA spi=`, "random"},
	{"DUMP all", ``, ``, "random SPI, and without the SA of the bad key"},
	{"DUMP ESP", ``, ``, "as DUMP all"},
	{"FLUSH all", `^type=9 `, `^$`, "the kernel has a larval SA for an ACQUIRE that nobody answered; here what waits for it is not an SA"},
	{"", `^type=1[3458] .* reserved=[1-3]$`, `^type=1[3458] .* reserved=0$`, "the kernel shows how often it refers to the policy; reserved octets are zeros here (T-097)"},
	{"SPD policy with lifetime hard addtime 1 -> SPDEXPIRE", `^POLICY .* id=9 `, `^POLICY .* id=2 `, "numbers count by one; the kernel's have the direction in them"},
}

// section is what was sent and received under one heading.
type section struct {
	name           string
	kernel, ours   []string
	kernelB, oursB []string
}

func TestOracle(t *testing.T) {
	f, err := os.Open("testdata/linux-kernel.hex")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := newWorld(t, keysock.Config{})
	a, b := w.client(pfkey.Linux, true), w.client(pfkey.Linux, true)
	var all []*section
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	s := &section{}
	sent := false
	for in.Scan() {
		line := in.Text()
		arg := strings.TrimSpace(line[1:])
		switch {
		case line[0] == '#':
			s, sent = &section{name: arg}, false
			all = append(all, s)
		case line[0] == '>':
			if err := w.raw(a, unhex(t, arg)); err != nil {
				s.ours = append(s.ours, "write fails with errno "+strconv.Itoa(int(err.(pfkey.Errno))))
				delete(w.got, a)
			}
			sent = true
		case line[0] == '<':
			s.kernel = append(s.kernel, describe(unhex(t, arg))...)
		case line[0] == 'b':
			s.kernelB = append(s.kernelB, describe(unhex(t, arg))...)
		case strings.HasPrefix(line, "! errno ") && sent:
			s.kernel = append(s.kernel, "write fails with errno "+strings.Fields(arg)[1])
		case strings.HasPrefix(line, "!wait"):
			d, err := time.ParseDuration(strings.Fields(line)[1])
			if err != nil {
				t.Fatal(err)
			}
			w.advance(d)
		case strings.Contains(line, "ping"):
			w.pinged(s.name)
		}
		for _, m := range w.got[a] {
			s.ours = append(s.ours, describe(m)...)
		}
		for _, m := range w.got[b] {
			s.oursB = append(s.oursB, describe(m)...)
		}
		clear(w.got)
	}
	for _, s := range all {
		compare(t, s.name, s.kernel, s.ours)
		compare(t, s.name, s.kernelB, s.oursB)
	}
}

// pinged is what the machine's packets did: one without an SA, two from another port than the SA had.
func (w *world) pinged(name string) {
	if strings.HasPrefix(name, "SPDDUMP") {
		w.deliver(w.s.Notice(w.now, sadb.Notice{Kind: sadb.Acquire, Policy: 1, Seq: 1, Template: sadb.Template{
			Proto: sadb.ProtoESP, Mode: sadb.Tunnel, Reqid: 16384, Src: netip.MustParseAddr("10.9.0.1"), Dst: netip.MustParseAddr("10.9.0.2"),
		}}))
		return
	}
	sa, ok := w.db.LookupSA(sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x777})
	if !ok {
		w.t.Fatal("the inbound SA is not there")
	}
	for range 2 {
		info := sa.Info()
		w.deliver(w.s.Notice(w.now, sadb.Notice{
			Kind: sadb.NewMapping, SA: &info, From: netip.MustParseAddrPort("10.7.0.2:4500"), To: netip.MustParseAddrPort("10.7.0.2:5555"),
		}))
	}
}

// compare finds the differences that nobody meant.
func compare(t *testing.T, name string, kernel, ours []string) {
	t.Helper()
	n := 0
	for i := range max(len(kernel), len(ours)) {
		var k, o string
		if i < len(kernel) {
			k = kernel[i]
		}
		if i < len(ours) {
			o = ours[i]
		}
		if k != o && !meant(name, k, o) {
			n++
		}
	}
	if n > 0 {
		t.Errorf("%s: -kernel +ours\n%s", name, cmp.Diff(kernel, ours))
	}
}

func meant(name, kernel, ours string) bool {
	for _, d := range differences {
		if (d.section == name || d.section == "") && regexp.MustCompile(d.kernel).MatchString(kernel) && regexp.MustCompile(d.ours).MatchString(ours) {
			return true
		}
	}
	return false
}
