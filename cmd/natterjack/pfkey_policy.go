// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Policies by hand: `natterjack pfkey policy add` and `delete`, with the arguments of setkey's spdadd and spddelete.

package main

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/wire/pfkey"
)

// pfkeyPolicyCommand is `natterjack pfkey policy`.
func pfkeyPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Add and delete policies by hand, as setkey's spdadd and spddelete do",
		Example: `  natterjack pfkey policy add 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require
  natterjack pfkey policy delete --id 16`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(pfkeyPolicyAddCommand(), pfkeyPolicyDeleteCommand())
	return cmd
}

// policyOptions are what both commands share.
type policyOptions struct {
	pfkeyPath
	dir      string
	priority uint32
	id       uint32
}

func pfkeyPolicyAddCommand() *cobra.Command {
	var o policyOptions
	cmd := &cobra.Command{
		Use:   "add SRC DST UPPER [TYPE,CODE] -P in|out|fwd discard|none|ipsec REQUEST…",
		Short: "Add a policy",
		Long: `Says what happens to packets from SRC to DST, each an address or ADDRESS/LENGTH, and a [PORT] behind it; UPPER is any, tcp, udp, icmp, icmp6 or
a number, and TYPE,CODE are of ICMP, where a code of 0 is any and 0,0 is all. A REQUEST is PROTOCOL/MODE/[SRC-DST]/LEVEL: esp, ah or
ipcomp, transport or tunnel, the ends of a tunnel, and default, use,
require, unique or unique:NUMBER. In Linux's dialect a tunnel that comes in is given a policy fwd too, as setkey does.`,
		Example: `  natterjack pfkey policy add 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require
  natterjack pfkey policy add 192.0.2.1 192.0.2.2[1701] udp -P out ipsec esp/transport//unique:7
  natterjack pfkey policy add ::/0 ::/0 icmp6 135,0 -P out none
  natterjack pfkey policy add 10.1.0.0/16 0.0.0.0/0 any -P out discard`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, rest, err := o.selector(pfkey.TypeSPDAdd, args)
			if err != nil {
				return err
			}
			d, _ := o.checked()
			if err := parseRequests(m.Policy, rest, d); err != nil {
				return err
			}
			all := []*pfkey.Message{m}
			if f := forwarded(d, m); f != nil {
				all = append(all, f)
			}
			return o.ask(cmd.Context(), all...)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&o.dir, "direction", "P", "", "the policy's `DIRECTION`: in, out, or fwd in Linux's dialect")
	cmd.Flags().Uint32Var(&o.priority, "priority", 0, "smaller `NUMBER`s come first")
	return cmd
}

func pfkeyPolicyDeleteCommand() *cobra.Command {
	var o policyOptions
	cmd := &cobra.Command{
		Use:   "delete SRC DST UPPER [TYPE,CODE] -P in|out|fwd | delete --id ID",
		Short: "Delete a policy",
		Example: `  natterjack pfkey policy delete 10.1.0.0/16 10.2.0.0/16 any -P out
  natterjack pfkey policy delete --id 16`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("id") {
				if len(args) > 0 || o.dir != "" {
					return usagef("--id names the policy alone: leave out the rest")
				}
				return o.ask(cmd.Context(), &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeSPDDelete2}, Policy: &pfkey.Policy{ID: o.id}})
			}
			m, rest, err := o.selector(pfkey.TypeSPDDelete, args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return usagef("expected SRC DST UPPER, found %s", plural(len(args), "argument"))
			}
			if err := o.ask(cmd.Context(), m); err != nil {
				return err
			}
			if d, _ := o.checked(); d == pfkey.Linux && m.Policy.Dir == pfkey.DirIn {
				return o.deleteForwarded(cmd.Context(), m)
			}
			return nil
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&o.dir, "direction", "P", "", "the policy's `DIRECTION`: in, out, or fwd in Linux's dialect")
	cmd.Flags().Uint32Var(&o.id, "id", 0, "the policy's `ID`, as `pfkey policies` shows it (spid)")
	return cmd
}

// deleteForwarded deletes the policy that `add` made beside one that comes in, if there is one.
func (o *policyOptions) deleteForwarded(ctx context.Context, m *pfkey.Message) error {
	f := *m
	p := *m.Policy
	p.Dir = pfkey.DirFwd
	f.Policy, f.Seq = &p, 0
	if err := o.ask(ctx, &f); err != nil && !errors.Is(err, pfkey.ENOENT) {
		return err
	}
	return nil
}

