// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The impairment box as the clients' NAT: a helper in the NAT's namespace runs port/natbox on a TUN interface and obeys
// lines of JSON.

package netlab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/natterjack/natterjack/port/natbox"
	"github.com/natterjack/natterjack/port/natbox/nat"
	"github.com/natterjack/natterjack/port/tun"
)

// BoxCommand is one order to the box.
type BoxCommand struct {
	// Config starts the NAT over; the first command must have it.
	Config *nat.Config `json:",omitempty"`
	Forget bool        `json:",omitempty"`
	// Rebind gives every mapping another external port at once.
	Rebind  bool      `json:",omitempty"`
	Out, In *nat.Link `json:",omitempty"`
}

// BoxState is the answer.
type BoxState struct {
	Error    string
	Forgot   int
	Out, In  nat.Counters
	Mappings int
}

// BoxControl is the test's end of a box.
type BoxControl struct {
	lab  *Lab
	proc *Process
}

// boxExternal are the box's addresses outside; they are on no interface, as port/natbox wants.
func boxExternal() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("2001:db8:100::2")}
}

func (w *World) startBox() *BoxControl {
	w.Helper()
	b := &BoxControl{lab: w.Lab, proc: w.Router.StartHelper("box", "box")}
	b.Do(BoxCommand{Config: &nat.Config{External: boxExternal(), RandomPorts: true, Mapping: w.BoxKind,
		Filtering: w.BoxKind, Timeout: 2 * time.Minute, Seed: 1}})
	w.Router.Run("sysctl", "-qw", "net.ipv4.conf.nat0.rp_filter=0", "net.ipv4.conf.wan.proxy_arp=1", "net.ipv6.conf.wan.proxy_ndp=1")
	w.Router.IP("link set nat0 up", "rule add iif lan lookup 100", "-6 rule add iif lan lookup 100",
		"route add default dev nat0 table 100", "-6 route add default dev nat0 table 100",
		"route add 198.51.100.2 dev nat0", "-6 route add 2001:db8:100::2 dev nat0", "-6 neigh add proxy 2001:db8:100::2 dev wan")
	return b
}

// Do gives the box an order and returns its state afterwards.
func (b *BoxControl) Do(c BoxCommand) BoxState {
	b.lab.Helper()
	line, err := json.Marshal(c)
	if err != nil {
		b.lab.Fatal(err)
	}
	if _, err := b.proc.Stdin.Write(append(line, '\n')); err != nil {
		b.lab.Fatalf("box: %v: %s", err, b.proc.Log())
	}
	var s BoxState
	if err := json.Unmarshal([]byte(b.proc.Line(5*time.Second)), &s); err != nil || s.Error != "" {
		b.lab.Fatalf("box: %v %s", err, s.Error)
	}
	return s
}

// boxMain is the helper. It ends with its standard input.
func boxMain([]string) error {
	dev, err := tun.Open("nat0", 1500)
	if err != nil {
		return err
	}
	var box *natbox.TUN
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var c BoxCommand
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			return err
		}
		var s BoxState
		if c.Config != nil && box == nil {
			if box, err = natbox.NewTUN(natbox.TUNConfig{NAT: *c.Config, Device: dev, Inside: []netip.Prefix{
				netip.MustParsePrefix("192.168.77.0/24"), netip.MustParsePrefix("fd77::/64")},
				Router: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:100::1")}}); err != nil {
				return err
			}
		}
		if box == nil {
			return fmt.Errorf("box: the first order has no configuration")
		}
		if err := obey(box, c, &s); err != nil {
			s.Error = err.Error()
		}
		s.Out, s.In, s.Mappings = box.Counters(nat.Out), box.Counters(nat.In), len(box.Mappings())
		if err := say(s); err != nil {
			return err
		}
	}
	if box != nil {
		return box.Close()
	}
	return in.Err()
}

func obey(box *natbox.TUN, c BoxCommand, s *BoxState) error {
	if c.Forget {
		s.Forgot = box.Forget()
	}
	if c.Rebind {
		if err := box.Rebind(netip.Addr{}); err != nil {
			return err
		}
	}
	for dir, link := range map[nat.Direction]*nat.Link{nat.Out: c.Out, nat.In: c.In} {
		if link == nil {
			continue
		}
		if err := box.SetLink(dir, *link); err != nil {
			return err
		}
	}
	return nil
}
