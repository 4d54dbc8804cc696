// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The expected lines are what `swanctl --raw` of Debian 12 printed for charon 5.9.8 with connections of these values: keys,
// order and formats are held to the octet.

package control

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/vici"
)

// raw prints a section as `swanctl --raw` does.
func raw(s *vici.Section) string {
	var parts []string
	for _, it := range s.Items {
		switch it.Kind {
		case vici.KindSection:
			parts = append(parts, it.Key+" {"+raw(it.Sub)+"}")
		case vici.KindList:
			var items []string
			for _, v := range it.List {
				items = append(items, string(v))
			}
			parts = append(parts, it.Key+"=["+strings.Join(items, " ")+"]")
		default:
			parts = append(parts, it.Key+"="+string(it.Value))
		}
	}
	return strings.Join(parts, " ")
}

func id(text string) ike.ID {
	v, ok := config.ParseID(text)
	if !ok {
		panic(text)
	}
	return v
}

func selector(prefix string) ike.Selector {
	p := netip.MustParsePrefix(prefix)
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	to, _ := netip.AddrFromSlice(last)
	return ike.Selector{From: p.Addr(), To: to, PortTo: 0xffff}
}

var now = time.Date(2026, 11, 24, 21, 4, 40, 0, time.UTC)

// clientSA is what the client of the recording had.
func clientSA() daemon.SA {
	return daemon.SA{Status: ike.Status{
		Unique: 1, Connection: "ikev2-psk", Version: 2, State: "ESTABLISHED", Initiator: true, SPIi: 0x7699ef53d05656ce, SPIr: 0x3eea0e5818d47391,
		Path:    ike.Path{Local: netip.MustParseAddrPort("192.168.77.2:4500"), Remote: netip.MustParseAddrPort("198.51.100.10:4500")},
		LocalID: id("client-psk.example.org"), RemoteID: id("gw-psk.example.org"), NATLocal: true, NATRemote: true,
		Suite:       suite.IKE{Encr: suite.EncrAESGCM16, EncrBits: 128, PRF: suite.PRFHMACSHA2256, KE: suite.KEECP256},
		Established: now, RekeyAt: now.Add(13937 * time.Second), LocalVIPs: []netip.Addr{netip.MustParseAddr("10.30.0.1")},
		Children: []ike.ChildStatus{{
			ChildSA: ike.ChildSA{Name: "net", ChildID: 1, Reqid: 1, SPIIn: 0xd69bea93, SPIOut: 0x930614d2, Encap: true,
				Suite:   suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128},
				TSLocal: []ike.Selector{selector("10.30.0.1/32")}, TSRemote: []ike.Selector{selector("10.20.0.0/24")}},
			State: "INSTALLED", Installed: now, RekeyAt: now.Add(3253 * time.Second), ExpireAt: now.Add(3960 * time.Second),
		}},
	}, Usage: make([]ike.Usage, 1)}
}

func sectionOf(sa daemon.SA) *vici.Section {
	all := childSections(now, sa, func(ike.ChildStatus) bool { return true })
	return vici.New().SetSub(nameOf(sa.Connection), ikeSection(now, sa.Status).SetSub("child-sas", all))
}

