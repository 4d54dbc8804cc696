// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Key Exchange payload (RFC 7296, Section 3.4).

package ikev2msg

import (
	"encoding/binary"
	"errors"

	"github.com/natterjack/natterjack/wire"
)

// KE is the Key Exchange payload. Whether Data fits Group is not checked here.
type KE struct {
	Group uint16
	Data  []byte
}

// Type implements Payload.
func (*KE) Type() PayloadType { return TypeKE }

func (*KE) summary() string { return "KE" }

func parseKE(b []byte) (*KE, error) {
	r := wire.NewReader(b)
	p := &KE{Group: r.U16("group")}
	r.U16("reserved")
	p.Data = r.Rest()
	if r.Err() == nil && len(p.Data) == 0 {
		return nil, errors.New("no key exchange data")
	}
	return p, r.Err()
}

func (p *KE) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, p.Group)
	return append(append(dst, 0, 0), p.Data...)
}
