// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section A: payloads that are missing, doubled or unknown (T-005, T-008).

package hostile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/natterjack/natterjack/lab/bogus"
)

// twice repeats the payloads of a type, without removes them.
func twice(kind uint8) func(*bogus.Message) {
	return func(m *bogus.Message) { bogus.Double(bogus.InitRequest, kind)(bogus.InitRequest, m) }
}

func without(kind uint8) func(*bogus.Message) {
	return func(m *bogus.Message) { m.Omit(kind) }
}

// TestT005_MandatoryPayloads: each mandatory payload removed in turn, or doubled.
func TestT005_MandatoryPayloads(t *testing.T) {
	t.Run("IKE_SA_INIT", mandatoryInit)
	t.Run("IKE_AUTH", mandatoryAuth)
	t.Run("CREATE_CHILD_SA", mandatoryCreate)
}

func mandatoryInit(t *testing.T) {
	w := Open(t, Options{})
	p := w.Peer(nil)
	crowd := w.Crowd()
	n := 0
	for _, kind := range []uint8{bogus.PayloadSA, bogus.PayloadKE, bogus.PayloadNonce} {
		for _, edit := range []func(uint8) func(*bogus.Message){twice, without} {
			crowd.Send(n, w.IKE, initBytes(t, p, edit(kind)))
			n++
		}
	}
	for _, list := range crowd.Answers() {
		if m, err := answer(list[0]); err != nil || m.Error() != bogus.InvalidSyntax {
			t.Errorf("answered with %v, expected INVALID_SYNTAX or nothing", m)
		}
	}
	if st := w.D.Stats(); st.HalfOpen > 0 {
		t.Errorf("%d half states", st.HalfOpen)
	}
}

func mandatoryAuth(t *testing.T) {
	w := Open(t, Options{})
	before := w.D.Stats().IKESAs
	for _, kind := range []uint8{bogus.PayloadIDi, bogus.PayloadAUTH, bogus.PayloadSA, bogus.PayloadTSi, bogus.PayloadTSr} {
		for name, edit := range map[string]func(*bogus.Message){"twice": twice(kind), "without": without(kind)} {
			p := w.Peer(func(c *bogus.Config) { c.Bugs.Edit = bogus.On(bogus.AuthRequest, edit) })
			if _, err := p.Init(); err != nil {
				t.Fatal(err)
			}
			got, err := p.Auth()
			want := uint16(bogus.InvalidSyntax)
			if kind == bogus.PayloadAUTH {
				want = bogus.AuthenticationFailed // without AUTH the initiator wants EAP (RFC 7296, Section 2.16)
			}
			if refused := (&bogus.Refused{}); !errors.As(err, &refused) || refused.Notify != want || !refused.Sealed {
				t.Errorf("payload %d %s: %v, %v, expected notify %d under protection", kind, name, got, err, want)
			}
			w.Settle()
			if n := w.D.Stats().IKESAs; n != before {
				t.Errorf("payload %d %s: %d IKE SAs more", kind, name, n-before)
			}
		}
	}
}

func mandatoryCreate(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	children := w.D.Stats().Children
	spi := binary.BigEndian.AppendUint32(nil, 0x12345678)
	child := []bogus.Payload{
		bogus.SAPayload(bogus.Proposal{Num: 1, Proto: bogus.ProtoESP, SPI: spi, Transforms: []bogus.Transform{{Type: 1, ID: bogus.EncrAESGCM16, Bits: 128}, {Type: 5}}}),
		bogus.Nonce(make([]byte, 32)), bogus.TS(bogus.PayloadTSi, bogus.Net("0.0.0.0/0")), bogus.TS(bogus.PayloadTSr, bogus.Net("10.20.0.0/24")),
	}
	rekey := []bogus.Payload{
		bogus.SAPayload(bogus.Proposal{Num: 1, Proto: bogus.ProtoIKE, SPI: make([]byte, 8), Transforms: []bogus.Transform{
			{Type: 1, ID: bogus.EncrAESGCM16, Bits: 128}, {Type: 2, ID: bogus.PRFSHA256}, {Type: 4, ID: bogus.KEX25519}}}),
		bogus.Nonce(make([]byte, 32)), bogus.KE(bogus.KEX25519, make([]byte, 32)),
	}
	rekey[0].Body[19] = 1 // an SPI that is not zero
	for name, list := range map[string][]bogus.Payload{"child": child, "rekey of the IKE SA": rekey} {
		for i := range list {
			for _, double := range []bool{true, false} {
				m := slices.Delete(slices.Clone(list), i, i+1)
				if double {
					m = append(slices.Clone(list), list[i])
				}
				got, err := p.Exchange(bogus.ChildRequest, bogus.CreateChildSA, m...)
				if err != nil || got.Error() == 0 {
					t.Errorf("%s, payload %d, doubled %t: %v, %v, expected a refusal", name, list[i].Type, double, got, err)
				}
			}
		}
	}
	if n := w.D.Stats().Children; n != children {
		t.Errorf("%d children more", n-children)
	}
	if err := p.Ping(); err != nil {
		t.Errorf("the IKE SA afterwards: %v", err)
	}
}

