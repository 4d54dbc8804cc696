// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The choice of a child in Quick Mode (RFC 2407, Sections 4.4 and 4.5; RFC 2409, Section 5.5): proposals of ESP or AH, each with
// transforms. Offer and answer are of an authentic peer, which may still be a hostile one: what is chosen must be configured,
// and what is accepted must have been offered. Proposals with one number are to be accepted together; we make no such
// bundles, and choose none.

package ikev1

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// minSPI is the first SPI that is not reserved (RFC 4303, Section 2.1).
const minSPI = 256

// wanted is what a child may be. encaps are the encapsulation modes that will do, the preferred first, which is the one that is
// offered. ke is the length of the peer's public value, 0 without one: PFS is what both the group's attribute and the KE
// payload say, or neither.
type wanted struct {
	proposals []ike.ESPProposal
	encaps    []ikev1msg.EncapMode
	ke        int
	life      ikev1msg.Lifetime
}

// encapOf is the encapsulation mode of a child: in UDP where there is a NAT, by the number of the version of NAT-T.
func encapOf(v ikev1msg.NATT, nat, transport bool) ikev1msg.EncapMode {
	switch {
	case nat && transport:
		return v.Transport
	case nat:
		return v.Tunnel
	case transport:
		return ikev1msg.EncapTransport
	}
	return ikev1msg.EncapTunnel
}

// transformKey is a transform on the wire, without its lifetime: two are the same when these are.
type transformKey struct {
	protocol ikev1msg.Protocol
	id       uint8
	keyLen   int
	auth     ikev1msg.AuthAlg
	group    ikev1msg.Group
	esn      bool
	encap    ikev1msg.EncapMode
}

// alternative is one suite that a configuration allows, and how it looks on the wire.
type alternative struct {
	key   transformKey
	suite suite.ESP
}

// alternatives expands a proposal, the preferred first. What has no number in IKEv1 is not among them.
func alternatives(p ike.ESPProposal, kes []suite.KE, encaps []ikev1msg.EncapMode) []alternative {
	encrs := p.Encrs
	if p.AH() {
		encrs = []ike.EncrSpec{{}}
	}
	var list []alternative
	for _, e := range encrs {
		integs := p.Integs
		if e.Encr.AEAD() {
			integs = []suite.Integ{suite.IntegNone}
		}
		for _, i := range integs {
			if key, ok := keyOf(e, i); ok {
				a := alternative{key, suite.ESP{Encr: e.Encr, EncrBits: e.Bits, Integ: i}}
				list = append(list, a.with(p.ESN, kes, encaps)...)
			}
		}
	}
	return list
}

// with are the variants of a cipher and an integrity algorithm.
func (a alternative) with(esns []bool, kes []suite.KE, encaps []ikev1msg.EncapMode) []alternative {
	if len(esns) == 0 {
		esns = []bool{false}
	}
	var list []alternative
	for _, ke := range kes {
		if ke != suite.KENone && !ke.KnownIKEv1() {
			continue
		}
		for _, esn := range esns {
			for _, encap := range encaps {
				a.key.group, a.key.esn, a.key.encap = ikev1msg.Group(ke), esn, encap
				a.suite.KE, a.suite.ESN = ke, esn
				list = append(list, a)
			}
		}
	}
	return list
}

// keyOf gives the numbers of a cipher and an integrity algorithm of ESP; of AH without a cipher.
func keyOf(e ike.EncrSpec, i suite.Integ) (transformKey, bool) {
	k := transformKey{protocol: ikev1msg.ProtoESP, keyLen: e.Bits}
	var ok bool
	if k.auth, ok = authOf(i); !ok {
		return k, false
	}
	if e.Encr == 0 {
		k.protocol = ikev1msg.ProtoAH
		id, ok := ahOf(k.auth)
		k.id = uint8(id)
		return k, ok
	}
	switch e.Encr {
	case suite.EncrNullAESGMAC:
		k.id = uint8(ikev1msg.ESPAESGMAC)
	case suite.EncrChaCha20Poly1305: // RFC 7634 has no number for IKEv1
		return k, false
	default: // the others have IKEv2's number from IKEv1
		k.id = uint8(e.Encr)
	}
	return k, e.Encr.KnownESP() && e.Encr.ValidBits(e.Bits) && (e.Encr.AEAD() || i.KnownESP())
}

// authOf is the authentication algorithm of an integrity algorithm. HMAC-SHA2-256 of 96 bits, as old Linux has it, says the same
// number as that of 128: which of them is meant only the two configurations know.
func authOf(i suite.Integ) (ikev1msg.AuthAlg, bool) {
	switch i {
	case suite.IntegNone:
		return ikev1msg.AuthNone, true
	case suite.IntegHMACMD596:
		return ikev1msg.AuthHMACMD5, true
	case suite.IntegHMACSHA196:
		return ikev1msg.AuthHMACSHA1, true
	case suite.IntegHMACSHA2256128, suite.IntegHMACSHA225696:
		return ikev1msg.AuthHMACSHA256, true
	case suite.IntegHMACSHA2384192:
		return ikev1msg.AuthHMACSHA384, true
	case suite.IntegHMACSHA2512256:
		return ikev1msg.AuthHMACSHA512, true
	case suite.IntegAESXCBC96:
		return ikev1msg.AuthAESXCBC, true
	case suite.IntegAES128GMAC:
		return ikev1msg.AuthAES128GMAC, true
	case suite.IntegAES192GMAC:
		return ikev1msg.AuthAES192GMAC, true
	case suite.IntegAES256GMAC:
		return ikev1msg.AuthAES256GMAC, true
	}
	return 0, false
}

