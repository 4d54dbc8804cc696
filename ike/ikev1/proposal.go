// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The choice of a phase 1 (RFC 2409, Section 5; RFC 2408, Section 4.2): one proposal of ISAKMP with transforms, the initiator's
// preferred first, of which the responder returns one. The offer is attacker controlled, and covered by HASH_I and HASH_R
// once both sides are authentic; the answer is not covered at all, so that what was chosen must be one of what was offered.
// The work is bounded by ikev1msg.MaxOffer.

package ikev1

import (
	"errors"
	"fmt"
	"strings"

	"github.com/natterjack/natterjack/wire/ikev1msg"
)

const (
	// maxDescribed is how many transforms a message to a person names, and maxDescription how many octets of them there are: with the
	// sentence around it less than 1 KiB.
	maxDescribed, maxDescription = 8, 896

	// oldKeyLen is what AES-CBC without a Key Length attribute is.
	//
	// Deviation: RFC 3602, Section 5.3, has the attribute always; early drafts of it had 128 bits without, and peers are left that do so.
	// Of the other modes of AES it stays refused.
	oldKeyLen = 128

	// minSeconds and minKilobytes are the shortest lifetime that a peer's word makes of ours: the answer of phase 1 is covered by no
	// hash, and who is on the path would have us negotiate without end; an authentic peer would too.
	minSeconds, minKilobytes = 60, 1024
)

var errTooMany = fmt.Errorf("more than %d transforms in a proposal or %d in an offer, write fewer algorithms", ikev1msg.MaxTransforms, ikev1msg.MaxOffer)

// proposePhase1 is the initiator's SA payload. The order is that of list: gateways exist that look at the first transform alone
// (AVM's group).
func proposePhase1(list []Suite, life ikev1msg.Lifetime) (*ikev1msg.SA, error) {
	if len(list) == 0 {
		return nil, errors.New("no suite to offer")
	}
	if len(list) > ikev1msg.MaxTransforms {
		return nil, errTooMany
	}
	p := ikev1msg.Proposal{Number: 1, Protocol: ikev1msg.ProtoISAKMP}
	for i, s := range list {
		t, ok := s.transform(life)
		if !ok {
			return nil, fmt.Errorf("%s with %s: not for a phase 1", s, s.Auth)
		}
		p.Transforms = append(p.Transforms, ikev1msg.Transform{Number: uint8(i + 1), ID: ikev1msg.KeyIKE, Attributes: t.Attributes()})
	}
	return &ikev1msg.SA{Proposals: []ikev1msg.Proposal{p}}, nil
}

// chosenPhase1 is a responder's choice. answer is its SA payload: the transform as it came, attribute for attribute (RFC 2409,
// Section 5). life is what the initiator said.
type chosenPhase1 struct {
	suite  Suite
	life   ikev1msg.Lifetime
	answer *ikev1msg.SA
}

// choosePhase1 chooses for a responder the first of conf that is offered. ke is the length of the initiator's public value in
// aggressive mode, whose group cannot be negotiated any more, and 0 in main mode.
func choosePhase1(offer *ikev1msg.SA, conf []Suite, ke int) (chosenPhase1, error) {
	offered := map[Suite]chosenPhase1{}
	for _, p := range offer.Proposals {
		if p.Protocol != ikev1msg.ProtoISAKMP {
			continue
		}
		for _, t := range p.Transforms {
			s, life, err := readPhase1(t)
			if _, known := offered[s]; err != nil || known || ke != 0 && s.KE.PublicLen() != ke {
				continue
			}
			one := p
			one.Transforms = []ikev1msg.Transform{t}
			offered[s] = chosenPhase1{s, life, &ikev1msg.SA{Proposals: []ikev1msg.Proposal{one}}}
		}
	}
	for _, s := range conf {
		if c, ok := offered[s]; ok {
			return c, nil
		}
	}
	return chosenPhase1{}, fmt.Errorf("none of the offered transforms is configured: %s", describePhase1(offer))
}

// acceptPhase1 verifies the responder's answer: one proposal with one transform, of a suite that was offered. The lifetime is the
// shorter of ours and what the answer says.
//
// Deviation: numbers and the form of attributes may differ from the offer (RFC 2409, Section 5, would have them unchanged):
// gateways write them anew. What they say may not.
func acceptPhase1(answer *ikev1msg.SA, offered []Suite, ours ikev1msg.Lifetime) (Suite, ikev1msg.Lifetime, error) {
	p, t, err := onlyTransform(answer)
	if err != nil {
		return Suite{}, ours, err
	}
	s, theirs, err := readPhase1(t)
	if err != nil {
		return Suite{}, ours, fmt.Errorf("answer: %w", err)
	}
	if p.Protocol == ikev1msg.ProtoISAKMP {
		for _, o := range offered {
			if o == s {
				return s, shorter(ours, theirs), nil
			}
		}
	}
	return Suite{}, ours, fmt.Errorf("the answer %s was not offered", describePhase1(answer))
}

func readPhase1(t ikev1msg.Transform) (Suite, ikev1msg.Lifetime, error) {
	p, err := t.Phase1()
	if err != nil {
		return Suite{}, p.Life, err
	}
	if p.Encr == ikev1msg.EncrAES && p.KeyLen == 0 { // absent: what says 0 did not come through Phase1
		p.KeyLen = oldKeyLen
	}
	s, err := suiteOf(p)
	return s, p.Life, err
}

// onlyTransform is the one transform of an answer.
func onlyTransform(answer *ikev1msg.SA) (p ikev1msg.Proposal, t ikev1msg.Transform, err error) {
	if len(answer.Proposals) != 1 || len(answer.Proposals[0].Transforms) != 1 {
		return p, t, errors.New("answer: expected one proposal with one transform")
	}
	p = answer.Proposals[0]
	return p, p.Transforms[0], nil
}

// shorter is the shorter of our lifetime and a peer's, in each unit; the peer's counts as the shortest that it can make. 0 is no limit.
func shorter(ours, theirs ikev1msg.Lifetime) ikev1msg.Lifetime {
	least := func(a, b, floor uint64) uint64 {
		switch {
		case b == 0:
			return a
		case a == 0:
			return max(b, floor)
		}
		return min(a, max(b, floor))
	}
	return ikev1msg.Lifetime{Seconds: least(ours.Seconds, theirs.Seconds, minSeconds), Kilobytes: least(ours.Kilobytes, theirs.Kilobytes, minKilobytes)}
}

// listed joins what describes an offer, cut to maxDescription; more says that there are others.
func listed(names []string, more bool) string {
	text := ""
	for _, n := range names {
		if len(text)+len(n) > maxDescription {
			more = true
			break
		}
		text += n + ", "
	}
	if more {
		return text + "…"
	}
	return strings.TrimSuffix(text, ", ")
}

// describePhase1 says what an offer has, for a person: at most maxDescribed transforms, without what the peer may have written into
// attributes that we do not know.
func describePhase1(sa *ikev1msg.SA) string {
	var names []string
	for _, p := range sa.Proposals {
		for _, t := range p.Transforms {
			if len(names) == maxDescribed {
				return listed(names, true)
			}
			s, _, err := readPhase1(t)
			if err != nil {
				names = append(names, "("+err.Error()+")")
				continue
			}
			names = append(names, s.String()+" with "+s.Auth.String())
		}
	}
	return listed(names, false)
}
