// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// CREATE_CHILD_SA for a new child (RFC 7296, Section 1.3.1), and what it shares with the rekeying of one:
//
//	HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr} -->
//	                              <-- HDR, SK {SA, Nr, [KEr,] TSi, TSr}
//
// The peer is authenticated, and may be hostile: number and rate of its requests are limited, its selectors are narrowed
// to the configured ones, and its answers must lie in what was offered. Payloads that are not known here (CP in a rekey,
// as MikroTik sends it) are ignored.

package ikev2

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

const (
	// maxGroupRounds bounds the INVALID_KE_PAYLOAD answers that are followed in one exchange.
	maxGroupRounds = 3
	// temporaryPause and temporaryJitter are how long a TEMPORARY_FAILURE is waited for; the jitter keeps two peers from
	// meeting again.
	temporaryPause  = 3 * time.Second
	temporaryJitter = 5 * time.Second
	// temporaryLimit is how long TEMPORARY_FAILURE may go on before the IKE SA is taken to be out of step with the peer's
	// (RFC 7296, Section 2.25: several minutes).
	temporaryLimit = 5 * time.Minute
)

const (
	createTask = "create child"
	rekeyTask  = "rekey child"
	// maxUnborn bounds what is remembered of deletes that overtake a response.
	maxUnborn = 16
)

// attempt is one exchange of ours that makes a child.
type attempt struct {
	t         *task
	conf      *ike.ChildConfig
	old       *child // to be replaced; nil: a new child
	proposals []ike.ESPProposal
	group     suite.KE
	private   secret.Key
	public    []byte
	ni        []byte
	reserved  ike.Reserved
	local     []ike.Selector
	remote    []ike.Selector
	rounds    int
	cpi       uint16 // that we receive on, where compression is offered
}

// createChild asks for a further child.
func (sa *SA) createChild(conf *ike.ChildConfig, request uint64) {
	sa.enqueue(sa.childTask(conf, request))
}

func (sa *SA) childTask(conf *ike.ChildConfig, request uint64) *task {
	return &task{name: createTask, request: request, start: func(now time.Time, t *task) {
		a := &attempt{t: t, conf: conf, proposals: conf.Proposals}
		a.local, a.remote = sa.offerOf(conf)
		sa.askChild(now, a)
	}}
}

// askChild draws what the request needs: an SPI, and a key exchange value where the proposal has one.
func (sa *SA) askChild(now time.Time, a *attempt) {
	if why := sa.stale(a); why != "" {
		if a.old == nil && a.t.request == 0 { // nobody waits for the answer: a child that was to take another's place does not come
			sa.report(ike.Event{Kind: ike.EventFailed, Detail: "child " + a.conf.Name + ": " + why})
		}
		sa.end(a.t, why)
		return
	}
	if len(a.local) == 0 || len(a.remote) == 0 {
		why := "child " + a.conf.Name + ": no traffic selectors: `dynamic` needs a virtual address (vips), which there is none of"
		if a.conf.Mode == ike.ModeTransport {
			why = "child " + a.conf.Name + ": no traffic selectors: in transport mode local_ts and remote_ts must hold the two hosts' own addresses"
		}
		sa.end(a.t, why)
		return
	}
	a.cpi = sa.offerCPI(a.conf)
	a.ni = sa.random(nonceLen)
	a.group = firstGroup(a.proposals)
	q := sa.reservation(a.conf)
	q.Initiated = true
	if a.old != nil {
		q.Reqid = a.old.sa.Reqid
	}
	sa.ask(q, func(now time.Time, ans ike.Answer) {
		r, ok := ans.(ike.Reserved)
		if !ok {
			_, detail := refusal(ans, 0)
			sa.failChild(now, a, 0, "no SPI: "+detail)
			return
		}
		a.reserved = r
		sa.reserve(r.SPI)
		sa.askChildKE(now, a)
	})
}

