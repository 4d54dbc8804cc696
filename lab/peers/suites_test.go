// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// What is negotiated: every suite that both implementations have, the key exchange that the responder does not want, and the
// schemes of RSA.

package peers

import (
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

func TestSuites(t *testing.T) {
	type suite struct {
		ike, esp string
		// says is what list-sas must name.
		says []string
	}
	list := []suite{
		{"aes128-sha1-modp2048", "aes128-sha1", []string{"AES_CBC", "HMAC_SHA1_96", "MODP_2048"}},
		{"aes256-sha256-modp3072", "aes256-sha256", []string{"HMAC_SHA2_256_128", "MODP_3072"}},
		{"aes192-sha384-modp4096", "aes192-sha384", []string{"HMAC_SHA2_384_192", "MODP_4096"}},
		{"aes256-sha512-ecp256", "aes256-sha512", []string{"HMAC_SHA2_512_256", "ECP_256"}},
		{"aes256gcm16-prfsha512-ecp384", "aes256gcm16", []string{"AES_GCM_16", "PRF_HMAC_SHA2_512", "ECP_384"}},
		{"chacha20poly1305-prfsha256-x25519", "chacha20poly1305", []string{"CHACHA20_POLY1305", "CURVE_25519"}},
		{"aes128ccm16-prfsha256-x25519", "aes128ccm16", []string{"AES_CCM_16"}}, // RFC 5282, RFC 4309
		{"aes256ccm8-prfsha384-ecp384", "aes256ccm8", []string{"AES_CCM_8"}},
		{"aes192ccm12-prfsha256-x25519", "aes128gcm12", []string{"AES_CCM_12", "AES_GCM_12"}},
		{"aes128-aesxcbc-prfsha256-x25519", "aes128-aesxcbc", []string{"AES_XCBC_96"}}, // RFC 3566
		{"aes256-aescmac-prfsha256-ecp256", "aes256-aescmac", []string{"AES_CMAC_96"}}, // RFC 4494
		{"aes128-sha256-prfsha256-x25519", "aes128ctr-sha256", []string{"AES_CTR"}},    // RFC 3686
		{"aes256-sha256-prfsha384-x25519", "null-sha256", []string{"encr-alg=NULL"}},   // RFC 2410
		{"default", "default", nil},
	}
	for _, p := range all() {
		for _, su := range list {
			t.Run(p.String()+"/"+su.ike, func(t *testing.T) {
				t.Parallel()
				s := masqueraded(p)
				s.editClient = func(c *netlab.Config) { c.Proposals, c.ESP = su.ike, su.esp }
				s.editGateway = s.editClient
				tn := s.up(t)
				tn.pings(0)
				tn.moves(0, fewOctets)
				for _, n := range []*netlab.Node{tn.clients[0], tn.gw} {
					out := n.Swanctl("--list-sas", "--raw")
					for _, want := range su.says {
						if !strings.Contains(out, want) {
							t.Errorf("%s: no %s in %s", n.Role, want, out)
						}
					}
				}
			})
		}
	}
	// kernel-libipsec has no extended sequence numbers.
	for _, p := range pairs(pair{netlab.Natterjack, netlab.Natterjack}) {
		t.Run(p.String()+"/esn", func(t *testing.T) {
			t.Parallel()
			s := masqueraded(p)
			s.editClient = func(c *netlab.Config) { c.ESP = "aes256gcm16-esn" }
			s.editGateway = s.editClient
			tn := s.up(t)
			tn.pings(0)
			tn.moves(0, fewOctets)
			if out := tn.gw.Swanctl("--list-sas", "--raw"); !strings.Contains(out, "esn=1") {
				t.Errorf("no esn=1 in %s", out)
			}
		})
	}
}

// TestInvalidKE: the responder wants another group than the first that is offered (RFC 7296, Section 1.2), also for a child
// that is rekeyed with a key exchange of its own.
func TestInvalidKE(t *testing.T) {
	for _, p := range all() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := masqueraded(p)
			s.editClient = func(c *netlab.Config) {
				c.Proposals, c.ESP = "aes128gcm16-prfsha256-ecp384-x25519", "aes128gcm16-ecp384-x25519"
			}
			s.editGateway = func(c *netlab.Config) {
				c.Proposals, c.ESP = "aes128gcm16-prfsha256-x25519", "aes128gcm16-x25519"
			}
			tn := s.start(t)
			capture := tn.Router.Capture("wan")
			begin := time.Now()
			tn.clients[0].Initiate("net")
			first := tn.gw.WaitUp(5*time.Second, 1)[0]
			tn.pings(0)
			tn.clients[0].Swanctl("--rekey", "--child", "net")
			tn.gw.WaitSAs(5*time.Second, "rekeyed", func(list []netlab.SA) bool {
				up := Up(list)
				return len(up) == 1 && up[0].Installed()[0].SPIIn != first.Installed()[0].SPIIn
			})
			tn.pings(0)
			packets := capture.Stop()
			if n := netlab.Count(packets, netlab.IKESAInit, begin); n != 4 {
				t.Errorf("%d messages of IKE_SA_INIT, expected two requests and two answers", n)
			}
			if n := netlab.Count(packets, netlab.CreateChildSA, begin); n != 4 {
				t.Errorf("%d messages of CREATE_CHILD_SA, expected two requests and two answers", n)
			}
		})
	}
}