// TestT008_UnknownPayloads: unknown payloads with and without the critical bit, in requests and responses.
func TestT008_UnknownPayloads(t *testing.T) {
	w := Open(t, Options{})
	n := 0
	for _, kind := range []uint8{1, 32, 49, 255} {
		for _, flags := range []uint8{0, 0x80} {
			unknown := bogus.Payload{Type: kind, Flags: flags, Body: []byte{1, 2, 3}}
			name := fmt.Sprintf("payload %d, critical %t", kind, flags != 0)
			unknownInRequests(t, w, name, unknown)
			n++
			unknownInResponses(t, w, n, name, unknown)
		}
	}
	// Of a payload that is known the critical bit is ignored (RFC 7296, Section 2.5).
	p := w.Peer(func(c *bogus.Config) {
		c.Bugs.Edit = func(_ bogus.Step, m *bogus.Message) {
			for i := range m.Payloads {
				m.Payloads[i].Flags = 0xff
			}
		}
	})
	if err := p.Connect(); err != nil {
		t.Errorf("known payloads with the critical and every reserved bit: %v", err)
	}
}

func unknownInRequests(t *testing.T, w *World, name string, unknown bogus.Payload) {
	t.Helper()
	critical := unknown.Flags != 0
	for step, want := range map[bogus.Step]string{bogus.InitRequest: "IKE_SA_INIT", bogus.AuthRequest: "IKE_AUTH"} {
		p := w.Peer(func(c *bogus.Config) { c.Bugs.Edit = bogus.Prepend(step, unknown) })
		err := p.Connect()
		refused := &bogus.Refused{}
		switch {
		case !critical && err != nil:
			t.Errorf("%s in %s: %v", name, want, err)
		case critical && (!errors.As(err, &refused) || refused.Notify != bogus.UnsupportedCriticalPayload || len(refused.Data) != 1 || refused.Data[0] != unknown.Type):
			t.Errorf("%s in %s: %v, expected UNSUPPORTED_CRITICAL_PAYLOAD %d", name, want, err, unknown.Type)
		}
	}
	p := w.Connect(nil)
	got, err := p.Exchange(bogus.InfoRequest, bogus.Informational, unknown)
	switch {
	case err != nil:
		t.Errorf("%s in INFORMATIONAL: %v", name, err)
	case !critical && len(got.Payloads) != 0:
		t.Errorf("%s in INFORMATIONAL: %v, expected an empty response", name, got)
	case critical && got.Error() != bogus.UnsupportedCriticalPayload:
		t.Errorf("%s in INFORMATIONAL: %v, expected UNSUPPORTED_CRITICAL_PAYLOAD", name, got)
	}
	if err := p.Ping(); err != nil {
		t.Errorf("%s: the IKE SA afterwards: %v", name, err)
	}
	p.DeleteIKE()
}

// unknownInResponses: a response is never answered; a critical one makes the exchange fail.
func unknownInResponses(t *testing.T, w *World, n int, name string, unknown bogus.Payload) {
	t.Helper()
	critical := unknown.Flags != 0
	for _, step := range []bogus.Step{bogus.InitResponse, bogus.AuthResponse} {
		o := w.Out(n, "", func(c *bogus.Config) { c.Bugs.Edit = bogus.Prepend(step, unknown) })
		err := o.Initiate()
		if (err != nil) != critical {
			t.Errorf("%s in response %d: %v", name, step, err)
		}
		for _, m := range o.Seen() {
			if m.Response() || m.Exchange == bogus.IKESAInit && m.ID != 0 {
				t.Errorf("%s in response %d was answered with %v", name, step, m)
			}
			if _, ok := m.Notify(bogus.UnsupportedCriticalPayload); ok && !m.Sealed {
				t.Errorf("%s in response %d: %v", name, step, m)
			}
		}
		o.close()
	}
}
