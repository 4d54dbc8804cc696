// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Systems without seccomp.

//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// statusError is the exit status of a program that was run.
type statusError int

func (e statusError) Error() string { return "" }

// pfkeyRunCommands are `natterjack pfkey run`, which says what there is instead.
func pfkeyRunCommands() []*cobra.Command {
	return []*cobra.Command{{
		Use: "run", Short: "Run an unmodified key daemon on our PF_KEY (Linux)", DisableFlagParsing: true, Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("an unmodified program can be given our PF_KEY on Linux only: here a key daemon connects to a socket of `natterjack pfkey serve` by itself")
		},
	}}
}
