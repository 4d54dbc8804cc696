// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Transport mode (RFC 7296, Sections 1.3.1 and 2.23.1) and IPComp (Section 2.22): the two notifies that say what kind of
// child is wanted. Selectors of transport mode are those of two hosts. Behind a NAT the peer cannot know the addresses that
// this host sees, so that those in its selectors are replaced by the two ends of the IKE SA, and kept: the transport
// checksums of what it sends were made with them. Whatever an authenticated peer writes there, the addresses that count are
// the ends of the IKE SA as IKE_SA_INIT found them, so that no peer becomes another host.

package ikev2

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

const (
	// firstCPI and lastCPI bound the CPIs that are negotiated; those below name algorithms (RFC 3173, Section 3.3).
	firstCPI, lastCPI = 256, 61439
	// deflate is the IPComp transform of DEFLATE, and its well-known CPI (RFC 7296, Section 3.3.2; RFC 2394).
	deflate = 2
)

// hostLocal and hostRemote are the two ends of the IKE SA: what `dynamic` stands for in transport mode.
func (sa *SA) hostLocal() netip.Addr  { return sa.path.Local.Addr().Unmap() }
func (sa *SA) hostRemote() netip.Addr { return sa.startPath.Remote.Addr().Unmap() }

// offerOf are the selectors that are offered for a child.
func (sa *SA) offerOf(conf *ike.ChildConfig) (local, remote []ike.Selector) {
	if conf.Mode != ike.ModeTransport {
		return resolve(conf.LocalTS, sa.localAddrs()), resolve(conf.RemoteTS, sa.remoteAddrs())
	}
	return atHost(conf.LocalTS, sa.hostLocal()), atHost(conf.RemoteTS, sa.hostRemote())
}

// atHost is what configured selectors leave of one host.
func atHost(conf []ike.Selector, a netip.Addr) []ike.Selector {
	return narrow([]ike.Selector{{From: a, To: a, PortTo: 65535}}, resolve(conf, []netip.Addr{a}))
}

// cannot says why a child cannot be negotiated on this IKE SA whatever the peer has; empty: it can.
func (sa *SA) cannot(conf *ike.ChildConfig) string {
	switch {
	case !conf.AH():
		return ""
	case sa.natLocal || sa.natPeer:
		return "child " + conf.Name + ": a NAT is between this host and the peer, and AH protects the addresses that it changes: use esp_proposals (RFC 3947, Section 1)"
	case sa.encapsulated():
		return "child " + conf.Name + ": AH has no UDP encapsulation: it needs `encap = no` and a daemon that may open raw sockets"
	}
	return ""
}

// hosts are the selectors of an exchange for transport mode, the addresses substituted where there is a NAT.
type hosts struct {
	local, remote         []ike.Selector
	origLocal, origRemote netip.Addr // invalid: there was nothing to substitute
}

// hostsOf reads the peer's selectors as those of two hosts (RFC 7296, Section 2.23.1: each has exactly one address). nil:
// they are not, or the peer is not where it began any more, and that is not its NAT's doing.
func (sa *SA) hostsOf(local, remote []ike.Selector) *hosts {
	h := &hosts{local: slices.Clone(local), remote: slices.Clone(remote)}
	var ok1, ok2 bool
	h.origLocal, ok1 = substitute(h.local, sa.hostLocal(), sa.natLocal)
	h.origRemote, ok2 = substitute(h.remote, sa.hostRemote(), sa.natPeer)
	if !ok1 || !ok2 || !h.origRemote.IsValid() && sa.path.Remote.Addr().Unmap() != sa.hostRemote() {
		return nil
	}
	return h
}

// strayed says that a child in transport mode cannot be negotiated anew, empty: it can. Its SAs would be those of the address that the peer
// had in IKE_SA_INIT, and by now its NAT has given it another: the old one may be somebody else's, and the peer keeps what it has there
// (see natMoved), a rekey included, but gets no more. RFC 7296, Section 2.23.1 leaves this open.
func (sa *SA) strayed(old *child) string {
	if old != nil || sa.path.Remote.Addr().Unmap() == sa.hostRemote() {
		return ""
	}
	return "the peer was at " + sa.hostRemote().String() + " when the IKE SA began and is elsewhere by now: transport mode needs a new IKE SA for a new child"
}

