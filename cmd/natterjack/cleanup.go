// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/daemon/host"
)

// defaultState is where a daemon records what it changes of the host.
const defaultState = "/var/lib/natterjack"

// stateFlag is --state, of run and cleanup.
func stateFlag(cmd *cobra.Command, state *string) {
	cmd.Flags().StringVar(state, "state", defaultState, "the folder `DIR` in which a daemon records what it changes of the host")
	_ = cmd.MarkFlagDirname("state")
}

// cleanupCommand is `natterjack cleanup`.
func cleanupCommand() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Take back what a daemon that died left on this host",
		Long: `A daemon records every route, rule, address, packet filter and name server before it sets it, and takes it back when it ends. What a
daemon that was killed left is taken back by the next one that starts with the same interface, or by this command. Daemons that run
are left alone.`,
		Example: `  natterjack cleanup
  natterjack cleanup --state /run/natterjack/state`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := host.Cleanup(state)
			printReport(cmd.OutOrStdout(), r, err == nil)
			if errors.Is(err, fs.ErrPermission) {
				return fmt.Errorf("%w: run it as the user that ran the daemon, or as root", err)
			}
			return err
		},
	}
	stateFlag(cmd, &state)
	return cmd
}

func printReport(w io.Writer, r host.Report, whole bool) {
	for _, text := range r.Notes {
		fmt.Fprintln(w, text)
	}
	for _, text := range r.Removed {
		fmt.Fprintln(w, "removed", text)
	}
	for _, device := range r.Alive {
		fmt.Fprintf(w, "%s: its daemon runs, nothing was touched\n", device)
	}
	if whole && len(r.Removed)+len(r.Alive) == 0 {
		fmt.Fprintln(w, "nothing was left behind")
	}
}
