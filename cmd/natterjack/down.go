// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	port "github.com/natterjack/natterjack/port/vici"
	"github.com/natterjack/natterjack/wire/vici"
)

// downTime is how long the peer may take to confirm; after it the SAs are deleted without.
const downTime = 3 * time.Second

// downCommand is `natterjack down`.
func downCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "down NAME",
		Short: "Take a connection down",
		Long: `Deletes the SAs of a connection, or of one child: NAME is a connection, a child, or CONNECTION/CHILD. Addresses, routes and name
servers that came with it are taken back. What the daemon is still trying to bring up is given up. A peer that does not confirm
within ` + downTime.String() + ` is not waited for. Taking down what is not up is no failure.`,
		Example: `  natterjack down office
  natterjack down office/mail`,
		Args:              oneName,
		ValidArgsFunction: completeNames(&path),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := dial(cmd.Context(), path)
			if err != nil {
				return err
			}
			defer c.Close()
			w, err := find(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			text, err := down(cmd.Context(), c, w)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", clean(args[0]), text)
			return err
		},
	}
	viciFlag(cmd, &path)
	return cmd
}

// down terminates, with force when the peer does not answer, and says what became of it.
func down(ctx context.Context, c *port.Client, w wish) (string, error) {
	args := vici.New().Set("ike", w.conn)
	if !w.whole {
		args.Set("child", w.children[0])
	}
	args.Set("timeout", fmt.Sprint(downTime.Milliseconds()))
	reply, err := c.Call(ctx, "terminate", args)
	if err != nil {
		return "", err
	}
	switch err := port.Failure(reply); {
	case err == nil:
		return "is down", nil
	case reply.Get("matches") == "0":
		return "was not up", nil
	}
	reply, err = c.Call(ctx, "terminate", args.Set("force", "yes"))
	if err != nil {
		return "", err
	}
	if err := port.Failure(reply); err != nil && reply.Get("matches") != "0" {
		return "", errors.New(clean(err.Error()))
	}
	return "is down; the peer did not confirm it", nil
}
