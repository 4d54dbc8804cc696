// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The fuzz stage: every fuzz target of the tree, found by go test -list, each for a moment.

package main

import (
	"context"
	"fmt"
	"strings"
)

type target struct{ pkg, name string }

func fuzz(ctx context.Context, r *runner) error {
	out, err := output(ctx, nil, "go", "test", "-list", "^Fuzz", "./...")
	if err != nil {
		fmt.Print(out)
		return fmt.Errorf("go test -list: %w", err)
	}
	targets := parseTargets(out)
	if len(targets) == 0 {
		return fmt.Errorf("no fuzz target found")
	}
	for _, t := range targets {
		text, err := output(ctx, nil, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", r.fuzzTime.String(), t.pkg)
		if err != nil {
			fmt.Print(text)
			return fmt.Errorf("%s %s: %w", t.pkg, t.name, err)
		}
		fmt.Printf("%-28s %s\n", t.name, lastLine(text))
	}
	fmt.Printf("%d fuzz targets, %s each\n", len(targets), r.fuzzTime)
	return nil
}

// parseTargets reads what go test -list prints: names, then the line of their package.
func parseTargets(out string) []target {
	var found []target
	var names []string
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		switch {
		case len(f) == 1 && strings.HasPrefix(f[0], "Fuzz"):
			names = append(names, f[0])
		case len(f) >= 2 && f[0] == "ok":
			for _, n := range names {
				found = append(found, target{f[1], n})
			}
			names = nil
		}
	}
	return found
}

func lastLine(text string) string {
	text = strings.TrimRight(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}
