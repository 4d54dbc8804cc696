// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// What is on the outer link, looked at closely: tshark decrypts it with our keys, IKE messages are fragmented, ESP without a NAT
// is protocol 50, and packets stay below the path's MTU.

package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/lab/netlab"
)

// TestDecrypt: tshark reads IKE and ESP with the keys that our key log has, also after rekeys.
func TestDecrypt(t *testing.T) {
	const pings = 5
	for _, p := range all() {
		for _, suite := range []struct{ ike, esp string }{
			{"aes256gcm16-prfsha384-ecp384", "aes256gcm16"}, {"aes128-sha256-modp2048", "aes128-sha256"},
		} {
			t.Run(fmt.Sprintf("%v/%s", p, suite.esp), func(t *testing.T) {
				t.Parallel()
				s := masqueraded(p)
				s.key = netlab.ECDSA256
				var log string
				edit := func(c *netlab.Config) {
					c.Proposals, c.ESP = suite.ike, suite.esp
					if log == "" { // one of ours is enough
						log = filepath.Join(t.TempDir(), "keys")
						c.Daemon = append(c.Daemon, "keylog = "+log, "gso = off")
					} else {
						c.Daemon = append(c.Daemon, "gso = off")
					}
				}
				if p.client == netlab.Natterjack {
					s.editGateway = func(c *netlab.Config) { c.Proposals, c.ESP = suite.ike, suite.esp }
					s.editClient = edit
				} else {
					s.editClient = func(c *netlab.Config) { c.Proposals, c.ESP = suite.ike, suite.esp }
					s.editGateway = edit
				}
				tn := s.start(t)
				capture := tn.Router.Capture("wan")
				tn.clients[0].Initiate("net")
				tn.gw.WaitUp(5*time.Second, 1)
				first := Up(tn.gw.SAs())[0]
				ping := func() {
					pa := tn.path(0)
					if lost := pa.from.StartPings(10*time.Millisecond, pings, "-I", pa.fromAddr, pa.toAddr).Lost(); lost != 0 {
						t.Fatalf("%d pings were lost", lost)
					}
				}
				ping()
				for _, args := range [][]string{{"--child", "net"}, {"--ike", "lab"}} {
					tn.clients[0].Swanctl(append([]string{"--rekey"}, args...)...)
					tn.gw.WaitSAs(5*time.Second, "rekeyed", func(list []netlab.SA) bool {
						up := Up(list)
						return len(up) == 1 && up[0].Installed()[0].SPIIn != first.Installed()[0].SPIIn && (args[0] == "--child" || up[0].SPIi != first.SPIi)
					})
					ping()
				}
				tn.clients[0].Swanctl("--terminate", "--ike", "lab")
				tn.gw.WaitNone(5 * time.Second)
				capture.Stop()
				var echos int
				exchanges := map[string]int{}
				for i, p := range capture.Decrypt(log, "icmp.type", "isakmp.exchangetype", "isakmp.enc.decrypted", "esp.icv_bad", "_ws.malformed") {
					if p["icmp.type"] == "8" {
						echos++
					}
					if p["isakmp.enc.decrypted"] != "" {
						exchanges[p["isakmp.exchangetype"]]++
					}
					if p["esp.icv_bad"] == "1" || p["esp.icv_bad"] == "True" || p["_ws.malformed"] != "" {
						t.Errorf("packet %d: tshark finds fault: %v", i+1, p)
					}
				}
				if echos != 3*pings {
					t.Errorf("tshark decrypted %d echo requests, expected %d", echos, 3*pings)
				}
				// Two messages of IKE_AUTH, two for each rekey, and each old SA and the last one are deleted.
				want := map[string]int{"35": 2, "36": 4, "37": 6}
				if d := cmp.Diff(want, exchanges); d != "" {
					t.Errorf("messages of IKE that tshark decrypted, by exchange: %s", d)
				}
				if info, err := os.Stat(log); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("the key log: %v, %v", info, err)
				}
			})
		}
	}
}

