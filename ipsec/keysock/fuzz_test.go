// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// FuzzServer: what several clients of all dialects ask in any order is answered as the slow model says, everybody hears what the model says
// they hear, and the tables are the model's at the end.

package keysock_test

import (
	"fmt"
	"math/rand"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
	"github.com/natterjack/natterjack/wire/pfkey"
)

const (
	maxSteps  = 200
	maxLarval = 3
)

func FuzzServer(f *testing.F) {
	for seed := range int64(24) {
		b := make([]byte, 1500)
		rand.New(rand.NewSource(seed)).Read(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) { newDuel(t, &dice{b: data}).run() })
}

// TestServerAgainstModel is FuzzServer with fresh dice.
func TestServerAgainstModel(t *testing.T) {
	seed := time.Now().UnixNano()
	for i := range int64(100) {
		b := make([]byte, 3000)
		rand.New(rand.NewSource(seed + i)).Read(b)
		newDuel(t, &dice{b: b}).run()
		if t.Failed() {
			t.Fatalf("seed %d", seed+i)
		}
	}
}

// dice are the fuzzer's octets.
type dice struct{ b []byte }

func (d *dice) roll(n int) int {
	if len(d.b) == 0 {
		return 0
	}
	v := int(d.b[0]) % n
	d.b = d.b[1:]
	return v
}

func (d *dice) one(in int) bool { return d.roll(in) == in-1 }

// duel is a server and a model.
type duel struct {
	*world
	d   *dice
	m   *model
	ids []keysock.ClientID
	log []string
	// overhears are the clients that were or are promiscuous at the last request.
	overhears map[int]bool
	userDump  time.Time // before it no client without privileges begins a DUMP
}

func newDuel(t testing.TB, d *dice) *duel {
	perDst := d.roll(2) == 1
	db, err := sadb.New(start, sadb.Config{Rand: rand.New(rand.NewSource(1)), SPIPerDestination: perDst})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, db: db, s: keysock.New(db, keysock.Config{Larval: maxLarval}), now: start, got: map[keysock.ClientID][][]byte{},
		d: map[keysock.ClientID]pfkey.Dialect{},
	}
	u := &duel{overhears: map[int]bool{}, world: w, d: d, m: &model{now: start, perDst: perDst, larvalMax: maxLarval, heard: map[int][]string{}}}
	for _, c := range []mClient{
		{dialect: pfkey.FreeBSD, privileged: true}, {dialect: pfkey.NetBSD, privileged: true}, {dialect: pfkey.Linux, privileged: true},
		{dialect: pfkey.Linux}, {dialect: pfkey.FreeBSD, privileged: true},
	} {
		c.registered = map[pfkey.SAType]bool{}
		u.m.clients = append(u.m.clients, &c)
		u.ids = append(u.ids, w.client(c.dialect, c.privileged))
	}
	return u
}

func (u *duel) run() {
	for range maxSteps {
		if len(u.d.b) == 0 || u.t.Failed() {
			break
		}
		switch u.d.roll(12) {
		case 0:
			u.wait()
		case 1:
			u.dump()
		default:
			u.ask()
		}
	}
	if got, want := u.table(), u.m.table(); got != want {
		u.fail("tables differ: -model +server\n%s", cmp.Diff(want, got))
	}
}

func (u *duel) fail(format string, args ...any) {
	u.t.Helper()
	u.t.Errorf("%s\nafter\n%s", fmt.Sprintf(format, args...), strings.Join(u.log[max(0, len(u.log)-8):], "\n"))
}

func (u *duel) wait() {
	d := time.Duration([...]int{730, 1730, 31130}[u.d.roll(3)]) * time.Millisecond
	u.log = append(u.log, fmt.Sprint("wait ", d))
	for end := u.now.Add(d); u.now.Before(end); {
		u.advance(min(100*time.Millisecond, end.Sub(u.now)))
		u.m.pass(u.now)
	}
	u.compare(-1, nil)
}

