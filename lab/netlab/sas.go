// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// What a daemon says of its SAs through VICI, as values.

package netlab

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/natterjack/natterjack/port/vici"
	wire "github.com/natterjack/natterjack/wire/vici"
)

// SA is one IKE SA of list-sas.
type SA struct {
	Name, State           string
	UniqueID              string
	SPIi, SPIr            string
	LocalHost, RemoteHost string
	LocalPort, RemotePort string
	LocalID, RemoteID     string
	NATLocal, NATRemote   bool
	LocalVIPs, RemoteVIPs []string
	Children              []ChildSA
	Raw                   *wire.Section
}

// ChildSA is one child of an SA.
type ChildSA struct {
	Name, State, Mode     string
	ID                    string
	Encap                 bool
	SPIIn, SPIOut         string
	PacketsIn, PacketsOut int
	LocalTS, RemoteTS     []string
}

func (n *Node) call(command string, args *wire.Section) (*wire.Section, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := vici.Dial(ctx, n.Socket())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Call(ctx, command, args)
}

// SAs lists the IKE SAs of the daemon.
func (n *Node) SAs() []SA {
	n.lab.Helper()
	list, err := n.TrySAs()
	if err != nil {
		n.lab.Fatalf("%s: list-sas: %v", n.Role, err)
	}
	return list
}

// TrySAs lists the IKE SAs of the daemon.
func (n *Node) TrySAs() ([]SA, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := vici.Dial(ctx, n.Socket())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var list []SA
	_, err = c.CallStreaming(ctx, "list-sas", "list-sa", wire.New(), func(m *wire.Section) error {
		for _, it := range m.Items {
			if it.Kind == wire.KindSection {
				list = append(list, readSA(it.Key, it.Sub))
			}
		}
		return nil
	})
	return list, err
}

func readSA(name string, s *wire.Section) SA {
	sa := SA{Name: name, State: s.Get("state"), UniqueID: s.Get("uniqueid"), SPIi: s.Get("initiator-spi"), SPIr: s.Get("responder-spi"),
		LocalHost: s.Get("local-host"), RemoteHost: s.Get("remote-host"), LocalPort: s.Get("local-port"), RemotePort: s.Get("remote-port"),
		LocalID: s.Get("local-id"), RemoteID: s.Get("remote-id"), NATLocal: s.Bool("nat-local"), NATRemote: s.Bool("nat-remote"),
		LocalVIPs: s.List("local-vips"), RemoteVIPs: s.List("remote-vips"), Raw: s}
	children := s.Sub("child-sas")
	if children == nil {
		return sa
	}
	for _, it := range children.Items {
		if it.Kind != wire.KindSection {
			continue
		}
		c := it.Sub
		in, _ := strconv.Atoi(c.Get("packets-in"))
		out, _ := strconv.Atoi(c.Get("packets-out"))
		sa.Children = append(sa.Children, ChildSA{Name: c.Get("name"), State: c.Get("state"), Mode: c.Get("mode"), ID: c.Get("uniqueid"),
			Encap: c.Bool("encap"), SPIIn: c.Get("spi-in"), SPIOut: c.Get("spi-out"), PacketsIn: in, PacketsOut: out,
			LocalTS: c.List("local-ts"), RemoteTS: c.List("remote-ts")})
	}
	return sa
}

// Describe is a list of SAs on one line each.
func Describe(list []SA) string {
	var b strings.Builder
	for _, sa := range list {
		fmt.Fprintf(&b, "[%s %s #%s %s_i %s_r %s:%s nat %v/%v vips %v/%v", sa.Name, sa.State, sa.UniqueID, sa.SPIi, sa.SPIr,
			sa.RemoteHost, sa.RemotePort, sa.NATLocal, sa.NATRemote, sa.LocalVIPs, sa.RemoteVIPs)
		for _, c := range sa.Children {
			fmt.Fprintf(&b, " {%s %s %s_i %s_o %v === %v}", c.Name, c.State, c.SPIIn, c.SPIOut, c.LocalTS, c.RemoteTS)
		}
		b.WriteString("]")
	}
	if len(list) == 0 {
		return "no SA"
	}
	return b.String()
}

// Up returns the established SAs that have an installed child.
func Up(list []SA) []SA {
	var up []SA
	for _, sa := range list {
		if sa.State == "ESTABLISHED" && len(sa.Installed()) > 0 {
			up = append(up, sa)
		}
	}
	return up
}

// Installed are the children that carry data.
func (sa *SA) Installed() []ChildSA {
	var list []ChildSA
	for _, c := range sa.Children {
		if c.State == "INSTALLED" {
			list = append(list, c)
		}
	}
	return list
}

// WaitSAs waits until ok is true of the daemon's SAs, and returns them.
func (n *Node) WaitSAs(limit time.Duration, what string, ok func([]SA) bool) []SA {
	n.lab.Helper()
	var list []SA
	n.lab.Eventually(limit, n.Role+": "+what, func() (bool, string) {
		var err error
		if list, err = n.TrySAs(); err != nil {
			return false, err.Error()
		}
		return ok(list), Describe(list)
	})
	return list
}

// WaitUp waits for n established SAs with a child and returns them.
func (n *Node) WaitUp(limit time.Duration, count int) []SA {
	n.lab.Helper()
	list := n.WaitSAs(limit, fmt.Sprintf("%d tunnels up", count), func(list []SA) bool { return len(Up(list)) == count })
	return Up(list)
}

// WaitNone waits until the daemon has no SA.
func (n *Node) WaitNone(limit time.Duration) {
	n.lab.Helper()
	n.WaitSAs(limit, "no SA left", func(list []SA) bool { return len(list) == 0 })
}