// stale says why an attempt has lost its reason; empty: it has not.
func (sa *SA) stale(a *attempt) string {
	switch {
	case sa.state != established:
		return "the IKE SA is being deleted"
	case a.old == nil && len(sa.children) >= maxChildren:
		return fmt.Sprintf("the IKE SA has %d children already", maxChildren)
	case a.old == nil && a.conf.Mode == ike.ModeTransport && sa.strayed(nil) != "":
		return sa.strayed(nil)
	case a.old == nil:
		return sa.cannot(a.conf)
	case a.old.gone || a.old.deleting:
		return "the child SA is gone"
	case a.old.replaced || a.old.serving:
		return "the peer has rekeyed it meanwhile"
	}
	return ""
}

func (sa *SA) askChildKE(now time.Time, a *attempt) {
	if a.group == suite.KENone {
		sa.sendChild(now, a)
		return
	}
	a.private.Wipe()
	a.private = sa.privateFor(a.group)
	sa.ask(ike.KeyExchange{Group: a.group, Private: a.private}, func(now time.Time, ans ike.Answer) {
		k, ok := ans.(ike.KeyExchanged)
		if !ok {
			_, detail := refusal(ans, 0)
			sa.failChild(now, a, 0, "key exchange: "+detail)
			return
		}
		a.public = k.Public
		sa.sendChild(now, a)
	})
}

// sendChild sends the request. Meanwhile the peer may have done the same, or taken the child away.
func (sa *SA) sendChild(now time.Time, a *attempt) {
	if why := sa.stale(a); why != "" {
		sa.unreserve(a.reserved.SPI)
		sa.end(a.t, why)
		return
	}
	var payloads []ikev2msg.Payload
	if a.old != nil {
		payloads = append(payloads, &ikev2msg.Notify{Protocol: protocolOf(a.old.sa.AH), Notify: ikev2msg.RekeySA,
			SPI: binary.BigEndian.AppendUint32(nil, a.old.sa.SPIIn)})
		a.old.ours = a
	}
	payloads = append(payloads, childNotifies(a.conf.Mode, a.cpi)...)
	payloads = append(payloads, proposeESP(a.proposals, a.reserved.SPI, true), &ikev2msg.Nonce{Data: a.ni})
	if a.group != suite.KENone {
		payloads = append(payloads, &ikev2msg.KE{Group: uint16(a.group), Data: a.public})
	}
	payloads = append(payloads, toWire(true, a.local), toWire(false, a.remote))
	r := sa.request(now, sa.cur, ikev2msg.CreateChildSA, a.t.name, payloads, func(now time.Time, o opened) { sa.finishChild(now, a, o) })
	r.task, r.kind = a.t, kindChild
	r.lost = func(now time.Time) {
		sa.failChild(now, a, 0, "the IKE SA was replaced while the peer was asked to "+a.t.name)
	}
}

// finishChild takes the response.
func (sa *SA) finishChild(now time.Time, a *attempt, o opened) {
	if n := errorNotify(o.payloads); n != nil {
		sa.childRefused(now, a, n)
		return
	}
	sa.temporarySince = time.Time{}
	c, ke, err := sa.readChild(a, o)
	if err == nil && sa.state != established {
		err = fmt.Errorf("the IKE SA is being deleted")
	}
	if err != nil {
		sa.childBroken(now, a, err.Error())
		return
	}
	prf, skD := o.g.suite.PRF, o.g.keys.skD.Clone()
	sa.askShared(now, a.group, a.private, ke, func(now time.Time, shared secret.Key, err error) {
		defer skD.Wipe()
		if err != nil {
			sa.childBroken(now, a, err.Error())
			return
		}
		k := deriveChild(prf, skD, c.sa.Suite, shared, c.ni, c.nr)
		shared.Wipe()
		a.private.Wipe()
		sa.installOurs(now, a, c, k)
	})
}

