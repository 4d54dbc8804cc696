// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The SPD of PF_KEY: order, templates and levels, Acquires, lifetimes, and what inbound packets must have come by.

package sadb

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/natt"
)

// outEntry protects 10.1/16 to 10.2/16 by an ESP tunnel.
func outEntry() SPDEntry {
	return SPDEntry{Dir: Out, Action: Protect, Local: sel("10.1.0.0/16"), Remote: sel("10.2.0.0/16"),
		Templates: []Template{{Proto: ProtoESP, Mode: Tunnel, Level: Require, Src: local.Addr(), Dst: peer.Addr()}}}
}

func addEntry(t testing.TB, db *DB, e SPDEntry) PolicyID {
	t.Helper()
	id, err := db.SPDAdd(start, e)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func resolve(t testing.TB, db *DB, f Flow) (Resolution, *Bundle) {
	t.Helper()
	m, _ := db.Match(&f)
	if m.Action != Protect {
		t.Fatalf("%v", m.Action)
	}
	b := &Bundle{}
	return m.Resolve(db.Clock(start), &f, b), b
}

var across = flow("10.1.0.1", "10.2.0.1", 17, 1, 2)

func TestSPDVerbs(t *testing.T) {
	db := newDB(t, 0)
	id := addEntry(t, db, outEntry())
	if _, err := db.SPDAdd(start, outEntry()); err != ErrPolicyExists {
		t.Errorf("added twice: %v", err)
	}
	in := outEntry()
	in.Dir = In
	inID := addEntry(t, db, in)
	e := outEntry()
	e.Priority, e.Action, e.Templates = 5, Discard, nil
	if got, err := db.SPDUpdate(start.Add(time.Second), e); err != nil || got != id {
		t.Errorf("replaced: %d, %v", got, err)
	}
	if i, ok := db.SPDLookup(id); !ok || i.Action != Discard || i.Priority != 5 || !i.Added.Equal(start.Add(time.Second)) {
		t.Errorf("%+v", i)
	}
	if m, _ := db.Match(&across); m.Action != Discard {
		t.Errorf("after the replacement: %v", m.Action)
	}
	if got, ok := db.SPDFind(Out, e.Local, e.Remote); !ok || got != id {
		t.Error("not found")
	}
	if _, ok := db.SPDFind(Forward, e.Local, e.Remote); ok {
		t.Error("found in another direction")
	}
	if list := db.SPDList(); len(list) != 2 || list[0].ID != inID || list[1].ID != id {
		t.Errorf("%+v", list)
	}
	if i, err := db.SPDDelete(id); err != nil || i.Priority != 5 {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := db.SPDDelete(id); err != ErrUnknownPolicy {
		t.Error(err)
	}
	shunt, _ := db.AddPolicy(Policy{Action: Bypass, Local: []Selector{sel("10.1.0.0/16")}, Remote: []Selector{sel("10.2.0.0/16")}})
	if _, err := db.SPDDelete(shunt); err != ErrUnknownPolicy {
		t.Errorf("the daemon's own policy was deleted: %v", err)
	}
	db.RemovePolicy(inID)
	if n := db.SPDFlush(); n != 1 {
		t.Errorf("%d flushed", n)
	}
	if len(db.policies) != 1 || len(db.entries) != 0 {
		t.Error("something is left, or too little")
	}
	db.RemovePolicy(shunt)
	empty(t, db)
}

func TestSPDRefuses(t *testing.T) {
	db := newDB(t, 0)
	for name, change := range map[string]func(*SPDEntry){
		"direction":     func(e *SPDEntry) { e.Dir = 4 },
		"no direction":  func(e *SPDEntry) { e.Dir = 0 },
		"action":        func(e *SPDEntry) { e.Action = 0 },
		"no templates":  func(e *SPDEntry) { e.Templates = nil },
		"too many":      func(e *SPDEntry) { e.Templates = make([]Template, MaxTemplates+1) },
		"superfluous":   func(e *SPDEntry) { e.Action = Bypass },
		"selector":      func(e *SPDEntry) { e.Local.From, e.Local.To = e.Local.To, e.Local.From },
		"families":      func(e *SPDEntry) { e.Local = sel("2001:db8::/32") },
		"protocol":      func(e *SPDEntry) { e.Templates[0].Proto = 17 },
		"mode":          func(e *SPDEntry) { e.Templates[0].Mode = AnyMode },
		"level":         func(e *SPDEntry) { e.Templates[0].Level = 4 },
		"no addresses":  func(e *SPDEntry) { e.Templates[0].Src = netip.Addr{} },
		"any address":   func(e *SPDEntry) { e.Templates[0].Dst = netip.IPv4Unspecified() },
		"two families":  func(e *SPDEntry) { e.Templates[0].Dst = netip.MustParseAddr("2001:db8::1") },
		"both protocol": func(e *SPDEntry) { e.Local.Proto, e.Remote.Proto = 6, 17 },
	} {
		e := outEntry()
		change(&e)
		if _, err := db.SPDAdd(start, e); err == nil {
			t.Errorf("%s: added", name)
		}
		if len(db.policies) != 0 || len(db.entries) != 0 {
			t.Errorf("%s: something is left", name)
		}
		empty(t, db)
	}
}

// TestPriorities: the smallest priority wins, whatever the prefixes are; then the older one.
func TestPriorities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		db, _ := New(start, Config{Rand: stuck{}})
		prefixes := []string{"10.2.0.1/32", "10.2.0.0/30", "10.2.0.0/24", "10.0.0.0/8", "0.0.0.0/0"}
		type kept struct {
			e   SPDEntry
			age int
		}
		var all []kept
		for i := range rapid.IntRange(1, 12).Draw(t, "n") {
			e := SPDEntry{Dir: Out, Action: rapid.SampledFrom([]Action{Bypass, Discard}).Draw(t, "action"), Priority: uint32(rapid.IntRange(0, 4).Draw(t, "prio")),
				Local:  sel(rapid.SampledFrom(prefixes).Draw(t, "local")),
				Remote: sel(rapid.SampledFrom(prefixes).Draw(t, "remote"))}
			if rapid.Bool().Draw(t, "port") {
				e.Remote.Proto, e.Remote.PortFrom, e.Remote.PortTo = 17, 2, 2
			}
			_, err := db.SPDAdd(start, e)
			again := false
			for j, k := range all {
				if k.e.Local == e.Local && k.e.Remote == e.Remote {
					again = true
					if rapid.Bool().Draw(t, "update") {
						if _, err := db.SPDUpdate(start, e); err != nil {
							t.Fatal(err)
						}
						all[j] = kept{e, i}
					}
				}
			}
			if again != (err == ErrPolicyExists) {
				t.Fatalf("exists %v, error %v", again, err)
			}
			if !again {
				all = append(all, kept{e, i})
			}
		}
		if rapid.Bool().Draw(t, "remove") {
			i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
			id, _ := db.SPDFind(Out, all[i].e.Local, all[i].e.Remote)
			if _, err := db.SPDDelete(id); err != nil {
				t.Fatal(err)
			}
			all = append(all[:i], all[i+1:]...)
		}
		for _, remote := range []string{"10.2.0.1", "10.2.0.2", "10.2.0.9", "10.9.9.9", "192.0.2.1"} {
			for _, port := range []uint16{2, 3} {
				f := flow("10.2.0.1", remote, 17, 1, port)
				var want Action
				bestP, bestAge := uint32(0), 0
				for _, k := range all {
					l, _ := compileSelectors([]Selector{k.e.Local})
					r, _ := compileSelectors([]Selector{k.e.Remote})
					if l[0].local(&f) != inside || r[0].remote(&f) != inside {
						continue
					}
					if want == 0 || k.e.Priority < bestP || k.e.Priority == bestP && k.age < bestAge {
						want, bestP, bestAge = k.e.Action, k.e.Priority, k.age
					}
				}
				if m, _ := db.Match(&f); m.Action != want {
					t.Fatalf("%s:%d: %v, want %v", remote, port, m.Action, want)
				}
			}
		}
	})
}

