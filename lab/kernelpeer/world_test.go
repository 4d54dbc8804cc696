// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Package kernelpeer runs Natterjack against a real kernel's IPsec: strongSwan with kernel-netlink in a virtual machine (lab/qemu) is the
// gateway, Natterjack's own engine on the host the client. What kernel-libipsec cannot do is tried here: ESP and AH as IP protocols,
// transport mode, ESN, IPComp. Run it with: go test -tags lab ./lab/kernelpeer
package kernelpeer

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
	"github.com/natterjack/natterjack/lab/qemu"
	"github.com/natterjack/natterjack/lab/qemu/agent"
)

const (
	secret              = "a preshared key of the labs, 32+"
	gatewayID, clientID = "gw.example.org", "c0.clients.example.org"
	inside4, inside6    = "10.20.0.1", "fd20::1" // of the guest, behind its tunnels
	viciSocket          = "/run/charon.vici"
	upLimit, guestLimit = 10 * time.Second, 30 * time.Second
	firstPort, octets   = 7777, 1 << 20
	// minPackets is how many packets a capture must hold when octets went each way: segments of 64 KiB may be one.
	minPackets = 2 * octets / 65536
)

func TestMain(m *testing.M) {
	helperMain()
	netlab.Main()
	code := m.Run()
	netlab.RemoveBinary()
	os.Exit(code)
}

// world is a client's host, a router that may be a NAT, and the machine behind it. Its tests run one after the other.
type world struct {
	*netlab.World
	guest *qemu.Guest
	// What is so at this moment: the router is a NAT, the guest has its key daemon.
	nat, charon bool
	// transfers counts. Each has a port of its own: for some time, one that was a peer's in transport mode in UDP is nobody else's
	// at its address.
	transfers int
}

// newWorld builds the labs' topology and puts the machine where its gateway's namespace was, which becomes a switch.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: netlab.NewWorld(netlab.New(t), netlab.Topology{})}
	s := w.Gateway.Space
	s.IP("addr flush dev wan", "link add switch type bridge", "link set switch up", "link set wan master switch")
	w.guest = qemu.Boot(w.Lab, s)
	s.IP("link set " + qemu.Tap + " master switch")
	t.Logf("%s ready in %v", w.guest.Release, w.guest.Booted.Round(time.Millisecond))
	g := w.guest
	g.GuestIP("addr add 198.51.100.10/24 dev eth0", "-6 addr add 2001:db8:100::10/64 dev eth0 nodad",
		"route add 192.168.77.0/24 via 198.51.100.1", "-6 route add fd77::/64 via 2001:db8:100::1",
		"addr add "+inside4+"/24 dev lo", "-6 addr add "+inside6+"/64 dev lo nodad")
	return w
}

