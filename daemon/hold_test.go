// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/netstack"
)

// TestHold: who asks while the configuration is being loaded is answered afterwards, and not refused.
func TestHold(t *testing.T) {
	stacks := make([]*netstack.Stack, 2)
	for i := range stacks {
		s, err := netstack.New(nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		stacks[i] = s
	}
	gateway := boot(t, stacks[0], load(t, ""), func(o *daemon.Options) { o.Hold = true })
	defer gateway.close(t)
	ikePort, nattPort := gateway.d.Ports(netip.MustParseAddr("127.0.0.1"))
	client := boot(t, stacks[1], load(t, fmt.Sprintf(clientConf, ikePort, nattPort, "", "swordfish swordfish")), nil)
	defer client.close(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		_, err := client.d.Initiate(ctx, "office", "web", daemon.Command{})
		result <- err
	}()
	for client.count(ike.EventMessage) == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := gateway.d.Apply(load(t, fmt.Sprintf(gatewayConf, ""))); err != nil {
		t.Fatal(err)
	}
	gateway.d.Receive()
	gateway.d.Receive() // once more is nothing
	if err := <-result; err != nil {
		t.Error(err)
	}
}
