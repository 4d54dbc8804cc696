// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// What NATs do: mappings forgotten while the tunnel is idle or busy, two clients behind one address, both ends behind NATs, and
// an impaired path. No recovery may cost a new IKE_SA_INIT.

package peers

import (
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
	"github.com/natterjack/natterjack/port/natbox/nat"
)

const (
	// keepalive and dpdDelay are those of the clients here.
	keepalive = 2 * time.Second
	dpdDelay  = 2 * time.Second
	// allowance is for a round trip and for the harness's own processes.
	allowance = 500 * time.Millisecond
)

// quick sets the times that recoveries are measured by.
func quick(c *netlab.Config) {
	c.Daemon = append(c.Daemon, "keepalive = 2s")
	c.Charon = append(c.Charon, "keep_alive = 2s")
	c.Options = append(c.Options, "dpd_delay = 2s")
}

// ours sets the keepalive alone: whoever needs DPD to recover shows it.
func ours(c *netlab.Config) { c.Daemon = append(c.Daemon, "keepalive = 2s") }

// forgetCase is a topology in which a mapping is forgotten.
type forgetCase struct {
	name string
	top  netlab.Topology
}

func forgetCases() []forgetCase {
	return []forgetCase{
		{"nftables", netlab.Topology{NAT: netlab.Masquerade}},
		{"box", netlab.Topology{NAT: netlab.Box, BoxKind: nat.AddressPortDependent}},
		{"both-behind-nats", netlab.Topology{NAT: netlab.Masquerade, GatewayNAT: true}},
		{"ipv6", netlab.Topology{NAT: netlab.Masquerade, IPv6: true}},
	}
}

// recovery is how long the slowest part of a pair may take while idle. With our gateway, and our client, it is the client's
// keepalive interval; with strongSwan on one side it is its liveness check and what follows from it.
func (p pair) recovery() time.Duration {
	if p.client == netlab.Natterjack && p.gateway == netlab.Natterjack {
		return keepalive + allowance
	}
	return dpdDelay + 2*time.Second
}

// TestForgottenIdle: the client has been idle, the NAT forgets, and a ping from the gateway's side gets through in time.
func TestForgottenIdle(t *testing.T) {
	for _, p := range all() {
		for _, c := range forgetCases() {
			t.Run(p.String()+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				edit := quick
				if p.client == netlab.Natterjack && p.gateway == netlab.Natterjack {
					edit = ours
				}
				s := scenario{pair: p, top: c.top, mode: virtual, editClient: edit, editGateway: edit}
				tn := s.up(t)
				capture := tn.Router.Capture("wan")
				tn.pings(0)
				time.Sleep(keepalive + keepalive/2)
				tn.Forget()
				forgotten := time.Now()
				pa := tn.path(0)
				took := tn.Eventually(p.recovery(), "a ping from the gateway's side", func() (bool, string) {
					err := pa.to.Ping(100*time.Millisecond, "-I", pa.toAddr, pa.fromAddr)
					return err == nil, netlab.Describe(tn.gw.SAs())
				})
				t.Logf("reached after %v", took.Round(time.Millisecond))
				tn.pings(0)
				tn.noHandshake(capture.Stop(), forgotten)
			})
		}
	}
}

// noHandshake fails if there was an IKE_SA_INIT after an instant, or, among ours, any CREATE_CHILD_SA.
func (tn *tunnel) noHandshake(packets []netlab.Packet, since time.Time) {
	tn.Helper()
	if n := netlab.Count(packets, netlab.IKESAInit, since); n > 0 {
		tn.Errorf("%d messages of IKE_SA_INIT after the NAT forgot", n)
	}
	if tn.client == netlab.Natterjack && tn.gateway == netlab.Natterjack {
		if n := netlab.Count(packets, netlab.CreateChildSA, since); n > 0 {
			tn.Errorf("%d messages of CREATE_CHILD_SA after the NAT forgot", n)
		}
	}
	if err := tn.outer(0).Check(packets); err != nil {
		tn.Errorf("outer link: %v", err)
	}
}

