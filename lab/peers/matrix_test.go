// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// What is authenticated how, over which topology, with which addresses: each case moves 8 MiB each way with equal hashes while
// the outer link is captured.

package peers

import (
	"testing"

	"github.com/natterjack/natterjack/lab/netlab"
)

// TestHarness proves the harness itself, and that a failure of another case is ours: strongSwan on both ends.
func TestHarness(t *testing.T) {
	for _, p := range pairs(pair{netlab.StrongSwan, netlab.StrongSwan}) {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			scenario{pair: p, top: netlab.Topology{NAT: netlab.Masquerade}, mode: virtual}.run(t)
		})
	}
}

func TestAuthentication(t *testing.T) {
	type method struct {
		name string
		key  netlab.KeyKind
	}
	for _, p := range all() {
		for _, m := range []method{{"psk", ""}, {"rsa", netlab.RSA}, {"ecdsa-p256", netlab.ECDSA256}, {"ecdsa-p384", netlab.ECDSA384},
			{"ecdsa-p521", netlab.ECDSA521}, {"ed25519", netlab.Ed25519}} {
			t.Run(p.String()+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				scenario{pair: p, top: netlab.Topology{NAT: netlab.Masquerade}, mode: virtual, key: m.key}.run(t)
			})
		}
	}
}

// TestOlderAuthentication: a peer without RFC 7427 uses the methods of RFC 7296 and RFC 4754.
func TestOlderAuthentication(t *testing.T) {
	older := func(c *netlab.Config) { c.Charon = append(c.Charon, "signature_authentication = no") }
	for _, p := range mixed() {
		for _, key := range []netlab.KeyKind{netlab.RSA, netlab.ECDSA256} {
			t.Run(p.String()+"/"+string(key), func(t *testing.T) {
				t.Parallel()
				s := scenario{pair: p, top: netlab.Topology{NAT: netlab.Masquerade}, mode: virtual, key: key, editClient: older, editGateway: older}
				tn := s.up(t)
				tn.pings(0)
				tn.moves(0, fewOctets)
			})
		}
	}
}

func TestTopologies(t *testing.T) {
	type place struct {
		name   string
		top    netlab.Topology
		mode   mode
		inner6 bool
	}
	masquerade := netlab.Topology{NAT: netlab.Masquerade}
	masquerade6 := netlab.Topology{NAT: netlab.Masquerade, IPv6: true}
	both := netlab.Topology{NAT: netlab.Masquerade, GatewayNAT: true}
	for _, p := range all() {
		for _, c := range []place{
			{"virtual-6-in-4", masquerade, virtual, true},
			{"virtual-4-in-6", masquerade6, virtual, false},
			{"virtual-6-in-6", masquerade6, virtual, true},
			{"net-4-in-4", masquerade, network, false},
			{"net-6-in-4", masquerade, network, true},
			{"net-4-in-6", masquerade6, network, false},
			{"host-4", masquerade, host, false},
			{"host-6", masquerade6, host, false},
			{"no-nat-host", netlab.Topology{}, host, false},
			{"both-behind-nats", both, virtual, false},
			{"both-behind-nats-net", both, network, false},
			{"gateway-behind-static-nat", netlab.Topology{GatewayNAT: true}, virtual, false},
			{"two-clients-one-nat", netlab.Topology{NAT: netlab.Masquerade, Clients: 2}, virtual, false},
			{"two-clients-one-nat-net", netlab.Topology{NAT: netlab.Masquerade, Clients: 2}, network, false},
		} {
			t.Run(p.String()+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				scenario{pair: p, top: c.top, mode: c.mode, inner6: c.inner6, encap: true}.run(t)
			})
		}
	}
}

// TestReversePathFilter: rp_filter = 1 drops what the peer sends once its address is routed into the tunnel, unless its
// packets carry the mark.
func TestReversePathFilter(t *testing.T) {
	for _, p := range all() {
		for _, m := range []mode{virtual, host} {
			t.Run(p.String()+"/"+string(m), func(t *testing.T) {
				t.Parallel()
				scenario{pair: p, top: netlab.Topology{NAT: netlab.Masquerade}, mode: m, strict: true}.run(t)
			})
		}
	}
}
