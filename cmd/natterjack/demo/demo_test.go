// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/daemon"
)

func TestTheStoryIsTrue(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Out: &out}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"NAT found", "IKE floats", "authenticated the peer as gateway.example.org", "inner address 10.30.0.1", "keepalive",
		"the download goes on, no new handshake", "child SA rekeyed while octets flowed", "IKE SA rekeyed while octets flowed",
		"is that of the server", "the gateway reaches the client", "0 lost",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestFaultsAreFoundAndNamed(t *testing.T) {
	for fault, want := range map[string]string{
		"nat": "did not survive that the NAT forgot", "rekey": "the child SA could not be rekeyed", "auth": "authentication failed",
		"loss": "packets lost",
	} {
		t.Run(fault, func(t *testing.T) {
			var out bytes.Buffer
			err := Run(t.Context(), Options{Out: &out, Break: fault})
			var failed *Failure
			if !errors.As(err, &failed) || failed.Step != fault || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want step %s with %q\n%s", err, fault, want, out.String())
			}
		})
	}
	if err := Run(t.Context(), Options{Break: "nothing"}); err == nil {
		t.Error("an unknown fault was taken")
	}
}

func TestEventsAsJSON(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Out: &out, JSON: true, Break: "auth"}); err == nil {
		t.Fatal("the fault went unnoticed")
	}
	seen := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		var r struct {
			Daemon string
			daemon.EventRecord
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if !strings.HasPrefix(line, `{"daemon":`) {
			t.Errorf("%q: expected keys as the other events have them", line)
		}
		seen[r.Daemon+" "+r.Event] = true
	}
	for _, want := range []string{"client nat", "gateway nat", "client message", "client failed"} {
		if !seen[want] {
			t.Errorf("no event %q in %v", want, seen)
		}
	}
}
