// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/cmd/natterjack/demo"
)

// demoCommand is `natterjack demo`.
func demoCommand() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a tunnel from behind a NAT surviving what NATs do, on this machine, without root",
		Long: `Starts a gateway with a small web server behind it, a NAT, and a client behind the NAT, all on loopback, and downloads through
the tunnel. While octets flow the NAT forgets its mapping, the child SA and the IKE SA are rekeyed; afterwards the tunnel idles, the NAT
forgets again, and the gateway must reach the client. Both ends are complete daemons with a network of their own in user space.

Exit status 0 only if every octet arrived and no packet was lost but those that the NAT dropped while it had no mapping.
With --break a fault is injected, which must be found: exit status 1 and a line that names it.`,
		Example: `  natterjack demo
  natterjack demo --json | jq -r 'select(.event == "child-up") | .spi_in'
  natterjack demo --break rekey`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Break != "" && !slices.Contains(demo.Faults(), o.Break) {
				// Not exit status 1, which says that the fault was found.
				return usagef("--break: expected %s, found %q", strings.Join(demo.Faults(), ", "), o.Break)
			}
			o.Out = cmd.OutOrStdout()
			if f, ok := o.Out.(*os.File); ok && !o.JSON {
				info, err := f.Stat()
				o.Live = err == nil && info.Mode()&os.ModeCharDevice != 0
			}
			err := demo.Run(cmd.Context(), o)
			var failed *demo.Failure
			switch {
			case err == nil:
				return nil
			case errors.As(err, &failed) && o.Break != "":
				return fmt.Errorf("the demo failed, as --break %s wanted: %w", o.Break, err)
			}
			return fmt.Errorf("the demo failed: %w", err)
		},
	}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print the events of both daemons as JSON, one object a line, and nothing else")
	cmd.Flags().StringVar(&o.Break, "break", "", "inject a fault: "+strings.Join(demo.Faults(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("break", cobra.FixedCompletions(demo.Faults(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
