// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Fragment payload of IKEv1 (MS-IKEE, Section 2.2.3.1; Cisco's and strongSwan's are alike): a piece of a whole message,
// header included. Nothing proves where it comes from before the message is whole; who puts them together bounds what
// it keeps.

package ikev1msg

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

// FragmentLast is the flag of the fragment with the highest number.
const FragmentLast = 0x01

// Fragment is the Fragment payload, the only one of its message. Of Flags only FragmentLast means something
// (MS-IKEE, Section 2.2.3.1).
type Fragment struct {
	ID     uint16 // of the message: alike in all its fragments
	Number uint8  // from 1
	Flags  uint8
	Data   []byte
}

// Last reports whether no fragment has a higher number.
func (p *Fragment) Last() bool { return p.Flags&FragmentLast != 0 }

// Type implements Payload.
func (*Fragment) Type() PayloadType { return TypeFragment }

func (p *Fragment) summary() string {
	if p.Last() {
		return fmt.Sprintf("FRAGMENT(%d, last)", p.Number)
	}
	return fmt.Sprintf("FRAGMENT(%d)", p.Number)
}

func parseFragment(b []byte) (*Fragment, error) {
	r := wire.NewReader(b)
	p := &Fragment{ID: r.U16("fragment ID"), Number: r.U8("fragment number"), Flags: r.U8("flags"), Data: r.Rest()}
	switch {
	case r.Err() != nil:
		return nil, r.Err()
	case p.Number == 0:
		return nil, errors.New("fragment number 0, expected 1 or more")
	case len(p.Data) == 0:
		return nil, errors.New("no octets of a message")
	}
	return p, nil
}

func (p *Fragment) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, p.ID)
	return append(append(dst, p.Number, p.Flags), p.Data...)
}