// TestWhichSA: the newest mature one of the template, a dying one only if there is no other, and the right reqid and mode.
func TestWhichSA(t *testing.T) {
	db := newDB(t, 0)
	addEntry(t, db, outEntry())
	which := func() uint32 {
		t.Helper()
		r, b := resolve(t, db, across)
		if r != Sealed {
			return 0
		}
		if b.N != 1 || b.Modes[0] != Tunnel {
			t.Errorf("%+v", b)
		}
		return b.SAs[0].SPI()
	}
	add := func(spi uint32, change func(*SA)) *Single {
		s := outSA(spi)
		if change != nil {
			change(&s)
		}
		return addSA(t, db, s)
	}
	if which() != 0 {
		t.Error("an SA out of nothing")
	}
	add(1000, func(s *SA) { s.Mode = Transport })
	add(1001, func(s *SA) { s.Src = netip.MustParseAddr("192.0.2.9") })
	add(1002, func(s *SA) { s.Src, s.Dst = s.Dst, s.Src })
	if got := which(); got != 0 {
		t.Errorf("SPI %d fits", got)
	}
	old := add(1003, func(s *SA) { s.Mode = AnyMode })
	if got := which(); got != 1003 {
		t.Errorf("SPI %d", got)
	}
	young := add(1004, func(s *SA) { s.Reqid, s.Limits.SoftPackets = 7, 1 })
	if got := which(); got != 1004 {
		t.Errorf("SPI %d", got)
	}
	if _, err := seals(young, start, 1); err != nil {
		t.Fatal(err)
	}
	notices(db)
	if got := which(); got != 1003 {
		t.Errorf("a dying SA sends: %d", got)
	}
	if _, err := db.DeleteSA(start, old.id()); err != nil {
		t.Fatal(err)
	}
	if got := which(); got != 1004 {
		t.Errorf("there is no other: %d", got)
	}
	young.end() // nobody has fetched the notice yet
	if got := which(); got != 0 {
		t.Errorf("a dead SA sends: %d", got)
	}
	e := outEntry()
	e.Templates[0].Reqid = 9
	if _, err := db.SPDUpdate(start, e); err != nil {
		t.Fatal(err)
	}
	add(1005, func(s *SA) { s.Reqid = 8 })
	if got := which(); got != 0 {
		t.Errorf("another reqid: %d", got)
	}
	add(1006, func(s *SA) { s.Reqid = 9 })
	if got := which(); got != 1006 {
		t.Errorf("SPI %d", got)
	}
	if n := testing.AllocsPerRun(100, func() { m, _ := db.Match(&across); var b Bundle; m.Resolve(5, &across, &b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestUnique(t *testing.T) {
	db := newDB(t, 0)
	e := outEntry()
	e.Templates[0].Level = Unique
	id := addEntry(t, db, e)
	e.Remote = sel("10.3.0.0/16")
	other := addEntry(t, db, e)
	a, _ := db.SPDLookup(id)
	b, _ := db.SPDLookup(other)
	if a.Templates[0].Reqid != firstUnique || b.Templates[0].Reqid != firstUnique+1 || e.Templates[0].Reqid != 0 {
		t.Errorf("reqids %d, %d", a.Templates[0].Reqid, b.Templates[0].Reqid)
	}
	s := outSA(0x1000)
	s.Reqid = firstUnique
	addSA(t, db, s)
	if r, _ := resolve(t, db, across); r != Sealed {
		t.Error("its own SA does not fit")
	}
	if r, _ := resolve(t, db, flow("10.1.0.1", "10.3.0.1", 17, 1, 2)); r != Missing {
		t.Error("another policy's SA fits")
	}
}

// TestBundle: IPComp inside ESP inside an ESP tunnel that is used if it is there.
func TestBundle(t *testing.T) {
	db := newDB(t, 0)
	f := flow(local.Addr().String(), peer.Addr().String(), 6, 1, 2)
	e := SPDEntry{Dir: Out, Action: Protect, Local: sel("192.0.2.1/32"), Remote: sel("198.51.100.0/24"), Templates: []Template{
		{Proto: ProtoIPComp, Mode: Transport, Level: Use},
		{Proto: ProtoESP, Mode: Transport},
		{Proto: ProtoESP, Mode: Tunnel, Level: Use, Src: netip.MustParseAddr("192.0.2.50"), Dst: netip.MustParseAddr("203.0.113.1")},
	}}
	addEntry(t, db, e)
	if r, _ := resolve(t, db, f); r != Missing {
		t.Errorf("%v", r)
	}
	esp := outSA(0x1000)
	esp.Mode, esp.Encap = Transport, natt.Raw
	addSA(t, db, esp)
	if r, b := resolve(t, db, f); r != Sealed || b.N != 1 || b.SAs[0].SPI() != 0x1000 {
		t.Errorf("%v, %+v", r, b)
	}
	addSA(t, db, SA{Proto: ProtoIPComp, SPI: 700, Src: local.Addr(), Dst: peer.Addr(), Mode: Transport})
	outer := outSA(0x1001)
	outer.Src, outer.Dst = e.Templates[2].Src, e.Templates[2].Dst
	addSA(t, db, outer)
	if r, b := resolve(t, db, f); r != Sealed || b.N != 3 || b.SAs[0].SPI() != 700 || b.SAs[1].SPI() != 0x1000 || b.SAs[2].SPI() != 0x1001 || b.Modes[2] != Tunnel {
		t.Errorf("%v, %+v", r, b)
	}
	// Another host of the policy has its own SAs.
	if r, _ := resolve(t, db, flow(local.Addr().String(), "198.51.100.77", 6, 1, 2)); r != Missing {
		t.Errorf("another host: %v", r)
	}
}

func acquires(db *DB) []Notice {
	var list []Notice
	for db.Pending() {
		for _, n := range notices(db) {
			if n.Kind == Acquire {
				list = append(list, n)
			}
		}
	}
	return list
}

// TestAcquire: once per policy until it is answered, fails or 30 s have passed; what waits is released or dropped.
func TestAcquire(t *testing.T) {
	db := newDB(t, 0)
	id := addEntry(t, db, outEntry())
	hold := func(now time.Time, pkt string) Held {
		t.Helper()
		m, _ := db.Match(&across)
		var b Bundle
		if m.Resolve(db.Clock(now), &across, &b) != Missing {
			t.Fatal("resolved")
		}
		held, _ := m.Hold(db.Clock(now), &across, []byte(pkt))
		return held
	}
	if hold(start, "one") != Kept || hold(start, "two") != Kept {
		t.Error("not kept")
	}
	n := acquires(db)
	if len(n) != 1 || n[0].Policy != id || n[0].Seq != 1 || n[0].Template.Src != local.Addr() || n[0].Template.Dst != peer.Addr() ||
		n[0].Template.Proto != ProtoESP || n[0].Packet.Remote != netip.MustParseAddr("10.2.0.1") {
		t.Fatalf("%+v", n)
	}
	db.SPDAcquireFailed(99)
	if hold(start, "three"); len(acquires(db)) != 0 {
		t.Error("asked twice")
	}
	db.SPDAcquireFailed(1)
	if db.HeldDropped() != 3 || len(db.traps) != 0 {
		t.Errorf("%d dropped, %d wait", db.HeldDropped(), len(db.traps))
	}
	if hold(start, "four"); len(acquires(db)) != 1 {
		t.Error("not asked again after a failure")
	}
	db.Tick(start.Add(30 * time.Second))
	if db.HeldDropped() != 4 {
		t.Error("kept for longer than 30 s")
	}
	later := start.Add(40 * time.Second)
	hold(later, "five")
	if n = acquires(db); len(n) != 1 || n[0].Seq != 3 {
		t.Fatalf("%+v", n)
	}
	in := inSA(0x1000)
	in.Seq = n[0].Seq
	addSA(t, db, in) // the daemon adds its two SAs one after the other: the first does not answer
	if hold(later, "six"); len(acquires(db)) != 0 {
		t.Error("asked again between the two SAs of the answer")
	}
	released := func() (got []string) {
		db.Release(make([]byte, 4096), 64, func(p []byte) { got = append(got, string(bytes.Clone(p))) })
		return got
	}
	if got := released(); len(got) != 0 {
		t.Errorf("released without an SA: %q", got)
	}
	out := outSA(0x1001)
	out.Seq = n[0].Seq
	s := addSA(t, db, out)
	if got := released(); len(got) != 2 || got[0] != "five" || got[1] != "six" {
		t.Errorf("released: %q", got)
	}
	if _, err := db.DeleteSA(later, s.id()); err != nil {
		t.Fatal(err)
	}
	if hold(later, "seven"); len(acquires(db)) != 1 {
		t.Error("not asked again after the SA has gone")
	}
	if _, err := db.SPDDelete(id); err != nil || db.HeldDropped() != 5 {
		t.Errorf("what waits survived its policy: %d, %v", db.HeldDropped(), err)
	}
	db.FlushSAs(later, 0)
	db.Tick(later.Add(time.Hour))
	empty(t, db)
}

// TestAcquireUse: level use lets the packet go and asks all the same, once in 30 s.
func TestAcquireUse(t *testing.T) {
	db := newDB(t, 0)
	e := outEntry()
	e.Templates[0].Level = Use
	addEntry(t, db, e)
	for range 5 {
		if r, b := resolve(t, db, across); r != Clear || b.N != 0 {
			t.Errorf("%v", r)
		}
	}
	if n := acquires(db); len(n) != 1 {
		t.Errorf("%+v", n)
	}
	addSA(t, db, outSA(0x1000))
	if r, _ := resolve(t, db, across); r != Sealed {
		t.Errorf("%v", r)
	}
}

// TestT063Traps: a host that scans a protected network does not fill the memory, and asks for no more than maxTraps at once.
func TestT063Traps(t *testing.T) {
	db := newDB(t, 0)
	e := outEntry()
	e.Templates = []Template{{Proto: ProtoESP, Mode: Transport}}
	addEntry(t, db, e)
	refused := 0
	for i := range 1000 {
		f := across
		f.Remote.Lo += uint64(i)
		m, _ := db.Match(&f)
		if held, _ := m.Hold(5, &f, make([]byte, 1400)); held == Refused {
			refused++
		}
	}
	if len(db.traps) != maxPolicyTraps || refused != 1000-maxPolicyTraps || len(acquires(db)) != maxPolicyTraps {
		t.Errorf("%d Acquires, %d refused", len(db.traps), refused)
	}
	// Those of another policy are asked for all the same; in the end there are no more than maxTraps.
	e.Remote = sel("10.3.0.0/16")
	addEntry(t, db, e)
	refused = 0
	for i := range 1000 {
		f := flow("10.1.0.1", "10.3.0.1", 17, 1, 2)
		f.Remote.Lo += uint64(i)
		m, _ := db.Match(&f)
		if held, _ := m.Hold(5, &f, make([]byte, 1400)); held == Refused {
			refused++
		}
	}
	if len(db.traps) != maxTraps || refused != 1000-(maxTraps-maxPolicyTraps) {
		t.Errorf("%d Acquires, %d refused", len(db.traps), refused)
	}
	db.Tick(start.Add(31 * time.Second))
	if len(db.traps) != 0 || db.HeldDropped() != maxTraps {
		t.Errorf("%d left", len(db.traps))
	}
	m, _ := db.Match(&across)
	if held, _ := m.Hold(db.Clock(start.Add(32*time.Second)), &across, make([]byte, 1400)); held != Kept {
		t.Error("nothing is asked for any more")
	}
	db.SPDFlush()
	empty(t, db)
}

// layersOf are SAs as a packet comes by them, the outermost first, each in its own mode.
func layersOf(list ...*Receiver) (out []Layer) {
	for _, r := range list {
		ep := r.Source()
		out = append(out, Layer{SA: r, Src: ep.Remote.Addr(), Dst: ep.Local.Addr(), Tunnel: r.mode == Tunnel})
	}
	return out
}

// TestCheckIn: RFC 4301, Section 5.2: what was opened must have come as its policy says.
func TestCheckIn(t *testing.T) {
	db := newDB(t, 0)
	right := addSA(t, db, inSA(0x1000)).asReceiver()
	reqid := inSA(0x1001)
	reqid.Reqid = 9
	nine := addSA(t, db, reqid).asReceiver()
	elsewhere := inSA(0x1002)
	elsewhere.Src = thief.Addr()
	wrong := addSA(t, db, elsewhere).asReceiver()
	transport := inSA(0x1003)
	transport.Mode = Transport
	flat := addSA(t, db, transport).asReceiver()
	comp := addSA(t, db, SA{Proto: ProtoIPComp, SPI: 700, Src: peer.Addr(), Dst: local.Addr(), Mode: Transport}).asReceiver()

	esp := Template{Proto: ProtoESP, Mode: Tunnel, Src: peer.Addr(), Dst: local.Addr()}
	entry := func(d Dir, a Action, list ...Template) SPDEntry {
		return SPDEntry{Dir: d, Action: a, Local: sel("10.1.0.0/16"), Remote: sel("10.2.0.0/16"), Templates: list}
	}
	with := func(t Template, reqid uint32, l Level) Template { t.Reqid, t.Level = reqid, l; return t }
	chain := layersOf
	for name, c := range map[string]struct {
		spd   []SPDEntry
		chain []Layer
		want  Verdict
	}{
		"no policy":                {nil, chain(right), NoEntry},
		"only out":                 {[]SPDEntry{entry(Out, Protect, esp)}, chain(right), NoEntry},
		"as it says":               {[]SPDEntry{entry(In, Protect, esp)}, chain(right), Accepted},
		"any reqid":                {[]SPDEntry{entry(In, Protect, esp)}, chain(nine), Accepted},
		"another reqid":            {[]SPDEntry{entry(In, Protect, with(esp, 8, Unique))}, chain(nine), Rejected},
		"no reqid":                 {[]SPDEntry{entry(In, Protect, with(esp, 9, Require))}, chain(right), Rejected},
		"its reqid":                {[]SPDEntry{entry(In, Protect, with(esp, 9, Unique))}, chain(nine), Accepted},
		"another peer":             {[]SPDEntry{entry(In, Protect, esp)}, chain(wrong), Rejected},
		"another mode":             {[]SPDEntry{entry(In, Protect, esp)}, chain(flat), Rejected},
		"in the clear":             {[]SPDEntry{entry(In, Protect, esp)}, nil, Rejected},
		"in the clear, use":        {[]SPDEntry{entry(In, Protect, with(esp, 0, Use))}, nil, Accepted},
		"more than it says":        {[]SPDEntry{entry(In, Protect, esp)}, chain(right, nine), Rejected},
		"forward":                  {[]SPDEntry{entry(Forward, Protect, esp)}, chain(right), Accepted},
		"in goes before forward":   {[]SPDEntry{entry(In, Discard), entry(Forward, Protect, esp)}, chain(right), Rejected},
		"discard":                  {[]SPDEntry{entry(In, Discard)}, chain(right), Rejected},
		"bypass in the clear":      {[]SPDEntry{entry(In, Bypass)}, nil, Accepted},
		"bypass out of a tunnel":   {[]SPDEntry{entry(In, Bypass)}, chain(right), Rejected},
		"bypass, end to end":       {[]SPDEntry{entry(In, Bypass)}, chain(flat), Accepted},
		"compressed":               {[]SPDEntry{entry(In, Protect, Template{Proto: ProtoIPComp, Mode: Transport, Level: Use}, esp)}, chain(right, comp), Accepted},
		"too short to compress":    {[]SPDEntry{entry(In, Protect, Template{Proto: ProtoIPComp, Mode: Transport, Level: Use}, esp)}, chain(right), Accepted},
		"compression alone":        {[]SPDEntry{entry(In, Protect, Template{Proto: ProtoIPComp, Mode: Transport, Level: Use}, esp)}, chain(comp), Rejected},
		"another order":            {[]SPDEntry{entry(In, Protect, Template{Proto: ProtoIPComp, Mode: Transport, Level: Use}, esp)}, chain(comp, right), Rejected},
		"one of two that it wants": {[]SPDEntry{entry(In, Protect, Template{Proto: ProtoESP, Mode: Transport}, esp)}, chain(right), Rejected},
		"both that it wants":       {[]SPDEntry{entry(In, Protect, Template{Proto: ProtoESP, Mode: Transport}, esp)}, chain(right, flat), Accepted},
	} {
		db.SPDFlush()
		for _, e := range c.spd {
			addEntry(t, db, e)
		}
		if got := db.CheckIn(5, &across, c.chain); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	layers := chain(right)
	if n := testing.AllocsPerRun(100, func() { db.CheckIn(5, &across, layers) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	// An SA in transport mode can carry an IP packet: it is a tunnel's all the same, and its peer speaks for nobody.
	db.SPDFlush()
	addEntry(t, db, entry(In, Bypass))
	for tunnel, want := range map[bool]Verdict{true: Rejected, false: Accepted} {
		layers := chain(flat)
		layers[0].Tunnel = tunnel
		if got := db.CheckIn(5, &across, layers); got != want {
			t.Errorf("bypass, out of a tunnel %v: %v", tunnel, got)
		}
	}
	web := entry(In, Protect, esp)
	web.Local.Proto, web.Local.PortFrom, web.Local.PortTo, web.Priority = 17, 1, 1, 1
	db.SPDFlush()
	all := entry(In, Protect, with(esp, 9, Unique))
	all.Priority = 2
	addEntry(t, db, web)
	addEntry(t, db, all)
	f := across
	f.Ports = HiddenPorts
	if got := db.CheckIn(5, &f, chain(nine)); got != PortsHidden {
		t.Errorf("a fragment without ports: %v", got)
	}
}

func TestSPDLifetimes(t *testing.T) {
	db := newDB(t, 0)
	e := outEntry()
	e.SoftTime, e.HardTime, e.HardIdle = 20*time.Second, 40*time.Second, 15*time.Second
	id := addEntry(t, db, e)
	use := func(at time.Duration) {
		m, _ := db.Match(&across)
		var b Bundle
		m.Resolve(db.Clock(start.Add(at)), &across, &b)
	}
	expired := func(at time.Duration) (soft, hard int) {
		db.Tick(start.Add(at))
		for _, n := range notices(db) {
			if n.Kind != PolicyExpire || n.Policy != id || n.SPD == nil {
				continue
			}
			if n.Hard {
				hard++
			} else {
				soft++
			}
		}
		return soft, hard
	}
	use(10 * time.Second)
	if s, h := expired(16 * time.Second); s != 0 || h != 0 {
		t.Errorf("used after 10 s: %d, %d", s, h)
	}
	use(24 * time.Second)
	if s, h := expired(24 * time.Second); s != 1 || h != 0 {
		t.Errorf("soft: %d, %d", s, h)
	}
	if i, _ := db.SPDLookup(id); !i.LastUsed.Equal(start.Add(24 * time.Second)) {
		t.Errorf("last used %v", i.LastUsed)
	}
	use(38 * time.Second)
	if s, h := expired(39 * time.Second); s != 0 || h != 0 {
		t.Errorf("%d, %d", s, h)
	}
	if s, h := expired(40 * time.Second); s != 0 || h != 1 {
		t.Errorf("hard: %d, %d", s, h)
	}
	if _, ok := db.SPDLookup(id); ok {
		t.Error("still there")
	}
	e.SoftTime, e.HardTime = 0, 0
	id = addEntry(t, db, e)
	if s, h := expired(56 * time.Second); s != 0 || h != 1 {
		t.Errorf("idle: %d, %d", s, h)
	}
}

// TestIPv6Template: the other family, and an SA with two keys.
func TestIPv6Template(t *testing.T) {
	db := newDB(t, 0)
	e := SPDEntry{Dir: Out, Action: Protect, Local: sel("2001:db8:1::/48"), Remote: sel("2001:db8:2::5/128"), Templates: []Template{
		{Proto: ProtoESP, Mode: Tunnel, Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2")}}}
	addEntry(t, db, e)
	s := outSA(0x1000)
	s.Src, s.Dst = e.Templates[0].Src, e.Templates[0].Dst
	s.Suite, s.Key, s.Integ = suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128}, secret.New(make([]byte, 16)), secret.New(make([]byte, 32))
	x := addSA(t, db, s)
	if r, b := resolve(t, db, flow("2001:db8:1::7", "2001:db8:2::5", 6, 1, 2)); r != Sealed || b.SAs[0].SPI() != 0x1000 {
		t.Errorf("%v", r)
	}
	if _, err := seals(x, start, 1); err != nil {
		t.Error(err)
	}
	if _, err := db.DeleteSA(start, SAID{ProtoESP, 0x1000, e.Templates[0].Src}); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// TestPeersBehindOneNAT: RFC 3948, Section 5.2: two clients with one address outside have SAs between the same two addresses; the
// answer to one of them is sealed on its own.
func TestPeersBehindOneNAT(t *testing.T) {
	db := newDB(t, 0)
	e := SPDEntry{Dir: Out, Action: Protect, Local: sel("192.0.2.1/32"), Remote: sel("198.51.100.2/32"), Templates: []Template{{Proto: ProtoESP, Mode: Transport}}}
	addEntry(t, db, e)
	for i := range uint32(3) {
		s := outSA(0x1000 + i)
		s.Mode, s.DstPort = Transport, uint16(1000+i)
		addSA(t, db, s)
	}
	f := flow(local.Addr().String(), peer.Addr().String(), 17, 1701, 1701)
	m, _ := db.Match(&f)
	var b Bundle
	for i := range uint32(3) {
		if m.ResolvePeer(5, &f, &b, netip.AddrPortFrom(peer.Addr(), uint16(1000+i))) != Sealed || b.SAs[0].SPI() != 0x1000+i {
			t.Errorf("client %d: %+v", i, b)
		}
	}
	if m.ResolvePeer(5, &f, &b, thief) != Missing {
		t.Error("an SA to another peer")
	}
}

// TestSkippedTunnel: what is not compressed comes out of the tunnel of the policy's own peer, or not at all: an SA of somebody else in
// transport mode is none of its ends.
func TestSkippedTunnel(t *testing.T) {
	for _, c := range []struct {
		proto uint8
		src   netip.Addr
		dst   netip.Addr
		want  bool
	}{
		{ProtoIPComp, peer.Addr(), local.Addr(), true},
		{ProtoIPComp, netip.MustParseAddr("203.0.113.77"), local.Addr(), false},
		{ProtoIPComp, peer.Addr(), netip.MustParseAddr("192.0.2.9"), false}, // this host's, but not the tunnel's
		{ProtoAH, peer.Addr(), local.Addr(), false},
	} {
		db := newDB(t, 0)
		sa := inSA(0x1200)
		sa.Src, sa.Dst, sa.Mode = c.src, c.dst, Transport
		addSA(t, db, sa)
		e := outEntry()
		e.Dir = In
		e.Templates = []Template{
			{Proto: c.proto, Mode: Tunnel, Level: Use, Src: peer.Addr(), Dst: local.Addr()},
			{Proto: ProtoESP, Mode: Transport, Level: Require},
		}
		addEntry(t, db, e)
		f := Flow{Local: ipOf(e.Local.From), Remote: ipOf(e.Remote.From), Proto: 17, LocalPort: 9, RemotePort: 9, Ports: HavePorts}
		chain := layersOf(db.Receiver(ProtoESP, 0x1200, c.dst))
		chain[0].Tunnel = true
		if got := db.CheckIn(db.Clock(start), &f, chain) == Accepted; got != c.want {
			t.Errorf("%v from %v to %v: accepted: %v", c.proto, c.src, c.dst, got)
		}
	}
}
