// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The fuzz stage: every fuzz target of the tree, found by go test -list, each for a moment.

package main

import (
	"context"
	"fmt"
	"strings"
)

// maxAgain is how often a target that only met the end of its own clock is run again. Seen once in about ten runs on
// two busy cores, so that four times in a row is an error of another kind.
const maxAgain = 4

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
		text, err := fuzzOne(ctx, r, t)
		for again := 0; err != nil && onlyTheClock(text) && again < maxAgain; again++ {
			fmt.Printf("%-28s ended by its own clock, not by a finding; once more\n", t.name)
			text, err = fuzzOne(ctx, r, t)
		}
		if err != nil {
			fmt.Print(text)
			return fmt.Errorf("%s %s: %w", t.pkg, t.name, err)
		}
		fmt.Printf("%-28s %s\n", t.name, lastLine(text))
	}
	fmt.Printf("%d fuzz targets, %s each\n", len(targets), r.fuzzTime)
	return nil
}

// fuzzOne runs one target. Inputs that are only interesting are not minimized: by default that takes up to a minute
// each, which eats the moment a target has.
func fuzzOne(ctx context.Context, r *runner, t target) (string, error) {
	return output(ctx, nil, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", r.fuzzTime.String(), "-fuzzminimizetime", "1x", t.pkg)
}

// onlyTheClock reports whether a failed run found nothing and names the end of its own -fuzztime as the error: the
// coordinator of internal/fuzz compares the deadline's error with that of a context derived from it, which may not
// have heard of it yet. A finding always names an input or a panic.
func onlyTheClock(text string) bool {
	_, rest, ok := strings.Cut(text, "--- FAIL: ")
	if !ok {
		return false
	}
	lines := strings.Split(rest, "\n")
	return len(lines) > 2 && strings.TrimSpace(lines[1]) == context.DeadlineExceeded.Error() && lines[2] == "FAIL"
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