func TestListSAs(t *testing.T) {
	gateway := clientSA()
	gateway.Unique, gateway.Connection, gateway.Initiator = 2, "ikev2-cert", false
	gateway.Path = ike.Path{Local: netip.MustParseAddrPort("198.51.100.10:4500"), Remote: netip.MustParseAddrPort("198.51.100.1:34100")}
	gateway.LocalID, gateway.RemoteID, gateway.NATLocal = id("gw.example.org"), id("client.example.org"), false
	gateway.SPIi, gateway.SPIr = 0xf2fdbd54213aeb29, 0x6c0021c4cbf32d38
	gateway.Suite = suite.IKE{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128, PRF: suite.PRFHMACSHA2256, KE: suite.KEMODP2048}
	gateway.RekeyAt = now.Add(13084 * time.Second)
	gateway.LocalVIPs, gateway.RemoteVIPs = nil, []netip.Addr{netip.MustParseAddr("10.30.0.2")}
	ch := &gateway.Children[0]
	ch.ChildID, ch.Reqid, ch.SPIIn, ch.SPIOut = 2, 2, 0xff1e54bf, 0xed69e1e8
	ch.Suite = suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128}
	ch.TSLocal, ch.TSRemote = []ike.Selector{selector("10.20.0.0/24")}, []ike.Selector{selector("10.30.0.2/32")}
	ch.RekeyAt = now.Add(3293 * time.Second)

	deleted := clientSA()
	deleted.Children, deleted.Usage = nil, nil

	for want, sa := range map[string]daemon.SA{
		"ikev2-psk {uniqueid=1 version=2 state=ESTABLISHED local-host=192.168.77.2 local-port=4500 local-id=client-psk.example.org remote-host=198.51.100.10 remote-port=4500 remote-id=gw-psk.example.org initiator=yes initiator-spi=7699ef53d05656ce responder-spi=3eea0e5818d47391 nat-local=yes nat-remote=yes nat-any=yes encr-alg=AES_GCM_16 encr-keysize=128 prf-alg=PRF_HMAC_SHA2_256 dh-group=ECP_256 established=0 rekey-time=13937 local-vips=[10.30.0.1] child-sas {net-1 {name=net uniqueid=1 reqid=1 state=INSTALLED mode=TUNNEL protocol=ESP encap=yes spi-in=d69bea93 spi-out=930614d2 encr-alg=AES_GCM_16 encr-keysize=128 bytes-in=0 packets-in=0 bytes-out=0 packets-out=0 rekey-time=3253 life-time=3960 install-time=0 local-ts=[10.30.0.1/32] remote-ts=[10.20.0.0/24]}}}":                    clientSA(),
		"ikev2-cert {uniqueid=2 version=2 state=ESTABLISHED local-host=198.51.100.10 local-port=4500 local-id=gw.example.org remote-host=198.51.100.1 remote-port=34100 remote-id=client.example.org initiator-spi=f2fdbd54213aeb29 responder-spi=6c0021c4cbf32d38 nat-remote=yes nat-any=yes encr-alg=AES_CBC encr-keysize=128 integ-alg=HMAC_SHA2_256_128 prf-alg=PRF_HMAC_SHA2_256 dh-group=MODP_2048 established=0 rekey-time=13084 remote-vips=[10.30.0.2] child-sas {net-2 {name=net uniqueid=2 reqid=2 state=INSTALLED mode=TUNNEL protocol=ESP encap=yes spi-in=ff1e54bf spi-out=ed69e1e8 encr-alg=AES_CBC encr-keysize=128 integ-alg=HMAC_SHA2_256_128 bytes-in=0 packets-in=0 bytes-out=0 packets-out=0 rekey-time=3293 life-time=3960 install-time=0 local-ts=[10.20.0.0/24] remote-ts=[10.30.0.2/32]}}}": gateway,
		"ikev2-psk {uniqueid=1 version=2 state=ESTABLISHED local-host=192.168.77.2 local-port=4500 local-id=client-psk.example.org remote-host=198.51.100.10 remote-port=4500 remote-id=gw-psk.example.org initiator=yes initiator-spi=7699ef53d05656ce responder-spi=3eea0e5818d47391 nat-local=yes nat-remote=yes nat-any=yes encr-alg=AES_GCM_16 encr-keysize=128 prf-alg=PRF_HMAC_SHA2_256 dh-group=ECP_256 established=0 rekey-time=13937 local-vips=[10.30.0.1] child-sas {}}":                                                                                                                                                                                                                                                                                                                                 deleted,
	} {
		if diff := cmp.Diff(want, raw(sectionOf(sa))); diff != "" {
			t.Error(diff)
		}
	}
}

// TestDeleting: the SA that ike-updown tells of at its end has no times any more.
func TestDeleting(t *testing.T) {
	sa := clientSA().Status
	sa.Unique, sa.State, sa.SPIi, sa.SPIr, sa.TasksActive = 5, "DELETING", 0x0d5afbc584dbafe0, 0x2952046bea8398db, []string{"IKE_DELETE"}
	const want = "uniqueid=5 version=2 state=DELETING local-host=192.168.77.2 local-port=4500 local-id=client-psk.example.org remote-host=198.51.100.10 remote-port=4500 remote-id=gw-psk.example.org initiator=yes initiator-spi=0d5afbc584dbafe0 responder-spi=2952046bea8398db nat-local=yes nat-remote=yes nat-any=yes encr-alg=AES_GCM_16 encr-keysize=128 prf-alg=PRF_HMAC_SHA2_256 dh-group=ECP_256 local-vips=[10.30.0.1] tasks-active=[IKE_DELETE]"
	if diff := cmp.Diff(want, raw(ikeSection(now, sa))); diff != "" {
		t.Error(diff)
	}
}

