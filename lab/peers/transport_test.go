// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Transport mode, AH and IPComp between two of ours, on real TUN interfaces and raw sockets.

package peers

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

// echoServer is a UDP server that knows nothing of us: an ordinary socket on port 1701 that says to whom it answers.
const echoServer = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 1701))
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(data + (" from %s %d" % peer[:2]).encode(), peer)
`

// echoClient asks it ten times from port 1701 of its own and fails unless every answer is to what it asked.
const echoClient = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("::" if ":" in sys.argv[1] else "0.0.0.0", 1701))
s.settimeout(2)
peers = set()
for i in range(10):
    text = "%s %d" % (sys.argv[2], i)
    s.sendto(text.encode(), (sys.argv[1], 1701))
    got = s.recv(2000).decode()
    assert got.startswith(text + " from "), got
    peers.add(got[len(text):])
assert len(peers) == 1, peers
print(peers.pop())
`

// l2tp is the child of an L2TP client and of its gateway.
func l2tp(local, remote string) func(*netlab.Config) {
	return func(c *netlab.Config) {
		c.Children = []netlab.Child{{Name: "net", LocalTS: local, RemoteTS: remote, Options: []string{"mode = transport"}}}
	}
}

// twoHomes is two clients in homes of their own, which have one private address and one public one.
func twoHomes(v6 bool, client, gateway func(*netlab.Config)) scenario {
	return scenario{pair: pair{netlab.Natterjack, netlab.Natterjack}, mode: host, strict: true, editClient: client, editGateway: gateway,
		top: netlab.Topology{NAT: netlab.Masquerade, Homes: true, Clients: 2, IPv6: v6}}
}

// listening waits until the server has its port, 0x6a5: python takes its time on a busy machine.
func listening(t *testing.T, tn *tunnel) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		out, err := tn.Gateway.Try("grep", "-ih", ":06a5 ", "/proc/net/udp", "/proc/net/udp6")
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server does not listen: %v: %s", err, out)
		}
	}
}

// TestTwoL2TPClients is RFC 3948, Section 5.2: two clients in homes of their own have the same private address and the same
// port, and their carrier gives both one public address. An unmodified server on an ordinary socket of the gateway's host sees
// two peers and answers each of them.
func TestTwoL2TPClients(t *testing.T) {
	for name, v6 := range map[string]bool{"ipv4": false, "ipv6": true} {
		t.Run(name, func(t *testing.T) {
			tn := twoHomes(v6, l2tp("dynamic[udp/1701]", "dynamic[udp/1701]"), l2tp("dynamic[udp/1701]", "dynamic[udp]")).up(t)
			if a, b := tn.Clients[0].Addr, tn.Clients[1].Addr; a != b {
				t.Fatalf("the clients are %v and %v, expected one address", a, b)
			}
			capture := tn.Router.Capture("wan")
			tn.Gateway.Start("echo", nil, "python3", "-c", echoServer, tn.Gateway.Addr.String())
			listening(t, tn)
			ask := func() string {
				t.Helper()
				peers := map[string]bool{}
				for i, c := range tn.clients {
					out, err := c.Try("python3", "-c", echoClient, tn.Gateway.Public.String(), fmt.Sprintf("client %d", i))
					if err != nil {
						t.Fatalf("client %d: %v: %s", i, err, out)
					}
					if out = strings.TrimSpace(out); !strings.HasPrefix(out, "from "+c.Public.String()+" ") {
						t.Errorf("the server saw client %d %s, expected the carrier's %v", i, out, c.Public)
					}
					peers[out] = true
				}
				if len(peers) != 2 {
					t.Errorf("the server saw %v, expected two peers", peers)
				}
				return fmt.Sprint(peers)
			}
			before := ask()
			tn.clients[0].Swanctl("--rekey", "--child", "net")
			tn.gw.Swanctl("--rekey", "--child", "net")
			time.Sleep(time.Second)
			if got := ask(); got != before {
				t.Errorf("after rekeys the server sees %s, before %s", got, before)
			}
			if err := tn.outer(10).Check(capture.Stop()); err != nil {
				t.Errorf("outer link: %v", err)
			}
			out := tn.gw.Swanctl("--list-sas")
			if strings.Count(out, "TRANSPORT") != 2 {
				t.Errorf("%s: expected two children in transport mode", out)
			}
		})
	}
}

// TestL2TPClientsMove: the carrier's masquerade forgets its mappings, and then has another address. The server goes on seeing the same two
// peers, through a rekey from each side too, and each gets its own answers.
func TestL2TPClientsMove(t *testing.T) {
	for name, v6 := range map[string]bool{"ipv4": false, "ipv6": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tn := twoHomes(v6, l2tp("dynamic[udp/1701]", "dynamic[udp/1701]"), l2tp("dynamic[udp/1701]", "dynamic[udp]")).up(t)
			tn.Gateway.Start("echo", nil, "python3", "-c", echoServer, tn.Gateway.Addr.String())
			listening(t, tn)
			ask := func(i int) (string, error) {
				out, err := tn.clients[i].Try("python3", "-c", echoClient, tn.Gateway.Public.String(), fmt.Sprintf("client %d", i))
				return strings.TrimSpace(out), err
			}
			var seen [2]string
			for i := range seen {
				var err error
				if seen[i], err = ask(i); err != nil {
					t.Fatalf("client %d: %v: %s", i, err, seen[i])
				}
			}
			if seen[0] == seen[1] {
				t.Fatalf("the server saw both clients %s", seen[0])
			}
			same := func(when string) {
				t.Helper()
				for i := range seen {
					// The first answer after a change may go where the client was: what is asked is lost with it.
					if _, err := ask(i); err != nil {
						time.Sleep(time.Second)
					}
					if out, err := ask(i); err != nil || out != seen[i] {
						t.Errorf("%s the server sees client %d %s (%v), before %s", when, i, out, err, seen[i])
					}
				}
			}
			tn.Forget()
			same("after the NAT has forgotten")
			if v6 {
				tn.Router.IP("addr del 2001:db8:100::1/64 dev wan", "addr add 2001:db8:100::7/64 dev wan nodad")
			} else {
				tn.Router.IP("addr del 198.51.100.1/24 dev wan", "addr add 198.51.100.7/24 dev wan")
			}
			tn.Forget()
			same("from another address")
			tn.clients[0].Swanctl("--rekey", "--child", "net")
			tn.gw.Swanctl("--rekey", "--child", "net")
			time.Sleep(time.Second)
			same("from another address and after rekeys")
		})
	}
}

