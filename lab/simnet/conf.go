// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The connections of two peers that fit each other, with what a test may want to be different.

package simnet

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
)

// Pair makes the connection of host a to host b. Children are named net1, net2, …: 10.<a>.<n>.0/24 here and
// 10.<b>.<n>.0/24 there.
func Pair(a, b *Host, children int) *ike.Connection {
	c := &ike.Connection{
		Name: a.Name + "-" + b.Name, Fragmentation: ike.FragmentationYes, KeyingTries: 1,
		Proposals: []ike.IKEProposal{{
			Encrs: []ike.EncrSpec{{Encr: suite.EncrAESGCM16, Bits: 128}}, PRFs: []suite.PRF{suite.PRFHMACSHA2256},
			KEs: []suite.KE{suite.KECurve25519, suite.KEECP256},
		}},
		Local:  []*ike.Auth{{Method: ike.AuthPSK, ID: fqdn(a)}},
		Remote: []*ike.Auth{{Method: ike.AuthPSK, ID: fqdn(b)}},
	}
	for n := 1; n <= children; n++ {
		c.Children = append(c.Children, &ike.ChildConfig{
			Name: "net" + strconv.Itoa(n), ReplayWindow: 64,
			Proposals: []ike.ESPProposal{{Encrs: []ike.EncrSpec{{Encr: suite.EncrAESGCM16, Bits: 128}}, ESN: []bool{false}}},
			LocalTS:   subnet(a, n), RemoteTS: subnet(b, n),
		})
	}
	return c
}

func fqdn(h *Host) ike.ID { return ike.ID{Type: ike.IDFQDN, Data: []byte(h.Name + ".example")} }

func subnet(h *Host, n int) []ike.Selector {
	i := h.Addrs[0].As4()[0]
	return []ike.Selector{{From: netip.AddrFrom4([4]byte{10, i, byte(n), 0}), To: netip.AddrFrom4([4]byte{10, i, byte(n), 255}), PortTo: 65535}}
}

// Set changes one option of a connection by name.
func Set(c *ike.Connection, key, value string) error {
	d, _ := time.ParseDuration(value)
	n, _ := strconv.Atoi(value)
	switch key {
	case "rekey":
		c.RekeyTime = d
	case "over":
		c.OverTime = d
	case "dpd":
		c.DPDDelay = d
	case "tries":
		c.KeyingTries = n
	case "encap":
		c.Encap = value == "yes"
	case "fragmentation":
		if value == "no" {
			c.Fragmentation = ike.FragmentationNo
		}
	case "ke":
		k, err := groups(value)
		if err != nil {
			return err
		}
		c.Proposals[0].KEs = k
	case "pfs", "childrekey", "childlife", "ts", "mode", "ports", "ah", "ipcomp":
		for _, child := range c.Children {
			if err := setChild(child, key, value, d); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("option %q is not known", key)
	}
	return nil
}

func setChild(c *ike.ChildConfig, key, value string, d time.Duration) error {
	switch key {
	case "childrekey":
		c.RekeyTime = d
	case "childlife":
		c.LifeTime = d
	case "ts":
		a, err := netip.ParseAddr(value)
		if err != nil {
			return err
		}
		c.LocalTS = []ike.Selector{{From: a, To: a, PortTo: 65535}}
	case "mode":
		if c.Mode = ike.ModeTunnel; value == "transport" {
			c.Mode = ike.ModeTransport
		}
		// Between the two hosts in either mode, so that both sides' selectors meet.
		c.LocalTS, c.RemoteTS = dynamic(), dynamic()
	case "ports":
		return setPorts(c, value)
	case "ah":
		c.Proposals = nil
		if value != "no" {
			c.Proposals = []ike.ESPProposal{{Integs: []suite.Integ{suite.IntegHMACSHA2256128}, ESN: []bool{value == "esn"}}}
		}
	case "ipcomp":
		c.IPComp = value == "yes"
	case "pfs":
		k, err := groups(value)
		if err != nil {
			return err
		}
		c.Proposals[0].KEs = k
	}
	return nil
}

func dynamic() []ike.Selector { return []ike.Selector{{Dynamic: true, PortTo: 65535}} }

// setPorts limits a child to UDP: "1701-any" is port 1701 here and any there, "any-1701" the opposite.
func setPorts(c *ike.ChildConfig, value string) error {
	local, remote, _ := strings.Cut(value, "-")
	for _, side := range []struct {
		list []ike.Selector
		port string
	}{{c.LocalTS, local}, {c.RemoteTS, remote}} {
		s := &side.list[0]
		s.Proto = 17
		if side.port == "any" {
			continue
		}
		n, err := strconv.ParseUint(side.port, 10, 16)
		if err != nil {
			return err
		}
		s.PortFrom, s.PortTo = uint16(n), uint16(n)
	}
	return nil
}

// groups reads "x25519+ecp256".
func groups(text string) ([]suite.KE, error) {
	var list []suite.KE
	for name := range strings.SplitSeq(text, "+") {
		switch name {
		case "x25519":
			list = append(list, suite.KECurve25519)
		case "ecp256":
			list = append(list, suite.KEECP256)
		case "modp2048":
			list = append(list, suite.KEMODP2048)
		default:
			return nil, fmt.Errorf("group %q is not known", name)
		}
	}
	return list, nil
}
