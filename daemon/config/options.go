// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The section daemon: options of Natterjack itself, in the same language as the rest.

package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// DaemonOptions are the options of the section daemon. A change needs a restart.
type DaemonOptions struct {
	VICI           string     // path of the control socket; empty: the command line's, or the default
	Listen         netip.Addr // invalid: all addresses
	Port, PortNATT uint16
	DataPlane      string        // "auto", "tun" or "netstack"
	Tun            string        // name of the interface
	MTU            int           // of the interface; 0: chosen
	Table          int           // routing table of our own; 0: chosen
	Fwmark         uint32        // of our own packets; 0: chosen
	GSO            string        // "auto", "on" or "off"
	KeyLog         string        // path of the key log; empty: off
	Keepalive      time.Duration // 0: none
	DNS            bool          // set the name servers that a gateway gives
	Routes         bool          // set routes into the tunnel
	LogLevel       string        // "debug", "info", "warn" or "error"
	LogFormat      string        // "text" or "json"
	FragmentSize   int           // largest IP datagram of an IKE message
	Retransmit     ike.Retransmit
}

// defaultOptions are in force where there is no section daemon. The retransmissions are charon's: the peer is given up
// after 165 s.
func defaultOptions() DaemonOptions {
	return DaemonOptions{
		Port: 500, PortNATT: 4500, DataPlane: "auto", Tun: "ipsec0", GSO: "auto", Keepalive: 20 * time.Second, DNS: true,
		Routes: true, LogLevel: "info", LogFormat: "text", FragmentSize: 1280,
		Retransmit: ike.Retransmit{Initial: 4 * time.Second, Base: 1.8, Tries: 5},
	}
}

// maxInterfaceName is IFNAMSIZ without the terminating zero.
const maxInterfaceName = 15

func (d *decoder) daemon() DaemonOptions {
	o := defaultOptions()
	if v, found := d.text("vici"); found {
		if o.VICI = strings.TrimPrefix(v, "unix://"); o.VICI == "" || strings.Contains(o.VICI, "://") {
			d.fail("vici", "the path of a Unix socket", quote(v))
		}
	}
	if v, found := d.text("listen"); found {
		a, err := netip.ParseAddr(v)
		if err != nil {
			d.fail("listen", "an address", quote(v))
		}
		o.Listen = a
	}
	o.Port = uint16(d.number("port", uint64(o.Port), 1, 65535))
	o.PortNATT = uint16(d.number("port_nat_t", uint64(o.PortNATT), 1, 65535))
	if o.Port == o.PortNATT {
		d.refuse("port_nat_t", "expected another port than port (%d): markers are on one of them only", o.Port)
	}
	words := func(key string, values ...string) string {
		return values[d.keyword(key, 0, values, nil)]
	}
	o.DataPlane = words("data_plane", "auto", "tun", "netstack")
	o.GSO = words("gso", "auto", "on", "off")
	o.LogLevel = words("log", "info", "debug", "warn", "error")
	o.LogFormat = words("log_format", "text", "json")
	d.device(&o)
	if v, found := d.text("keylog"); found && v != "off" && v != "no" {
		if o.KeyLog = v; !strings.HasPrefix(v, "/") && !strings.Contains(v, `:\`) {
			d.fail("keylog", "off, or the absolute path of a file (keys are written to it: for debugging only)", quote(v))
		}
	}
	if t, found := d.duration("keepalive"); found {
		o.Keepalive = t
	}
	o.DNS, o.Routes = d.boolean("dns", o.DNS), d.boolean("routes", o.Routes)
	d.exchange(&o)
	return o
}

// device decodes what concerns the interface and its routes.
func (d *decoder) device(o *DaemonOptions) {
	if v, found := d.text("tun"); found {
		if o.Tun = v; v == "" || len(v) > maxInterfaceName || strings.ContainsAny(v, "/ %:") || v == "." || v == ".." {
			d.fail("tun", "the name of an interface, at most 15 octets", quote(v))
		}
	}
	o.MTU = int(d.number("mtu", 0, 576, 65535))
	o.Table = int(d.number("table", 0, 1, math.MaxUint32))
	switch o.Table {
	case 253, 254, 255:
		d.fail("table", "a routing table of its own", "the system's table "+strconv.Itoa(o.Table))
	}
	if v, found := d.text("fwmark"); found {
		n, err := strconv.ParseUint(v, 0, 32)
		if err != nil || n == 0 {
			d.fail("fwmark", "a mark from 1 to 0xffffffff", quote(v))
		}
		o.Fwmark = uint32(n)
	}
}

// exchange decodes how IKE messages are sent.
func (d *decoder) exchange(o *DaemonOptions) {
	o.FragmentSize = int(d.number("fragment_size", uint64(o.FragmentSize), 576, 65535))
	if t, found := d.duration("retransmit_timeout"); found {
		if o.Retransmit.Initial = t; t == 0 {
			d.fail("retransmit_timeout", "at least one second", "0")
		}
	}
	if v, found := d.text("retransmit_base"); found {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !(f >= 1 && f <= 10) {
			d.fail("retransmit_base", "a number from 1 to 10", quote(v))
		}
		o.Retransmit.Base = f
	}
	if t, found := d.duration("retransmit_limit"); found {
		o.Retransmit.Limit = t
	}
	o.Retransmit.Tries = int(d.number("retransmit_tries", uint64(o.Retransmit.Tries), 1, 30))
}