// ahOf is the transform of AH that an authentication algorithm has to stand beside (RFC 2407, Section 4.4.3).
func ahOf(a ikev1msg.AuthAlg) (ikev1msg.AHTransform, bool) {
	switch a {
	case ikev1msg.AuthHMACMD5:
		return ikev1msg.AHMD5, true
	case ikev1msg.AuthHMACSHA1:
		return ikev1msg.AHSHA1, true
	case ikev1msg.AuthHMACSHA256:
		return ikev1msg.AHSHA256, true
	case ikev1msg.AuthHMACSHA384:
		return ikev1msg.AHSHA384, true
	case ikev1msg.AuthHMACSHA512:
		return ikev1msg.AHSHA512, true
	case ikev1msg.AuthAESXCBC:
		return ikev1msg.AHAESXCBC, true
	case ikev1msg.AuthAES128GMAC:
		return ikev1msg.AHAES128GMAC, true
	case ikev1msg.AuthAES192GMAC:
		return ikev1msg.AHAES192GMAC, true
	case ikev1msg.AuthAES256GMAC:
		return ikev1msg.AHAES256GMAC, true
	}
	return 0, false
}

// pfs is the one group that an offer has, or KENone: with a KE payload all its transforms have the same (RFC 2409, Section 5.5).
// It is the first that IKEv1 has a number for. A configuration that asks for others only gives KENone and, as its proposals all
// have groups, no offer: PFS is never left out.
func pfs(list []ike.ESPProposal) suite.KE {
	for _, p := range list {
		if len(p.KEs) == 0 {
			return suite.KENone
		}
		for _, ke := range p.KEs {
			if ke == suite.KENone || ke.KnownIKEv1() {
				return ke
			}
		}
	}
	return suite.KENone
}

// offeredAs expands what an initiator offers: of each proposal what has the one group. Proposals that do not have it are left out.
func (w *wanted) offeredAs(encaps []ikev1msg.EncapMode) [][]alternative {
	group := pfs(w.proposals)
	var list [][]alternative
	for _, p := range w.proposals {
		has := len(p.KEs) == 0 && group == suite.KENone
		for _, ke := range p.KEs {
			has = has || ke == group
		}
		if a := alternatives(p, []suite.KE{group}, encaps); has && len(a) > 0 {
			list = append(list, a)
		}
	}
	return list
}

// proposeChild is the initiator's SA payload, and the group that its KE payload has to be of.
func (w *wanted) proposeChild(spi uint32) (*ikev1msg.SA, suite.KE, error) {
	sa := &ikev1msg.SA{}
	if len(w.encaps) == 0 {
		return nil, 0, errors.New("no encapsulation mode")
	}
	total := 0
	for i, list := range w.offeredAs(w.encaps[:1]) {
		total += len(list)
		if len(list) > ikev1msg.MaxTransforms || i == ikev1msg.MaxProposals || total > ikev1msg.MaxOffer {
			return nil, 0, errTooMany
		}
		p := ikev1msg.Proposal{Number: uint8(i + 1), Protocol: list[0].key.protocol, SPI: binary.BigEndian.AppendUint32(nil, spi)}
		for j, a := range list {
			t := ikev1msg.Phase2{Encap: a.key.encap, Auth: a.key.auth, KeyLen: a.key.keyLen, Group: a.key.group, ESN: a.key.esn, Life: w.life}
			p.Transforms = append(p.Transforms, ikev1msg.Transform{Number: uint8(j + 1), ID: a.key.id, Attributes: t.Attributes()})
		}
		sa.Proposals = append(sa.Proposals, p)
	}
	if len(sa.Proposals) == 0 {
		return nil, 0, errors.New("no proposal that IKEv1 has numbers for")
	}
	return sa, pfs(w.proposals), nil
}

// chosenChild is a choice: the suite, the peer's SPI, the encapsulation mode, and the peer's lifetime. answer is a responder's SA
// payload, with the transform as it came and the SPI ours.
type chosenChild struct {
	protocol ikev1msg.Protocol
	suite    suite.ESP
	spi      uint32
	encap    ikev1msg.EncapMode
	life     ikev1msg.Lifetime
	answer   *ikev1msg.SA
}

