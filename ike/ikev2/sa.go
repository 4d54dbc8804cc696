// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The machine: its state, and the methods of ike.Machine. Everything that arrives by Receive is attacker controlled until
// open has made an `opened` of it.

package ikev2

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// state is where the machine stands.
type state uint8

const (
	halfOpen       state = iota // IKE_SA_INIT under way
	authenticating              // keys exist, the peer is not proved
	established
	deleting // a delete of the IKE SA is outstanding, or waits for the window
	dead
)

func (s state) String() string {
	switch s {
	case halfOpen, authenticating:
		return "CONNECTING"
	case established:
		return "ESTABLISHED"
	case deleting:
		return "DELETING"
	}
	return "DESTROYING"
}

const (
	// nonceLen is the length of our nonces in octets: at least half the key of the largest PRF (RFC 7296, Section 2.10).
	nonceLen = 32
)

// vendorID names us to ourselves, so that ESP dummies may stand in for keepalives: a peer of another kind might count
// them as traffic.
const vendorID = "natterjack 1"

// SA is one IKE SA with its successors. It implements ike.Machine.
type SA struct {
	env       ike.Env
	conn      *ike.Connection // nil: a responder that has not chosen yet
	initiator bool            // this host began the first IKE SA: it is the client of NAT rules (RFC 7296, Section 2.23)
	state     state

	path      ike.Path
	startPath ike.Path // where a negotiation begins
	nattPath  ike.Path // where an initiator floats to
	natLocal  bool     // this host is behind a NAT
	natPeer   bool
	natFake   bool // encap = yes made the peer see a NAT

	cur  *generation   // new exchanges of ours go here
	gens []*generation // all that still receive, cur among them
	init *initExchange // IKE_SA_INIT and IKE_AUTH until established

	localID, peerID ike.ID
	peerIsOurs      bool
	fragments       bool // this host has announced that it takes them
	peerFragments   bool
	peerHashes      []uint16

	children  []*child
	lingering []lingering
	removing  []*child     // their removal has been asked for and is to be reported
	reserved  []uint32     // SPIs that are reserved and not installed
	vips      []netip.Addr // assigned to us
	dns       []netip.Addr
	leased    []netip.Addr // assigned to the peer

	tasks   []*task
	running *task    // the one that has begun: it asks, is outstanding, or finishes
	unborn  []uint32 // SPIs that the peer deleted before its response with them was here
	tokens  ike.Token
	waiting map[ike.Token]wait
	creates budget // of the peer
	rekeys  budget
	repeats budget

	closing       ike.CloseReason // while deleting
	closingDetail string
	waiters       []uint64 // commands that wait for the end

	bornAt, establishedAt         time.Time
	halfOpenUntil                 time.Time
	rekeyAt, expireAt             time.Time // of the IKE SA
	confirmAt                     time.Time
	trafficAt                     time.Time // next look at use times: keepalive and liveness
	lastSent, lastAuthentic       time.Time // IKE messages; ESP has its own times in the data plane
	lastKeepalive, lastProbe      time.Time
	temporarySince, temporaryLast time.Time // TEMPORARY_FAILURE of the peer

	acts []ike.Action // of the method that is running
}

// wait is a question whose answer is outstanding. Removals go on when the machine ends; all else is withdrawn.
type wait struct {
	resume  func(now time.Time, a ike.Answer)
	removal bool
}

var _ ike.Machine = (*SA)(nil)

// NewInitiator makes the machine of a connection that this host begins. natt is the path that is floated to when a NAT is
// found; it equals path when the negotiation starts there.
func NewInitiator(env ike.Env, conn *ike.Connection, path, natt ike.Path) *SA {
	sa := newSA(env, path)
	sa.initiator, sa.conn, sa.nattPath = true, conn, natt
	return sa
}

// NewResponder makes the machine that answers a first message that the mux has vetted. The message goes to Receive.
func NewResponder(env ike.Env, path ike.Path) *SA {
	sa := newSA(env, path)
	sa.nattPath = path
	return sa
}

func newSA(env ike.Env, path ike.Path) *SA {
	return &SA{env: env, path: path, startPath: path, waiting: map[ike.Token]wait{}, init: &initExchange{}}
}

// take returns the actions of the running method.
func (sa *SA) take(now time.Time) []ike.Action {
	if sa.state != dead {
		sa.pump(now)
	}
	acts := sa.acts
	sa.acts = nil
	return acts
}

func (sa *SA) act(a ike.Action) { sa.acts = append(sa.acts, a) }

// Receive implements ike.Machine.
func (sa *SA) Receive(now time.Time, d ike.Datagram) []ike.Action {
	if sa.state != dead {
		sa.receive(now, d)
	}
	return sa.take(now)
}

// Answer implements ike.Machine.
func (sa *SA) Answer(now time.Time, t ike.Token, a ike.Answer) []ike.Action {
	w, ok := sa.waiting[t]
	if !ok || sa.state == dead {
		return nil
	}
	delete(sa.waiting, t)
	w.resume(now, a)
	return sa.take(now)
}

// Do implements ike.Machine.
func (sa *SA) Do(now time.Time, c ike.Command) []ike.Action {
	if sa.state == dead {
		return nil
	}
	switch c := c.(type) {
	case ike.Initiate:
		sa.doInitiate(now, c)
	case ike.Terminate:
		sa.doTerminate(now, c)
	case ike.Rekey:
		sa.doRekey(now, c)
	case ike.CheckLiveness:
		sa.checkLiveness(now)
	}
	return sa.take(now)
}

