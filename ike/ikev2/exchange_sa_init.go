// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// IKE_SA_INIT (RFC 7296, Section 1.2), with COOKIE (2.6), INVALID_KE_PAYLOAD (1.2) and NAT detection (2.23):
//
//	HDR, [N(COOKIE)], SAi1, KEi, Ni, N(NAT_DETECTION_*) -->
//	                        <-- HDR, SAr1, KEr, Nr, N(NAT_DETECTION_*), [CERTREQ]
//
// Nothing here is authenticated; AUTH covers both messages later. A malformed response is dropped and not taken for the
// peer's last word, so that a forged one cannot end the negotiation; an error notify is (RFC 7296, Section 2.21.1).

package ikev2

import (
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// maxInitRounds bounds cookies and key exchange methods asked for in one negotiation.
const maxInitRounds = 5

// initExchange is what is known until the IKE SA is established.
type initExchange struct {
	child   *ike.ChildConfig // initiator: to be negotiated in IKE_AUTH; nil: none
	request uint64           // the command that waits
	tries   int              // negotiations begun, for keyingtries

	group     suite.KE
	private   secret.Key
	public    []byte
	cookie    []byte
	rounds    int
	candidate []*ike.Connection // responder
	number    uint8             // of the chosen proposal

	initMessage, respMessage []byte
	certReq                  []byte   // the peer's, hashes; nil: none
	askCerts                 []byte   // ours, sent in IKE_AUTH
	certs                    [][]byte // the peer's

	first *attempt // initiator: the child of IKE_AUTH
}

// doInitiate begins the IKE SA, or a further child on an established one.
func (sa *SA) doInitiate(now time.Time, c ike.Initiate) {
	if c.Child != nil && c.Child.Mode.Shunt() {
		sa.done(c.Request, 0, "child "+c.Child.Name+" is a policy without SAs: there is nothing to negotiate")
		return
	}
	if sa.state == halfOpen && sa.cur == nil && sa.initiator {
		sa.bornAt = now
		sa.init.child, sa.init.request = c.Child, c.Request
		sa.askInit(now)
		return
	}
	if sa.state != established && sa.state != authenticating && sa.state != halfOpen {
		sa.done(c.Request, 0, "the IKE SA is being deleted")
		return
	}
	if c.Child == nil {
		sa.done(c.Request, 0, "")
		return
	}
	sa.createChild(c.Child, c.Request)
}

// askInit draws the key exchange value and begins.
func (sa *SA) askInit(now time.Time) {
	in := sa.init
	in.tries++
	in.rounds, in.cookie = 0, nil
	g := sa.newGeneration(now, true, sa.env.NewSPI(), 0)
	g.ni = sa.random(nonceLen)
	sa.cur = g
	sa.askInitKE(now, sa.conn.Proposals[0].KEs[0])
}

func (sa *SA) askInitKE(_ time.Time, group suite.KE) {
	in := sa.init
	in.group = group
	in.private = sa.privateFor(group)
	sa.ask(ike.KeyExchange{Group: group, Private: in.private}, func(now time.Time, a ike.Answer) {
		k, ok := a.(ike.KeyExchanged)
		if !ok {
			_, detail := refusal(a, 0)
			sa.closeNow(now, ike.CloseInternal, "key exchange: "+detail)
			return
		}
		in.public = k.Public
		sa.sendInit(now)
	})
}

// sendInit sends the request, with a cookie when there is one: first, and everything else the same (RFC 7296, Section 2.6).
func (sa *SA) sendInit(now time.Time) {
	g, in := sa.cur, sa.init
	var payloads []ikev2msg.Payload
	if in.cookie != nil {
		payloads = append(payloads, &ikev2msg.Notify{Notify: ikev2msg.Cookie, Data: in.cookie})
	}
	payloads = append(payloads, proposeIKE(sa.conn.Proposals, nil),
		&ikev2msg.KE{Group: uint16(in.group), Data: in.public}, &ikev2msg.Nonce{Data: g.ni})
	payloads = append(payloads, natNotifies(g.spiI, 0, sa.path, sa.forcesEncap())...)
	payloads = append(payloads, sa.initExtras()...)
	m := &ikev2msg.Message{Header: g.header(ikev2msg.IKESAInit, 0, false), Payloads: payloads}
	in.initMessage = m.Append(nil)
	sa.transmit(now, g, m, [][]byte{in.initMessage}, "IKE_SA_INIT", nil)
}

// initExtras are what both sides announce. A responder announces only what the initiator did: strangers learn no more of
// it, and get less in return for a datagram that anybody can have sent.
func (sa *SA) initExtras() []ikev2msg.Payload {
	var list []ikev2msg.Payload
	if sa.fragments = sa.wantsFragments() && (sa.initiator || sa.peerFragments); sa.fragments {
		list = append(list, &ikev2msg.Notify{Notify: ikev2msg.IKEv2FragmentationSupport})
	}
	if sa.initiator || sa.peerHashes != nil {
		var hashes []byte
		for _, h := range hashAlgorithms() {
			hashes = binary.BigEndian.AppendUint16(hashes, h)
		}
		list = append(list, &ikev2msg.Notify{Notify: ikev2msg.SignatureHashAlgorithms, Data: hashes})
	}
	if sa.initiator || sa.peerIsOurs {
		list = append(list, &ikev2msg.Vendor{Data: []byte(vendorID)})
	}
	return list
}

// wantsFragments reports whether fragments are received: a responder does not know its connection yet, and takes them where
// any that may be meant does.
func (sa *SA) wantsFragments() bool {
	list := sa.init.candidate
	if sa.conn != nil {
		list = []*ike.Connection{sa.conn}
	}
	return slices.ContainsFunc(list, func(c *ike.Connection) bool { return c.Fragmentation != ike.FragmentationNo })
}

// readExtras notes what the peer announced.
func (sa *SA) readExtras(payloads []ikev2msg.Payload) {
	sa.peerFragments = notifyOf(payloads, ikev2msg.IKEv2FragmentationSupport) != nil
	if n := notifyOf(payloads, ikev2msg.SignatureHashAlgorithms); n != nil {
		sa.peerHashes = []uint16{}
		for i := 0; i+1 < len(n.Data) && len(sa.peerHashes) < 16; i += 2 {
			sa.peerHashes = append(sa.peerHashes, binary.BigEndian.Uint16(n.Data[i:]))
		}
	}
	for _, p := range payloads {
		if v, ok := p.(*ikev2msg.Vendor); ok && string(v.Data) == vendorID {
			sa.peerIsOurs = true
		}
	}
}

// receiveInit takes a message of IKE_SA_INIT in either role.
func (sa *SA) receiveInit(now time.Time, m *ikev2msg.Message, d ike.Datagram) {
	switch {
	case sa.initiator && m.Response() && !m.Initiator():
		sa.finishInit(now, m, d)
	case !sa.initiator && !m.Response() && m.Initiator():
		sa.serveInit(now, m, d)
	default:
		sa.dropped(ike.DropExchange, "IKE_SA_INIT with flags %02x", m.Flags)
	}
}

// finishInit takes the response as initiator.
func (sa *SA) finishInit(now time.Time, m *ikev2msg.Message, d ike.Datagram) {
	g := sa.cur
	if g == nil || sa.state != halfOpen || g.pending == nil || m.SPIi != g.spiI || m.MessageID != 0 {
		sa.dropped(ike.DropMessageID, "an IKE_SA_INIT response nobody waits for")
		return
	}
	if n := notifyOf(m.Payloads, ikev2msg.Cookie); n != nil && m.SPIr == 0 {
		sa.retryCookie(now, n)
		return
	}
	if n := errorNotify(m.Payloads); n != nil {
		sa.initRefused(now, n)
		return
	}
	answer, err1 := only[*ikev2msg.SA](m.Payloads, "SA")
	ke, err2 := only[*ikev2msg.KE](m.Payloads, "KE")
	nonce, err3 := only[*ikev2msg.Nonce](m.Payloads, "Nr")
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			sa.dropped(ike.DropSyntax, "IKE_SA_INIT response: %v", err)
			return
		}
	}
	s, _, err := acceptIKE(answer, sa.conn.Proposals)
	if err != nil || suite.KE(ke.Group) != s.KE || s.KE != sa.init.group || m.SPIr == 0 {
		sa.dropped(ike.DropSyntax, "IKE_SA_INIT response: %s with KE of %s does not answer our offer", describe(answer), suite.KE(ke.Group))
		return
	}
	sa.report(ike.Event{Kind: ike.EventMessage, Summary: m.Summary(), Size: len(d.Bytes)})
	g.pending = nil
	g.spiR, g.suite, g.nr = m.SPIr, s, nonce.Data
	sa.init.respMessage = d.Bytes
	sa.readExtras(m.Payloads)
	sa.init.certReq = authoritiesOf(m.Payloads)
	sa.detectNAT(m, d.Path)
	sa.natFake = sa.forcesEncap()
	sa.ask(ike.KeyExchange{Group: s.KE, Private: sa.init.private, Peer: ke.Data}, func(now time.Time, a ike.Answer) {
		k, ok := a.(ike.KeyExchanged)
		if !ok {
			_, detail := refusal(a, 0)
			sa.closeNow(now, ike.CloseNegotiation, "KEr: "+detail)
			return
		}
		sa.init.private.Wipe()
		g.keys = deriveKeys(s, k.Shared, g.ni, g.nr, g.spiI, g.spiR)
		k.Shared.Wipe()
		sa.reportKeys(g)
		sa.state = authenticating
		sa.float()
		sa.askAuth(now)
	})
}

