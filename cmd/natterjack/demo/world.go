// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The world of the demo: a gateway with a web server behind it, a NAT, and a client behind the NAT, over UDP sockets on
// loopback. Both daemons are made of a swanctl.conf by the same calls as `natterjack run` makes; only what is around them
// is the demo's.

package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/port/natbox"
	"github.com/natterjack/natterjack/port/natbox/nat"
	"github.com/natterjack/natterjack/port/netstack"
)

const (
	gatewayID = "gateway.example.org"
	clientID  = "laptop@example.org"
	// Inner addresses: the gateway's own, and the web server's behind it.
	gatewayInner, webInner = "10.20.0.1", "10.20.0.10"
	keepalive              = 2 * time.Second
	// window bounds what is in flight inside the tunnel to what a UDP socket of an unprivileged process can queue (Linux gives
	// it 208 KiB, of which a part is its own bookkeeping), so that the only losses are those the demo makes.
	window = 96 << 10
)

// host is one daemon with its inner network.
type host struct {
	d     *daemon.Daemon
	stack *netstack.Stack
	w     *watcher
}

// world is everything that runs.
type world struct {
	dir             string
	web             *web
	nat             *natbox.Loopback
	gateway, client host
}

// build starts everything; what it had started is stopped if it fails.
func build(n *narrator, fault string, least int64) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			w.close()
			w = nil
		}
	}()
	if w.dir, err = os.MkdirTemp("", "natterjack-demo-"); err != nil {
		return w, err
	}
	if w.web, err = newWeb(least); err != nil {
		return w, err
	}
	ports, err := freePorts(4) // two for the gateway, two for the client
	if err != nil {
		return w, err
	}
	if w.gateway.stack, err = netstack.NewGateway(inner(gatewayInner), 0, w.behindGateway); err != nil {
		return w, err
	}
	if err = w.start(n, &w.gateway, "gateway", gatewayConf(ports[:2], fault)); err != nil {
		return w, err
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	w.nat, err = natbox.NewLoopback(natbox.LoopbackConfig{
		NAT: nat.Config{Mapping: nat.AddressPortDependent, Filtering: nat.AddressPortDependent, RandomPorts: true, Out: link(fault), In: link(fault)},
		Destinations: []natbox.Destination{
			{Inside: netip.AddrPortFrom(loopback, 0), Outside: netip.AddrPortFrom(loopback, ports[0])},
			{Inside: netip.AddrPortFrom(loopback, 0), Outside: netip.AddrPortFrom(loopback, ports[1])},
		},
	})
	if err != nil {
		return w, fmt.Errorf("NAT: %w", err)
	}
	if w.client.stack, err = netstack.New(nil, 0); err != nil {
		return w, err
	}
	if err = w.client.stack.SetTCPWindow(window); err != nil {
		return w, err
	}
	remote := []uint16{w.nat.Inside(0).Port(), w.nat.Inside(1).Port()}
	return w, w.start(n, &w.client, "client", clientConf(ports[2:], remote))
}

// start makes a daemon of a configuration, as `natterjack run` does.
func (w *world) start(n *narrator, h *host, name, conf string) error {
	path := filepath.Join(w.dir, name+".conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return err
	}
	cfg, err := config.LoadFile(path)
	if err != nil {
		return err
	}
	opts := daemon.OptionsOf(cfg.Daemon)
	opts.Device, opts.DataPlane, opts.Log = h.stack, "netstack", slog.New(slog.DiscardHandler)
	if h.d, err = daemon.New(opts); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	h.w = watch(n, name, h.d)
	_, err = h.d.Apply(cfg)
	return err
}

// behindGateway is the network behind the gateway: one web server.
func (w *world) behindGateway(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" || address != webInner+":80" {
		return nil, errors.New("nothing is there")
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", w.web.addr.String())
}

func (w *world) close() {
	for _, h := range []*host{&w.client, &w.gateway} {
		if h.d != nil {
			h.d.Close()
		}
		if h.w != nil {
			h.w.close()
		}
		if h.stack != nil {
			h.stack.Close()
		}
	}
	if w.nat != nil {
		w.nat.Close()
	}
	if w.web != nil {
		w.web.close()
	}
	if w.dir != "" {
		os.RemoveAll(w.dir)
	}
}

func inner(list ...string) []netip.Addr {
	var addrs []netip.Addr
	for _, s := range list {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	return addrs
}

// freePorts finds UDP ports that nobody has at the moment.
func freePorts(n int) ([]uint16, error) {
	var ports []uint16
	for range n {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, err
		}
		defer c.Close()
		ports = append(ports, c.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	}
	return ports, nil
}

// link is the NAT's impairment: none, but for the fault "loss".
func link(fault string) nat.Link {
	if fault == "loss" {
		return nat.Link{Loss: 0.0004}
	}
	return nat.Link{}
}

// daemonTemplate is what both daemons have in common.
const daemonTemplate = `
daemon {
  listen = 127.0.0.1
  port = {port}
  port_nat_t = {port_nat_t}
  keepalive = 2s
}
`

const gatewayTemplate = `
connections {
  laptops {
    local_addrs = 127.0.0.1
    pools = inner
    proposals = aes128gcm16-prfsha256-x25519
    local { auth = psk
            id = {gateway_id} }
    remote { auth = psk
             id = {client_id} }
    children {
      web { local_ts = 10.20.0.0/24
            esp_proposals = {gateway_esp} }
    }
  }
}
pools { inner { addrs = 10.30.0.0/24 } }
secrets { ike-laptop { id-1 = {client_id}
                       id-2 = {gateway_id}
                       secret = "{gateway_secret}" } }
`

const clientTemplate = `
connections {
  office {
    remote_addrs = 127.0.0.1
    remote_port = {remote_port}
    remote_port_nat_t = {remote_port_nat_t}
    keyingtries = 1
    vips = 0.0.0.0
    proposals = aes128gcm16-prfsha256-x25519
    local { auth = psk
            id = {client_id} }
    remote { auth = psk
             id = {gateway_id} }
    children {
      web { remote_ts = 10.20.0.0/24
            esp_proposals = aes128gcm16-x25519 }
    }
  }
}
secrets { ike-office { id-1 = {client_id}
                       id-2 = {gateway_id}
                       secret = "correct horse battery staple" } }
`

// gatewayConf and clientConf fill the templates; the faults "rekey" and "auth" are faults of the gateway's configuration.
func gatewayConf(ports []uint16, fault string) string {
	esp, secret := "aes128gcm16-x25519", "correct horse battery staple"
	switch fault {
	case "rekey":
		// Without PFS: the first child comes up all the same (IKE_AUTH carries no key exchange), its rekeying cannot.
		esp = "aes128gcm16"
	case "auth":
		secret = "another secret"
	}
	return fill(daemonTemplate+gatewayTemplate, "port", ports[0], "port_nat_t", ports[1], "gateway_esp", esp, "gateway_secret", secret)
}

func clientConf(ports, remote []uint16) string {
	return fill(daemonTemplate+clientTemplate, "port", ports[0], "port_nat_t", ports[1], "remote_port", remote[0], "remote_port_nat_t", remote[1])
}

func fill(text string, pairs ...any) string {
	list := []string{"{gateway_id}", gatewayID, "{client_id}", clientID}
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, "{"+pairs[i].(string)+"}", fmt.Sprint(pairs[i+1]))
	}
	return strings.NewReplacer(list...).Replace(text)
}
