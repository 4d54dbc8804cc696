// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Encrypted payload (RFC 7296, Section 3.14) and the Encrypted Fragment payload (RFC 7383, Section 2.5). They are
// opaque here: only a machine's open, which has the keys, looks inside.

package ikev2msg

import (
	"encoding/binary"
	"fmt"

	"github.com/natterjack/natterjack/wire"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// MaxFragments bounds the fragments of one message: 64 of 1,200 octets are more than MaxMessage.
const MaxFragments = 64

// Encrypted is SK, or SKF where Total is not zero. First is the type of the first payload inside; of a fragment other
// than the first it is 0. Body is IV, ciphertext and ICV; it begins at octet Offset of the datagram, and all octets
// before it are authenticated (RFC 7296, Section 3.14; RFC 5282, Section 5.1).
type Encrypted struct {
	First         PayloadType
	Number, Total uint16
	Offset        int
	Body          []byte
}

// Type implements Payload.
func (p *Encrypted) Type() PayloadType {
	if p.Total > 0 {
		return TypeSKF
	}
	return TypeSK
}

func (p *Encrypted) summary() string {
	if p.Total > 0 {
		return fmt.Sprintf("SKF(%d/%d)", p.Number, p.Total)
	}
	return "SK"
}

func parseEncrypted(t PayloadType, g isakmp.Generic, base int) (*Encrypted, error) {
	p := &Encrypted{First: PayloadType(g.Next), Offset: base + g.Offset, Body: g.Body}
	if t == TypeSK {
		return p, nil
	}
	r := wire.NewReader(g.Body)
	p.Number, p.Total = r.U16("fragment number"), r.U16("total fragments")
	p.Body = r.Rest()
	p.Offset += 4
	switch {
	case r.Err() != nil:
		return nil, r.Err()
	case p.Number == 0, p.Number > p.Total:
		return nil, fmt.Errorf("fragment %d of %d", p.Number, p.Total)
	case p.Total > MaxFragments:
		return nil, fmt.Errorf("%d fragments, expected at most %d", p.Total, MaxFragments)
	case p.Number > 1 && p.First != 0:
		return nil, fmt.Errorf("fragment %d has next payload %d, expected 0", p.Number, p.First)
	}
	return p, nil
}

func (p *Encrypted) append(dst []byte) []byte {
	if p.Total > 0 {
		dst = binary.BigEndian.AppendUint16(dst, p.Number)
		dst = binary.BigEndian.AppendUint16(dst, p.Total)
	}
	return append(dst, p.Body...)
}