// TestHalfOpen: an SA of which nothing is known yet can be listed, and sent.
func TestHalfOpen(t *testing.T) {
	s := vici.New().SetSub(nameOf(""), ikeSection(now, ike.Status{Unique: 7, Version: 2, State: "CONNECTING", SPIi: 1}).SetSub("child-sas", vici.New()))
	const want = "(unnamed) {uniqueid=7 version=2 state=CONNECTING local-host=%any local-port=0 local-id=%any remote-host=%any remote-port=0 remote-id=%any initiator-spi=0000000000000001 responder-spi=0000000000000000 child-sas {}}"
	if diff := cmp.Diff(want, raw(s)); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Append(nil); err != nil {
		t.Error(err)
	}
}

func TestTraffic(t *testing.T) {
	sa := clientSA()
	sa.Usage[0] = ike.Usage{BytesIn: 1400, PacketsIn: 1, LastIn: now.Add(-3 * time.Second), BytesOut: 80, PacketsOut: 2, LastOut: now.Add(-90 * time.Second)}
	sa.Children[0].Suite.ESN, sa.Children[0].Suite.KE = true, suite.KECurve25519
	got := raw(childSection(now, sa.Children[0], sa.Usage[0]))
	if !strings.Contains(got, "bytes-in=1400 packets-in=1 use-in=3 bytes-out=80 packets-out=2 use-out=90") {
		t.Error(got)
	}
	if !strings.Contains(got, "dh-group=CURVE_25519 esn=1 bytes-in") {
		t.Error(got)
	}
}

const listed = `
connections {
  rich {
    version = 2
    local_addrs = 192.0.2.7, 192.0.2.8
    remote_addrs = 203.0.113.0/24, peer.example.org
    proposals = aes128-sha256-x25519
    unique = replace
    dpd_delay = 30s
    rekey_time = 1h
    local { auth = psk
            id = moon }
    remote { auth = pubkey
             id = *@example.org }
    children {
      a { local_ts = 10.9.0.0/16[tcp/80], 10.8.0.0-10.8.0.9
          remote_ts = dynamic[udp/53]
          rekey_time = 10m
          rekey_bytes = 1m
          rekey_packets = 1000 }
      p { mode = pass
          local_ts = 10.77.0.0/16
          remote_ts = 10.77.0.0/16 }
    }
  }
  m { remote_addrs = 198.51.100.1
      rekey_time = 0
      local { auth = psk }
      remote { auth = psk }
      children { q { remote_ts = 0.0.0.0/0, ::/0[58]
                     rekey_time = 0 } } }
}`

// TestListConns: charon prints service names where the host has a list of them ("tcp/http"); numbers here are what it prints
// where there is none.
func TestListConns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "swanctl.conf")
	if err := os.WriteFile(path, []byte(listed), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"local_addrs=[192.0.2.7 192.0.2.8] remote_addrs=[203.0.113.0/24 peer.example.org] version=IKEv2 reauth_time=0 rekey_time=3600 unique=UNIQUE_REPLACE dpd_delay=30 local-1 {id=moon class=pre-shared key groups=[] cert_policy=[] certs=[] cacerts=[]} remote-1 {id=*@example.org class=public key groups=[] cert_policy=[] certs=[] cacerts=[]} children {a {mode=TUNNEL rekey_time=600 rekey_bytes=1048576 rekey_packets=1000 dpd_action=none close_action=none local-ts=[10.9.0.0/16[tcp/80] 10.8.0.0..10.8.0.9] remote-ts=[dynamic[udp/53]]} p {mode=PASS rekey_time=3600 rekey_bytes=0 rekey_packets=0 dpd_action=none close_action=none local-ts=[10.77.0.0/16] remote-ts=[10.77.0.0/16]}}",
		"local_addrs=[%any] remote_addrs=[198.51.100.1] version=IKEv2 reauth_time=0 rekey_time=0 unique=UNIQUE_NO local-1 {class=pre-shared key groups=[] cert_policy=[] certs=[] cacerts=[]} remote-1 {class=pre-shared key groups=[] cert_policy=[] certs=[] cacerts=[]} children {q {mode=TUNNEL rekey_time=0 rekey_bytes=0 rekey_packets=0 dpd_action=none close_action=none local-ts=[dynamic] remote-ts=[0.0.0.0/0 ::/0[ipv6-icmp]]}}",
	} {
		if diff := cmp.Diff(want, raw(connSection(c.Connections[i]))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 seconds", time.Second: "1 second", 16 * time.Second: "16 seconds", 2 * time.Minute: "120 seconds", 3 * time.Minute: "3 minutes",
		2 * time.Hour: "120 minutes", 5*time.Hour + time.Minute: "5 hours", 72 * time.Hour: "3 days",
	} {
		if got := ago(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