// TestForgottenActive: the client sends when the NAT forgets. Its next packet moves our gateway's endpoint within a round trip;
// the answer to that very packet may still be on its way to where the client was. No handshake, no rekey. A gateway of
// strongSwan needs its client's next authenticated IKE message.
func TestForgottenActive(t *testing.T) {
	for _, p := range all() {
		for _, c := range forgetCases() {
			t.Run(p.String()+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				s := scenario{pair: p, top: c.top, mode: virtual, editClient: quick, editGateway: quick}
				tn := s.up(t)
				capture := tn.Router.Capture("wan")
				tn.pings(0)
				pa := tn.path(0)
				tn.Forget()
				forgotten := time.Now()
				if p.gateway == netlab.Natterjack {
					if err := pa.from.Ping(allowance/2, "-I", pa.fromAddr, pa.toAddr); err != nil {
						t.Log("the answer to the packet that told went to the old mapping")
					}
					if err := pa.from.Ping(time.Second, "-I", pa.fromAddr, pa.toAddr); err != nil {
						t.Errorf("the packet after it has no answer: %v", err)
					}
				} else {
					took := tn.Eventually(p.recovery(), "a ping from the client", func() (bool, string) {
						err := pa.from.Ping(100*time.Millisecond, "-I", pa.fromAddr, pa.toAddr)
						return err == nil, netlab.Describe(tn.gw.SAs())
					})
					t.Logf("back after %v", took.Round(time.Millisecond))
				}
				tn.pings(0)
				tn.noHandshake(capture.Stop(), forgotten)
			})
		}
	}
}

// TestForgottenDownload: a transfer goes on while the NAT forgets three times.
func TestForgottenDownload(t *testing.T) {
	for _, p := range all() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := masqueraded(p)
			s.editClient, s.editGateway = quick, quick
			tn := s.up(t)
			tn.pings(0)
			capture := tn.Router.Capture("wan")
			begin := time.Now()
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range 3 {
					time.Sleep(100 * time.Millisecond)
					_, _ = tn.Router.Try("conntrack", "-F")
				}
			}()
			tn.moves(0, 2*octets)
			<-done
			tn.pings(0)
			tn.noHandshake(capture.Stop(), begin)
		})
	}
}

// TestForgottenTwo: the mappings of two clients behind one address are forgotten at once, and each keeps its own tunnel.
func TestForgottenTwo(t *testing.T) {
	for _, p := range all() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := scenario{pair: p, top: netlab.Topology{NAT: netlab.Masquerade, Clients: 2}, mode: network, editClient: quick, editGateway: quick}
			tn := s.up(t)
			capture := tn.Router.Capture("wan")
			for i := range tn.clients {
				tn.pings(i)
			}
			tn.Forget()
			forgotten := time.Now()
			for i := range tn.clients {
				pa := tn.path(i)
				tn.Eventually(p.recovery(), "a ping of each client", func() (bool, string) {
					err := pa.from.Ping(100*time.Millisecond, "-I", pa.fromAddr, pa.toAddr)
					return err == nil, netlab.Describe(tn.gw.SAs())
				})
			}
			for i := range tn.clients {
				tn.pings(i)
			}
			tn.noHandshake(capture.Stop(), forgotten)
		})
	}
}

// TestMappingTimeout: the NAT's own timeout is short, and keepalives hold the mapping: the gateway reaches an idle client.
func TestMappingTimeout(t *testing.T) {
	for _, p := range all() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := masqueraded(p)
			s.editClient = quick
			tn := s.start(t)
			tn.Router.Run("sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=4", "net.netfilter.nf_conntrack_udp_timeout_stream=4")
			tn.clients[0].Initiate("net")
			tn.gw.WaitUp(5*time.Second, 1)
			tn.pings(0)
			before := tn.gw.WaitUp(time.Second, 1)[0]
			time.Sleep(6 * time.Second)
			pa := tn.path(0)
			if err := pa.to.Ping(time.Second, "-I", pa.toAddr, pa.fromAddr); err != nil {
				t.Errorf("keepalives did not hold the mapping: %v", err)
			}
			if after := tn.gw.WaitUp(time.Second, 1)[0]; after.RemotePort != before.RemotePort {
				t.Errorf("the mapping changed from port %s to %s", before.RemotePort, after.RemotePort)
			}
		})
	}
}