// refused asks a port where nobody listens, and expects the other host's kernel to say so.
const refused = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
s.connect((sys.argv[1], 9))
s.send(b"anybody?")
try:
    s.recv(100)
except ConnectionRefusedError:
    sys.exit(0)
sys.exit("not refused")
`

// leaver is a client that has gone when the server's answer comes; the server prints that it was told.
const leaver = `
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
if sys.argv[1] == "server":
    s.bind((sys.argv[2], 1702))
    s.settimeout(20)
    for i in range(2):
        data, peer = s.recvfrom(100)
        c = socket.socket(family, socket.SOCK_DGRAM)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        c.bind((sys.argv[2], 0))
        c.settimeout(3)
        time.sleep(1)
        c.connect(peer)
        c.send(b"too late")
        try:
            c.recv(100)
        except ConnectionRefusedError:
            print("told", data.decode(), flush=True)
else:
    s.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 1702))
    s.sendto(sys.argv[3].encode(), (sys.argv[2], 1702))
`

// TestICMPOfTwoClients: two clients behind one NAT ping the gateway at the same time, the gateway pings the NAT's address, and what a
// kernel says of a port where nobody is reaches the socket that asked, both ways.
func TestICMPOfTwoClients(t *testing.T) {
	for name, v6 := range map[string]bool{"ipv4": false, "ipv6": true} {
		t.Run(name, func(t *testing.T) {
			tn := twoHomes(v6, l2tp("dynamic", "dynamic"), l2tp("dynamic", "dynamic")).up(t)
			gw := tn.Gateway.Public.String()
			var wg sync.WaitGroup
			for i, c := range tn.clients {
				wg.Go(func() {
					if out, err := c.Try("ping", "-e", "7", "-c", "5", "-i", "0.2", "-W", "2", gw); err != nil {
						t.Errorf("client %d does not reach the gateway: %v: %s", i, err, out)
					}
				})
			}
			wg.Wait()
			if out, err := tn.Gateway.Try("ping", "-c", "5", "-i", "0.2", "-W", "2", tn.clients[0].Public.String()); err != nil {
				t.Errorf("the gateway reaches nobody: %v: %s", err, out)
			}
			for i, c := range tn.clients {
				if out, err := c.Try("python3", "-c", refused, gw); err != nil {
					t.Errorf("client %d: %v: %s", i, err, out)
				}
			}
			told := make(chan string, 1)
			go func() {
				out, err := tn.Gateway.Try("python3", "-c", leaver, "server", tn.Gateway.Addr.String())
				told <- fmt.Sprint(out, err)
			}()
			time.Sleep(time.Second)
			for i, c := range tn.clients {
				c.Run("python3", "-c", leaver, "client", gw, fmt.Sprint(i))
			}
			if got := <-told; !strings.Contains(got, "told 0") || !strings.Contains(got, "told 1") {
				t.Errorf("the server was not told that its clients had gone: %s", got)
			}
		})
	}
}

// protocolsAndModes are children that need no NAT: of both protocols and modes, with and without compression.
func protocolsAndModes() map[string][]string {
	return map[string][]string{
		"ah-tunnel":          {"ah_proposals = sha256"},
		"ah-transport":       {"ah_proposals = sha256-esn", "mode = transport"},
		"ah-gmac":            {"ah_proposals = aes128gmac", "mode = transport"},
		"esp-transport":      {"esp_proposals = aes128ccm12-esn", "mode = transport"},
		"ipcomp-tunnel":      {"esp_proposals = aes128gcm16", "ipcomp = yes"},
		"ipcomp-transport":   {"esp_proposals = aes128gcm16", "ipcomp = yes", "mode = transport"},
		"null-short-sha-256": {"esp_proposals = null-sha256", "sha256_96 = yes"},
	}
}

// TestProtocolsAndModes: data in both directions, and after a rekey from each side.
func TestProtocolsAndModes(t *testing.T) {
	for name, options := range protocolsAndModes() {
		for family, v6 := range map[string]bool{"ipv4": false, "ipv6": true} {
			t.Run(name+"/"+family, func(t *testing.T) {
				t.Parallel()
				s := scenario{pair: pair{netlab.Natterjack, netlab.Natterjack}, mode: host, top: netlab.Topology{IPv6: v6}}
				s.editClient = func(c *netlab.Config) {
					c.ESP = ""
					c.Children = []netlab.Child{{Name: "net", LocalTS: "dynamic", RemoteTS: "dynamic", Options: options}}
				}
				s.editGateway = s.editClient
				tn := s.up(t)
				tn.pings(0)
				tn.moves(0, fewOctets)
				tn.clients[0].Swanctl("--rekey", "--child", "net")
				tn.moves(0, fewOctets)
				tn.gw.Swanctl("--rekey", "--child", "net")
				tn.moves(0, fewOctets)
			})
		}
	}
}