// chooseChild chooses for a responder the first that is configured of what is offered.
func (w *wanted) chooseChild(offer *ikev1msg.SA, ours uint32) (chosenChild, error) {
	offered := map[transformKey]chosenChild{}
	for i, p := range offer.Proposals {
		if bundled(offer.Proposals, i) {
			continue
		}
		for _, t := range p.Transforms {
			key, c, err := readChild(p, t)
			if _, known := offered[key]; err != nil || known {
				continue
			}
			one := p
			one.SPI, one.Transforms = binary.BigEndian.AppendUint32(nil, ours), []ikev1msg.Transform{t}
			c.answer = &ikev1msg.SA{Proposals: []ikev1msg.Proposal{one}}
			offered[key] = c
		}
	}
	for _, p := range w.proposals {
		kes := p.KEs
		if len(kes) == 0 {
			kes = []suite.KE{suite.KENone}
		}
		for _, a := range alternatives(p, kes, w.encaps) {
			if c, ok := offered[a.key]; ok && a.suite.KE.PublicLen() == w.ke {
				c.suite = a.suite
				return c, nil
			}
		}
	}
	return chosenChild{}, fmt.Errorf("none of the offered transforms is configured (KE payload of %d octets): %s", w.ke, describeChild(offer))
}

// acceptChild verifies the responder's answer: one proposal with one transform, which was offered, with one of the encapsulation modes
// that will do. The lifetime is the shorter of ours and what the answer says.
func (w *wanted) acceptChild(answer *ikev1msg.SA) (chosenChild, error) {
	p, t, err := onlyTransform(answer)
	if err != nil {
		return chosenChild{}, err
	}
	key, c, err := readChild(p, t)
	if err != nil {
		return chosenChild{}, fmt.Errorf("answer: %w", err)
	}
	for _, list := range w.offeredAs(w.encaps) {
		for _, a := range list {
			if a.key == key && a.suite.KE.PublicLen() == w.ke {
				c.suite, c.life = a.suite, shorter(w.life, c.life)
				return c, nil
			}
		}
	}
	return chosenChild{}, fmt.Errorf("the answer %s (KE payload of %d octets) was not offered", describeChild(answer), w.ke)
}

// bundled reports whether proposal i is to be accepted together with another.
func bundled(list []ikev1msg.Proposal, i int) bool {
	n := list[i].Number
	return i > 0 && list[i-1].Number == n || i+1 < len(list) && list[i+1].Number == n
}

// readChild reads one transform of a proposal. What it does not know in it makes it another transform than it seems.
func readChild(p ikev1msg.Proposal, t ikev1msg.Transform) (transformKey, chosenChild, error) {
	if p.Protocol != ikev1msg.ProtoESP && p.Protocol != ikev1msg.ProtoAH {
		return transformKey{}, chosenChild{}, fmt.Errorf("protocol %s, expected ESP or AH", p.Protocol)
	}
	spi := binary.BigEndian.Uint32(p.SPI)
	if spi < minSPI {
		return transformKey{}, chosenChild{}, fmt.Errorf("SPI %08x, expected %08x or more", spi, minSPI)
	}
	x, err := t.Phase2(p.Protocol)
	if err != nil {
		return transformKey{}, chosenChild{}, err
	}
	switch {
	case len(x.Other) > 0: // the first alone: the list is the peer's
		return transformKey{}, chosenChild{}, fmt.Errorf("attribute %d: not known, and the transform means nothing without it", x.Other[0])
	case x.KeyRounds != 0:
		return transformKey{}, chosenChild{}, fmt.Errorf("%d key rounds: no cipher of ours has any", x.KeyRounds)
	case p.Protocol == ikev1msg.ProtoESP && t.ID == uint8(ikev1msg.ESPAESCBC) && x.KeyLen == 0: // absent, as in readPhase1
		x.KeyLen = oldKeyLen
	}
	key := transformKey{protocol: p.Protocol, id: t.ID, keyLen: x.KeyLen, auth: x.Auth, group: x.Group, esn: x.ESN, encap: x.Encap}
	return key, chosenChild{protocol: p.Protocol, spi: spi, encap: x.Encap, life: x.Life}, nil
}

// describeChild says what an offer has, for a person.
func describeChild(sa *ikev1msg.SA) string {
	var names []string
	for i, p := range sa.Proposals {
		for _, t := range p.Transforms {
			if len(names) == maxDescribed {
				return listed(names, true)
			}
			names = append(names, describeTransform(p, t, bundled(sa.Proposals, i)))
		}
	}
	return listed(names, false)
}

func describeTransform(p ikev1msg.Proposal, t ikev1msg.Transform, bundled bool) string {
	key, _, err := readChild(p, t)
	if err != nil {
		return p.Protocol.String() + " (" + err.Error() + ")"
	}
	parts := []string{ikev1msg.AHTransform(key.id).String()}
	if p.Protocol == ikev1msg.ProtoESP {
		parts[0] = ikev1msg.ESPTransform(key.id).String()
	}
	if key.keyLen > 0 {
		parts[0] += fmt.Sprintf("_%d", key.keyLen)
	}
	parts = append(parts, key.auth.String(), key.encap.String())
	if key.group != 0 {
		parts = append(parts, key.group.String())
	}
	if bundled {
		parts = append(parts, "in a bundle")
	}
	return p.Protocol.String() + ":" + strings.Join(parts, "/")
}
