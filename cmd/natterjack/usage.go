// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Errors of usage: what the command line itself has wrong. Their exit code is 2.

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// usageError is an error of the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// oneName wants the argument NAME.
func oneName(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("expected the NAME of one connection or child, found %s", plural(len(args), "argument"))
	}
	return nil
}
