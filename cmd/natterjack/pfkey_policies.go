// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The policies: `natterjack pfkey policies`, as setkey -DP prints them, and as JSON.

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/wire/pfkey"
)

// priorityDefault is what setkey calls prio def, and how far from it setkey counts.
const (
	priorityDefault = 0x80000000
	priorityNear    = 0x3fffffff
)

// pfkeyPoliciesCommand is `natterjack pfkey policies`.
func pfkeyPoliciesCommand() *cobra.Command {
	var p pfkeyPath
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "policies",
		Short: "Show the policies, as setkey -DP does",
		Example: `  natterjack pfkey policies
  natterjack pfkey policies --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := p.list(cmd.Context(), &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeSPDDump}})
			if err != nil {
				return err
			}
			d, err := p.checked()
			if err != nil {
				return err
			}
			if asJSON {
				return policiesJSON(cmd.OutOrStdout(), all)
			}
			return printPolicies(cmd.OutOrStdout(), all, d)
		},
	}
	p.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// whole reports whether it is a policy with its selectors.
func whole(m *pfkey.Message) bool { return m.Policy != nil && m.Src != nil && m.Dst != nil }

func printPolicies(w io.Writer, all []*pfkey.Message, d pfkey.Dialect) error {
	var b strings.Builder
	for i, m := range all {
		if whole(m) {
			onePolicy(&b, m, d, len(all)-1-i)
		}
	}
	if b.Len() == 0 {
		b.WriteString("No SPD entries.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func onePolicy(b *strings.Builder, m *pfkey.Message, d pfkey.Dialect, left int) {
	fmt.Fprintf(b, "%s %s %s\n", rangeText(m.Src), rangeText(m.Dst), upperText(m.Src.Proto)+typeText(m))
	fmt.Fprintf(b, "\t%s %s%s\n", m.Policy.Dir, priorityText(m.Policy.Priority, d), m.Policy.Type)
	for i := range m.Policy.Requests {
		fmt.Fprintf(b, "\t%s\n", m.Policy.Requests[i].String())
	}
	added, used := uint64(0), uint64(0)
	if c := m.LifetimeCurrent; c != nil {
		added, used = c.AddTime, c.UseTime
	}
	fmt.Fprintf(b, "\tcreated: %s  lastused: %s\n", when(added), when(used))
	hard := m.LifetimeHard
	if hard == nil {
		hard = &pfkey.Lifetime{}
	}
	fmt.Fprintf(b, "\tlifetime: %d(s) validtime: %d(s)\n", hard.AddTime, hard.UseTime)
	fmt.Fprintf(b, "\tspid=%d seq=%d pid=%d\n\trefcnt=0\n", m.Policy.ID, left, m.PID)
}

// typeText is the type and the code of ICMP, which PF_KEY has in place of ports; nothing where all are meant.
func typeText(m *pfkey.Message) string {
	if !isICMP(m.Src.Proto) || m.Src.Port == 0 && m.Dst.Port == 0 {
		return ""
	}
	return fmt.Sprintf(" %d,%d", m.Src.Port, m.Dst.Port)
}

// rangeText is a selector as setkey prints one: 10.0.0.0/8[any], and of ICMP without brackets.
func rangeText(a *pfkey.Address) string {
	text := a.Addr.String()
	if int(a.PrefixLen) != a.Addr.BitLen() {
		text = fmt.Sprintf("%s/%d", text, a.PrefixLen)
	}
	switch {
	case isICMP(a.Proto):
		return text
	case a.Port == 0:
		return text + "[any]"
	}
	return fmt.Sprintf("%s[%d]", text, a.Port)
}

// upperText is the word for an upper protocol.
func upperText(proto uint8) string {
	switch proto {
	case anyProto:
		return "any"
	case protoICMP:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case protoICMPv6:
		return "icmp6"
	}
	return strconv.Itoa(int(proto))
}

// priorityText is setkey's prio def + N; nothing where none was given, and in FreeBSD, whose setkey knows none.
func priorityText(p uint32, d pfkey.Dialect) string {
	off := int64(p) - priorityDefault
	switch {
	case p == 0 || d != pfkey.Linux:
		return ""
	case off == 0:
		return "prio def "
	case off > priorityNear || off < -priorityNear:
		return fmt.Sprintf("prio %d ", p)
	case off > 0:
		return fmt.Sprintf("prio def + %d ", off)
	}
	return fmt.Sprintf("prio def - %d ", -off)
}

// policyJSON is a policy for programs.
type policyJSON struct {
	ID        uint32        `json:"id"`
	Direction string        `json:"direction"`
	Action    string        `json:"action"`
	Priority  uint32        `json:"priority"`
	Src       string        `json:"src"`
	SrcPort   uint16        `json:"src_port,omitempty"`
	Dst       string        `json:"dst"`
	DstPort   uint16        `json:"dst_port,omitempty"`
	Upper     string        `json:"upper"`
	ICMPType  *uint16       `json:"icmp_type,omitempty"`
	ICMPCode  *uint16       `json:"icmp_code,omitempty"`
	Requests  []requestJSON `json:"requests,omitempty"`
	Added     *time.Time    `json:"added,omitempty"`
	Used      *time.Time    `json:"used,omitempty"`
}

type requestJSON struct {
	Proto string `json:"proto"`
	Mode  string `json:"mode"`
	Level string `json:"level"`
	Reqid uint32 `json:"reqid,omitempty"`
	Src   string `json:"src,omitempty"`
	Dst   string `json:"dst,omitempty"`
}

func policiesJSON(w io.Writer, all []*pfkey.Message) error {
	list := []policyJSON{}
	for _, m := range all {
		if whole(m) {
			list = append(list, policyObject(m))
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(list)
}

func policyObject(m *pfkey.Message) policyJSON {
	o := policyJSON{ID: m.Policy.ID, Direction: m.Policy.Dir.String(), Action: m.Policy.Type.String(), Priority: m.Policy.Priority, Src: m.Src.Prefix().String(),
		SrcPort: m.Src.Port, Dst: m.Dst.Prefix().String(), DstPort: m.Dst.Port, Upper: upperText(m.Src.Proto)}
	if typeText(m) != "" {
		o.ICMPType, o.SrcPort = &m.Src.Port, 0
		if m.Dst.Port != 0 { // none is any
			o.ICMPCode, o.DstPort = &m.Dst.Port, 0
		}
	}
	for i := range m.Policy.Requests {
		q := &m.Policy.Requests[i]
		proto, _, _ := strings.Cut(q.String(), "/")
		r := requestJSON{Proto: proto, Mode: q.Mode.String(), Level: q.Level.String(), Reqid: q.Reqid}
		if q.Src.Addr.IsValid() {
			r.Src, r.Dst = q.Src.String(), q.Dst.String()
		}
		o.Requests = append(o.Requests, r)
	}
	if c := m.LifetimeCurrent; c != nil {
		o.Added, o.Used = instant(c.AddTime), instant(c.UseTime)
	}
	return o
}

func instant(seconds uint64) *time.Time {
	if seconds == 0 {
		return nil
	}
	t := time.Unix(int64(seconds), 0).UTC()
	return &t
}
