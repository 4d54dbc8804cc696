// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package esp

import (
	"fmt"
	"testing"

	"github.com/natterjack/natterjack/crypt/suite"
)

// BenchmarkESP seals and opens one packet of each size, look-ups and header checks not included.
func BenchmarkESP(b *testing.B) {
	for _, s := range []suite.ESP{
		{Encr: suite.EncrAESGCM16, EncrBits: 128}, {Encr: suite.EncrAESGCM16, EncrBits: 128, ESN: true}, {Encr: suite.EncrChaCha20Poly1305},
		{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128},
		{Encr: suite.EncrAESCCM16, EncrBits: 128}, {Encr: suite.EncrNullAESGMAC, EncrBits: 128}, {Encr: suite.EncrNullAESGMAC, EncrBits: 128, ESN: true},
		{Encr: suite.EncrNULL, Integ: suite.IntegHMACSHA2256128}, {Encr: suite.EncrAESCTR, EncrBits: 128, Integ: suite.IntegAESCMAC96},
	} {
		for _, n := range []int{64, 1400} {
			b.Run(fmt.Sprintf("%v/%d", s, n), func(b *testing.B) {
				x := newSA(b, s)
				buf := make([]byte, 2048)
				b.SetBytes(int64(n))
				for b.Loop() {
					size, err := x.Seal(buf, n, NextHeaderIPv4)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := x.Open(buf[:size]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
