// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	port "github.com/natterjack/natterjack/port/vici"
)

const (
	defaultInterval = time.Second
	minInterval     = 100 * time.Millisecond
)

// statusCommand is `natterjack status`.
func statusCommand() *cobra.Command {
	var path string
	var asJSON, watch bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the daemon, its connections and their SAs",
		Long: `Shows how the daemon runs and what stands in its way, each loaded connection, and each SA: the peer, on which side a NAT is, the
inner addresses, and what has passed. With --json the same as one object, for programs.`,
		Example: `  natterjack status
  natterjack status --watch
  natterjack status --json | jq '.ike_sas[].children[].bytes_in'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < minInterval {
				return usagef("--interval: expected at least %s, found %s", minInterval, interval)
			}
			c, err := dial(cmd.Context(), path)
			if err != nil {
				return err
			}
			defer c.Close()
			v := &view{out: cmd.OutOrStdout(), json: asJSON, watch: watch}
			return v.run(cmd.Context(), c, interval)
		},
	}
	viciFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "print it again and again, until interrupted; with --json one object a line")
	cmd.Flags().DurationVar(&interval, "interval", defaultInterval, "the pause between two times with --watch")
	return cmd
}

// view is where a status is shown.
type view struct {
	out         io.Writer
	json, watch bool
}

func (v *view) run(ctx context.Context, c *port.Client, interval time.Duration) error {
	for {
		st, err := readStatus(ctx, c)
		if ctx.Err() != nil {
			return nil // interrupted, which is how a watch ends
		}
		if err != nil {
			return err
		}
		if err := v.show(st); err != nil || !v.watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
	}
}

func (v *view) show(st *status) error {
	if v.json {
		e := json.NewEncoder(v.out)
		if !v.watch {
			e.SetIndent("", "  ")
		}
		return e.Encode(st)
	}
	if v.watch && terminal(v.out) {
		// From the top left corner, and without what stood below.
		if _, err := io.WriteString(v.out, "\x1b[H\x1b[2J"); err != nil {
			return err
		}
	}
	return st.print(v.out)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
