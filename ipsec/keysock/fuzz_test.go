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
	switch {
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

// request is one of those that could mean something, with mistakes.
func (u *duel) request(d pfkey.Dialect) *pfkey.Message {
	t := [...]pfkey.Type{
		1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 7, 7, 8, 9, 11, 12, 13, 13, 14, 14, 14, 15, 15, 16, 17, 19, 20, 21, 22, 23,
	}[u.d.roll(35)]
	r := &pfkey.Message{Header: pfkey.Header{Type: t, Seq: uint32(u.d.roll(3)), PID: 4242}}
	r.SAType = [...]pfkey.SAType{3, 3, 3, 3, 2, 2, 9, 0, 5, 77}[u.d.roll(10)]
	switch {
	case t >= 13 && t <= 22:
		u.policy(r)
		return r
	case t == pfkey.TypeAcquire && u.d.one(2), t == pfkey.TypeExpire:
		r.SA = &pfkey.SA{SPI: 0x1001}
		return r
	case t == pfkey.TypeAcquire:
		r.Errno = pfkey.EINVAL
		return r
	case t == pfkey.TypeFlush || t == pfkey.TypePChange || t == pfkey.TypeNewMapping || t == pfkey.TypeRegister:
		return r
	case t == pfkey.TypePromisc:
		r.SAType = pfkey.SAType(u.d.roll(3))
		return r
	}
	u.sa(r, d)
	return r
}

func (u *duel) host() *pfkey.Address {
	return addr([...]string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}[u.d.roll(3)])
}

// sa fills in a request about an SA.
func (u *duel) sa(r *pfkey.Message, d pfkey.Dialect) {
	if !u.d.one(16) {
		r.Src = u.host()
	}
	if !u.d.one(16) {
		r.Dst = u.host()
	}
	if u.d.one(3) {
		r.SA2 = &pfkey.SA2{Mode: pfkey.Mode(u.d.roll(4)), Reqid: uint32(u.d.roll(3))}
	}
	if r.Type == pfkey.TypeGetSPI {
		if !u.d.one(4) {
			least := uint32([...]int{0x1001, 0x1002, 0x50, 0x20000, 0xffff}[u.d.roll(5)])
			r.SPIRange = &pfkey.SPIRange{Min: least, Max: least + uint32([...]int{0, 0, 0x30000}[u.d.roll(3)])}
		}
		return
	}
	if !u.d.one(16) {
		r.SA = &pfkey.SA{SPI: u.spi(), State: pfkey.StateMature}
	}
	if r.Type != pfkey.TypeAdd && r.Type != pfkey.TypeUpdate {
		return
	}
	if u.d.one(3) {
		r.LifetimeHard = &pfkey.Lifetime{AddTime: uint64(u.d.roll(2) * 5)}
		r.LifetimeSoft = &pfkey.Lifetime{AddTime: uint64(u.d.roll(2) * 2)}
		if u.d.one(8) {
			r.LifetimeSoft = nil
		}
	}
	if u.d.one(3) {
		r.NATType = ptr([...]uint8{2, 2, 2, 1, 3}[u.d.roll(5)])
		if !u.d.one(8) {
			r.NATSrcPort = ptr([...]uint16{4500, 4500, 1024, 0}[u.d.roll(4)])
		}
		r.NATDstPort = ptr(uint16(4500))
	}
	if d == pfkey.FreeBSD && r.Type == pfkey.TypeUpdate && u.d.one(3) {
		r.NewDst = u.host()
	}
	u.keys(r)
}

// spi is one that is there, or another.
func (u *duel) spi() uint32 {
	if n := len(u.m.sas); n > 0 && !u.d.one(3) {
		return u.m.sas[u.d.roll(n)].spi
	}
	return uint32([...]int{0x1001, 0x1002, 0x1003, 0x50, 0}[u.d.roll(5)])
}

func (u *duel) keys(r *pfkey.Message) {
	if r.Type == pfkey.TypeUpdate && u.d.one(3) || r.SA == nil {
		return
	}
	fill := byte(u.d.roll(2) * 100)
	switch r.SAType {
	case pfkey.SATypeIPComp:
		r.SA.Encrypt = [...]pfkey.EncryptAlg{2, 2, 3}[u.d.roll(3)]
		return
	case pfkey.SATypeAH:
		r.SA.Auth, r.KeyAuth = 3, key(20, fill)
	default:
		r.SA.Encrypt, r.KeyEncrypt = 12, key(16, fill)
		r.SA.Auth, r.KeyAuth = 3, key(20, fill)
		if u.d.one(4) {
			r.SA.Encrypt, r.KeyEncrypt, r.SA.Auth, r.KeyAuth = 20, key(20, fill), 0, nil
		}
	}
	switch u.d.roll(12) {
	case 0:
		r.SA.Auth = 99
	case 1:
		r.SA.Encrypt = 99
	case 2:
		r.KeyAuth = key(19, fill)
	case 3:
		r.KeyEncrypt = nil
	}
}

// policy fills in a request about a policy.
func (u *duel) policy(r *pfkey.Message) {
	if !u.d.one(4) {
		r.SAType = 0
	}
	prefix := func() *pfkey.Address {
		a := addr([...]string{"10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/24", "10.1.7.7/16"}[u.d.roll(4)])
		a.Proto = 255
		return a
	}
	if r.Type != pfkey.TypeSPDGet && r.Type != pfkey.TypeSPDDelete2 {
		if !u.d.one(12) {
			r.Src = prefix()
		}
		r.Dst = prefix()
	}
	if u.d.one(16) {
		return
	}
	r.Policy = &pfkey.Policy{Type: [...]pfkey.PolicyType{2, 2, 2, 0, 1}[u.d.roll(5)], Dir: pfkey.Dir(1 + u.d.roll(3)), ID: uint32(1 + u.d.roll(4))}
	if r.Policy.Type == pfkey.PolicyIPsec && (r.Type == pfkey.TypeSPDAdd || r.Type == pfkey.TypeSPDUpdate || r.Type == pfkey.TypeSPDSetIdx) {
		for range u.d.roll(3) {
			r.Policy.Requests = append(r.Policy.Requests, pfkey.Request{
				Proto: 50, Mode: pfkey.ModeTunnel, Level: pfkey.Level(u.d.roll(4)),
				Src: u.host().Sockaddr, Dst: u.host().Sockaddr,
			})
		}
	}
	if u.d.one(4) {
		r.LifetimeHard = &pfkey.Lifetime{AddTime: 5}
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
