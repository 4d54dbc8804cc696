// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What happens to a datagram: header, window, open, dispatch. Until open it is attacker controlled and changes nothing but
// counters; IKE_SA_INIT, which nobody can authenticate at that point, has its own entry.

package ikev2

import (
	"errors"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

func (sa *SA) receive(now time.Time, d ike.Datagram) {
	m, err := ikev2msg.Parse(d.Bytes)
	if err != nil {
		sa.receiveUnparsed(now, d, err)
		return
	}
	if m.Major != 2 {
		sa.dropped(ike.DropVersion, "header: version %d.%d, expected 2", m.Major, m.Minor)
		return
	}
	if ikev2msg.Exchange(m.Exchange) == ikev2msg.IKESAInit {
		sa.receiveInit(now, m, d)
		return
	}
	g := sa.generationOf(m)
	if g == nil {
		sa.dropped(ike.DropSPI, "SPIs %016x %016x are not of this IKE SA", m.SPIi, m.SPIr)
		return
	}
	if m.Initiator() == g.initiator {
		sa.dropped(ike.DropExchange, "the initiator flag is our own")
		return
	}
	if m.Response() {
		sa.receiveResponse(now, g, m, d)
	} else {
		sa.receiveRequest(now, g, m, d)
	}
}

// receiveUnparsed: a message whose outer chain is not well formed. An unknown critical payload outside of encryption
// cannot be authentic, so nothing is answered (RFC 7296, Section 2.5 asks for an answer only inside an SA).
func (sa *SA) receiveUnparsed(_ time.Time, _ ike.Datagram, err error) {
	sa.dropped(ike.DropSyntax, "%v", err)
}

// generationOf finds the generation that both SPIs name.
func (sa *SA) generationOf(m *ikev2msg.Message) *generation {
	for _, g := range sa.gens {
		if g.spiI == m.SPIi && g.spiR == m.SPIr && !g.keys.skD.IsZero() {
			return g
		}
	}
	return nil
}

// receiveResponse takes a response only to the one outstanding request (RFC 7296, Section 2.2).
func (sa *SA) receiveResponse(now time.Time, g *generation, m *ikev2msg.Message, d ike.Datagram) {
	r := g.pending
	if r == nil || r.id != m.MessageID || r.exchange != ikev2msg.Exchange(m.Exchange) || r.exchange == ikev2msg.IKESAInit {
		sa.dropped(ike.DropMessageID, "%s %d: a response nobody waits for", ikev2msg.Exchange(m.Exchange), m.MessageID)
		return
	}
	o, err := sa.open(now, g, m, d)
	if err != nil {
		sa.openFailed(err)
		return
	}
	sa.accepted(now, o)
	g.pending = nil
	if o.bad != nil {
		// RFC 7296, Section 2.21.4: a response is never answered. It has no payloads then, and the exchange fails.
		sa.report(ike.Event{Kind: ike.EventFailed, Notify: uint16(ikev2msg.InvalidSyntax), Detail: "the response: " + o.bad.Error()})
	}
	r.finish(now, o)
	if n := notifyOf(o.payloads, ikev2msg.InvalidSyntax); n != nil && sa.state == established && !g.replaced {
		// RFC 7296, Section 2.21.3: the peer takes the IKE SA to be gone.
		sa.closeGently(now, ike.CloseNegotiation, "the peer could not read our request (INVALID_SYNTAX)", 0)
	}
}

// receiveRequest takes the next request, and answers the last one again.
func (sa *SA) receiveRequest(now time.Time, g *generation, m *ikev2msg.Message, d ike.Datagram) {
	switch id := m.MessageID; {
	case id+1 == g.peerID && g.peerID > 0:
		sa.repeatResponse(now, g, m, d)
		return
	case id != g.peerID:
		sa.dropped(ike.DropMessageID, "request %d, expected %d", id, g.peerID)
		return
	case g.parked:
		sa.dropped(ike.DropState, "request %d while %d is being worked on", id, g.peerID-1)
		return
	case sa.state < established && (sa.initiator || ikev2msg.Exchange(m.Exchange) != ikev2msg.IKEAuth):
		// A responder may believe that the IKE SA is up before its IKE_AUTH response is here: it will ask again. To a
		// responder nobody is authenticated yet (RFC 7296, Section 1.2). The message ID is not used up.
		sa.dropped(ike.DropState, "%s before the IKE SA is established", ikev2msg.Exchange(m.Exchange))
		return
	case sa.state == deleting && sa.peerID.IsZero():
		// The responder was rejected: it has proved nothing, and nothing is done for it.
		sa.dropped(ike.DropState, "%s of a peer that was rejected", ikev2msg.Exchange(m.Exchange))
		return
	case id >= lastMessageID:
		sa.closeNow(now, ike.CloseMessageIDs, "the peer has used up its message IDs")
		return
	}
	o, err := sa.open(now, g, m, d)
	if err != nil {
		sa.openFailed(err)
		return
	}
	sa.accepted(now, o)
	g.peerID++
	g.response = nil
	g.inReq = nil
	sa.repeats = budget{} // of one request: somebody who delivers copies first must not use up what the next one may need
	sa.serve(now, o)
}

// repeatResponse: the same octets again, once a retransmission: for a fragmented request at its first fragment
// (RFC 7383, Section 2.6.1). A request that is still being worked on is absorbed. Only an authentic repetition is answered:
// who merely knows the SPIs cannot have responses sent to where it likes.
func (sa *SA) repeatResponse(now time.Time, g *generation, m *ikev2msg.Message, d ike.Datagram) {
	if g.response == nil {
		return
	}
	if e, ok := find[*ikev2msg.Encrypted](m.Payloads); ok && e.Total > 0 && e.Number != 1 {
		return
	}
	if _, _, err := decrypt(g, m, d.Bytes); err != nil {
		sa.openFailed(err)
		return
	}
	if sa.mayRepeat(now) {
		sa.sendBy(now, d.Path, g.response, g.summary, true)
	}
}

// Responses are repeated to where the repetition came from, which a copy of an authentic request can claim to be anywhere.
// repeatLimit at once is more than anybody's retransmissions of one request; repeatRate a second is for those that go on
// for minutes (RFC 7296, Section 2.4: at least a dozen times).
const (
	repeatLimit = 16
	repeatRate  = 0.2
)

// mayRepeat reports whether one more response is repeated.
func (sa *SA) mayRepeat(now time.Time) bool {
	if sa.repeats.take(now, repeatLimit, repeatRate) {
		return true
	}
	sa.dropped(ike.DropRate, "the same request too many times")
	return false
}

func (sa *SA) openFailed(err error) {
	switch {
	case errors.Is(err, errIncomplete):
	case errors.Is(err, suite.ErrICV), errors.Is(err, errPadding), errors.Is(err, errNotEncrypted):
		sa.dropped(ike.DropIntegrity, "%v", err)
	default:
		sa.dropped(ike.DropFragment, "%v", err)
	}
}

// accepted is for every authentic message that is new: a request, or the response to an outstanding one. Only these may
// move the peer's endpoint (RFC 7296, Section 2.23).
func (sa *SA) accepted(now time.Time, o opened) {
	sa.lastAuthentic = now
	sa.report(ike.Event{Kind: ike.EventMessage, Summary: o.summary(), Size: o.size})
	sa.follow(now, o.path)
}

// serve dispatches the peer's request.
func (sa *SA) serve(now time.Time, o opened) {
	if o.bad != nil {
		sa.refuseSyntax(now, o)
		return
	}
	switch {
	case sa.state < established:
		sa.serveAuth(now, o)
	case o.exchange() == ikev2msg.Informational:
		sa.serveInformational(now, o)
	case o.exchange() == ikev2msg.CreateChildSA:
		sa.serveCreateChild(now, o)
	default:
		sa.refuse(now, o, ikev2msg.InvalidSyntax, o.exchange().String()+" is not expected here")
	}
}

// refuse answers a request with one notify; the machine is otherwise unchanged.
func (sa *SA) refuse(now time.Time, o opened, kind ikev2msg.NotifyType, detail string) {
	sa.refuseWith(now, o, &ikev2msg.Notify{Notify: kind}, detail)
}

func (sa *SA) refuseWith(now time.Time, o opened, n *ikev2msg.Notify, detail string) {
	sa.report(ike.Event{Kind: ike.EventRefused, Notify: uint16(n.Notify), Detail: detail})
	sa.respond(now, o.g, o.exchange(), o.path, []ikev2msg.Payload{n})
}

// refuseSyntax: RFC 7296, Sections 2.5 and 2.21.2. Before authentication it is the end.
//
// Deviation: afterwards the IKE SA stays, which Section 2.21.3 would have deleted without a word on both sides. A peer that
// takes it to be gone is found dead by liveness; one that does not (charon) keeps its tunnel.
func (sa *SA) refuseSyntax(now time.Time, o opened) {
	n := &ikev2msg.Notify{Notify: ikev2msg.InvalidSyntax}
	var critical *ikev2msg.CriticalError
	if errors.As(o.bad, &critical) {
		n = &ikev2msg.Notify{Notify: ikev2msg.UnsupportedCriticalPayload, Data: []byte{byte(critical.Type)}}
	}
	sa.refuseWith(now, o, n, o.bad.Error())
	if sa.state == authenticating {
		sa.closeNow(now, ike.CloseNegotiation, "the peer's IKE_AUTH: "+o.bad.Error())
	}
}
