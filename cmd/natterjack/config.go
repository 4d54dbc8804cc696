// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/daemon/config"
)

// configCommand is `natterjack config`.
func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Look at the configuration",
		Example: "  natterjack config check",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configCheckCommand())
	return cmd
}

// configCheckCommand is `natterjack config check`.
func configCheckCommand() *cobra.Command {
	var src source
	var quiet bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read the configuration as the daemon would, and print what it amounts to",
		Long: `Reads the configuration with all files it names, as "natterjack run" would, and says which file and line is wrong and what was
expected there. If nothing is, it prints the configuration in its normal form on standard output (included files and inherited
sections in their places, secrets hidden) and a summary on standard error. No daemon is needed, and none is changed.`,
		Example: `  natterjack config check
  natterjack config check --config office.conf
  natterjack config check --swanctl /etc/swanctl --quiet && systemctl reload natterjack`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, name, err := src.load()
			if err != nil {
				return err
			}
			return printConfig(cmd.OutOrStdout(), cmd.ErrOrStderr(), c, name, quiet)
		},
	}
	src.flags(cmd)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "do not print the configuration, only what is wrong or worth a warning")
	return cmd
}

func printConfig(stdout, stderr io.Writer, c *config.Config, name string, quiet bool) error {
	for _, w := range c.Warnings {
		fmt.Fprintln(stderr, "warning:", w)
	}
	if name == "" {
		name = defaultFolder + " is not there, the configuration is empty"
	}
	if quiet {
		return nil
	}
	if _, err := io.WriteString(stdout, config.Normalise(c.Tree)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stderr, "%s: good: %s\n", name, counts(c))
	return err
}