// TestRSASchemes: RSASSA-PSS and PKCS#1 with each hash, asked for by configuration on both sides (RFC 7427, RFC 8247).
func TestRSASchemes(t *testing.T) {
	for _, p := range mixed() {
		for _, scheme := range []string{"rsa-sha256", "rsa-sha512", "rsa/pss-sha256", "rsa/pss-sha384"} {
			t.Run(p.String()+"/"+strings.ReplaceAll(scheme, "/", "-"), func(t *testing.T) {
				t.Parallel()
				s := masqueraded(p)
				s.key = netlab.RSA
				edit := func(c *netlab.Config) {
					c.LocalAuth, c.RemoteAuth = "ike:"+scheme, "ike:"+scheme
					if strings.Contains(scheme, "pss") {
						c.Charon = append(c.Charon, "rsa_pss = yes")
					}
				}
				s.editClient, s.editGateway = edit, edit
				tn := s.up(t)
				tn.pings(0)
			})
		}
	}
}

// TestKeepalives: the end behind the NAT, and only that one, sends one octet 0xFF (RFC 3948, Section 2.3) and what takes its
// place; nothing else is on the link of an idle tunnel.
func TestKeepalives(t *testing.T) {
	const idle = 7 * time.Second
	for _, p := range all() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := masqueraded(p)
			s.editClient = func(c *netlab.Config) {
				c.Daemon = append(c.Daemon, "keepalive = 2s")
				c.Charon = append(c.Charon, "keep_alive = 2s")
			}
			tn := s.up(t)
			tn.pings(0)
			capture := tn.Router.Capture("wan")
			time.Sleep(idle)
			var keepalives, there, back int
			packets := capture.Stop()
			for i := range packets {
				pk := &packets[i]
				switch {
				case pk.Protocol != 17:
				case pk.Src.Addr() == tn.Gateway.Public && len(pk.Payload) == 1:
					// kernel-libipsec pretends to be behind a NAT of its own.
					if p.gateway == netlab.Natterjack {
						t.Error("the gateway sends keepalives")
					}
				case pk.Src.Addr() == tn.Gateway.Public:
					back++
				case len(pk.Payload) == 1 && pk.Payload[0] == 0xff:
					keepalives++
				default:
					there++
				}
			}
			t.Logf("%d keepalives, %d other datagrams to the gateway, %d back", keepalives, there, back)
			// Nothing comes from the gateway's side, so every keepalive of our client has an authenticated packet in its place.
			if p.client != netlab.Natterjack && keepalives == 0 || keepalives+there < 3 || keepalives+there > 7 {
				t.Errorf("in %v with an interval of 2 s: %d keepalives and %d datagrams in their place", idle, keepalives, there)
			}
			pa := tn.path(0)
			if err := pa.to.Ping(time.Second, "-I", pa.toAddr, pa.fromAddr); err != nil {
				t.Errorf("from the gateway's side: %v", err)
			}
		})
	}
}