// TestImpaired: octets arrive whole through the impairment box, which loses, duplicates, reorders and delays, and the
// handshake survives it too.
func TestImpaired(t *testing.T) {
	patient := func(c *netlab.Config) { c.Daemon = append(c.Daemon, "retransmit_tries = 8") }
	links := []struct {
		name string
		link nat.Link
	}{
		{"loss", nat.Link{Loss: 0.02}},
		{"duplicates", nat.Link{Duplicate: 0.3}},
		{"reordering", nat.Link{Reorder: 0.2}},
		{"all", nat.Link{Loss: 0.02, Duplicate: 0.1, Reorder: 0.1, Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond}},
	}
	for _, p := range all() {
		for _, l := range links {
			t.Run(p.String()+"/"+l.name, func(t *testing.T) {
				t.Parallel()
				s := scenario{pair: p, top: netlab.Topology{NAT: netlab.Box}, mode: virtual, editClient: patient, editGateway: patient}
				tn := s.start(t)
				capture := tn.Router.Capture("wan")
				tn.Box.Do(netlab.BoxCommand{Out: &l.link, In: &l.link})
				tn.clients[0].Initiate("net")
				tn.clients[0].WaitUp(10*time.Second, 1)
				tn.moves(0, 1<<20)
				state := tn.Box.Do(netlab.BoxCommand{})
				t.Logf("box: out %+v, in %+v", state.Out.All, state.In.All)
				if l.link.Loss > 0 && state.Out.All[nat.Lost] == 0 || l.link.Duplicate > 0 && state.Out.Duplicated == 0 {
					t.Error("the box did nothing")
				}
				if err := tn.outer(1 << 20 / 65536).Check(capture.Stop()); err != nil {
					t.Errorf("outer link: %v", err)
				}
			})
		}
	}
}

// TestLostHandshake: the first messages of every kind are lost, and retransmissions bring the tunnel up.
func TestLostHandshake(t *testing.T) {
	for _, p := range all() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := scenario{pair: p, top: netlab.Topology{NAT: netlab.Box}, mode: virtual}
			s.editClient = func(c *netlab.Config) { c.Daemon = append(c.Daemon, "retransmit_tries = 8") }
			tn := s.start(t)
			block, open := nat.Link{Block: true}, nat.Link{}
			tn.Box.Do(netlab.BoxCommand{In: &block})
			initiate := tn.clients[0].BeginInitiate("net")
			time.Sleep(700 * time.Millisecond)
			tn.Box.Do(netlab.BoxCommand{In: &open})
			if err := initiate.Wait(15 * time.Second); err != nil {
				t.Fatalf("initiate: %v: %s", err, initiate.Log())
			}
			tn.clients[0].WaitUp(10*time.Second, 1)
			tn.gw.WaitUp(2*time.Second, 1)
			tn.pings(0)
		})
	}
}

// TestKinds: the tunnel comes up through each kind of NAT of RFC 4787 and survives a rebinding.
func TestKinds(t *testing.T) {
	for _, p := range all() {
		for _, kind := range []nat.Kind{nat.EndpointIndependent, nat.AddressDependent, nat.AddressPortDependent} {
			t.Run(p.String()+"/"+kind.String(), func(t *testing.T) {
				t.Parallel()
				s := scenario{pair: p, top: netlab.Topology{NAT: netlab.Box, BoxKind: kind}, mode: virtual, editClient: quick, editGateway: quick}
				tn := s.up(t)
				tn.pings(0)
				capture := tn.Router.Capture("wan")
				tn.Box.Do(netlab.BoxCommand{Rebind: true})
				rebound := time.Now()
				pa := tn.path(0)
				tn.Eventually(p.recovery(), "a ping from the client", func() (bool, string) {
					err := pa.from.Ping(100*time.Millisecond, "-I", pa.fromAddr, pa.toAddr)
					return err == nil, netlab.Describe(tn.gw.SAs())
				})
				tn.pings(0)
				tn.noHandshake(capture.Stop(), rebound)
			})
		}
	}
}