// substitute puts addr in the place of the one address that all selectors have, where there is a NAT, and returns that
// address if it is another. ok is false where the selectors are not those of addr.
func substitute(list []ike.Selector, addr netip.Addr, nat bool) (orig netip.Addr, ok bool) {
	for _, s := range list {
		if s.From != s.To || s.From != list[0].From || s.From.BitLen() != addr.BitLen() || !nat && s.From != addr {
			return netip.Addr{}, false
		}
		if s.From != addr {
			orig = s.From
		}
	}
	for i := range list {
		list[i].From, list[i].To = addr, addr
	}
	return orig, len(list) > 0
}

// childNotifies are what a request, or the response to one, says of the kind of child (RFC 7296, Appendix C).
func childNotifies(mode ike.Mode, cpi uint16) []ikev2msg.Payload {
	var list []ikev2msg.Payload
	if cpi != 0 {
		list = append(list, &ikev2msg.Notify{Notify: ikev2msg.IPCOMPSupported, Data: append(binary.BigEndian.AppendUint16(nil, cpi), deflate)})
	}
	if mode == ike.ModeTransport {
		list = append(list, &ikev2msg.Notify{Notify: ikev2msg.UseTransportMode})
	}
	return list
}

// newCPI draws a CPI for what this host receives. It need not be unique: the SA around it says whose it is.
func (sa *SA) newCPI() uint16 {
	return firstCPI + uint16(binary.BigEndian.Uint32(sa.random(4))%(lastCPI-firstCPI+1))
}

// offerCPI is the CPI that is offered for a child; zero: none.
func (sa *SA) offerCPI(conf *ike.ChildConfig) uint16 {
	if !conf.IPComp {
		return 0
	}
	return sa.newCPI()
}

// peerCPI is the CPI by which the peer wants DEFLATE; zero: it does not.
func peerCPI(payloads []ikev2msg.Payload) uint16 {
	for _, p := range payloads {
		n, ok := p.(*ikev2msg.Notify)
		if !ok || n.Notify != ikev2msg.IPCOMPSupported || len(n.Data) < 3 || n.Data[2] != deflate {
			continue
		}
		if cpi := binary.BigEndian.Uint16(n.Data); cpi == deflate || cpi >= firstCPI {
			return cpi
		}
	}
	return 0
}

// takeKind verifies what kind of child a response agrees to, and completes the child: mode, addresses, compression.
func (sa *SA) takeKind(a *attempt, o opened, c *child) error {
	transport := notifyOf(o.payloads, ikev2msg.UseTransportMode) != nil
	switch {
	case transport && a.conf.Mode != ike.ModeTransport:
		return fmt.Errorf("USE_TRANSPORT_MODE: the peer answers with what was not asked for")
	case !transport && a.conf.Mode == ike.ModeTransport:
		// Deviation: charon goes on in tunnel mode. RFC 7296, Section 1.3.1 lets an initiator delete the SA, and who wrote
		// `mode = transport` finds out here and not by packets that nobody understands.
		return fmt.Errorf("the peer declined transport mode and chose tunnel mode: set `mode` to what it has")
	case transport:
		h := sa.hostsOf(c.sa.TSLocal, c.sa.TSRemote)
		if h == nil {
			return fmt.Errorf("traffic selectors: transport mode needs those of the two hosts, got %s === %s", show(c.sa.TSLocal), show(c.sa.TSRemote))
		}
		c.sa.TSLocal, c.sa.TSRemote, c.sa.OrigLocal, c.sa.OrigRemote = h.local, h.remote, h.origLocal, h.origRemote
	}
	c.sa.Mode = a.conf.Mode
	if notifyOf(o.payloads, ikev2msg.IPCOMPSupported) == nil {
		return nil
	}
	cpi := peerCPI(o.payloads)
	if a.cpi == 0 || cpi == 0 {
		return fmt.Errorf("IPCOMP_SUPPORTED: the peer answers with what was not offered")
	}
	c.sa.CPIIn, c.sa.CPIOut = a.cpi, cpi
	return nil
}
