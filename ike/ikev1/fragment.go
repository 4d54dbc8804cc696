// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Fragments of IKEv1 (MS-IKEE, Section 2.2.3.1): a whole message, header included, cut into payloads of messages in the clear.
// Every fragment is attacker controlled, and nothing proves one before the message that they make is opened. So one message at
// a time is kept, of bounded size; a fragment of another one begins anew; and what was put together is forgotten at once, so
// that the peer's retransmission is not spoilt by what somebody else put into it. Its caller drops what stays incomplete.

package ikev1

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/natterjack/natterjack/wire/ikev1msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

const (
	// maxFragments is how many fragments a message may have: 64 of 256 octets, which are smaller than any peer's, are maxWhole.
	maxFragments = 64
	// maxWhole bounds a message that is put together, in octets: of 1,000 half-open IKE SAs strangers then have 16 MiB
	// (HOSTILE T-032), as in IKEv2. A chain of several certificates fits.
	maxWhole = 16 * 1024
	// fragmentOverhead is what a fragment adds to its data.
	fragmentOverhead = isakmp.HeaderLen + isakmp.GenericLen + 4
)

var errRoom = errors.New("no room for a fragment, or too many of them")

// fragments are those of one message. The zero value has none.
type fragments struct {
	id    uint16
	parts [][]byte // by number, from 1 at 0
	last  int      // number of the last one; 0: not seen
	high  int      // highest number
	size  int
}

// reset forgets them.
func (f *fragments) reset() { *f = fragments{} }

// add keeps the fragment of m and returns the whole message when it was the one that was missing. What it keeps is copied. Fragments
// that contradict each other are all forgotten.
func (f *fragments) add(m *ikev1msg.Message, p *ikev1msg.Fragment) ([]byte, error) {
	n := int(p.Number)
	if n > maxFragments {
		return nil, fmt.Errorf("fragment %d, expected at most %d", n, maxFragments)
	}
	if p.ID != f.id || f.parts == nil {
		*f = fragments{id: p.ID, parts: make([][]byte, maxFragments)}
	}
	switch {
	case f.parts[n-1] != nil:
		return nil, nil // again
	case f.last > 0 && (n > f.last || p.Last()), p.Last() && n < f.high:
		last := max(f.last, f.high)
		f.reset()
		return nil, fmt.Errorf("fragment %d (last: %t), there is one of number %d that contradicts it", n, p.Last(), last)
	case f.size+len(p.Data) > maxWhole:
		f.reset()
		return nil, fmt.Errorf("fragments of more than %d octets", maxWhole)
	}
	f.parts[n-1] = bytes.Clone(p.Data)
	f.size += len(p.Data)
	f.high = max(f.high, n)
	if p.Last() {
		f.last = n
	}
	return f.whole(m)
}

// whole puts the message together when all are there. It must be one of the SA that its fragments are of, and no fragment.
func (f *fragments) whole(m *ikev1msg.Message) ([]byte, error) {
	for _, part := range f.parts[:f.last] {
		if part == nil {
			return nil, nil
		}
	}
	if f.last == 0 {
		return nil, nil
	}
	b := bytes.Join(f.parts[:f.last], nil)
	f.reset()
	h, err := isakmp.ParseHeader(b)
	switch {
	case err != nil:
		return nil, err
	case h.SPIi != m.SPIi || h.SPIr != m.SPIr:
		return nil, errors.New("fragments of a message of another SA")
	case ikev1msg.PayloadType(h.NextPayload) == ikev1msg.TypeFragment:
		return nil, errors.New("fragments of a fragment")
	}
	return b, nil
}

// split cuts a message into datagrams of at most room octets; one that fits stays as it is. id is another one for each message.
func split(octets []byte, id uint16, room int) ([][]byte, error) {
	if len(octets) <= room {
		return [][]byte{octets}, nil
	}
	h, err := isakmp.ParseHeader(octets)
	size := room - fragmentOverhead
	if err != nil || size < 1 || len(octets) > size*maxFragments {
		return nil, errRoom
	}
	// MS-IKEE, Section 3.3.5.3: a fragment is not encrypted, whatever its message is.
	h.Flags &^= ikev1msg.FlagEncryption
	var list [][]byte
	for n := uint8(1); len(octets) > 0; n++ {
		part := octets[:min(size, len(octets))]
		octets = octets[len(part):]
		p := &ikev1msg.Fragment{ID: id, Number: n, Data: part}
		if len(octets) == 0 {
			p.Flags = ikev1msg.FragmentLast
		}
		m := ikev1msg.Message{Header: h, Chain: ikev1msg.Chain{Payloads: []ikev1msg.Payload{p}}}
		list = append(list, m.Append(nil))
	}
	return list, nil
}
