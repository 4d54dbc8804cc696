// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The demo stage: what a new user sees must be true, and each injected fault must be found and named.

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// demoLimit is how long one demo may take (it promises 30 s).
const demoLimit = 60 * time.Second

func demo(ctx context.Context, r *runner) error {
	path := filepath.Join(r.tmp, "natterjack")
	if err := loud(ctx, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", path, "./cmd/natterjack"); err != nil {
		return err
	}
	if err := runDemo(ctx, path); err != nil {
		return fmt.Errorf("natterjack demo: %w", err)
	}
	for _, fault := range []string{"nat", "rekey", "auth", "loss"} {
		err := runDemo(ctx, path, "--break", fault)
		var exit *exec.ExitError
		switch {
		case err == nil:
			return fmt.Errorf("natterjack demo --break %s: exit status 0, so the fault went unnoticed", fault)
		case !errors.As(err, &exit) || exit.ExitCode() != 1:
			return fmt.Errorf("natterjack demo --break %s: want exit status 1: %w", fault, err)
		}
		fmt.Printf("ok  demo --break %s: exit status 1, as it must\n", fault)
	}
	return nil
}

func runDemo(ctx context.Context, path string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	return loud(ctx, nil, path, append([]string{"demo"}, args...)...)
}
