// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the client commands share: the connection to the daemon, and names.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/daemon"
	port "github.com/natterjack/natterjack/port/vici"
	"github.com/natterjack/natterjack/wire/vici"
)

const (
	defaultVICI = "/run/natterjack/vici.sock"
	// socketGroup may control the daemon, where it exists.
	socketGroup = "natterjack"
	// answerLimit is how long the daemon may take for what it does at once.
	answerLimit = 10 * time.Second
)

// viciFlag is --vici of the client commands.
func viciFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "vici", defaultVICI, "the daemon's control socket: `PATH` or unix://PATH")
	_ = cmd.MarkFlagFilename("vici", "sock")
}

// dial connects to the daemon, or says in one sentence what to do.
func dial(ctx context.Context, path string) (*port.Client, error) {
	path = strings.TrimPrefix(path, "unix://")
	c, err := port.Dial(ctx, path)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("you may not use the control socket %s: become a member of the group %s, or root", path, socketGroup)
	case errors.Is(err, fs.ErrNotExist), isOp(err, "dial"):
		return nil, fmt.Errorf("no daemon listens at %s: start one with `natterjack run`, or name its socket with --vici", path)
	}
	return nil, err
}

func isOp(err error, op string) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == op && !e.Timeout()
}

// ask sends a command that is answered at once.
func ask(ctx context.Context, c *port.Client, command string, args *vici.Section) (*vici.Section, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	reply, err := c.Call(ctx, command, args)
	if err != nil {
		return nil, silent(err)
	}
	return reply, port.Failure(reply)
}

// list collects the events of a command that lists something.
func list(ctx context.Context, c *port.Client, command, event string) ([]vici.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	var items []vici.Item
	reply, err := c.CallStreaming(ctx, command, event, nil, func(m *vici.Section) error {
		items = append(items, m.Items...)
		return nil
	})
	if err != nil {
		return nil, silent(err)
	}
	return items, port.Failure(reply)
}

// silent says what it means that there was no answer.
func silent(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the daemon did not answer within %s: look at its log", answerLimit)
	}
	return err
}

// wish is a connection with the children of it that are meant.
type wish struct {
	conn     string
	children []string
	whole    bool // the connection was named, not a child
}

// find says what NAME means: a connection, a child, or CONNECTION/CHILD.
func find(ctx context.Context, c *port.Client, name string) (wish, error) {
	conns, err := list(ctx, c, "list-conns", "list-conn")
	if err != nil {
		return wish{}, err
	}
	connName, childName, both := strings.Cut(name, "/")
	var names []string
	for _, it := range conns {
		children := tunnels(it.Sub)
		names = append(names, it.Key)
		switch {
		case !both && it.Key == name:
			return wish{conn: name, children: children, whole: true}, nil
		case both && it.Key == connName && slices.Contains(children, childName):
			return wish{conn: connName, children: []string{childName}}, nil
		}
	}
	for _, it := range conns {
		if !both && slices.Contains(tunnels(it.Sub), name) {
			return wish{conn: it.Key, children: []string{name}}, nil
		}
	}
	if len(names) == 0 {
		return wish{}, fmt.Errorf("no connection %q is loaded, nor any other: give the daemon a configuration, or load one with `swanctl --load-all`", name)
	}
	return wish{}, fmt.Errorf("no connection or child %q is loaded; there are %s", name, clean(strings.Join(names, ", ")))
}

// tunnels are the children of a list-conn section that can be brought up.
func tunnels(conn *vici.Section) []string {
	var names []string
	if children := conn.Sub("children"); children != nil {
		for _, it := range children.Items {
			if it.Sub.Get("mode") == "TUNNEL" {
				names = append(names, it.Key)
			}
		}
	}
	return names
}

// clean makes what came from the daemon, and perhaps from a peer, harmless for a terminal.
func clean(s string) string { return daemon.Clean(s) }

// completeNames completes the names of connections and of their children, if the daemon can be asked.
func completeNames(path *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c, err := dial(ctx, *path)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.Close()
		conns, err := list(ctx, c, "list-conns", "list-conn")
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, it := range conns {
			names = append(names, it.Key)
			names = append(names, tunnels(it.Sub)...)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