// forwarded is the policy fwd that goes with a tunnel that comes in; nil where none does.
func forwarded(d pfkey.Dialect, m *pfkey.Message) *pfkey.Message {
	if d != pfkey.Linux || m.Policy.Dir != pfkey.DirIn || m.Policy.Type != pfkey.PolicyIPsec {
		return nil
	}
	for _, q := range m.Policy.Requests {
		if q.Mode == pfkey.ModeTunnel {
			f := *m
			p := *m.Policy
			p.Dir = pfkey.DirFwd
			f.Policy = &p
			return &f
		}
	}
	return nil
}

// selector makes a message about the policy with these selectors; rest are the arguments behind them.
func (o *policyOptions) selector(t pfkey.Type, args []string) (m *pfkey.Message, rest []string, err error) {
	d, err := o.checked()
	if err != nil {
		return nil, nil, err
	}
	if len(args) < 3 {
		return nil, nil, usagef("expected SRC DST UPPER, found %s", plural(len(args), "argument"))
	}
	m = &pfkey.Message{Header: pfkey.Header{Type: t}, Policy: &pfkey.Policy{Type: pfkey.PolicyIPsec, Priority: o.priority}}
	switch {
	case o.dir == "in":
		m.Policy.Dir = pfkey.DirIn
	case o.dir == "out":
		m.Policy.Dir = pfkey.DirOut
	case o.dir == "fwd" && d == pfkey.Linux:
		m.Policy.Dir = pfkey.DirFwd
	default:
		return nil, nil, usagef("-P %.20q: expected in or out, or fwd in Linux's dialect", o.dir)
	}
	proto, err := upperNamed(args[2])
	if err != nil {
		return nil, nil, err
	}
	if m.Src, err = rangeOf(args[0], proto); err != nil {
		return nil, nil, err
	}
	if m.Dst, err = rangeOf(args[1], proto); err != nil {
		return nil, nil, err
	}
	if m.Src.Addr.Is4() != m.Dst.Addr.Is4() {
		return nil, nil, usagef("%s and %s: expected one family", args[0], args[1])
	}
	if !isICMP(proto) {
		return m, args[3:], nil
	}
	rest, err = typeAndCode(m, args[3:])
	return m, rest, err
}

// isICMP reports whether a protocol has types and codes where others have ports.
func isICMP(proto uint8) bool { return proto == protoICMP || proto == protoICMPv6 }

// typeAndCode takes TYPE,CODE from the words behind ICMP, if it is there: PF_KEY has them in place of the source's and the
// destination's port.
func typeAndCode(m *pfkey.Message, words []string) (rest []string, err error) {
	if m.Src.Port != 0 || m.Dst.Port != 0 {
		return nil, usagef("ICMP has no ports: expected TYPE,CODE behind it, as 135,0")
	}
	if len(words) == 0 || !strings.Contains(words[0], ",") {
		return words, nil
	}
	kind, code, _ := strings.Cut(words[0], ",")
	t, err1 := strconv.ParseUint(kind, 10, 8)
	c, err2 := strconv.ParseUint(code, 10, 8)
	if err1 != nil || err2 != nil {
		return nil, usagef("%.20q: expected TYPE,CODE, each 0 to 255, where a code of 0 is any", words[0])
	}
	m.Src.Port, m.Dst.Port = uint16(t), uint16(c)
	return words[1:], nil
}

const (
	// anyProto is IPSEC_ULPROTO_ANY.
	anyProto               = 255
	protoICMP, protoICMPv6 = 1, 58
)

func upperNamed(name string) (uint8, error) {
	switch name {
	case "any":
		return anyProto, nil
	case "tcp":
		return 6, nil
	case "udp":
		return 17, nil
	case "icmp":
		return protoICMP, nil
	case "icmp6":
		return protoICMPv6, nil
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		return 0, usagef("UPPER %.20q: expected any, tcp, udp, icmp, icmp6 or a number up to 255", name)
	}
	return uint8(n), nil
}

