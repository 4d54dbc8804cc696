// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Labs measure real programs against the clock, on a machine that also does other things: a lab that failed runs once more, by
// itself. If it fails again the stage fails; if not, the table names it, so that nobody takes it for a lab that passes.
// Unit tests never run again: what fails there once is a defect.

package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxRepeated is how many failed labs may be a matter of luck. More of them are a defect at once.
const maxRepeated = 3

// failures are the names of failed tests, each "package TestName/case" or, where a package fails as a whole, "package".
type failures []string

func (f failures) Error() string { return fmt.Sprintf("%d failed: %s", len(f), strings.Join(f, ", ")) }

// leaves are the failed tests none of whose cases failed: packages and parents fail because of those. It is false if a package
// failed in which no test did (it does not build, or its time was over).
func (f failures) leaves() (failures, bool) {
	var found failures
	blamed := map[string]bool{} // packages with a failed test
	for _, name := range f {
		pkg, test, _ := strings.Cut(name, " ")
		if test == "" {
			continue
		}
		blamed[pkg] = true
		if !slices.ContainsFunc(f, func(other string) bool { return strings.HasPrefix(other, name+"/") }) {
			found = append(found, name)
		}
	}
	for _, name := range f {
		if !blamed[strings.Fields(name)[0]] {
			return nil, false
		}
	}
	return found, true
}

// pattern is what go test -run takes to run one test and nothing beside it.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// labTest is goTest for labs.
func (r *runner) labTest(ctx context.Context, env []string, args ...string) error {
	err := r.goTest(ctx, env, args...)
	var failed failures
	if !errors.As(err, &failed) {
		return err
	}
	again, ok := failed.leaves()
	if !ok || len(again) > maxRepeated || ctx.Err() != nil {
		return err
	}
	for _, name := range again {
		pkg, test, _ := strings.Cut(name, " ")
		fmt.Println("once more, by itself:", name)
		if err := r.goTest(ctx, env, "-tags", "lab", "-count", "1", "-timeout", "10m", "-run", pattern(test), pkg); err != nil {
			return fmt.Errorf("twice: %w", err)
		}
		r.again = append(r.again, name)
	}
	return nil
}
