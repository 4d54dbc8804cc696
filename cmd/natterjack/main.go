// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Command natterjack is the whole of Natterjack in one binary: the daemon, the commands that control it, and a demonstration.
// Each command has a file of its own; all but run, demo and cleanup are clients of the daemon's control socket. Arguments come
// from the user who runs it. No secret is ever an argument or taken from the environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(natterjack(os.Args[1:], os.Stdout, os.Stderr)) }

// natterjack runs one command line and returns its exit code.
func natterjack(args []string, stdout, stderr io.Writer) int {
	// The daemon has its own signals; for everything else an interrupt ends the waiting.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	began := false
	everyCommand(root, func(cmd *cobra.Command) {
		if run := cmd.RunE; run != nil {
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				began = true
				return run(cmd, args)
			}
		}
	})
	cmd, err := root.ExecuteContextC(ctx)
	var usage *usageError
	var status statusError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &status):
		return int(status) // the program has said why
	case !began || errors.As(err, &usage):
		fmt.Fprintf(stderr, "natterjack: %v\nTry `%s --help`.\n", err, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(stderr, "natterjack: %v\n", err)
	return exitFailed
}

func everyCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		everyCommand(sub, f)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "natterjack",
		Short: "IPsec for hosts behind a NAT",
		Long: `Natterjack is IPsec for hosts behind a NAT, with or without a kernel that knows ESP and with or without root: an IKEv2 daemon that is
client and gateway, and the commands that control it. It is configured by swanctl.conf, and swanctl can control it.`,
		Example: `  natterjack demo                        # see it work, on this machine, without root
  natterjack config check                # is the configuration right?
  natterjack run                         # the daemon, in the foreground
  natterjack up office                   # bring a connection up
  natterjack status --watch
  natterjack down office`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.AddCommand(runCommand(), upCommand(), downCommand(), statusCommand(), demoCommand(), configCommand(), pfkeyCommand(), cleanupCommand(), versionCommand())
	return root
}
