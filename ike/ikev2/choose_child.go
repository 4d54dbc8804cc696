// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// How a responder chooses the configured child that an offer is answered with (RFC 7296, Sections 2.7, 2.9 and 2.23.1).
// Selectors, proposals and notifies are an authenticated peer's and may be hostile; what comes out never goes beyond the
// configuration.

package ikev2

import (
	"encoding/binary"
	"slices"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// choice is what the search for a child goes by, and what it has found so far.
type choice struct {
	w      *offerOfChild
	offer  *ikev2msg.SA
	withKE bool
	group  suite.KE // of the peer's KE payload
	// peers and ours are the selectors as the peer sent them; hosts are the same for transport mode, nil where it is not
	// asked for or cannot be.
	peers, ours []ike.Selector
	hosts       *hosts
	whole       bool // the one that was found covers all that is wanted
	best        *refused
}

// chooseChild finds the first configured child whose selectors meet the offered ones and whose proposals have one in
// common with the offer; one that covers all that is wanted goes before one that narrows it. Where transport mode is asked
// for, a child of that mode goes before all others, and otherwise the answer is tunnel mode (RFC 7296, Section 1.3.1).
func (sa *SA) chooseChild(w *offerOfChild, confs []*ike.ChildConfig, offer *ikev2msg.SA, payloads []ikev2msg.Payload, withKE bool) *refused {
	tsi, tsr, err := selectorsOf(payloads)
	if err != nil {
		return &refused{kind: ikev2msg.InvalidSyntax, detail: err.Error()}
	}
	k := &choice{w: w, offer: offer, withKE: withKE, peers: fromWire(tsi), ours: fromWire(tsr)}
	if ke, ok := find[*ikev2msg.KE](payloads); ok {
		k.group, w.ke = suite.KE(ke.Group), ke.Data
	}
	k.best = &refused{kind: ikev2msg.TSUnacceptable, detail: "no configured child has the selectors " + show(k.peers) + " === " + show(k.ours)}
	if notifyOf(payloads, ikev2msg.UseTransportMode) != nil {
		if why := sa.strayed(w.old); withKE && why != "" { // in IKE_AUTH it is where its NAT has floated it to
			k.best.detail = why
		} else {
			k.hosts = sa.hostsOf(k.ours, k.peers)
		}
	}
	for _, mode := range []ike.Mode{ike.ModeTransport, ike.ModeTunnel} {
		for _, conf := range confs {
			if conf.Mode == mode {
				sa.consider(k, conf)
			}
		}
		if w.conf != nil {
			break
		}
	}
	switch {
	case w.conf == nil:
		return k.best
	case !sa.peerSPI(w.conf.AH(), binary.BigEndian.Uint32(w.proposal.SPI)):
		return &refused{kind: ikev2msg.InvalidSyntax, detail: badSPI}
	case w.suite.KE != suite.KENone && w.suite.KE != k.group:
		return &refused{kind: ikev2msg.InvalidKEPayload, data: binary.BigEndian.AppendUint16(nil, uint16(w.suite.KE)),
			detail: "KE of " + k.group.String() + ", asked for " + w.suite.KE.String()}
	}
	if w.conf.IPComp {
		if w.cpiOut = peerCPI(payloads); w.cpiOut != 0 {
			w.cpiIn = sa.newCPI()
		}
	}
	return nil
}

// consider takes a configured child if it fits, and better than the one before.
func (sa *SA) consider(k *choice, conf *ike.ChildConfig) {
	w := k.w
	peers, ours := k.peers, k.ours
	confRemote, confLocal := resolve(conf.RemoteTS, sa.remoteAddrs()), resolve(conf.LocalTS, sa.localAddrs())
	if conf.Mode == ike.ModeTransport {
		confRemote, confLocal = atHost(conf.RemoteTS, sa.hostRemote()), atHost(conf.LocalTS, sa.hostLocal())
		if k.hosts != nil {
			peers, ours = k.hosts.remote, k.hosts.local
		}
		if w.old != nil && sa.strayed(nil) != "" { // a rekey gets no more of where the peer is not any more
			confRemote, confLocal = narrow(w.old.sa.TSRemote, confRemote), narrow(w.old.sa.TSLocal, confLocal)
		}
	}
	remote, local := narrow(peers, confRemote), narrow(ours, confLocal)
	if len(remote) == 0 || len(local) == 0 {
		return
	}
	refuse := func(detail string) {
		if w.conf == nil {
			k.best = &refused{kind: ikev2msg.NoProposalChosen, detail: detail}
		}
	}
	if conf.Mode == ike.ModeTransport && k.hosts == nil {
		refuse("child " + conf.Name + " is for transport mode, and the peer asks for tunnel mode, or for more than two hosts")
		return
	}
	if why := sa.cannot(conf); why != "" {
		refuse(why)
		return
	}
	accept := conf.Proposals
	if w.old != nil {
		accept = append(slices.Clone(w.old.proposals), accept...)
	}
	s, p, err := chooseESP(k.offer, accept, k.withKE, k.group)
	if err != nil {
		refuse("no common " + protocolOf(conf.AH()).String() + " proposal for child " + conf.Name + ": offered " +
			describe(k.offer) + ", configured " + describe(proposeESP(accept, 0, k.withKE)))
		return
	}
	all := subset(peers, remote) && subset(ours, local)
	if w.conf != nil && (k.whole || !all) {
		return
	}
	w.conf, w.suite, w.proposal, w.local, w.remote, k.whole = conf, s, p, local, remote, all
	w.hosts = nil
	if conf.Mode == ike.ModeTransport {
		w.hosts = k.hosts
	}
	w.proposals = keep(s)
	if !k.withKE {
		w.proposals = keepFirst(conf.Proposals, s)
	}
}

// firstGroup is the group whose value goes with an offer.
func firstGroup(list []ike.ESPProposal) suite.KE {
	for _, g := range list[0].KEs {
		if g != suite.KENone {
			return g
		}
	}
	return suite.KENone
}

func offersGroup(list []ike.ESPProposal, group suite.KE) bool {
	return group != suite.KENone && slices.ContainsFunc(list, func(p ike.ESPProposal) bool { return slices.Contains(p.KEs, group) })
}

// protocolOf is the protocol of a child.
func protocolOf(ah bool) ikev2msg.Protocol {
	if ah {
		return ikev2msg.ProtoAH
	}
	return ikev2msg.ProtoESP
}

// proposalsOption is the name of the option that has a child's proposals.
func proposalsOption(c *ike.ChildConfig) string {
	if c.AH() {
		return "ah_proposals"
	}
	return "esp_proposals"
}
