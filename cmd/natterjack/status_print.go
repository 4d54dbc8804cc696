// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The status for a person: one line an SA, in columns. Names and identities may come from a peer and are escaped.

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

func (st *status) print(w io.Writer) error {
	var b strings.Builder
	d := st.Daemon
	fmt.Fprintf(&b, "natterjack %s, up for %s, data plane %s (%s), %s\n", clean(d.Version), clean(d.Running), clean(d.DataPlane), clean(d.Device),
		plural(int(d.IKESAs), "IKE SA"))
	for _, text := range d.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", clean(text))
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tPEER / SELECTORS\tFOR\tIN\tOUT")
	up := map[string]bool{}
	for _, sa := range st.IKESAs {
		up[sa.Connection] = true
		sa.print(t)
	}
	for _, c := range st.Connections {
		if !up[c.Name] {
			fmt.Fprintf(t, "%s\tdown\t%s\t\t\t\n", clean(c.Name), clean(strings.Join(c.Remote, " ")))
		}
	}
	if len(st.IKESAs)+len(st.Connections) == 0 {
		fmt.Fprintln(t, "no connection is loaded\t\t\t\t\t")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

// trimLines takes the padding of the last column away.
func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func (sa *ikeStatus) print(t io.Writer) {
	peer := clean(sa.Remote)
	if sa.RemoteID != "" && sa.RemoteID != "%any" { // who it is is known when it has authenticated
		peer = clean(sa.RemoteID) + " at " + peer
	}
	fmt.Fprintf(t, "%s #%d\t%s\t%s%s\t%s\t\t\n", clean(sa.Connection), sa.ID, strings.ToLower(clean(sa.State)), peer, sa.nat(), span(sa.Established))
	for _, ch := range sa.Children {
		way := ""
		if ch.Encap {
			way = " in UDP"
		}
		fmt.Fprintf(t, "  %s #%d\t%s%s\t%s === %s\t%s\t%s\t%s\n", clean(ch.Name), ch.ID, strings.ToLower(clean(ch.State)), way,
			clean(strings.Join(ch.LocalTS, " ")), clean(strings.Join(ch.RemoteTS, " ")), span(ch.Installed), octets(ch.BytesIn), octets(ch.BytesOut))
	}
}

func (sa *ikeStatus) nat() string {
	switch {
	case sa.NATLocal && sa.NATRemote:
		return ", NAT on both sides"
	case sa.NATLocal:
		return ", NAT on this side"
	case sa.NATRemote:
		return ", NAT on its side"
	}
	return ""
}

// span is a time in its two largest units.
func span(seconds uint64) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// octets is an amount in the largest unit of 1024 in which it is at least one.
func octets(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), 0
	for v >= 1024 && unit < 5 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", v, "_KMGTP"[unit])
}
