// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The namespace form: the kernel of the NAT's namespace routes both directions into a TUN interface, the NAT rewrites
// UDP and writes the packets back, and the kernel sends them on. Packets that are not whole UDP datagrams are dropped.
// What a lab sets up: forwarding on, rp_filter off, the TUN up; "ip rule add iif INSIDE lookup 100" with "ip route add
// default dev TUN table 100"; "ip route add EXTERNAL dev TUN", with EXTERNAL on no interface of the namespace; and
// proxy_arp (or proxy_ndp) on the outside interface, unless the outside has a route to EXTERNAL.

package natbox

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/port/natbox/nat"
	"github.com/natterjack/natterjack/port/tun"
)

// TUNConfig says what NewTUN makes.
type TUNConfig struct {
	NAT nat.Config
	// Device brings the packets of both directions; Close closes it.
	Device tun.Device
	// Inside are the networks behind the NAT; every other source is outside.
	Inside []netip.Prefix
	// Router is the address, one of each family, that ICMP messages come from; without one none are sent.
	Router []netip.Addr
}

// TUN is a NAT between the networks of a namespace.
type TUN struct {
	*Box
	cfg         TUNConfig
	unsupported atomic.Uint64
}

// NewTUN starts the NAT.
func NewTUN(cfg TUNConfig) (*TUN, error) {
	if cfg.Device == nil || len(cfg.Inside) == 0 {
		return nil, errors.New("device or inside networks: none")
	}
	box, err := newBox(cfg.NAT)
	if err != nil {
		return nil, err
	}
	n := &TUN{Box: box, cfg: cfg}
	n.loops.Add(1)
	go n.run()
	return n, nil
}

// Rebind gives every mapping another external endpoint at once; addr not valid: another port.
func (n *TUN) Rebind(addr netip.Addr) error { return n.rebind(addr) }

// Unsupported counts packets that were no whole UDP datagrams.
func (n *TUN) Unsupported() uint64 { return n.unsupported.Load() }

// Close closes the device and waits for the NAT's goroutines.
func (n *TUN) Close() error {
	n.stop()
	err := n.cfg.Device.Close()
	n.loops.Wait()
	return err
}

func (n *TUN) run() {
	defer n.loops.Done()
	size := n.cfg.Device.BatchSize()
	bufs, sizes, out := make([][]byte, size), make([]int, size), make([][]byte, 0, 2*size)
	for i := range bufs {
		bufs[i] = make([]byte, tun.Headroom+65535)
	}
	for {
		got, err := n.cfg.Device.Read(bufs, sizes, tun.Headroom)
		if err != nil {
			return
		}
		now := time.Now()
		out = out[:0]
		for i := range got {
			out = n.packet(now, bufs[i][:tun.Headroom+sizes[i]], out)
		}
		if len(out) > 0 {
			_, _ = n.cfg.Device.Write(out, tun.Headroom) // a NAT does not tell
		}
	}
}

// packet decides on one packet, which stands behind the headroom of buf, and appends to out what leaves now.
func (n *TUN) packet(now time.Time, buf []byte, out [][]byte) [][]byte {
	b := buf[tun.Headroom:]
	p, err := nat.ParseUDP(b)
	if err != nil {
		n.unsupported.Add(1)
		return out
	}
	n.mu.Lock()
	var d nat.Decision
	if n.isInside(p.Src.Addr()) {
		d = n.nat.Outbound(now, p)
	} else {
		d = n.nat.Inbound(now, p)
	}
	n.mu.Unlock()
	if d.MTU > 0 {
		return n.tooBig(b, p.Src.Addr(), d.MTU, out)
	}
	if d.Drop != nat.Forwarded || nat.Rewrite(b, d.Src, d.Dst) != nil {
		return out
	}
	for i := range d.Copies {
		switch {
		case d.At[i].Sub(now) > soon:
			held := append([]byte(nil), buf...)
			n.later(d.At[i], func() { _, _ = n.cfg.Device.Write([][]byte{held}, tun.Headroom) })
		case i == 0:
			out = append(out, buf)
		default:
			out = append(out, append([]byte(nil), buf...))
		}
	}
	return out
}

func (n *TUN) isInside(a netip.Addr) bool {
	for _, p := range n.cfg.Inside {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func (n *TUN) tooBig(b []byte, src netip.Addr, mtu int, out [][]byte) [][]byte {
	for _, r := range n.cfg.Router {
		if r.Is4() != src.Is4() {
			continue
		}
		if m, err := nat.AppendTooBig(make([]byte, tun.Headroom, tun.Headroom+1280), b, r, mtu); err == nil {
			out = append(out, m)
		}
		break
	}
	return out
}