// installOurs installs what the response agreed to.
func (sa *SA) installOurs(now time.Time, a *attempt, c *child, k childKeys) {
	if a.old != nil {
		if !a.old.gone {
			c.sa.Replaces = a.old.sa.SPIIn
		}
		// Of two crossing rekeys the redundant one is not sent on.
		c.sa.Standby = a.old.theirs != nil && !a.old.theirs.gone && sa.redundant(a.old, c)
	}
	sa.install(c, k, true, func(now time.Time, failed ike.Answer) {
		if failed != nil {
			_, detail := refusal(failed, 0)
			sa.childBroken(now, a, "the data plane: "+detail)
			return
		}
		if a.old == nil {
			sa.childUp(c, false)
			sa.endWith(a.t, c.sa.ChildID, "")
			return
		}
		sa.succeed(now, a, c)
	})
}

// readChild verifies the response and makes the child of it; ke is the peer's key exchange value.
func (sa *SA) readChild(a *attempt, o opened) (c *child, ke []byte, err error) {
	answer, err1 := only[*ikev2msg.SA](o.payloads, "SA")
	nonce, err2 := only[*ikev2msg.Nonce](o.payloads, "Nr")
	if err := firstError(err1, err2); err != nil {
		return nil, nil, err
	}
	s, p, err := acceptESP(answer, a.proposals, true)
	if err != nil {
		return nil, nil, err
	}
	if s.KE != suite.KENone {
		k, err := only[*ikev2msg.KE](o.payloads, "KE")
		if err != nil {
			return nil, nil, err
		}
		if suite.KE(k.Group) != s.KE || s.KE != a.group {
			return nil, nil, fmt.Errorf("KE of %s where %s was sent", suite.KE(k.Group), a.group)
		}
		ke = k.Data
	}
	a.group = s.KE
	c, err = sa.agreedChild(a, o, s, p)
	if err != nil {
		return nil, nil, err
	}
	c.ni, c.nr = a.ni, nonce.Data
	return c, ke, nil
}

// agreedChild is the child of a verified proposal and of the selectors in a response to us.
func (sa *SA) agreedChild(a *attempt, o opened, s suite.ESP, p ikev2msg.Proposal) (*child, error) {
	tsi, tsr, err := selectorsOf(o.payloads)
	if err != nil {
		return nil, err
	}
	r := a.reserved
	c := &child{conf: a.conf, proposals: keep(s), sa: ike.ChildSA{ChildID: r.ChildID, Reqid: r.Reqid, SPIIn: r.SPI, Suite: s,
		AH: a.conf.AH(), TSLocal: fromWire(tsi), TSRemote: fromWire(tsr)}}
	// RFC 7296, Section 2.23.1: the addresses are substituted before the selectors are used for anything.
	if err := sa.takeKind(a, o, c); err != nil {
		return nil, err
	}
	if !subset(c.sa.TSLocal, a.local) || !subset(c.sa.TSRemote, a.remote) {
		return nil, fmt.Errorf("traffic selectors: the answer goes beyond what was offered")
	}
	if a.old == nil && a.conf.Mode != ike.ModeTransport {
		// While the virtual address was not known yet, any address was offered in its place.
		c.sa.TSLocal = narrow(c.sa.TSLocal, resolve(a.conf.LocalTS, sa.localAddrs()))
	}
	if len(c.sa.TSLocal) == 0 {
		return nil, fmt.Errorf("traffic selectors: the answer has none for this host's own address")
	}
	spi := binary.BigEndian.Uint32(p.SPI)
	if slices.Contains(sa.unborn, spi) {
		return nil, fmt.Errorf("the peer has deleted it already")
	}
	if !sa.peerSPI(c.sa.AH, spi) {
		return nil, fmt.Errorf("SPI %08x is reserved or in use", spi)
	}
	c.sa.SPIOut = spi
	return c, nil
}

