// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Children that come up by traffic, and clients that want what another has, end to end over loopback.

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
	"github.com/natterjack/natterjack/port/netstack"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

const sitesConf = `
connections {
  sites {
    local { auth = psk
            id = gw.example }
    remote { auth = psk
             id = *.example }
    children { web { local_ts = 10.20.0.0/24
                     remote_ts = 10.40.0.0/16 } }
  }
}
secrets { ike-1 { secret = "swordfish swordfish" } }
`

const siteConf = `
connections {
  office {
    remote_addrs = 127.0.0.1
    remote_port = %d
    remote_port_nat_t = %d
    local { auth = psk
            id = %s.example }
    remote { auth = psk
             id = gw.example }
    children { web { local_ts = 10.40.0.2/32
                     remote_ts = 10.20.0.0/24
                     start_action = %s } }
  }
}
secrets { ike-1 { secret = "swordfish swordfish" } }
`

// site boots a daemon with an inner host.
func site(t *testing.T, inner, conf string) *end {
	t.Helper()
	stack, err := netstack.New([]netip.Addr{netip.MustParseAddr(inner)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	e := boot(t, stack, load(t, conf), nil)
	t.Cleanup(func() { e.close(t) })
	return e
}

// echo answers on port 7 of an inner host.
func echo(t *testing.T, e *end, addr string) {
	t.Helper()
	l, err := e.stack.ListenUDP(netip.AddrPortFrom(netip.MustParseAddr(addr), 7))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = l.WriteTo(b[:n], from)
		}
	}()
}

// ask sends one datagram and waits for its echo.
func ask(t *testing.T, e *end, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	conn, err := e.stack.DialContext(ctx, "udp", "10.20.0.1:7")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("one packet")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	_, err = conn.Read(make([]byte, 100))
	return err
}

