// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Transport mode: a child protects some of what this host's own sockets exchange with one address. Only that is routed into
// the device; whatever else goes to the address, which may be that of a NAT before many hosts, goes as it always did. What
// the engine writes to the device has the outer addresses and belongs to ordinary sockets of this host.

package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/route"
)

// flow is one kind of traffic to one address.
type flow struct {
	to   netip.Addr
	kind route.Flow
}

// remoteOf are the remote selectors as this host sees their packets. In UDP the peer has no ports of its own here, whatever it says of a NAT: the
// engine gives each peer one, so that two of them with the same do not meet (RFC 3948, Section 5.2), and any other host
// behind that NAT could send from it in the clear.
func remoteOf(c *ike.ChildSA) []ike.Selector {
	if c.Mode != ike.ModeTransport || !c.Encap {
		return c.TSRemote
	}
	list := slices.Clone(c.TSRemote)
	for i := range list {
		if hasPorts(list[i].Proto) {
			list[i].PortFrom, list[i].PortTo = 0, 0xffff
		}
	}
	return list
}

// hasPorts reports whether ports of a selector are those of a transport protocol (of ICMP they are type and code); a selector
// without a protocol has none either way.
func hasPorts(proto uint8) bool {
	const tcp, udp, dccp, sctp, lite = 6, 17, 33, 132, 136
	return slices.Contains([]uint8{tcp, udp, dccp, sctp, lite}, proto)
}

// flowsOf are the kinds of traffic of pairs. Types of ICMP are not told apart by routes: all of it enters the device then.
func flowsOf(list []pair) []flow {
	var out []flow
	for _, p := range list {
		f := flow{to: p.remote.From, kind: route.Flow{Proto: max(p.local.Proto, p.remote.Proto), SportTo: 0xffff, DportTo: 0xffff}}
		if hasPorts(f.kind.Proto) {
			f.kind.SportFrom, f.kind.SportTo = p.local.PortFrom, p.local.PortTo
			f.kind.DportFrom, f.kind.DportTo = p.remote.PortFrom, p.remote.PortTo
		}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// holdFlows routes what pairs are about.
func (h *Host) holdFlows(list []pair, k *child) error {
	for _, p := range list {
		if p.remote.From != p.remote.To {
			return fmt.Errorf("transport mode: %s is more than two hosts", p.id())
		}
	}
	for _, f := range flowsOf(list) {
		if err := h.routes.AddFlow(f.to, f.kind, k.outer); err != nil {
			return err
		}
		k.flows = append(k.flows, f)
	}
	return nil
}

func (h *Host) letGoFlows(k *child) error {
	var errs []error
	for _, f := range slices.Backward(k.flows) {
		errs = append(errs, h.routes.RemoveFlow(f.to, f.kind))
	}
	k.flows = nil
	return errors.Join(errs...)
}

// Trap puts what a policy that waits for traffic needs in force, or takes it back for the same value: its packets go into the
// device, where they ask for SAs, and nowhere else.
func (h *Host) Trap(c *ike.ChildSA, on bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("host changes: closed")
	}
	k := h.traps[c]
	if !on {
		if k == nil {
			return nil
		}
		delete(h.traps, c)
		err := h.letGo(k)
		if err != nil {
			h.log.Error("a change of the host could not be taken back; `natterjack cleanup` tries again", "child_sa", c.Name, "reason", err)
		}
		return err
	}
	k = &child{local: slices.Clone(c.TSLocal), outer: c.Path.Local.Addr().Unmap()}
	if err := h.hold(c, k); err != nil {
		return errors.Join(err, h.letGo(k))
	}
	h.traps[c] = k
	return nil
}