// ask sends a random request and compares.
func (u *duel) ask() {
	i := u.d.roll(len(u.ids))
	r := u.request(u.m.clients[i].dialect)
	b, err := pfkey.Codec{Dialect: u.m.clients[i].dialect}.Append(nil, r)
	if err != nil {
		return // what the codec refuses is the codec's test
	}
	for j, c := range u.m.clients {
		u.overhears[j] = c.promisc
	}
	wrong := u.m.step(i, r)
	for j, c := range u.m.clients {
		u.overhears[j] = u.overhears[j] || c.promisc
	}
	u.log = append(u.log, fmt.Sprintf("%v (client %d) expected %v\n   %s", u.m.clients[i].dialect, i, wrong, strings.Join(describe(b), "\n   ")))
	if err := u.raw(u.ids[i], b); err != nil {
		u.fail("the write fails: %v", err)
		return
	}
	u.learn(i, r, wrong)
	u.compare(i, answered(r, wrong))
}

// answered are the words of an error, any of which will do.
func answered(r *pfkey.Message, wrong []pfkey.Errno) (words []string) {
	for _, e := range wrong {
		words = append(words, word(r.Type, e))
	}
	return words
}

// learn takes from the answer what the model cannot know: the SPI that was drawn, the number of a policy. A promiscuous client has heard
// its own request before.
func (u *duel) learn(i int, r *pfkey.Message, wrong []pfkey.Errno) {
	got := u.got[u.ids[i]]
	if len(wrong) > 0 || len(got) == 0 {
		return
	}
	m, err := pfkey.Codec{Dialect: u.m.clients[i].dialect}.Parse(got[len(got)-1])
	if err != nil {
		u.fail("%v", err)
		return
	}
	if m.Errno != 0 || m.Inner != nil {
		return
	}
	if m.Seq != r.Seq || m.PID != r.PID {
		u.fail("seq %d pid %d, expected the request's", m.Seq, m.PID)
	}
	switch m.Type {
	case pfkey.TypeGetSPI:
		s := u.m.sas[len(u.m.sas)-1]
		if u.m.taken(u.m.clients[i], s.proto, m.SA.SPI, s.dst) || r.SPIRange != nil && r.SAType != 9 && (m.SA.SPI < r.SPIRange.Min || m.SA.SPI > r.SPIRange.Max) {
			u.fail("SPI %#x is taken or outside of the range", m.SA.SPI)
		}
		s.spi = m.SA.SPI
	case pfkey.TypeSPDAdd, pfkey.TypeSPDUpdate, pfkey.TypeSPDSetIdx:
		for _, p := range u.m.policies {
			if p.dir != r.Policy.Dir || p.src != r.Src.Prefix().Masked() || p.dst != r.Dst.Prefix().Masked() {
				continue
			}
			if p.id != 0 && p.id != m.Policy.ID {
				u.fail("policy %d became %d", p.id, m.Policy.ID)
			}
			p.id = m.Policy.ID
		}
	}
}