// TestFragmentation: IKE_AUTH with certificates of RSA is larger than fragments may be, so both ends fragment it (RFC 7383).
func TestFragmentation(t *testing.T) {
	small := func(c *netlab.Config) {
		c.Options = append(c.Options, "send_cert = always")
		// With GSO the capture would show several fragments as one datagram, which is cut behind it.
		c.Daemon = append(c.Daemon, "fragment_size = 576", "gso = off")
		c.Charon = append(c.Charon, "fragment_size = 576")
	}
	for _, p := range all() {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/ipv6=%v", p, v6), func(t *testing.T) {
				t.Parallel()
				s := scenario{pair: p, top: netlab.Topology{NAT: netlab.Masquerade, IPv6: v6}, mode: virtual, key: netlab.RSA,
					editClient: small, editGateway: small}
				tn := s.start(t)
				capture := tn.Router.Capture("wan")
				tn.clients[0].Initiate("net")
				tn.gw.WaitUp(5*time.Second, 1)
				tn.pings(0)
				packets := capture.Stop()
				var there, back int
				for i := range packets {
					p := &packets[i]
					if _, fragment := p.Exchange(); !fragment {
						continue
					}
					if p.Dst.Addr() == tn.Gateway.Public {
						there++
					} else {
						back++
					}
					if n := len(p.Frame); n > 576+14 {
						t.Errorf("a fragment of %d octets", n-14)
					}
				}
				if there < 2 || back < 2 {
					t.Errorf("%d fragments to the gateway, %d to the client", there, back)
				}
				if err := tn.outer(1).Check(packets); err != nil {
					t.Errorf("outer link: %v", err)
				}
			})
		}
	}
}

// TestRawESP: without a NAT and without encap, two of ours use protocol 50, and nothing is in clear.
func TestRawESP(t *testing.T) {
	for _, p := range pairs(pair{netlab.Natterjack, netlab.Natterjack}) {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/ipv6=%v", p, v6), func(t *testing.T) {
				t.Parallel()
				s := scenario{pair: p, top: netlab.Topology{IPv6: v6}, mode: virtual}
				tn := s.start(t)
				capture := tn.Router.Capture("wan")
				tn.clients[0].Initiate("net")
				sa := tn.gw.WaitUp(5*time.Second, 1)[0]
				if sa.Installed()[0].Encap {
					t.Error("encap=yes without a NAT")
				}
				tn.pings(0)
				tn.moves(0, octets)
				if err := tn.outer(minESP).CheckRaw(capture.Stop()); err != nil {
					t.Errorf("outer link: %v", err)
				}
			})
		}
	}
}

// TestSmallPath: the path's MTU is less than the link's. Where the router says so the sender learns it; where large packets
// vanish in silence a fallback finds it. No outer packet is ever a fragment.
func TestSmallPath(t *testing.T) {
	for _, p := range pairs(pair{netlab.Natterjack, netlab.Natterjack}) {
		for _, silent := range []bool{false, true} {
			for _, v6 := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/silent=%v/ipv6=%v", p, silent, v6), func(t *testing.T) {
					t.Parallel()
					// nftables would see several datagrams as one large packet with GSO.
					one := func(c *netlab.Config) { c.Daemon = append(c.Daemon, "gso = off") }
					s := scenario{pair: p, top: netlab.Topology{NAT: netlab.Masquerade, IPv6: v6}, mode: network, editClient: one, editGateway: one}
					tn := s.start(t)
					if silent {
						tn.Router.NFT("table inet hole {\n  chain hole { type filter hook forward priority filter; meta length > 1300 drop\n  }\n}\n")
					} else {
						tn.Router.IP("link set wan mtu 1300", "link set port0 mtu 1300")
					}
					capture := tn.Router.Capture("wan")
					tn.clients[0].Initiate("net")
					tn.gw.WaitUp(5*time.Second, 1)
					tn.pings(0)
					tn.moves(0, 1<<20)
					if silent { // otherwise the router's ICMP messages are there too
						if err := tn.outer(1).Check(capture.Stop()); err != nil {
							t.Errorf("outer link: %v", err)
						}
					}
				})
			}
		}
	}
}