// rangeOf parses ADDRESS[/LENGTH][[PORT]].
func rangeOf(text string, proto uint8) (*pfkey.Address, error) {
	a := &pfkey.Address{Proto: proto}
	rest, port, ported := strings.Cut(text, "[")
	if ported {
		port, closed := strings.CutSuffix(port, "]")
		n, err := strconv.ParseUint(port, 10, 16)
		if port == "any" {
			n, err = 0, nil
		}
		if err != nil || !closed {
			return nil, usagef("%.60q: expected a port, or any, in brackets", text)
		}
		a.Port = uint16(n)
	}
	addr, length, whole := strings.Cut(rest, "/")
	ip, err := netip.ParseAddr(addr)
	if err != nil || ip.Zone() != "" {
		return nil, usagef("%.60q: expected an address, and perhaps /LENGTH and [PORT]", text)
	}
	bits := uint64(ip.BitLen())
	if whole {
		if bits, err = strconv.ParseUint(length, 10, 8); err != nil || bits > uint64(ip.BitLen()) {
			return nil, usagef("%.60q: expected a length of 0 to %d", text, ip.BitLen())
		}
	}
	p := netip.PrefixFrom(ip, int(bits))
	if p.Masked().Addr() != ip {
		return nil, usagef("%s: there are bits behind the prefix; is %s meant?", text, p.Masked())
	}
	a.Addr, a.PrefixLen = ip, uint8(bits)
	return a, nil
}

// parseRequests parses what the policy does, and its requests.
func parseRequests(p *pfkey.Policy, words []string, d pfkey.Dialect) error {
	if len(words) == 0 {
		return usagef("expected discard, none or ipsec behind the direction")
	}
	switch words[0] {
	case "discard":
		p.Type = pfkey.PolicyDiscard
	case "none":
		p.Type = pfkey.PolicyNone
	case "ipsec":
		if len(words) == 1 {
			return usagef("ipsec: expected a request behind it, as esp/tunnel/192.0.2.1-192.0.2.2/require")
		}
		for _, w := range words[1:] {
			q, err := parseRequest(w, d)
			if err != nil {
				return err
			}
			p.Requests = append(p.Requests, q)
		}
		return nil
	default:
		return usagef("policy %.20q: expected discard, none or ipsec", words[0])
	}
	if len(words) > 1 {
		return usagef("%s: expected nothing behind it, found %q", words[0], words[1])
	}
	return nil
}

// parseRequest parses PROTOCOL/MODE/[SRC-DST]/LEVEL.
func parseRequest(text string, d pfkey.Dialect) (q pfkey.Request, err error) {
	parts := strings.Split(text, "/")
	if len(parts) != 4 {
		return q, usagef("request %.80q: expected PROTOCOL/MODE/SRC-DST/LEVEL, or PROTOCOL/MODE//LEVEL", text)
	}
	kind, err := protoNamed(parts[0])
	if err != nil {
		return q, err
	}
	q.Proto = uint16(kind.Proto())
	if q.Mode, err = modeNamed(parts[1]); err != nil {
		return q, err
	}
	if q.Mode == pfkey.ModeTunnel && parts[2] == "" {
		return q, usagef("request %.80q: a tunnel has two ends: expected SRC-DST", text)
	}
	if parts[2] != "" {
		from, to, _ := strings.Cut(parts[2], "-")
		src, dst, err := hostPair(from, to)
		if err != nil {
			return q, err
		}
		q.Src, q.Dst = src.Sockaddr, dst.Sockaddr
	}
	level, number, numbered := strings.Cut(parts[3], ":")
	for _, l := range [...]pfkey.Level{pfkey.LevelDefault, pfkey.LevelUse, pfkey.LevelRequire, pfkey.LevelUnique} {
		if l.String() == level && (!numbered || l == pfkey.LevelUnique) {
			q.Level = l
			q.Reqid, err = reqidOf(number, d)
			return q, err
		}
	}
	return q, usagef("level %.40q: expected default, use, require, unique or unique:NUMBER", parts[3])
}

// reqidOf parses the NUMBER of unique:NUMBER; none is 0, and the server's choice.
func reqidOf(text string, d pfkey.Dialect) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	bits := 16 // sadb_x_ipsecrequest_reqid in the BSDs
	if d == pfkey.Linux {
		bits = 32
	}
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil || n == 0 {
		return 0, usagef("unique:%.20s: expected a number from 1 to %d", text, uint64(1)<<bits-1)
	}
	return uint32(n), nil
}