// compare compares what everybody has heard. asker gets one of errs instead, where there are some.
func (u *duel) compare(asker int, errs []string) {
	for i, id := range u.ids {
		var got []string
		for _, b := range u.got[id] {
			m, err := pfkey.Codec{Dialect: u.m.clients[i].dialect}.Parse(b)
			if err != nil {
				u.fail("client %d received what cannot be parsed: %v", i, err)
				continue
			}
			if m.KeyAuth != nil && !u.m.clients[i].privileged || m.KeyEncrypt != nil && !u.m.clients[i].privileged {
				u.fail("client %d without privileges received a key", i)
			}
			got = append(got, word(m.Type, m.Errno))
		}
		want := u.m.heard[i]
		switch {
		case i == asker && len(errs) > 0:
			if len(got) == 0 || !slices.Contains(errs, got[len(got)-1]) || len(got) > 1 && !u.overhears[i] {
				u.fail("client %d: answer %v, expected one of %v", i, got, errs)
			}
		case u.overhears[i]:
			if !within(want, got) {
				u.fail("client %d: -expected +heard\n%s", i, cmp.Diff(want, got))
			}
		case !slices.Equal(sorted(want), sorted(got)):
			u.fail("client %d: -expected +heard\n%s", i, cmp.Diff(want, got))
		}
	}
	clear(u.got)
	clear(u.m.heard)
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// within says whether all of a is in b.
func within(a, b []string) bool {
	b = slices.Clone(b)
	for _, w := range a {
		i := slices.Index(b, w)
		if i < 0 {
			return false
		}
		b = slices.Delete(b, i, i+1)
	}
	return true
}

// dump asks for a listing and counts it.
func (u *duel) dump() {
	i := u.d.roll(len(u.ids))
	c := u.m.clients[i]
	r := header(pfkey.TypeDump, [...]pfkey.SAType{0, 2, 3, 9, 77}[u.d.roll(5)])
	want := 0
	for _, s := range u.m.sas {
		if p := protoOf(r.SAType); p == 0 || p == s.proto {
			want++
		}
	}
	bad := r.SAType == 77
	if u.d.one(3) {
		r, bad, want = header(pfkey.TypeSPDDump, 0), false, 0
		for _, p := range u.m.policies {
			if withForward(p)(i, c) {
				want++
			}
		}
	}
	u.log = append(u.log, fmt.Sprintf("client %d: %v %v", i, r.Type, r.SAType))
	b, err := pfkey.Codec{Dialect: c.dialect}.Append(nil, r)
	if err != nil {
		u.t.Fatal(err)
	}
	if err := u.raw(u.ids[i], b); err != nil {
		u.fail("%v", err)
	}
	var got []*pfkey.Message
	for _, m := range u.take(u.ids[i]) {
		if m.Type == r.Type && (!c.promisc || len(m.Order) > 0 || m.Errno != 0) {
			got = append(got, m)
		}
	}
	clear(u.got)
	soon := !bad && !c.privileged && u.now.Before(u.userDump)
	if !bad && !c.privileged && !soon {
		u.userDump = u.now.Add(time.Second)
	}
	switch {
	case soon:
		if len(got) != 1 || got[0].Errno != pfkey.EBUSY {
			u.fail("%d messages to a dump that comes too soon", len(got))
		}
	case bad || want == 0:
		if len(got) != 1 && !c.promisc || bad && got[0].Errno != pfkey.EINVAL || !bad && got[0].Errno != pfkey.ENOENT {
			u.fail("%d messages to an empty or wrong dump", len(got))
		}
	case len(got) != want || got[want-1].Seq != 0:
		u.fail("%d messages, expected %d, the last with seq 0", len(got), want)
	default:
		for k, m := range got[:want-1] {
			if linux := c.dialect == pfkey.Linux; linux && m.Seq != uint32(k+1) || !linux && m.Seq != uint32(want-1-k) {
				u.fail("message %d of %d has seq %d", k, want, m.Seq)
			}
		}
	}
}

// table is the server's as the database has it.
func (u *duel) table() string {
	var lines []string
	for _, ref := range u.db.SAs(0, false) {
		i, ok := ref.Info()
		if !ok {
			continue
		}
		kind := map[natt.Mode]int{natt.NonESP: 2, natt.NonIKE: 1}[i.Encap]
		lines = append(lines, fmt.Sprintf("%d %#x %v>%v %v natt %d reqid %d", i.Proto, i.SPI, i.Src, i.Dst, pfkey.State(i.State), kind, i.Reqid))
	}
	for _, p := range u.db.SPDList() {
		src, dst := p.Local, p.Remote
		if p.Dir != sadb.Out {
			src, dst = dst, src
		}
		lines = append(lines, fmt.Sprintf("%v %v>%v id %d requests %d", pfkey.Dir(p.Dir), span(src), span(dst), p.ID, len(p.Templates)))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// span is the prefix of a selector.
func span(s sadb.Selector) netip.Prefix {
	for bits := 32; bits >= 0; bits-- {
		if p := netip.PrefixFrom(s.From, bits); p.Masked().Addr() == s.From && p.Contains(s.To) {
			return p
		}
	}
	return netip.Prefix{}
}