// childRefused: the response is a notify.
func (sa *SA) childRefused(now time.Time, a *attempt, n *ikev2msg.Notify) {
	if n.Notify == ikev2msg.InvalidKEPayload && len(n.Data) == 2 {
		group := suite.KE(binary.BigEndian.Uint16(n.Data))
		a.rounds++
		if group != a.group && a.rounds <= maxGroupRounds && offersGroup(a.proposals, group) {
			a.group = group
			if a.old != nil {
				a.old.ours = nil
			}
			a.ni = sa.random(nonceLen)
			sa.report(ike.Event{Kind: ike.EventRetry, Detail: "the responder asks for key exchange " + group.String()})
			sa.askChildKE(now, a)
			return
		}
	}
	detail := "the peer refused to " + a.t.name + ": " + n.Notify.String()
	if n.Notify == ikev2msg.NoProposalChosen {
		detail += "; offered " + describe(proposeESP(a.proposals, 0, true))
	}
	sa.failChild(now, a, n.Notify, detail)
}

// childBroken: the peer believes in a child that this host does not have: it is deleted (RFC 7296, Section 1.4.1).
func (sa *SA) childBroken(now time.Time, a *attempt, detail string) {
	spi := a.reserved.SPI
	sa.failChild(now, a, 0, "child "+a.conf.Name+": "+detail)
	sa.deleteSPI(a.conf.AH(), spi)
}

// failChild ends an attempt without a child.
func (sa *SA) failChild(now time.Time, a *attempt, kind ikev2msg.NotifyType, detail string) {
	a.private.Wipe()
	sa.unreserve(a.reserved.SPI)
	a.reserved.SPI = 0
	sa.report(ike.Event{Kind: ike.EventFailed, Notify: uint16(kind), Detail: detail})
	if a.old != nil {
		sa.rekeyFailed(now, a, kind)
	}
	if kind == ikev2msg.TemporaryFailure && sa.state == established && (a.old == nil || sa.stale(a) == "") {
		if sa.outOfStep(now) {
			sa.end(a.t, detail)
			sa.closeGently(now, ike.CloseNegotiation, "the peer has answered TEMPORARY_FAILURE for too long", 0)
			return
		}
		sa.postpone(a.t, now.Add(temporaryPause+sa.jitter(temporaryJitter)))
		return
	}
	sa.end(a.t, detail)
}

// outOfStep notes a TEMPORARY_FAILURE and reports whether there have been none but these for too long.
func (sa *SA) outOfStep(now time.Time) bool {
	if sa.temporarySince.IsZero() || now.Sub(sa.temporaryLast) > temporaryLimit {
		sa.temporarySince = now
	}
	sa.temporaryLast = now
	return now.Sub(sa.temporarySince) > temporaryLimit
}

// askShared gets the shared secret of a key exchange, or none where there is no group.
func (sa *SA) askShared(now time.Time, group suite.KE, private secret.Key, peer []byte,
	then func(now time.Time, shared secret.Key, err error)) {
	if group == suite.KENone {
		then(now, secret.Key{}, nil)
		return
	}
	sa.ask(ike.KeyExchange{Group: group, Private: private, Peer: peer}, func(now time.Time, ans ike.Answer) {
		k, ok := ans.(ike.KeyExchanged)
		if !ok {
			_, detail := refusal(ans, 0)
			then(now, secret.Key{}, fmt.Errorf("key exchange: %s", detail))
			return
		}
		then(now, k.Shared, nil)
	})
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// selectorsOf are the two selector payloads of a message.
func selectorsOf(payloads []ikev2msg.Payload) (tsi, tsr *ikev2msg.TS, err error) {
	for _, p := range payloads {
		ts, ok := p.(*ikev2msg.TS)
		switch {
		case ok && ts.Initiator && tsi == nil:
			tsi = ts
		case ok && !ts.Initiator && tsr == nil:
			tsr = ts
		case ok:
			return nil, nil, fmt.Errorf("TSi, TSr: more than one of each")
		}
	}
	if tsi == nil || tsr == nil {
		return nil, nil, fmt.Errorf("TSi, TSr: missing")
	}
	return tsi, tsr, nil
}
