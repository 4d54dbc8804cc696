// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section B: notifies of every type, and responses that match nothing (T-029).

package hostile

import (
	"context"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/lab/bogus"
)

// TestT029_StatusNotifies: every status type in INFORMATIONAL, most of which nobody knows: answered, and nothing changes.
func TestT029_StatusNotifies(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	const together = 60 // a message may have 64 payloads (G21)
	var list []bogus.Payload
	for kind := 16384; kind <= 65535; kind++ {
		if list = append(list, bogus.N(uint16(kind), 1, 2, 3, 4)); len(list) < together && kind < 65535 {
			continue
		}
		got, err := p.Exchange(bogus.InfoRequest, bogus.Informational, list...)
		if err != nil || !got.Sealed || got.Error() != 0 {
			t.Fatalf("status types up to %d: %v, %v", kind, got, err)
		}
		list = nil
	}
	if !p.EchoThrough(p.Address(), inner(), 1, pingLimit) {
		t.Error("the child carries nothing any more")
	}
}

// TestT029_ErrorNotifies: error types in INFORMATIONAL. Those of which RFC 7296, Section 2.21 says that they end an IKE SA
// may; all others may not.
func TestT029_ErrorNotifies(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	var list []bogus.Payload
	for kind := 1; kind < 16384; kind++ {
		if kind == bogus.InvalidSyntax || kind == bogus.AuthenticationFailed || kind == bogus.UnsupportedCriticalPayload {
			continue
		}
		if list = append(list, bogus.N(uint16(kind), 1, 2, 3, 4)); len(list) < 60 && kind < 16383 {
			continue
		}
		got, err := p.Exchange(bogus.InfoRequest, bogus.Informational, list...)
		if err != nil || !got.Sealed {
			t.Fatalf("error types up to %d: %v, %v", kind, got, err)
		}
		list = nil
	}
	if err := p.Ping(); err != nil {
		t.Errorf("the IKE SA afterwards: %v", err)
	}
	for _, kind := range []uint16{bogus.InvalidSyntax, bogus.AuthenticationFailed, bogus.UnsupportedCriticalPayload} {
		q := w.Connect(nil)
		if got, err := q.Exchange(bogus.InfoRequest, bogus.Informational, bogus.N(kind)); err != nil || !got.Sealed {
			t.Errorf("notify %d: %v, %v, expected an answer whatever it means", kind, got, err)
		}
		w.Settle()
		if got, err := q.Exchange(bogus.InfoRequest, bogus.Informational); err != nil || !got.Sealed {
			q.Current().Up = false
		}
	}
}

// sampleErrors are all that are registered, and some that are not.
func sampleErrors() []uint16 {
	var list []uint16
	for kind := range uint16(48) {
		list = append(list, kind+1)
	}
	return append(list, 60, 1000, 8191, 8192, 12345, 16383)
}

// TestT029_ErrorResponses: responses with errors to what the daemon asked. Each ends the exchange, no sooner and no later.
func TestT029_ErrorResponses(t *testing.T) {
	w := Open(t, Options{})
	n := 0
	for _, kind := range sampleErrors() {
		n++
		o := w.Out(n, "", func(c *bogus.Config) {
			c.Bugs.Edit = bogus.On(bogus.AuthResponse, func(m *bogus.Message) { m.Payloads = []bogus.Payload{bogus.N(kind)} })
		})
		if err := o.Initiate(); err == nil {
			t.Errorf("error %d in IKE_AUTH: the daemon is content", kind)
		}
		Eventually(t, 2*time.Second, "the IKE SA that was refused is gone", o.Gone)
		o.close()
	}
	o := w.Out(1, "", nil)
	if err := o.Initiate(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range sampleErrors() {
		o.SetBugs(bogus.Bugs{Edit: bogus.On(bogus.ChildResponse, func(m *bogus.Message) { m.Payloads = []bogus.Payload{bogus.N(kind)} })})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		w.D.Rekey(ctx, daemon.Target{IKE: o.name, Child: "net"}, daemon.Command{NoWait: true})
		cancel()
		w.Settle()
		o.SetBugs(bogus.Bugs{})
		switch kind {
		case bogus.InvalidSyntax, bogus.AuthenticationFailed, bogus.UnsupportedCriticalPayload, bogus.ChildSANotFound:
			// The IKE SA, or the child, may be gone now.
			if o.Gone() || o.Child() == nil {
				o.close()
				if o = w.Out(1, "", nil); o.Initiate() != nil {
					t.Fatal("the daemon does not connect again")
				}
			}
			continue
		}
		if o.Gone() {
			t.Fatalf("error %d to a rekey ended the IKE SA", kind)
		}
	}
}

// TestT029_FirstErrors: errors in IKE_SA_INIT, which anybody can forge: the exchange fails at once or when its time is up.
func TestT029_FirstErrors(t *testing.T) {
	w := Open(t, Options{})
	for n, kind := range []uint16{bogus.InvalidSyntax, bogus.NoProposalChosen, bogus.InvalidMajorVersion, bogus.AuthenticationFailed, 60, 8192, 16383} {
		o := w.Out(n+1, "", func(c *bogus.Config) {
			c.Bugs.Edit = bogus.On(bogus.InitResponse, func(m *bogus.Message) { m.Payloads = []bogus.Payload{bogus.N(kind)} })
		})
		if err := o.Initiate(); err == nil {
			t.Errorf("error %d: the daemon is content", kind)
		}
		Eventually(t, 3*time.Second, "the IKE SA that was refused is gone", o.Gone)
		o.close()
	}
}

// TestT029_Responses: responses that match nothing, in every state.
func TestT029_Responses(t *testing.T) {
	w := Open(t, Options{})
	half := w.Peer(nil)
	if _, err := half.Init(); err != nil {
		t.Fatal(err)
	}
	up := w.Connect(nil)
	for _, p := range []*bogus.Peer{half, up} {
		p.Seen()
		for _, exchange := range []uint8{bogus.IKESAInit, bogus.IKEAuth, bogus.CreateChildSA, bogus.Informational, 99} {
			for id := range uint32(4) {
				m := p.Header(exchange, id, true)
				m.Add(bogus.N(bogus.AuthenticationFailed), bogus.Delete(bogus.ProtoIKE))
				if _, err := p.PostMessage(bogus.InfoResponse, m); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.Silence(p, "a response that matches nothing")
	}
	if _, err := half.Auth(); err != nil {
		t.Errorf("the half-open one afterwards: %v", err)
	}
	if err := up.Ping(); err != nil {
		t.Errorf("the established one afterwards: %v", err)
	}
}
