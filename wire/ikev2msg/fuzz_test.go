// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2msg

import (
	"testing"

	"github.com/natterjack/natterjack/wire/isakmp"
)

// FuzzMessage takes whole datagrams. The header's length is made true, or nothing behind it would be reached.
func FuzzMessage(f *testing.F) {
	for _, b := range datagrams() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		stable(t, "as it is", b)
		stable(t, "with its length", withLength(b))
	})
}

// fuzzBody fuzzes the body of one payload type, with the sample bodies of that type as seeds.
func fuzzBody(f *testing.F, kinds ...PayloadType) {
	for _, b := range datagrams() {
		m, err := Parse(b)
		if err != nil {
			f.Fatal(err)
		}
		for _, p := range m.Payloads {
			for i, k := range kinds {
				if p.Type() == k {
					f.Add(uint8(i), p.append(nil))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, b []byte) {
		if len(b) > 4096 {
			return
		}
		kind := kinds[int(i)%len(kinds)]
		h := header(IKEAuth, 0, 1)
		h.NextPayload = uint8(kind)
		stable(t, kind.String(), withLength(append(isakmp.AppendGeneric(h.Append(nil), 0, false, len(b)), b...)))
	})
}

func FuzzSA(f *testing.F)        { fuzzBody(f, TypeSA) }
func FuzzSelectors(f *testing.F) { fuzzBody(f, TypeTSi, TypeTSr) }
func FuzzID(f *testing.F)        { fuzzBody(f, TypeIDi, TypeIDr) }
func FuzzNotify(f *testing.F)    { fuzzBody(f, TypeNotify) }
func FuzzDelete(f *testing.F)    { fuzzBody(f, TypeDelete) }
func FuzzCP(f *testing.F)        { fuzzBody(f, TypeCP) }
func FuzzCert(f *testing.F)      { fuzzBody(f, TypeCert, TypeCertReq) }
func FuzzSKF(f *testing.F)       { fuzzBody(f, TypeSKF, TypeSK) }
func FuzzSmall(f *testing.F)     { fuzzBody(f, TypeKE, TypeNonce, TypeAuth, TypeVendor, TypeEAP) }