// TestTrap: the very packet that asks for a child arrives when it is up; after the peer has taken the child away the next
// packet asks again; a child that cannot come up costs that packet and not more.
func TestTrap(t *testing.T) {
	gw := site(t, "10.20.0.1", sitesConf)
	echo(t, gw, "10.20.0.1")
	ikePort, nattPort := gw.d.Ports(netip.MustParseAddr("127.0.0.1"))
	client := site(t, "10.40.0.2", fmt.Sprintf(siteConf, ikePort, nattPort, "a", "trap"))
	eventually(t, "the trap", func() bool { return len(client.d.Traps()) == 1 })
	if len(client.d.Status()) != 0 {
		t.Fatal("an IKE SA without a packet")
	}
	if err := ask(t, client, 5*time.Second); err != nil {
		t.Fatalf("the held packet: %v", err)
	}
	eventually(t, "the event of the child", func() bool { return client.count(ike.EventChildUp) > 0 }) // the echo may be sooner
	if n := client.count(ike.EventChildUp); n != 1 {
		t.Errorf("%d children came up, expected one", n)
	}
	if _, err := gw.d.Terminate(t.Context(), daemon.Target{IKE: "sites"}, daemon.Command{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the IKE SA", func() bool { return len(client.d.Status()) == 0 })
	// Packets alone do not have one begun at once after the other.
	eventually(t, "an answer after the peer's delete", func() bool { return ask(t, client, 5*time.Second) == nil })
	// The other side begins: what meets the trap here takes its SAs.
	if err := client.d.Uninstall("", "web"); err != nil {
		t.Fatal(err)
	}
	if err := client.d.Uninstall("", "web"); err == nil {
		t.Error("a trap was taken back twice")
	}
	if err := client.d.Install(t.Context(), "office", "web"); err != nil {
		t.Fatal(err)
	}
	if err := ask(t, client, 2*time.Second); err != nil {
		t.Errorf("with the child up: %v", err)
	}
}

// trappedConf is a gateway whose packets to its sites wait for children that it cannot begin: no site is where it looks.
const trappedConf = `
connections {
  sites {
    remote_addrs = 127.0.0.1
    remote_port = 9
    remote_port_nat_t = 9
    local { auth = psk
            id = gw.example }
    remote { auth = psk
             id = *.example }
    children { web { local_ts = 10.20.0.0/24
                     remote_ts = 10.40.0.0/16
                     start_action = trap } }
  }
}
secrets { ike-1 { secret = "swordfish swordfish" } }
`

// TestTrapPeerBegins: what waits at a trap goes by the child that a peer begins, and each identity of the connection has its own reqid,
// which is not the trap's: what a reqid names is one client.
func TestTrapPeerBegins(t *testing.T) {
	gw := site(t, "10.20.0.1", trappedConf)
	eventually(t, "the trap", func() bool { return len(gw.d.Traps()) == 1 })
	ikePort, nattPort := gw.d.Ports(netip.MustParseAddr("127.0.0.1"))
	sites := map[string]*end{}
	for name, addr := range map[string]string{"a": "10.40.0.2", "b": "10.40.0.3"} {
		conf := strings.ReplaceAll(fmt.Sprintf(siteConf, ikePort, nattPort, name, "none"), "10.40.0.2", addr)
		sites[name] = site(t, addr, conf)
		echo(t, sites[name], addr)
	}
	conn, err := gw.stack.DialContext(t.Context(), "udp", "10.40.0.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("one packet")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the packet to wait", func() bool { return gw.d.Held() == 1 })
	for _, name := range []string{"a", "b"} {
		if _, err := sites[name].d.Initiate(t.Context(), "office", "web", daemon.Command{}); err != nil {
			t.Fatal(err)
		}
	}
	// It may reach the peer before the answer that its SA comes with, and is lost there like any packet: what counts is that it has left.
	eventually(t, "the packet that waited to leave", func() bool { return gw.d.Sealed() >= 1 })
	reqids := map[uint32]bool{gw.d.TrapReqid("sites", "web"): true}
	n := 0
	for _, sa := range gw.d.Status() {
		for _, c := range sa.Children {
			n++
			if reqids[c.Reqid] {
				t.Errorf("child %d of %s shares reqid %d", c.ChildID, sa.RemoteID, c.Reqid)
			}
			reqids[c.Reqid] = true
		}
	}
	if n != 2 || len(gw.d.Traps()) != 1 {
		t.Errorf("%d children and %d traps, expected 2 and 1", n, len(gw.d.Traps()))
	}
	for name, addr := range map[string]string{"a": "10.40.0.2:7", "b": "10.40.0.3:7"} {
		conn, err := gw.stack.DialContext(t.Context(), "udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("another"))
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 100)); err != nil {
			t.Errorf("to %s, with its child up: %v", name, err)
		}
	}
}

// TestHeldAddress is RFC 3948, Section 5.1: the second client with the same inner address is told why, the first one's
// traffic goes on, and the second may come when the first has gone. The first one itself comes back at once.
func TestHeldAddress(t *testing.T) {
	gw := site(t, "10.20.0.1", sitesConf)
	echo(t, gw, "10.20.0.1")
	ikePort, nattPort := gw.d.Ports(netip.MustParseAddr("127.0.0.1"))
	conf := func(name string) string { return fmt.Sprintf(siteConf, ikePort, nattPort, name, "none") }
	first, second := site(t, "10.40.0.2", conf("a")), site(t, "10.40.0.2", conf("b"))
	comeUp := func(e *end) error {
		_, err := e.d.Initiate(t.Context(), "office", "web", daemon.Command{})
		return err
	}
	if err := comeUp(first); err != nil {
		t.Fatal(err)
	}
	err := comeUp(second)
	if failed, ok := errors.AsType[*daemon.InitiateError](err); !ok || failed.Notify != uint16(ikev2msg.TSUnacceptable) {
		t.Fatalf("the second client: %v, expected TS_UNACCEPTABLE", err)
	}
	// The event is published beside the answer, not before it.
	var ev ike.Event
	eventually(t, "what the gateway says", func() (ok bool) { ev, ok = gw.last(ike.EventRefused); return ok })
	if !strings.Contains(ev.Detail, "a.example") || !strings.Contains(ev.Detail, "10.40.0.2/32") {
		t.Errorf("the gateway says %q", ev.Detail)
	}
	if err := ask(t, first, 2*time.Second); err != nil {
		t.Errorf("the first client: %v", err)
	}
	// The first one crashes and comes back by another IKE SA; it does not know of the old one.
	first.d.Amnesia()
	if err := comeUp(first); err != nil {
		t.Fatalf("the first client after a crash: %v", err)
	}
	if err := ask(t, first, 2*time.Second); err != nil {
		t.Errorf("the first client after a crash: %v", err)
	}
	if _, err := first.d.Terminate(t.Context(), daemon.Target{IKE: "office"}, daemon.Command{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the first", func() bool {
		n := 0
		for _, sa := range gw.d.Status() {
			n += len(sa.Children)
		}
		return n == 0
	})
	if err := comeUp(second); err != nil {
		t.Errorf("the second client, when the first has gone: %v", err)
	}
	if err := ask(t, second, 2*time.Second); err != nil {
		t.Errorf("the second client: %v", err)
	}
}