// Notice implements ike.Machine.
func (sa *SA) Notice(now time.Time, n ike.Notice) []ike.Action {
	if sa.state == dead {
		return nil
	}
	switch n := n.(type) {
	case ike.Expire:
		sa.expired(now, n)
	case ike.NewMapping:
		sa.espMoved(now, n)
	case ike.AddressChanged:
		sa.addressChanged(now, n)
	case ike.FirstUse:
		if c := sa.childByIn(n.SPIIn); c != nil {
			c.standby = false // the data plane has begun to send on it by itself
		}
	case ike.Woke:
		sa.urgent(now, "this host slept")
	case ike.Unreachable:
		sa.unreachable(now, n)
	case ike.Lost:
		sa.closeNow(now, ike.CloseLost, "the data plane restarted")
	case ike.Acquire:
		// Policies that wait for traffic (start_action = trap) are not built: every policy has its SAs.
	}
	return sa.take(now)
}

// ask puts a question; resume gets its answer unless the machine is closed before.
func (sa *SA) ask(q ike.Question, resume func(now time.Time, a ike.Answer)) ike.Token {
	sa.tokens++
	t := sa.tokens
	_, removal := q.(ike.Remove)
	sa.waiting[t] = wait{resume, removal}
	sa.act(ike.Ask{Token: t, Question: q})
	return t
}

// forget asks what has an answer that changes nothing (Remove).
func (sa *SA) forget(q ike.Question) { sa.ask(q, func(time.Time, ike.Answer) {}) }

// random fills n octets from the machine's source. A source that fails has no safe continuation: the SA is closed by the
// caller's guard, which drops a machine that panics.
func (sa *SA) random(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(sa.env.Rand, b); err != nil {
		panic(fmt.Errorf("random numbers: %w", err))
	}
	return b
}

// jitter is a random duration below d.
func (sa *SA) jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(binary.BigEndian.Uint64(sa.random(8)) % uint64(d))
}

// report fills in what every event has.
func (sa *SA) report(ev ike.Event) {
	ev.Unique, ev.Initiator, ev.Path = sa.env.Unique, sa.initiator, sa.path
	if sa.conn != nil {
		ev.Connection = sa.conn.Name
	}
	if sa.cur != nil && ev.SPIi == 0 {
		ev.SPIi, ev.SPIr = sa.cur.spiI, sa.cur.spiR
	}
	sa.act(ike.Report{Event: ev})
}

func (sa *SA) dropped(why ike.DropReason, format string, args ...any) {
	sa.report(ike.Event{Kind: ike.EventDropped, Drop: why, Detail: fmt.Sprintf(format, args...)})
}

// done tells the operator that a command ended; err is empty when it did what it should.
func (sa *SA) done(request uint64, childID uint64, err string) {
	if request != 0 {
		sa.report(ike.Event{Kind: ike.EventCommandDone, Request: request, ChildID: childID, Err: err})
	}
}

// spiBytes is an IKE SPI as octets.
func spiBytes(spi uint64) []byte { return binary.BigEndian.AppendUint64(nil, spi) }

// find returns the first payload of a Go type.
func find[T ikev2msg.Payload](payloads []ikev2msg.Payload) (T, bool) {
	for _, p := range payloads {
		if t, ok := p.(T); ok {
			return t, true
		}
	}
	var zero T
	return zero, false
}

// only is find for payloads that may occur once: a second one is an error.
func only[T ikev2msg.Payload](payloads []ikev2msg.Payload, name string) (T, error) {
	var found T
	n := 0
	for _, p := range payloads {
		if t, ok := p.(T); ok {
			found = t
			n++
		}
	}
	if n != 1 {
		return found, fmt.Errorf("%s: %d payloads, expected 1", name, n)
	}
	return found, nil
}

// notifyOf returns the first notify of a type.
func notifyOf(payloads []ikev2msg.Payload, kind ikev2msg.NotifyType) *ikev2msg.Notify {
	for _, p := range payloads {
		if n, ok := p.(*ikev2msg.Notify); ok && n.Notify == kind {
			return n
		}
	}
	return nil
}

// errorNotify returns the first notify that is an error.
func errorNotify(payloads []ikev2msg.Payload) *ikev2msg.Notify {
	for _, p := range payloads {
		if n, ok := p.(*ikev2msg.Notify); ok && n.Notify.Error() {
			return n
		}
	}
	return nil
}

// refusal makes the notify of a failed answer.
func refusal(a ike.Answer, otherwise ikev2msg.NotifyType) (ikev2msg.NotifyType, string) {
	f, ok := a.(ike.Failed)
	if !ok {
		return otherwise, "an answer of the wrong kind"
	}
	detail := "no reason given"
	if f.Err != nil {
		detail = f.Err.Error()
	}
	switch f.Refusal {
	case ike.RefusalTemporary:
		return ikev2msg.TemporaryFailure, detail
	case ike.RefusalSelectors:
		return ikev2msg.TSUnacceptable, detail
	case ike.RefusalNoAddress:
		return ikev2msg.InternalAddressFailure, detail
	case ike.RefusalAuthentication:
		return ikev2msg.AuthenticationFailed, detail
	case ike.RefusalLimit:
		return ikev2msg.NoAdditionalSAs, detail
	}
	return otherwise, detail
}

// privateFor draws a private value.
func (sa *SA) privateFor(group interface {
	NewPrivate(io.Reader) (secret.Key, error)
}) secret.Key {
	k, err := group.NewPrivate(sa.env.Rand)
	if err != nil {
		panic(err) // see random
	}
	return k
}
