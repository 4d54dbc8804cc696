// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// RFC 7296, Section 2.25: what becomes of a request of the peer while an exchange of ours is under way, as one table, and
// Section 2.8.1: which of two crossing rekeys is redundant. All of it is about authentic messages of a peer that may
// still be hostile: whatever it asks for, at most one successor of each SA is kept.

package ikev2

import "bytes"

// exchangeKind is what an outstanding request of ours does.
type exchangeKind uint8

const (
	kindOther exchangeKind = iota // liveness
	kindChild                     // creates, rekeys or deletes a child
	kindRekeyIKE
	kindDeleteIKE
)

// doing is what this host is about, as far as it matters to a request.
type doing uint8

const (
	doingNothing   doing = iota
	doingChild           // an exchange about another child is outstanding
	rekeyingChild        // our rekey of this very child is outstanding
	closingChild         // this very child is being deleted, or has been replaced
	missingChild         // there is no such child
	unbornChild          // there is none, but the response to a request of ours that makes one may be under way
	rekeyingIKE          // our rekey of this IKE SA is outstanding
	closingIKE           // the IKE SA is being deleted
	replacedIKE          // this IKE SA has a successor
	crossedAlready       // the peer has made a successor that crosses ours
	doingKinds
)

// wanted is what the peer asks for.
type wanted uint8

const (
	wantChild wanted = iota
	wantRekeyChild
	wantDeleteChild
	wantRekeyIKE
	wantDeleteIKE
	wantKinds
)

// reaction is what becomes of the request.
type reaction uint8

const (
	serve       reaction = iota
	serveCross           // as usual, and the nonces decide later which of the two is redundant
	serveEmpty           // answered without a Delete payload
	serveForget          // as usual, and our own attempt is forgotten
	temporary            // TEMPORARY_FAILURE
	notFound             // CHILD_SA_NOT_FOUND
)

// collide is the table of RFC 7296, Sections 2.25.1 and 2.25.2.
func collide(d doing, w wanted) reaction {
	return [doingKinds][wantKinds]reaction{
		//              create     rekey child  delete child  rekey IKE   delete IKE
		doingNothing:  {serve, serve, serve, serve, serve},
		doingChild:    {serve, serve, serve, temporary, serve},
		rekeyingChild: {serve, serveCross, serve, temporary, serve},
		closingChild:  {serve, temporary, serveEmpty, temporary, serve},
		missingChild:  {serve, notFound, serveEmpty, serve, serve},
		unbornChild:   {serve, temporary, serveEmpty, temporary, serve},
		rekeyingIKE:   {temporary, temporary, serve, serveCross, serveForget},
		closingIKE:    {temporary, temporary, serve, temporary, serveForget},
		replacedIKE:   {temporary, temporary, serve, temporary, serve},
		// Reached by rekeys only: a second one would leave the first successor to nobody.
		crossedAlready: {temporary, temporary, serve, temporary, serve},
	}[d][w]
}

// doing says what this host is about when the peer asks something of generation g and, where it is about one, child c.
func (sa *SA) doing(g *generation, w wanted, c *child) doing {
	switch {
	case sa.state == deleting:
		return closingIKE
	case g.replaced:
		return replacedIKE
	case w == wantRekeyIKE && g.theirs.latest() != nil, w == wantRekeyChild && c != nil && c.theirs != nil && !c.theirs.gone:
		return crossedAlready
	case g.rekeying != nil:
		return rekeyingIKE
	case (w == wantRekeyChild || w == wantDeleteChild) && c == nil && sa.makesChild():
		return unbornChild
	case (w == wantRekeyChild || w == wantDeleteChild) && c == nil:
		return missingChild
	case w == wantRekeyChild && (c.deleting || c.replaced), w == wantDeleteChild && c.deleteSent:
		return closingChild
	case w == wantRekeyChild && c.ours != nil, w == wantDeleteChild && c.ours != nil:
		return rekeyingChild
	case g.pending != nil && g.pending.kind == kindChild:
		return doingChild
	}
	return doingNothing
}

// makesChild reports whether a request of ours for a child is outstanding: the peer may have the child already.
func (sa *SA) makesChild() bool {
	return sa.running != nil && (sa.running.name == createTask || sa.running.name == rekeyTask)
}

// lower reports whether the exchange with the nonces ai and ar has the lowest of the four, and is therefore the redundant
// one (RFC 7296, Section 2.8.1: octet by octet; where one ends, it is the lower).
func lower(ai, ar, bi, br []byte) bool { return bytes.Compare(least(ai, ar), least(bi, br)) < 0 }

func least(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}
