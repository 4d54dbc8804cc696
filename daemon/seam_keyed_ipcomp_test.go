// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package daemon

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// list is the service's SAs and the templates of its outbound policies, in words.
func (s *service) list() (sas, out []string) {
	for _, ref := range s.db.SAs(0, false) {
		i, _ := ref.Info()
		sas = append(sas, fmt.Sprintf("%d %#x to %s", i.Proto, i.SPI, i.Dst))
	}
	slices.Sort(sas)
	for _, p := range s.db.SPDList() {
		if p.Dir != sadb.Out {
			continue
		}
		for _, t := range p.Templates {
			out = append(out, fmt.Sprintf("%d mode %d", t.Proto, t.Mode))
		}
	}
	return sas, out
}

// TestKeyedIPComp: SAs of IPComp come, move and go with those of ESP; a standby's wait with it; a CPI that another has is done without.
func TestKeyedIPComp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	expect := func(when string, templates string, want ...string) {
		t.Helper()
		sas, out := s.list()
		slices.Sort(want)
		if !slices.Equal(sas, want) || strings.Join(out, ", ") != templates {
			t.Errorf("%s: %v, %v; expected %v, %s", when, sas, out, want, templates)
		}
	}
	const both, alone = "108 mode 2, 50 mode 1", "50 mode 2"
	esp := func(c ike.ChildSA, to string) []string {
		return []string{fmt.Sprintf("50 %#x to 192.0.2.1", c.SPIIn), fmt.Sprintf("50 %#x to %s", c.SPIOut, to)}
	}
	put := func(unique uint64, reqid, spiOut uint32, in, out uint16, change func(*ike.ChildSA)) ike.ChildSA {
		return keyedPut(t, k, unique, reqid, spiOut, func(c *ike.ChildSA) {
			c.CPIIn, c.CPIOut, c.Config.IPComp = in, out, true
			if change != nil {
				change(c)
			}
		})
	}
	old := put(7, 0, 0xc0000001, 0x4000, 0x5000, nil)
	expect("installed", both, append(esp(old, "198.51.100.1"), "108 0x4000 to 192.0.2.1", "108 0x5000 to 198.51.100.1")...)
	if a := k.Ask(time.Now(), 7, ike.Move{SPIIn: old.SPIIn, Path: keyedPath("203.0.113.9:31000")}); a != (ike.Installed{}) {
		t.Fatalf("move: %+v", a)
	}
	moved := append(esp(old, "203.0.113.9"), "108 0x4000 to 192.0.2.1", "108 0x5000 to 203.0.113.9")
	expect("moved", both, moved...)
	// The peer of another child has chosen the CPI of an SA that is there: at another address it has it as well, and as an SPI too.
	other := func(c *ike.ChildSA) { c.TSRemote = prefix("10.3.0.0/16") }
	elsewhere := put(8, 0, 0x5000, 0x4001, 0x5000, other)
	expect("another with its CPI", both+", "+both, append(append(moved, esp(elsewhere, "198.51.100.1")...), "108 0x4001 to 192.0.2.1", "108 0x5000 to 198.51.100.1")...)
	k.RemoveAll(8)
	same := put(8, 0, 0xc0000002, 0x4001, 0x5000, func(c *ike.ChildSA) {
		r, _ := k.Ask(time.Now(), 8, ike.Reserve{Local: c.Path.Local.Addr(), Remote: netip.MustParseAddr("203.0.113.9"), Reqid: c.Reqid}).(ike.Reserved)
		k.Ask(time.Now(), 8, ike.Remove{SPIIn: c.SPIIn})
		c.SPIIn, c.Path = r.SPI, keyedPath("203.0.113.9:4500")
		other(c)
	})
	expect("another with its CPI at its address", both+", "+alone, append(append(moved, esp(same, "203.0.113.9")...), "108 0x4001 to 192.0.2.1")...)
	k.RemoveAll(8)
	fresh := put(7, old.Reqid, 0xc0000003, 0x4002, 0x5002, func(c *ike.ChildSA) {
		c.Standby, c.Replaces, c.Path = true, old.SPIIn, keyedPath("203.0.113.9:31000")
	})
	expect("standby", both, append(moved, esp(fresh, "")[0], "108 0x4002 to 192.0.2.1")...)
	k.Ask(time.Now(), 7, ike.Remove{SPIIn: old.SPIIn, SPIOut: old.SPIOut})
	expect("the old one is gone", both, append(esp(fresh, "203.0.113.9"), "108 0x4002 to 192.0.2.1", "108 0x5002 to 203.0.113.9")...)
	// A rekey that does not agree on compression.
	plain := put(7, old.Reqid, 0xc0000004, 0, 0, func(c *ike.ChildSA) {
		c.Standby, c.Replaces, c.Path = true, fresh.SPIIn, keyedPath("203.0.113.9:31000")
	})
	k.Ask(time.Now(), 7, ike.Remove{SPIIn: fresh.SPIIn, SPIOut: fresh.SPIOut})
	expect("without", alone, esp(plain, "203.0.113.9")...)
	k.RemoveAll(7)
	expect("at the end", "")
	trap := wants(sadb.Protect, "10.2.0.0/16")
	trap.ipcomp = true
	list := trap.requests(pfkey.DirOut)
	if len(list) != 2 || list[0].Level != pfkey.LevelUse || list[0].Src.Addr != netip.MustParseAddr("192.0.2.1") || list[1].Mode != pfkey.ModeTransport {
		t.Errorf("a trap: %+v", list)
	}
}
