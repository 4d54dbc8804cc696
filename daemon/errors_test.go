// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

func testTime() time.Time { return time.Now() }

// TestInitiateErrorIsOneSentence: what a person reads when a tunnel does not come up.
func TestInitiateErrorIsOneSentence(t *testing.T) {
	peer := netip.MustParseAddrPort("192.0.2.1:500")
	for _, c := range []struct {
		err  InitiateError
		says []string
	}{
		{InitiateError{Reason: ike.CloseNoAnswer, Remote: peer}, []string{"no answer", "192.0.2.1", "UDP 500", "4500"}},
		{InitiateError{Reason: ike.CloseNoProposal, Offered: "AES_GCM_16_256", Got: "AES_CBC_128"}, []string{"no common proposal", "AES_GCM_16_256", "AES_CBC_128"}},
		{InitiateError{Reason: ike.CloseNoProposal, Offered: "AES_GCM_16_256"}, []string{"offered AES_GCM_16_256; the peer accepts none", "set proposals"}},
		{InitiateError{Notify: uint16(ikev2msg.NoProposalChosen), Detail: "the peer refused child web"}, []string{"no common proposal: the peer refused child web"}},
		{InitiateError{Notify: uint16(ikev2msg.NoProposalChosen)}, []string{"esp_proposals on both sides"}},
		{InitiateError{Reason: ike.CloseNoAnswer, Remote: netip.MustParseAddrPort("192.0.2.1:4444")}, []string{"UDP 4444: ", "let that port through"}},
		{InitiateError{Reason: ike.CloseAuthFailed, Notify: uint16(ikev2msg.AuthenticationFailed)}, []string{"authentication failed", "PSK"}},
		{InitiateError{Notify: uint16(ikev2msg.TSUnacceptable)}, []string{"traffic selectors", "TS_UNACCEPTABLE"}},
		{InitiateError{Timeout: true}, []string{"goes on"}},
		{InitiateError{Reason: ike.CloseNegotiation, Detail: "evil\nline\x1b[31m"}, []string{`evil\x0aline\x1b[31m`}},
	} {
		c.err.Connection, c.err.Child = "office", "web"
		text := c.err.Error()
		for _, s := range append(c.says, "office/web") {
			if !strings.Contains(text, s) {
				t.Errorf("%q does not say %q", text, s)
			}
		}
		if strings.ContainsAny(text, "\n\x1b") {
			t.Errorf("%q is not one harmless line", text)
		}
	}
}
