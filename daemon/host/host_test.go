// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package host

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/firewall"
	"github.com/natterjack/natterjack/port/store"
)

func selector(from, to string) ike.Selector {
	return ike.Selector{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), PortTo: 0xffff}
}

func TestPairs(t *testing.T) {
	tcp := selector("10.0.0.0", "10.0.0.255")
	tcp.Proto, tcp.PortFrom, tcp.PortTo = 6, 80, 80
	udp := selector("192.0.2.0", "192.0.2.255")
	udp.Proto = 17
	list := pairs(
		[]ike.Selector{tcp, selector("2001:db8::", "2001:db8::ff")},
		[]ike.Selector{udp, selector("192.0.2.0", "192.0.2.255"), selector("2001:db8:1::1", "2001:db8:1::1")},
	)
	var got []string
	for _, p := range policies(list, firewall.Protect) {
		got = append(got, p.ID)
	}
	want := []string{
		"protect 10.0.0.0-10.0.0.255[6/80-80] === 192.0.2.0-192.0.2.255",
		"protect 2001:db8::-2001:db8::ff === 2001:db8:1::1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := len(wholeHosts(list)); n != 1 {
		t.Errorf("%d pairs without protocols, want 1", n)
	}
}

func TestConcrete(t *testing.T) {
	got := concrete([]ike.Selector{{Dynamic: true, Proto: 17, PortFrom: 53, PortTo: 53}})
	if len(got) != 2 || !anyAddress(got[0]) || !anyAddress(got[1]) || got[0].To != netip.MustParseAddr("255.255.255.255") || got[1].Proto != 17 || got[0].Dynamic {
		t.Errorf("%+v", got)
	}
}

// The source towards the other side is the virtual address, else the outer one, if a local selector has it.
func TestSourceFor(t *testing.T) {
	vip, outer := netip.MustParseAddr("10.99.0.5"), netip.MustParseAddr("192.0.2.1")
	dst, dst6 := netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")
	for _, c := range []struct {
		vips  []netip.Addr
		local ike.Selector
		dst   netip.Prefix
		want  netip.Addr
	}{
		{[]netip.Addr{vip}, selector("10.99.0.5", "10.99.0.5"), dst, vip},
		{nil, selector("192.0.2.0", "192.0.2.255"), dst, outer},
		{nil, selector("0.0.0.0", "255.255.255.255"), dst, outer},
		{[]netip.Addr{vip}, selector("10.99.0.5", "10.99.0.5"), dst6, netip.Addr{}},
		{nil, selector("198.51.100.0", "198.51.100.255"), dst, netip.Addr{}},
	} {
		k := &child{local: []ike.Selector{c.local}, vips: c.vips, outer: outer}
		if got := sourceFor(k, c.dst); got != c.want {
			t.Errorf("%v to %v: %v, want %v", c.local, c.dst, got, c.want)
		}
	}
}

// Addresses that no host can have, as a hostile gateway could assign them (HOSTILE T-099).
func TestAddressesAreChecked(t *testing.T) {
	for _, bad := range []string{"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1", "fe80::1%eth0", "::ffff:127.0.0.1"} {
		if checkVIP(netip.MustParseAddr(bad)) == nil {
			t.Errorf("%s: not refused", bad)
		}
	}
	h := &Host{given: map[uint64]ike.Configure{}, opts: Options{NoDNS: true, NoRoutes: true}, log: slog.New(slog.DiscardHandler)}
	if err := h.Configure(ike.Configure{Unique: 1, VIPs: make([]netip.Addr, vipLimit+1)}); err == nil || len(h.given) != 0 {
		t.Errorf("too many addresses: %v", err)
	}
}

func TestWarningsAreOfOneTopicEach(t *testing.T) {
	h := &Host{warnings: map[string]string{}, log: slog.New(slog.DiscardHandler)}
	h.warn("a", errors.New("one"))
	h.warn("a", errors.New("two"))
	h.warn("b", errors.New("three"))
	h.warn("b", nil)
	if d := cmp.Diff([]string{"two"}, h.Warnings()); d != "" {
		t.Error(d)
	}
}

func TestHooksOf(t *testing.T) {
	c := &ike.ChildSA{
		Name: "net", Unique: 1, Reqid: 2, TSLocal: []ike.Selector{selector("10.0.0.0", "10.0.0.255")}, Config: &ike.ChildConfig{},
		TSRemote: []ike.Selector{selector("10.1.0.0", "10.1.0.2"), selector("10.2.0.0", "10.2.255.255")},
		RemoteID: ike.ID{Type: ike.IDFQDN, Data: []byte("`reboot`\n")},
	}
	if hooksOf(c, "ipsec0", nil) != nil {
		t.Error("a command without `updown`")
	}
	c.Config.Updown = []string{"/bin/true"}
	list := hooksOf(c, "ipsec0", nil)
	if len(list) != 2 || list[0].key == list[1].key || list[0].up.Verb() != "up-client" || list[0].down.Verb() != "down-client" {
		t.Fatalf("%+v", list)
	}
	env := list[0].down.Undo().Args["env"]
	if strings.ContainsAny(env, "`\n\\") || !strings.Contains(env, "PLUTO_PEER_CLIENT=10.1.0.0/30") {
		t.Errorf("%q", env)
	}
	next := *c
	next.SPIIn = 9
	if hooksOf(&next, "ipsec0", nil)[0].key != list[0].key {
		t.Error("the SA that replaces another has another key, so a rekey would run the command")
	}
}

// A journal of a later version, a folder that is not ours, an unknown kind: said, kept, and no reason not to start.
func TestCleanupLeavesWhatItDoesNotKnow(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if r, err := Cleanup(state); err != nil || len(r.Removed)+len(r.Notes)+len(r.Alive) != 0 {
		t.Errorf("no folder: %+v, %v", r, err)
	}
	j, _, err := OpenJournal(state, "a b/c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(filepath.Join(state, folder, "a%20b%2Fc")); !errors.Is(err, store.ErrLocked) {
		t.Errorf("the same device twice: %v", err)
	}
	if r, err := Cleanup(state); err != nil || !cmp.Equal(r.Alive, []string{"a b/c"}) {
		t.Errorf("alive: %+v, %v", r, err)
	}
	if _, err := j.Record(store.Undo{Kind: "of the future"}); err != nil {
		t.Fatal(err)
	}
	j.Close()
	os.WriteFile(filepath.Join(state, folder, "file"), nil, 0o600)
	for range 2 {
		r, err := Cleanup(state)
		if err == nil || !strings.Contains(err.Error(), "later version") || len(r.Notes) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	j, notes, err := OpenJournal(state, "other")
	if err != nil || len(notes) != 2 {
		t.Errorf("%v, %q", err, notes)
	}
	j.Close()
}

// HOSTILE T-102.
func TestStateFolderOfOthers(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	os.Mkdir(state, 0o700)
	os.Chmod(state, 0o777)
	if j, _, err := OpenJournal(state, "ipsec0"); err == nil {
		j.Close()
		t.Error("a state folder that everybody can write to was taken")
	}
	os.Chmod(state, 0o700)
	os.Symlink(t.TempDir(), filepath.Join(state, folder))
	if j, _, err := OpenJournal(state, "ipsec0"); err == nil {
		j.Close()
		t.Error("a planted link was followed")
	}
	if _, err := Cleanup(state); err == nil {
		t.Error("Cleanup followed a planted link")
	}
}
