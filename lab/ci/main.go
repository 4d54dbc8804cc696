// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Command ci runs the stages of `make test` and prints a table of their times. With names of stages as arguments it runs
// only those. A stage that cannot run (no root, for example) says why and counts as skipped; with CI=true in the
// environment a skip, also of a single test, is a failure. Its input is the tree; nothing here is attacker controlled.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errSkipped is wrapped by a stage that could not run here.
var errSkipped = errors.New("skipped")

// stage is one step of `make test`.
type stage struct {
	name string
	what string
	run  func(context.Context, *runner) error
	// extra stages run only when named.
	extra bool
}

func stages() []stage {
	return []stage{
		{name: "install", what: "Debian packages the labs need (root only; no service is started)", run: install},
		{name: "gofmt", what: "every file formatted", run: gofmt},
		{name: "vet", what: "go vet, with and without the labs", run: vet},
		{name: "staticcheck", what: "staticcheck, all default checks", run: staticcheck},
		{name: "govulncheck", what: "known vulnerabilities that are reachable", run: govulncheck},
		{name: "cross", what: "build for five systems, two processors each, without cgo", run: cross},
		{name: "unit", what: "go test ./...", run: unit},
		{name: "race", what: "go test -race ./...", run: race},
		{name: "fuzz", what: "every fuzz target for a moment", run: fuzz},
		{name: "labs", what: "network namespaces and real peers (root only)", run: labs},
		{name: "demo", what: "natterjack demo, and each of its four faults", run: demo},
		{name: "bench", what: "throughput against strongSwan (root only)", run: bench, extra: true},
		{name: "soak", what: "a long run under loss, rekeys and rebindings (root only)", run: soak, extra: true},
	}
}

// runner is what the stages share. Initialized once.
type runner struct {
	ci       bool
	root     bool
	tmp      string
	fuzzTime time.Duration
	// skips are the tests that skipped themselves; appended to by the stages, which run one after the other.
	skips []string
	// again are the labs that failed and then passed; appended to as skips is.
	again []string
}

type result struct {
	stage stage
	took  time.Duration
	err   error
}

func main() {
	os.Exit(mainCode())
}

func mainCode() int {
	r := &runner{ci: os.Getenv("CI") == "true", root: os.Geteuid() == 0}
	flag.DurationVar(&r.fuzzTime, "fuzztime", 5*time.Second, "how long each fuzz target runs")
	flag.Usage = usage
	flag.Parse()
	chosen, err := choose(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if r.tmp, err = os.MkdirTemp("", "natterjack-ci-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(r.tmp)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var results []result
	for _, s := range chosen {
		fmt.Printf("\n=== %s: %s\n", s.name, s.what)
		begin := time.Now()
		err := s.run(ctx, r)
		results = append(results, result{s, time.Since(begin), err})
		if err != nil {
			fmt.Printf("--- %s: %v\n", s.name, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return report(r, results)
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: go run ./lab/ci [-fuzztime 5s] [stage ...]\n\nStages:")
	for _, s := range stages() {
		extra := ""
		if s.extra {
			extra = " (only when named)"
		}
		fmt.Fprintf(os.Stderr, "  %-12s %s%s\n", s.name, s.what, extra)
	}
}

// choose returns the named stages in the order given, or all that are not extra.
func choose(names []string) ([]stage, error) {
	all := stages()
	if len(names) == 0 {
		return slices.DeleteFunc(all, func(s stage) bool { return s.extra }), nil
	}
	var chosen []stage
	for _, name := range names {
		i := slices.IndexFunc(all, func(s stage) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("stage %q: unknown; -h lists them", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// report prints the table and returns the exit status.
func report(r *runner, results []result) int {
	code := 0
	var total time.Duration
	fmt.Println("\nstage         time      result")
	for _, res := range results {
		word := "ok"
		switch {
		case errors.Is(res.err, errSkipped) && !r.ci:
			word = res.err.Error()
		case res.err != nil:
			word = "FAIL: " + firstLine(res.err.Error())
			code = 1
		}
		total += res.took
		fmt.Printf("%-12s %7.1fs    %s\n", res.stage.name, res.took.Seconds(), word)
	}
	fmt.Printf("%-12s %7.1fs\n", "total", total.Seconds())
	for _, name := range r.again {
		fmt.Println("failed, then passed by itself:", name)
	}
	for _, s := range r.skips {
		fmt.Println("skipped:", s)
	}
	if len(r.skips) > 0 && r.ci {
		fmt.Println("FAIL: a skipped test proves nothing; with CI=true it is a failure")
		code = 1
	}
	if code == 0 {
		fmt.Println("PASS")
	} else {
		fmt.Println("FAIL")
	}
	return code
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
