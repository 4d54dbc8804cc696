// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// How stages run commands: loudly, quietly (output only on failure), or read for their lines.

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

func command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// loud runs a command whose output is this program's.
func loud(ctx context.Context, env []string, name string, args ...string) error {
	fmt.Println("+", strings.Join(append(append([]string{}, env...), append([]string{name}, args...)...), " "))
	cmd := command(ctx, env, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// quiet runs a command and prints its output only when it fails.
func quiet(ctx context.Context, env []string, name string, args ...string) error {
	out, err := output(ctx, env, name, args...)
	if err != nil {
		os.Stdout.WriteString(out)
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

func output(ctx context.Context, env []string, name string, args ...string) (string, error) {
	var b bytes.Buffer
	cmd := command(ctx, env, name, args...)
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	return b.String(), err
}