// retryCookie sends the same request again with the cookie (RFC 7296, Section 2.6).
func (sa *SA) retryCookie(now time.Time, n *ikev2msg.Notify) {
	if len(n.Data) < 1 || len(n.Data) > 64 {
		sa.dropped(ike.DropSyntax, "COOKIE of %d octets, expected 1 to 64", len(n.Data))
		return
	}
	if !sa.anotherRound(now, "the responder asks for a cookie") {
		return
	}
	sa.init.cookie = slices.Clone(n.Data)
	sa.sendInit(now)
}

// anotherRound counts retries of IKE_SA_INIT.
func (sa *SA) anotherRound(now time.Time, why string) bool {
	if sa.init.rounds++; sa.init.rounds > maxInitRounds {
		sa.closeNow(now, ike.CloseNegotiation, "the responder asked for another IKE_SA_INIT "+strconv.Itoa(maxInitRounds)+" times")
		return false
	}
	sa.cur.pending, sa.cur.nextID = nil, 0
	sa.report(ike.Event{Kind: ike.EventRetry, Detail: why})
	return true
}

// initRefused: the responder's error notify.
func (sa *SA) initRefused(now time.Time, n *ikev2msg.Notify) {
	if n.Notify == ikev2msg.InvalidKEPayload && len(n.Data) == 2 {
		group := suite.KE(binary.BigEndian.Uint16(n.Data))
		ok := slices.ContainsFunc(sa.conn.Proposals, func(p ike.IKEProposal) bool { return slices.Contains(p.KEs, group) })
		if !ok || group == sa.init.group {
			sa.dropped(ike.DropSyntax, "INVALID_KE_PAYLOAD asks for %s, which was not offered or is what was sent", group)
			return
		}
		if sa.anotherRound(now, "the responder asks for key exchange "+group.String()) {
			sa.askInitKE(now, group)
		}
		return
	}
	ev := ike.Event{Kind: ike.EventFailed, Notify: uint16(n.Notify), Detail: "the responder refused IKE_SA_INIT: " + n.Notify.String()}
	why := ike.CloseNegotiation
	if n.Notify == ikev2msg.NoProposalChosen {
		why = ike.CloseNoProposal
		ev.Offered = describe(proposeIKE(sa.conn.Proposals, nil))
		ev.Detail = "no common IKE proposal: the responder accepts none of what was offered; set `proposals` to what it has"
	}
	sa.report(ev)
	sa.closeNow(now, why, ev.Detail)
}

