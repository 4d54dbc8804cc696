// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The original addresses of transport mode (RFC 3947, Section 5.2): what the checksums inside were calculated over. They are
// covered by the HASH of Quick Mode, so that the peer, who could send any packet, is the only one who can lie with them.

package ikev1

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// originals are the addresses that the two sides of a Quick Mode have for themselves and for each other. In what a side sends
// initiator is the initiator's address and responder the responder's, as that side knows them: its own before a NAT, the
// other's behind one. Either may be the zero Addr: not said.
type originals struct{ initiator, responder netip.Addr }

// natOAs are the NAT-OA payloads of one side: two, the initiator's first; or one, the sender's own; or none, as the version of
// NAT-T has it.
func natOAs(v ikev1msg.NATT, initiator bool, o originals) []ikev1msg.Payload {
	oa := func(a netip.Addr) ikev1msg.Payload { return &ikev1msg.NATOA{Num: v.NATOA, Addr: a.Unmap()} }
	switch {
	case v.Addresses == 2:
		return []ikev1msg.Payload{oa(o.initiator), oa(o.responder)}
	case v.Addresses == 1 && initiator:
		return []ikev1msg.Payload{oa(o.initiator)}
	case v.Addresses == 1:
		return []ikev1msg.Payload{oa(o.responder)}
	}
	return nil
}

// readNATOAs reads what the initiator, or the responder, has sent. One address is its sender's own and two are the
// initiator's and the responder's, whatever the version has: peers send either. Payloads of other versions' numbers are not
// looked at.
func readNATOAs(v ikev1msg.NATT, payloads []ikev1msg.Payload, byInitiator bool) (originals, error) {
	var sent []netip.Addr
	for _, p := range ikev1msg.All[*ikev1msg.NATOA](payloads) {
		if p.Num == v.NATOA {
			sent = append(sent, p.Addr)
		}
	}
	switch {
	case len(sent) == 0:
		return originals{}, nil
	case len(sent) == 1 && byInitiator:
		return originals{initiator: sent[0]}, nil
	case len(sent) == 1:
		return originals{responder: sent[0]}, nil
	case len(sent) > 2:
		return originals{}, fmt.Errorf("%d NAT-OA payloads, expected at most 2", len(sent))
	case sent[0].Is4() != sent[1].Is4():
		return originals{}, errors.New("NAT-OA payloads of both address families, expected one")
	}
	return originals{initiator: sent[0], responder: sent[1]}, nil
}
