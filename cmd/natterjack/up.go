// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	port "github.com/natterjack/natterjack/port/vici"
	"github.com/natterjack/natterjack/wire/vici"
)

// defaultUpTime is how long `up` waits. A handshake takes a second; a peer that is silent for so long will stay so.
const defaultUpTime = 30 * time.Second

// upper is one run of `up`.
type upper struct {
	out     io.Writer
	client  *port.Client
	timeout time.Duration
	verbose bool
	begin   time.Time
	heard   bool   // something was received from the peer
	sentTo  string // where the last message went: "address on UDP port"
}

// upCommand is `natterjack up`.
func upCommand() *cobra.Command {
	var path string
	u := &upper{}
	cmd := &cobra.Command{
		Use:   "up NAME",
		Short: "Bring a connection up and say what happens",
		Long: `Brings up a loaded connection with all its children, or one child: NAME is a connection, a child, or CONNECTION/CHILD. It prints
each step with the time it took, sets addresses and routes, and returns when traffic can flow. The daemon keeps it up. When it
fails, the last line says what is wrong and what can be done; what the daemon is still trying is ended by "natterjack down NAME".`,
		Example: `  natterjack up office
  natterjack up office/mail --timeout 2m
  natterjack up office --verbose         # every message, too`,
		Args:              oneName,
		ValidArgsFunction: completeNames(&path),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := dial(cmd.Context(), path)
			if err != nil {
				return err
			}
			defer c.Close()
			u.out, u.client, u.begin = cmd.OutOrStdout(), c, time.Now()
			w, err := find(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return u.all(cmd.Context(), w)
		},
	}
	viciFlag(cmd, &path)
	cmd.Flags().DurationVar(&u.timeout, "timeout", defaultUpTime, "how long to wait for each child; 0: until the daemon gives up")
	cmd.Flags().BoolVar(&u.verbose, "verbose", false, "print every message that is sent and received")
	return cmd
}

func (u *upper) all(ctx context.Context, w wish) error {
	if u.timeout < 0 || u.timeout > 24*time.Hour {
		return usagef("--timeout: expected 0 to 24h, found %s", u.timeout)
	}
	if len(w.children) == 0 {
		return fmt.Errorf("connection %q has no child that can be brought up", clean(w.conn))
	}
	for _, child := range w.children {
		if err := u.one(ctx, w.conn, child); err != nil {
			return err
		}
	}
	return u.report(ctx, w)
}

// one brings up one child.
func (u *upper) one(ctx context.Context, conn, child string) error {
	fmt.Fprintf(u.out, "%7.3fs  bringing up %s/%s\n", time.Since(u.begin).Seconds(), clean(conn), clean(child))
	args := vici.New().Set("ike", conn).Set("child", child).Set("timeout", strconv.FormatInt(u.timeout.Milliseconds(), 10))
	args.Set("loglevel", "1")
	reply, err := u.client.CallStreaming(ctx, "initiate", "control-log", args, func(m *vici.Section) error {
		u.step(m)
		return nil
	})
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s/%s: interrupted; the daemon goes on, `natterjack down %s` ends it", clean(conn), clean(child), clean(conn))
	}
	if err != nil {
		return err
	}
	failure := port.Failure(reply)
	if failure != nil && reply.Get("reason") == "timeout" && !u.heard {
		return fmt.Errorf("%s/%s: no answer from %s within %s: %s (the daemon keeps trying; `natterjack down %s` ends it)", clean(conn), clean(child),
			cmp.Or(u.sentTo, "the gateway"), u.timeout, doubt(u.sentTo), clean(conn))
	}
	return failure
}

// step prints one line of the daemon's log: what a person follows, or everything with --verbose.
func (u *upper) step(m *vici.Section) {
	group, text := m.Get("group"), m.Get("msg")
	if group == "NET" {
		u.heard = u.heard || strings.HasPrefix(text, "received packet")
		if to := sentTo(text); to != "" {
			u.sentTo = to
		}
	}
	if !u.verbose && (group == "NET" || group == "ENC" || final(text)) {
		return
	}
	fmt.Fprintf(u.out, "%7.3fs  %s\n", time.Since(u.begin).Seconds(), clean(text))
}

// final reports whether a line tells of the failure: the error that ends the command says it once more, and better.
func final(text string) bool {
	return strings.HasPrefix(text, "failed with ") || strings.HasPrefix(text, "exchange failed") ||
		strings.HasPrefix(text, "IKE_SA ") && strings.Contains(text, "] deleted: ")
}

// sentTo finds the destination in a line "sending packet: from A[500] to B[4500] (100 bytes)".
func sentTo(text string) string {
	if !strings.HasPrefix(text, "sending packet") {
		return ""
	}
	_, to, _ := strings.Cut(text, " to ")
	to, _, _ = strings.Cut(to, " (")
	addr, port, ok := strings.Cut(strings.TrimSuffix(to, "]"), "[")
	if !ok {
		return ""
	}
	return clean(addr) + " on UDP " + clean(port)
}

// doubt asks what a person can look at when nothing comes back. to is of sentTo.
func doubt(to string) string {
	if to == "" || strings.HasSuffix(to, " UDP 500") || strings.HasSuffix(to, " UDP 4500") {
		return "is the gateway's address right, and does the network let UDP 500 and 4500 through?"
	}
	return "are the gateway's address and remote_port right, and does the network let that port through?"
}

// report says what is up now.
func (u *upper) report(ctx context.Context, w wish) error {
	sas, err := list(ctx, u.client, "list-sas", "list-sa")
	if err != nil {
		return err
	}
	for _, it := range sas {
		if it.Key != w.conn {
			continue
		}
		sa := saOf(it)
		for _, ch := range sa.Children {
			if ch.State != "INSTALLED" || !slices.Contains(w.children, ch.Name) {
				continue
			}
			way := "raw ESP"
			if ch.Encap {
				way = "ESP in UDP"
			}
			fmt.Fprintf(u.out, "%7.3fs  %s/%s is up: %s === %s by %s (%s)\n", time.Since(u.begin).Seconds(), clean(sa.Connection), clean(ch.Name),
				clean(strings.Join(ch.LocalTS, " ")), clean(strings.Join(ch.RemoteTS, " ")), clean(sa.Remote), way)
		}
	}
	return nil
}
