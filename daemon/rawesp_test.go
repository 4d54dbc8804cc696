// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon_test

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/port/netstack"
	"github.com/natterjack/natterjack/port/rawesp"
)

// TestESPWithoutUDP: no NAT and privileges on both sides: ESP is an IP protocol of its own.
func TestESPWithoutUDP(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the loopback network has one address only")
	}
	c, err := rawesp.Open(rawesp.Config{Local: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Skip(err)
	}
	c.Close()
	check := baseline(t)
	raw := func(addr string) func(*daemon.Options) {
		return func(o *daemon.Options) { o.Listen, o.NoRawESP, o.Retransmit = netip.MustParseAddr(addr), false, quick }
	}
	gs, err := netstack.New([]netip.Addr{netip.MustParseAddr(innerWeb)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	gateway := boot(t, gs, load(t, directGateway), raw("127.0.0.1"))
	ikePort, nattPort := gateway.d.Ports(netip.MustParseAddr("127.0.0.1"))
	cs, err := netstack.New([]netip.Addr{netip.MustParseAddr("10.40.0.1")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	client := boot(t, cs, load(t, directClient("127.0.0.1", "", "")(ikePort, nattPort)), raw("127.0.0.2"))
	if _, err := client.d.Initiate(t.Context(), "office", "net", daemon.Command{}); err != nil {
		t.Fatal(err)
	}
	if st := client.d.Status(); st[0].Children[0].Encap {
		t.Errorf("the child is encapsulated: %+v", st[0].Children[0])
	}
	if err := ping(t, client, innerWeb); err != nil {
		t.Errorf("%v; %+v %+v", err, client.d.Stats(), gateway.d.Stats())
	}
	client.close(t)
	gateway.close(t)
	check()
}