// startCharon starts the guest's key daemon at first use.
func (w *world) startCharon(t *testing.T) {
	t.Helper()
	if w.charon {
		return
	}
	w.charon = true
	g := w.guest
	g.WriteFile("/etc/strongswan.conf", charonConf)
	env := []string{"STRONGSWAN_CONF=/etc/strongswan.conf", "SWANCTL_DIR=/etc/swanctl"}
	daemon := g.Background(env, "charon-systemd")
	w.Eventually(guestLimit, "the guest's charon answers", func() (bool, string) {
		if o := daemon.Output(); o.Ended {
			t.Fatalf("charon ended: %s: %s", o.Error, o.Out)
		}
		_, err := w.swanctl("--version")
		if err == nil {
			_, err = w.swanctl("--stats")
		}
		return err == nil, fmt.Sprint(err)
	})
	w.Cleanup(func() {
		if w.Failed() {
			var log []byte
			if g.TryCall(time.Second, "ReadFile", "/tmp/charon.log", &log) == nil {
				w.Logf("=== the guest's charon\n%s", tail(string(log), 80))
			}
		}
	})
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// charonConf is the guest's strongswan.conf: the kernel does IPsec.
const charonConf = `charon-systemd {
  load = random nonce openssl aes sha1 sha2 hmac gcm kdf chapoly curve25519 gmp pem pkcs1 x509 pubkey constraints kernel-netlink socket-default vici
  retransmit_tries = 3
  retransmit_timeout = 1
  retransmit_base = 1.4
  filelog {
    main {
      path = /tmp/charon.log
      default = 1
      ike = 2
      knl = 2
      flush_line = yes
    }
  }
  plugins {
    vici {
      socket = unix:///run/charon.vici
    }
  }
}
swanctl {
}
`

// swanctl runs swanctl in the guest.
func (w *world) swanctl(args ...string) (string, error) {
	full := append([]string{"sh", "-c", `STRONGSWAN_CONF=/etc/strongswan.conf SWANCTL_DIR=/etc/swanctl exec swanctl "$@"`, "swanctl"}, args...)
	return w.guest.TryRun(append(full, "--uri", "unix://"+viciSocket)...)
}

// must is swanctl whose failure is the test's.
func (w *world) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.swanctl(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// translate makes the router a NAT, or only a router.
func (w *world) translate(t *testing.T, on bool) {
	t.Helper()
	if on == w.nat {
		return
	}
	if w.nat = on; on {
		w.Router.NFT(`table inet nat {
  chain post { type nat hook postrouting priority srcnat; oifname "wan" meta l4proto udp masquerade to :10000-60000 random
    oifname "wan" masquerade
  }
  chain in { type filter hook input priority filter; iifname "wan" meta l4proto udp drop
  }
}
`)
		return
	}
	w.Router.Run("nft", "delete", "table", "inet", "nat")
	w.Router.Run("conntrack", "-F")
}

// sums is what an end of netlab's transfer says.
type sums struct {
	Sent, Received     string
	SentOctets, Octets int64
	Seconds            float64
}

// transfer moves octets each way between the client and a server in the guest, and compares hashes.
func (w *world) transfer(t *testing.T, from, to string, pattern []byte) {
	t.Helper()
	w.move(t, false, from, to, pattern)
}

// move is transfer to a server in the guest or its second gateway.
func (w *world) move(t *testing.T, second bool, from, to string, pattern []byte) {
	t.Helper()
	w.moveTo(t, second, from, to, to, pattern)
}

// moveTo is move to a server whose own address is another than the client's name for it.
func (w *world) moveTo(t *testing.T, second bool, from, to, server string, pattern []byte) {
	t.Helper()
	port := strconv.Itoa(firstPort + w.transfers)
	w.transfers++
	args := []string{net.JoinHostPort(server, port), strconv.Itoa(octets), hex.EncodeToString(pattern)}
	process := w.guest.Background([]string{"NETLAB_HELPER=1"}, in(second, append([]string{"/init", "transfer-server"}, args...)...)...)
	defer process.Kill()
	w.Eventually(upLimit, "the guest's server listens", func() (bool, string) {
		o := process.Output()
		return strings.Contains(o.Out, "ready"), o.Out
	})
	args[0] = net.JoinHostPort(to, port)
	client := w.Clients[0].StartHelper("transfer-client", append([]string{"transfer-client"}, append(args, from)...)...)
	defer client.Kill()
	var cs, ss sums
	var line string
	select {
	case line = <-client.Lines:
	case <-time.After(guestLimit):
	}
	if err := json.Unmarshal([]byte(line), &cs); err != nil {
		t.Fatalf("transfer: %v: %s\n%s", err, client.Log(), w.kernelErrors())
	}
	var o agent.Outcome
	w.Eventually(guestLimit, "the guest's server ends", func() (bool, string) {
		o = process.Output()
		return o.Ended, o.Out
	})
	lines := strings.Split(strings.TrimSpace(o.Out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &ss); err != nil || o.Error != "" {
		t.Fatalf("transfer: %v %s: %s", err, o.Error, o.Out)
	}
	if cs.SentOctets != octets || ss.SentOctets != octets || cs.Sent != ss.Received || ss.Sent != cs.Received {
		t.Fatalf("transfer: %+v %+v", cs, ss)
	}
	t.Logf("%d octets each way in %.2f s", octets, cs.Seconds)
}
