// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// One host: its machines, its mux, and the executor of what machines want.

package simnet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/ikev2"
	"github.com/natterjack/natterjack/ike/mux"
	"github.com/natterjack/natterjack/ike/pool"
	"github.com/natterjack/natterjack/wire/isakmp"
	"github.com/natterjack/natterjack/wire/natt"
)

// Host is one simulated host.
type Host struct {
	Name  string
	Addrs []netip.Addr
	// Env is the template of what machines are given.
	Env ike.Env
	// Conns are what it is configured with as responder.
	Conns []*ike.Connection
	PSK   secret.Key
	Pools *pool.Set
	Mux   *mux.Mux
	// FailReserve and FailInstall are how many of the next questions fail.
	FailReserve, FailInstall int
	// Slow holds back the answers of questions whose type it names ("KeyExchange") until Release.
	Slow string
	// Verbose has drops and refusals said too.
	Verbose bool

	// Counts of what happened.
	Delivered, Keepalives, Dropped, Panics int
	// Admits are the questions that the registry of identities was asked.
	Admits []ike.Admit
	// Events are all reports of machines, oldest first.
	Events []ike.Event

	world    *World
	kernel   *kernel
	machines []*machine
	unique   uint64
	spi      uint64
	requests uint64
	held     []func()
}

// machine is one IKE machine of a host.
type machine struct {
	host   *Host
	m      ike.Machine
	unique uint64
	spis   map[uint64]bool
	asks   map[ike.Token]bool
	closed bool
}

// Host adds a host to the world. seed makes its randomness.
func (w *World) Host(name, addr string, seed byte) *Host {
	n := byte(len(w.Hosts) + 1)
	rnd := rand.NewChaCha8([32]byte{seed, n})
	h := &Host{Name: name, Addrs: []netip.Addr{addrOf(addr)}, world: w, Pools: pool.New(), spi: uint64(n+9) << 60}
	h.kernel = newKernel(h, uint32(n+9)<<28)
	h.Mux = mux.New(rnd, mux.DefaultLimits())
	h.PSK = secret.New([]byte("a shared secret"))
	h.Env = ike.Env{
		Rand: rnd, KeepaliveInterval: 20 * time.Second, HalfOpenTimeout: 30 * time.Second, FragmentSize: 1280,
		Retransmit: ike.Retransmit{Initial: 4 * time.Second, Base: 1.8, Tries: 5},
	}
	h.Env.NewSPI = func() uint64 { h.spi++; return h.spi }
	w.Hosts = append(w.Hosts, h)
	return h
}

func (h *Host) say(format string, args ...any) {
	h.world.say("%s: %s", h.Name, fmt.Sprintf(format, args...))
}

// Path is from port 500 of this host, and NATT from 4500, to another address.
func (h *Host) Path(to netip.Addr) (path, float ike.Path) {
	at := func(port uint16, m natt.Mode) ike.Path {
		return ike.Path{Local: netip.AddrPortFrom(h.Addrs[0], port), Remote: netip.AddrPortFrom(to, port), Encap: m}
	}
	return at(500, natt.Raw), at(4500, natt.NonESP)
}

// add takes a machine over.
func (h *Host) add(m ike.Machine) *machine {
	x := &machine{host: h, m: m, unique: h.unique, spis: map[uint64]bool{}, asks: map[ike.Token]bool{}}
	h.machines = append(h.machines, x)
	return x
}

func (h *Host) env() ike.Env {
	h.unique++
	e := h.Env
	e.Unique = h.unique
	return e
}

// Initiate begins an IKE SA with a child; the number is that of the new machine.
func (h *Host) Initiate(c *ike.Connection, to netip.Addr) uint64 {
	path, float := h.Path(to)
	x := h.add(ikev2.NewInitiator(h.env(), c, path, float))
	var child *ike.ChildConfig
	if len(c.Children) > 0 {
		child = c.Children[0]
	}
	h.requests++
	x.do(ike.Initiate{Request: h.requests, Child: child})
	return x.unique
}

// Do gives the newest machine an order and returns the request's number.
func (h *Host) Do(c ike.Command) { h.each(func(x *machine) { x.do(c) }) }

// Notice tells the newest machine something.
func (h *Host) Notice(n ike.Notice) { h.each(func(x *machine) { x.notice(n) }) }

