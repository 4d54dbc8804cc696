// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/natbox/nat"
	"github.com/natterjack/natterjack/port/netstack"
)

func TestWrongKeyIsSaid(t *testing.T) {
	check := baseline(t)
	w := build(t, "", "another secret")
	_, err := w.client.d.Initiate(t.Context(), "office", "web", daemon.Command{})
	if err == nil || !strings.Contains(err.Error(), "authentication failed") {
		t.Errorf("%v, expected that authentication failed", err)
	}
	if n := len(w.client.d.Status()); n != 0 {
		t.Errorf("%d IKE SAs are left at the client", n)
	}
	w.close(t)
	check()
}

// quick shortens what takes minutes in the field.
var quick = ike.Retransmit{Initial: 100 * time.Millisecond, Base: 1.5, Tries: 3}

// direct makes two ends without a NAT between them on one loopback address.
func direct(t *testing.T, addr string, conf func(ikePort, nattPort uint16) string, change func(*daemon.Options)) (gateway, client *end) {
	t.Helper()
	a := netip.MustParseAddr(addr)
	opts := func(o *daemon.Options) {
		o.Listen, o.NoRawESP, o.Retransmit = a, true, quick
		if change != nil {
			change(o)
		}
	}
	gs, err := netstack.New([]netip.Addr{netip.MustParseAddr(innerWeb), netip.MustParseAddr("fd20::1")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	gateway = boot(t, gs, load(t, directGateway), opts)
	ikePort, nattPort := gateway.d.Ports(a)
	cs, err := netstack.New([]netip.Addr{netip.MustParseAddr("10.40.0.1"), netip.MustParseAddr("fd40::1")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	client = boot(t, cs, load(t, conf(ikePort, nattPort)), opts)
	return gateway, client
}

const directGateway = `
connections {
  peers {
    local { auth = psk
            id = gw.example }
    remote { auth = psk }
    children { net { local_ts = 10.20.0.0/24, fd20::/64
                     remote_ts = 10.40.0.0/24, fd40::/64 } }
  }
}
secrets { ike-1 { secret = "swordfish swordfish" } }
`

// directClient is a net-to-net connection; more goes into the connection, child into the child.
func directClient(addr, more, child string) func(ikePort, nattPort uint16) string {
	return func(ikePort, nattPort uint16) string {
		return fmt.Sprintf(`
connections {
  office {
    remote_addrs = %s
    remote_port = %d
    remote_port_nat_t = %d
    %s
    local { auth = psk
            id = branch.example }
    remote { auth = psk
             id = gw.example }
    children { net { local_ts = 10.40.0.0/24, fd40::/64
                     remote_ts = 10.20.0.0/24, fd20::/64
                     %s } }
  }
}
secrets { ike-1 { secret = "swordfish swordfish" } }`, addr, ikePort, nattPort, more, child)
	}
}

func ping(t *testing.T, from *end, to string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := from.stack.Ping(ctx, netip.MustParseAddr(to))
	return err
}

// TestNetToNetIPv6: IPv6 outside, both families inside, from either side.
func TestNetToNetIPv6(t *testing.T) {
	check := baseline(t)
	gateway, client := direct(t, "::1", directClient("::1", "", ""), nil)
	if _, err := client.d.Initiate(t.Context(), "", "net", daemon.Command{}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		from *end
		to   string
	}{{client, innerWeb}, {client, "fd20::1"}, {gateway, "10.40.0.1"}, {gateway, "fd40::1"}} {
		if err := ping(t, p.from, p.to); err != nil {
			t.Errorf("%v; engine %+v %+v", err, client.d.Stats().Engine, gateway.d.Stats().Engine)
		}
	}
	client.close(t)
	if n := len(gateway.d.Status()); n != 0 {
		t.Errorf("%d IKE SAs are left at the gateway after the client's end", n)
	}
	gateway.close(t)
	check()
}

// TestStraightToTheNATTPort: a host that has no privilege for port 500 begins at the peer's NAT-T port.
func TestStraightToTheNATTPort(t *testing.T) {
	check := baseline(t)
	straight := func(_, nattPort uint16) string { return directClient("127.0.0.1", "", "")(nattPort, nattPort) }
	gateway, client := direct(t, "127.0.0.1", straight, nil)
	if _, err := client.d.Initiate(t.Context(), "office", "net", daemon.Command{}); err != nil {
		t.Fatal(err)
	}
	if client.count(ike.EventFloat) != 0 {
		t.Error("the client floated, but it was there from the beginning")
	}
	if err := ping(t, client, innerWeb); err != nil {
		t.Error(err)
	}
	client.close(t)
	gateway.close(t)
	check()
}

// TestStartAction: a child comes up by itself, and again after the peer was away.
func TestStartAction(t *testing.T) {
	check := baseline(t)
	gateway, client := direct(t, "127.0.0.1", directClient("127.0.0.1", "keyingtries = %forever\n dpd_delay = 1s", "start_action = start"), nil)
	eventually(t, "the child is up", func() bool { return ping1(client, innerWeb) })
	// The gateway dies without a word.
	gateway.d.Amnesia()
	eventually(t, "the dead peer is noticed", func() bool { return client.count(ike.EventIKEDown) == 1 })
	if ev, _ := client.last(ike.EventIKEDown); ev.Reason != ike.ClosePeerDead {
		t.Errorf("reason %s", daemon.ReasonText(ev.Reason))
	}
	eventually(t, "the child is up again", func() bool { return client.count(ike.EventIKEUp) == 2 && ping1(client, innerWeb) })
	client.close(t)
	gateway.close(t)
	check()
}

func ping1(e *end, to string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := e.stack.Ping(ctx, netip.MustParseAddr(to))
	return err == nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within 15 s", what)
}

// TestNoAnswer: the error says where nobody answered, and what the network said.
func TestNoAnswer(t *testing.T) {
	check := baseline(t)
	nobody := func(uint16, uint16) string { return directClient("127.0.0.1", "", "")(9, 9) }
	gateway, client := direct(t, "127.0.0.1", nobody, nil)
	_, err := client.d.Initiate(t.Context(), "office", "net", daemon.Command{})
	var failed *daemon.InitiateError
	if !errors.As(err, &failed) || failed.Reason != ike.CloseNoAnswer || !strings.Contains(err.Error(), "no answer from 127.0.0.1 on UDP 9") {
		t.Errorf("%v", err)
	}
	client.close(t)
	gateway.close(t)
	check()
}

// TestCloseWithDeadPeer: Close does not wait for a peer that never answers.
func TestCloseWithDeadPeer(t *testing.T) {
	check := baseline(t)
	w := build(t, "", "swordfish swordfish")
	w.up(t)
	if err := errors.Join(w.nat.SetLink(nat.Out, nat.Link{Block: true}), w.nat.SetLink(nat.In, nat.Link{Block: true})); err != nil {
		t.Fatal(err)
	}
	w.close(t)
	check()
}

// TestReload: a running SA survives a reload, what is gone is gone, and a policy is in force as long as it is loaded.
func TestReload(t *testing.T) {
	check := baseline(t)
	gateway, client := direct(t, "127.0.0.1", directClient("127.0.0.1", "", ""), nil)
	if _, err := client.d.Initiate(t.Context(), "office", "net", daemon.Command{}); err != nil {
		t.Fatal(err)
	}
	changes, err := client.d.Apply(load(t, `connections { other {
	  remote_addrs = 192.0.2.1
	  children { block { mode = drop
	                     local_ts = 10.40.0.0/24
	                     remote_ts = 10.99.0.0/24 } } } }`))
	if err != nil || len(changes.Added) != 1 || len(changes.Removed) != 1 {
		t.Errorf("changes %+v, %v", changes, err)
	}
	if err := ping(t, client, innerWeb); err != nil {
		t.Errorf("the SA did not survive: %v", err)
	}
	if _, err := client.d.Initiate(t.Context(), "office", "net", daemon.Command{}); err == nil {
		t.Error("a connection that is gone was initiated")
	}
	if ping1(client, "10.99.0.1") {
		t.Error("a dropped packet was answered")
	}
	if n := client.d.Stats().Engine.Drops["out-discarded"]; n == 0 {
		t.Errorf("nothing was discarded: %v", client.d.Stats().Engine.Drops)
	}
	if err := client.d.UnloadConnection("other"); err != nil {
		t.Error(err)
	}
	ping1(client, "10.99.0.1")
	if n := client.d.Stats().Engine.Drops["out-no-policy"]; n == 0 {
		t.Errorf("the policy is still in force: %v", client.d.Stats().Engine.Drops)
	}
	client.close(t)
	gateway.close(t)
	check()
}

// TestTerminateFromTheGateway: by child and by number; what matches nothing is an error.
func TestTerminateFromTheGateway(t *testing.T) {
	check := baseline(t)
	gateway, client := direct(t, "127.0.0.1", directClient("127.0.0.1", "", ""), nil)
	made, err := client.d.Initiate(t.Context(), "office", "net", daemon.Command{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.d.Terminate(t.Context(), daemon.Target{Child: "net"}, daemon.Command{}); err != nil {
		t.Error(err)
	}
	eventually(t, "the child is gone", func() bool {
		sas := client.d.Status()
		return len(sas) == 1 && len(sas[0].Children) == 0
	})
	if again, err := client.d.Initiate(t.Context(), "office", "net", daemon.Command{}); err != nil || again.IKEID != made.IKEID {
		t.Errorf("a second child: %+v, %v", again, err)
	}
	if _, err := client.d.Terminate(t.Context(), daemon.Target{IKEID: made.IKEID}, daemon.Command{Force: true}); err != nil {
		t.Error(err)
	}
	var missing *daemon.NotFoundError
	if _, err := client.d.Terminate(t.Context(), daemon.Target{IKE: "office"}, daemon.Command{}); !errors.As(err, &missing) {
		t.Errorf("%v, expected that nothing matches", err)
	}
	client.close(t)
	gateway.close(t)
	check()
}
