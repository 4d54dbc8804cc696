// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1msg

import (
	"testing"

	"github.com/natterjack/natterjack/wire/isakmp"
)

// FuzzMessage takes whole datagrams, as they are, and with length and encryption flag made such that what is behind the
// header is read.
func FuzzMessage(f *testing.F) {
	for _, b := range datagrams() {
		f.Add(b)
	}
	for _, name := range recordings {
		for _, r := range recording(f, name) {
			f.Add(r.octets)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		stable(t, "as it is", b)
		stable(t, "read", clear(b))
	})
}

// FuzzPayload takes the body of one payload of any type, so that no generic header has to be right first.
func FuzzPayload(f *testing.F) {
	seed := func(c *Chain) {
		for i, p := range c.Payloads {
			f.Add(uint8(p.Type()), c.Body(i))
		}
	}
	for _, payloads := range chains() {
		first, b := AppendPayloads(nil, payloads)
		c, err := parseExact(first, b)
		if err != nil {
			f.Fatal(err)
		}
		seed(c)
	}
	for _, name := range recordings {
		for _, r := range recording(f, name) {
			seed(r.chain())
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		if kind == 0 || len(b) > 8192 {
			return
		}
		h := header(QuickMode, 0, 1)
		h.NextPayload = kind
		stable(t, PayloadType(kind).String(), withLength(append(isakmp.AppendGeneric(h.Append(nil), 0, false, len(b)), b...)))
	})
}
