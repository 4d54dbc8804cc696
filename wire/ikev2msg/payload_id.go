// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Identification payloads (RFC 7296, Section 3.5).

package ikev2msg

import (
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

// MaxIDData bounds an identity in octets: the longest sensible distinguished name is far shorter.
const MaxIDData = 4096

// ID is IDi or IDr.
type ID struct {
	Initiator bool
	IDType    uint8
	Data      []byte
}

// Type implements Payload.
func (p *ID) Type() PayloadType {
	if p.Initiator {
		return TypeIDi
	}
	return TypeIDr
}

func (p *ID) summary() string { return p.Type().String() }

// Body is what the AUTH payload covers as RestOfInitIDPayload or RestOfRespIDPayload (RFC 7296, Section 2.15).
func (p *ID) Body() []byte { return p.append(nil) }

func parseID(initiator bool, b []byte) (*ID, error) {
	r := wire.NewReader(b)
	p := &ID{Initiator: initiator, IDType: r.U8("ID type")}
	r.Bytes("reserved", 3)
	p.Data = r.Rest()
	if r.Err() != nil {
		return nil, r.Err()
	}
	switch n := len(p.Data); {
	case n > MaxIDData:
		return nil, fmt.Errorf("identity of %d octets, expected at most %d", n, MaxIDData)
	case p.IDType == 1 && n != 4, p.IDType == 5 && n != 16:
		return nil, fmt.Errorf("identity of type %d: %d octets", p.IDType, n)
	}
	return p, nil
}

func (p *ID) append(dst []byte) []byte {
	return append(append(dst, p.IDType, 0, 0, 0), p.Data...)
}