func (h *Host) each(f func(x *machine)) {
	if len(h.machines) > 0 {
		f(h.machines[len(h.machines)-1])
	}
}

// NextRequest numbers a command.
func (h *Host) NextRequest() uint64 { h.requests++; return h.requests }

// Status is that of all machines, oldest first.
func (h *Host) Status() []ike.Status {
	list := make([]ike.Status, len(h.machines))
	for i, x := range h.machines {
		list[i] = x.m.Status(h.world.Now)
	}
	return list
}

// Claims is the number of IKE SPIs that machines have claimed.
func (h *Host) Claims() int {
	n := 0
	for _, x := range h.machines {
		n += len(x.spis)
	}
	return n
}

func (h *Host) byUnique(unique uint64) *machine {
	for _, x := range h.machines {
		if x.unique == unique {
			return x
		}
	}
	return nil
}

func (h *Host) deadline() time.Time {
	var first time.Time
	consider := func(at time.Time) {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, x := range h.machines {
		consider(x.m.Deadline())
	}
	consider(h.Mux.Deadline())
	return first
}

func (h *Host) tick() {
	now := h.world.Now
	h.Mux.Tick(now)
	for _, x := range slices.Clone(h.machines) {
		if at := x.m.Deadline(); !x.closed && !at.IsZero() && !at.After(now) {
			x.perform(x.m.Tick(now))
			if again := x.m.Deadline(); !x.closed && !again.IsZero() && !again.After(at) {
				panic(fmt.Sprintf("simnet: %s: Tick at %s left the deadline at %s", h.Name, now, again))
			}
		}
	}
}

// receive takes a packet that reached the host.
func (h *Host) receive(p *Packet) {
	now := h.world.Now
	switch {
	case p.Keepalive:
		h.Keepalives++
	case p.ESP != nil:
		h.kernel.open(now, p)
	default:
		h.receiveIKE(now, p)
	}
}

func (h *Host) receiveIKE(now time.Time, p *Packet) {
	mode := natt.Raw
	if p.To.Port() != 500 {
		mode = natt.NonESP
	}
	d := ike.Datagram{Path: ike.Path{Local: p.To, Remote: p.From, Encap: mode}, Bytes: slices.Clone(p.IKE)}
	if hdr, err := isakmp.ParseHeader(d.Bytes); err == nil {
		if spi := mux.LocalSPI(hdr); spi != 0 {
			for _, x := range h.machines {
				if x.spis[spi] {
					x.perform(x.m.Receive(now, d))
					return
				}
			}
		}
	}
	switch dec := h.Mux.First(now, d); dec.Verdict {
	case mux.Drop:
		h.drop(dec.Drop, dec.Detail)
	case mux.Reply:
		what := "an unprotected answer"
		if n := len(dec.Reply); n > 40 {
			what = "COOKIE"
		}
		h.world.say("%s -> %s %s", h.Name, h.world.nameOf(p.From), what)
		h.world.send(&Packet{From: p.To, To: p.From, IKE: dec.Reply, What: what, by: h})
	case mux.Deliver:
		if x := h.byUnique(dec.Unique); x != nil {
			x.perform(x.m.Receive(now, d))
		}
	case mux.Accept:
		x := h.add(ikev2.NewResponder(h.env(), d.Path))
		h.Mux.Accepted(d, x.unique)
		x.perform(x.m.Receive(now, d))
	}
}

func (h *Host) drop(why ike.DropReason, detail string) {
	h.Dropped++
	if h.Verbose {
		h.say("drops (%d): %s", why, detail)
	}
}

func (w *World) nameOf(a netip.AddrPort) string {
	for _, h := range w.Hosts {
		if slices.Contains(h.Addrs, a.Addr()) {
			return h.Name
		}
	}
	return a.String()
}

func (x *machine) do(c ike.Command)    { x.perform(x.m.Do(x.host.world.Now, c)) }
func (x *machine) notice(n ike.Notice) { x.perform(x.m.Notice(x.host.world.Now, n)) }

// perform executes actions in order. Questions are answered after the list, as the daemon does it.
func (x *machine) perform(actions []ike.Action) {
	h := x.host
	var later []func()
	for i, a := range actions {
		switch a := a.(type) {
		case ike.Send:
			h.world.send(&Packet{From: a.Path.Local, To: a.Path.Remote, IKE: a.Bytes, What: summaryAfter(actions[i:]), by: h})
		case ike.Keepalive:
			h.world.send(&Packet{From: a.Path.Local, To: a.Path.Remote, Keepalive: true, What: "keepalive", by: h})
		case ike.Probe:
			for _, sa := range h.kernel.sas {
				if sa.SPIOut == a.SPIOut {
					h.kernel.seal(h.world.Now, sa, true)
					break
				}
			}
		case ike.Ask:
			x.asks[a.Token] = true
			later = append(later, func() { x.answer(a) })
		case ike.Cancel:
			delete(x.asks, a.Token)
		case ike.Claim:
			x.spis[a.SPI] = true
		case ike.Release:
			delete(x.spis, a.SPI)
		case ike.Unlease:
			h.Pools.Release(a.Pools, a.Identity, a.Addrs)
		case ike.Report:
			h.Mux.Observe(x.unique, a.Event.Kind)
			h.report(a.Event)
		case ike.Close:
			h.Mux.Closed(x.unique)
			x.closed = true
			h.machines = slices.DeleteFunc(h.machines, func(o *machine) bool { return o == x })
		}
	}
	for _, f := range later {
		f()
	}
}

// answer answers a question now, or when the test wants it. A question that was withdrawn is not begun, but for a removal.
func (x *machine) answer(a ike.Ask) {
	h := x.host
	name := strings.TrimPrefix(fmt.Sprintf("%T", a.Question), "ike.")
	_, removal := a.Question.(ike.Remove)
	give := func() {
		if !x.asks[a.Token] && !removal {
			return
		}
		delete(x.asks, a.Token)
		if ans := h.answer(a.Question); !x.closed {
			x.perform(x.m.Answer(h.world.Now, a.Token, ans))
		}
	}
	if h.Slow == name {
		h.held = append(h.held, give)
		return
	}
	give()
}

// Release gives the answers that Slow held back, oldest first.
func (h *Host) Release() {
	held := h.held
	h.held, h.Slow = nil, ""
	for _, f := range held {
		f()
	}
}

// answer is what the shell of this host knows.
func (h *Host) answer(q ike.Question) ike.Answer {
	switch q := q.(type) {
	case ike.KeyExchange:
		return keyExchange(q.Group, q.Private, q.Peer)
	case ike.FindPSK:
		if h.PSK.Len() == 0 {
			return ike.Failed{Refusal: ike.RefusalAuthentication, Err: fmt.Errorf("no shared key for %s", q.Remote)}
		}
		return ike.PSK{Key: h.PSK.Clone()}
	case ike.CertRequests:
		return ike.CertAuthorities{}
	case ike.FindConnections:
		return ike.Connections{List: h.Conns}
	case ike.Lease:
		l, err := h.Pools.Lease(q.Pools, q.Identity, q.Wanted)
		if err != nil {
			return ike.Failed{Refusal: ike.RefusalNoAddress, Err: err}
		}
		return l
	case ike.Admit:
		h.Admits = append(h.Admits, q)
		return ike.Admitted{}
	case ike.Sign, ike.Verify:
		return ike.Failed{Refusal: ike.RefusalAuthentication, Err: fmt.Errorf("this host has no certificates")}
	}
	return h.kernel.ask(h.world.Now, q)
}

func keyExchange(group suite.KE, private secret.Key, peer []byte) ike.Answer {
	public, err := group.Public(private)
	if err != nil {
		return ike.Failed{Err: err}
	}
	if peer == nil {
		return ike.KeyExchanged{Public: public}
	}
	shared, err := group.Shared(private, peer)
	if err != nil {
		return ike.Failed{Err: err}
	}
	return ike.KeyExchanged{Public: public, Shared: shared}
}

// summaryAfter finds what the transcript calls a message: the report that follows its datagrams.
func summaryAfter(actions []ike.Action) string {
	for _, a := range actions {
		if r, ok := a.(ike.Report); ok && r.Event.Kind == ike.EventMessage && r.Event.Sent {
			return r.Event.Summary
		}
	}
	return "?"
}