// retryOrClose begins the negotiation anew while keyingtries allows it.
func (sa *SA) retryOrClose(now time.Time, why ike.CloseReason, detail string) {
	if sa.conn.KeyingTries != 0 && sa.init.tries >= sa.conn.KeyingTries {
		sa.closeNow(now, why, detail)
		return
	}
	sa.report(ike.Event{Kind: ike.EventRetry, Detail: detail})
	if a := sa.init.first; a != nil {
		sa.unreserve(a.reserved.SPI)
		sa.init.first = nil
	}
	sa.dropGeneration(now, sa.cur)
	sa.state, sa.path = halfOpen, sa.startPath
	sa.peerIsOurs, sa.peerFragments, sa.peerHashes = false, false, nil
	sa.askInit(now)
}

func (sa *SA) reportKeys(g *generation) {
	if !sa.env.KeyLog {
		return
	}
	sa.report(ike.Event{Kind: ike.EventKeys, SPIi: g.spiI, SPIr: g.spiR, Keys: &ike.Keys{IKE: g.suite,
		SKei: g.keys.skEi.Clone(), SKer: g.keys.skEr.Clone(), SKai: g.keys.skAi.Clone(), SKar: g.keys.skAr.Clone()}})
}

func ports(a, b ike.Path) string {
	text := strconv.Itoa(int(a.Remote.Port()))
	if a.Remote.Port() != b.Remote.Port() {
		text += " and " + strconv.Itoa(int(b.Remote.Port()))
	}
	return text
}
