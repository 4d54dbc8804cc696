// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The stages that run tests. go test's own closing lines are printed as they come; of a failing test everything it said.
// Every test that skipped itself is remembered by name.

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of go test -json (cmd/test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

func unit(ctx context.Context, r *runner) error {
	return r.goTest(ctx, nil, "./...")
}

func race(ctx context.Context, r *runner) error {
	return r.goTest(ctx, []string{"CGO_ENABLED=1"}, "-race", "./...")
}

// labs makes namespaces and processes, so one package at a time, and never from the cache.
func labs(ctx context.Context, r *runner) error {
	if !r.root {
		return fmt.Errorf("%w: not root, so the namespace labs do not run", errSkipped)
	}
	if err := r.labTest(ctx, nil, "-tags", "lab", "-p", "1", "-count", "1", "-timeout", "25m", "./lab/..."); err != nil {
		return err
	}
	for _, k := range keyedLabs() {
		env := append([]string{"LAB_IPSEC=pfkey"}, k.env...)
		if err := r.labTest(ctx, env, "-tags", "lab", "-count", "1", "-timeout", "10m", "-run", "^("+strings.Join(k.tests, "|")+")$", "./lab/peers"); err != nil {
			return err
		}
	}
	return nil
}

// keyed is labs that run a second time with our daemons' engine behind PF_KEY.
type keyed struct {
	env   []string
	tests []string
}

// keyedLabs are all labs of lab/peers but those of what the engine never sees (authentication, ports that are taken, strongSwan with
// itself), of what is between the ends (kinds of NATs, loss) and of a NAT that has another address, which ends a child in transport mode
// there. The second part has dozens of near-equal cases, of which strongSwan as a peer sees no difference: two of ours alone, so
// that both ends are behind PF_KEY. By hand
// `LAB_IPSEC=pfkey go test -tags lab ./lab/peers` runs the rest as well.
func keyedLabs() []keyed {
	return []keyed{
		{nil, []string{
			"TestCommandLine", "TestBare", "TestSwanctl", "TestFailures", "TestReload", "TestCleartext", "TestPolicies", "TestTrap", "TestCrash", "TestHostRefuses",
			"TestUpdown", "TestRekey", "TestTwoL2TPClients", "TestLifetimes", "TestDelete", "TestForgottenTwo", "TestTwoDaemons", "TestRawESP",
		}},
		{[]string{"LAB_PAIR=natterjack-to-natterjack"}, []string{
			"TestTopologies", "TestSuites", "TestProtocolsAndModes", "TestForgottenIdle", "TestForgottenActive", "TestForgottenDownload", "TestMappingTimeout",
			"TestReturn", "TestShutdown", "TestReversePathFilter", "TestSmallPath", "TestDeadPeer", "TestDecrypt", "TestFragmentation", "TestKeepalives",
		}},
	}
}

func bench(ctx context.Context, r *runner) error {
	return r.rootOnly(ctx, "bench")
}

func soak(ctx context.Context, r *runner) error {
	return r.rootOnly(ctx, "soak")
}

// rootOnly runs the lab package of that name, whose tests print what they measured.
func (r *runner) rootOnly(ctx context.Context, name string) error {
	if !r.root {
		return fmt.Errorf("%w: not root, and %s needs network namespaces", errSkipped, name)
	}
	return loud(ctx, nil, "go", "test", "-tags", "lab,"+name, "-count", "1", "-v", "-timeout", "12h", "./lab/"+name)
}

// goTest runs go test -json with args and prints what a person wants of it.
func (r *runner) goTest(ctx context.Context, env []string, args ...string) error {
	args = append([]string{"test", "-json"}, args...)
	fmt.Println("+", strings.Join(append(append([]string{}, env...), "go", strings.Join(args, " ")), " "))
	cmd := command(ctx, env, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	skips, failed := readEvents(out, os.Stdout)
	r.skips = append(r.skips, skips...)
	err = cmd.Wait()
	switch {
	case len(failed) > 0:
		return failures(failed)
	case err != nil:
		return fmt.Errorf("go test: %w", err)
	case len(skips) > 0 && r.ci:
		return fmt.Errorf("%d skipped: %s", len(skips), strings.Join(skips, ", "))
	}
	return nil
}

// readEvents copies package lines and the output of failed tests to w, and returns the names of skipped and failed tests.
func readEvents(in io.Reader, w io.Writer) (skips, failed []string) {
	said := map[string]*strings.Builder{} // by package and test, until the test ends
	lines := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				w.Write(line)
			} else if skip, fail := take(e, said, w); skip != "" {
				skips = append(skips, skip)
			} else if fail != "" {
				failed = append(failed, fail)
			}
		}
		if err != nil {
			return skips, failed
		}
	}
}

// take handles one event and returns the name of the test that it says was skipped or has failed.
func take(e event, said map[string]*strings.Builder, w io.Writer) (skip, fail string) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		io.WriteString(w, e.Output)
	case "output":
		if e.Test == "" {
			if e.Output != "PASS\n" && !strings.Contains(e.Output, "[no test files]") {
				io.WriteString(w, e.Output)
			}
			return "", ""
		}
		if said[name] == nil {
			said[name] = new(strings.Builder)
		}
		said[name].WriteString(e.Output)
	case "pass":
		delete(said, name)
	case "skip", "fail":
		if b := said[name]; b != nil {
			io.WriteString(w, b.String())
			delete(said, name)
		}
		if e.Action == "fail" {
			return "", strings.TrimSpace(name)
		}
		if e.Test != "" {
			return name, ""
		}
	}
	return "", ""
}
