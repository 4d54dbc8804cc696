// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/daemon/host"
	port "github.com/natterjack/natterjack/port/vici"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"natterjack": main}) }

// TestScripts runs testdata/script: command lines with what they print. NATTERJACK_UPDATE=1 rewrites what is compared.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: os.Getenv("NATTERJACK_UPDATE") != "",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ports": ports, "fill": fill, "await": await, "awaitfile": awaitFile, "signal": sendSignal, "reload": reload, "promptly": promptly, "pfkeyd": pfkeyd,
		},
	})
}

// ports sets each variable that it is given to a UDP port of loopback that is free.
func ports(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		ts.Check(err)
		defer c.Close()
		ts.Setenv(name, fmt.Sprint(c.LocalAddr().(*net.UDPAddr).Port))
	}
}

// fill puts the values of variables into files, and makes them private.
func fill(ts *testscript.TestScript, _ bool, files []string) {
	for _, name := range files {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
		ts.Check(os.Chmod(ts.MkAbs(name), 0o600))
	}
}

// limit is how long a script waits for something.
const limit = 20 * time.Second

// awaitFile waits until a file is there.
func awaitFile(ts *testscript.TestScript, _ bool, files []string) {
	for _, name := range files {
		for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(ts.MkAbs(name)); err == nil {
				break
			}
			if time.Since(begin) > limit {
				ts.Fatalf("%s did not appear", name)
			}
		}
	}
}

// await WORDS COMMAND… runs a command until it prints these words.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		// An error is what is waited out.
		_ = ts.Exec(args[1], args[2:]...)
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Since(begin) > limit {
			ts.Fatalf("%q was not printed by %v", args[0], args[1:])
		}
	}
}

// sendSignal HUP|TERM sends a signal to everything that runs in the background.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	sig := map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}[args[0]]
	for _, cmd := range ts.BackgroundCmds() {
		if err := cmd.Process.Signal(sig); !errors.Is(err, os.ErrProcessDone) {
			ts.Check(err)
		}
	}
}

// promptly fails unless everything in the background ends within the two seconds that a daemon has, and a moment for a busy
// machine.
func promptly(ts *testscript.TestScript, _ bool, _ []string) {
	begin := time.Now()
	for _, cmd := range ts.BackgroundCmds() {
		for cmd.Process.Signal(syscall.Signal(0)) == nil {
			if time.Since(begin) > 2500*time.Millisecond {
				ts.Fatalf("%v has not ended after %s", cmd.Args, time.Since(begin))
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// reload SOCKET WORDS has the daemon read its configuration again, as swanctl --reload-settings does, and expects these words in
// what is wrong with it.
func reload(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c, err := port.Dial(ctx, ts.MkAbs(args[0]))
	ts.Check(err)
	defer c.Close()
	reply, err := c.Call(ctx, "reload-settings", nil)
	ts.Check(err)
	if text := reply.Get("errmsg"); !strings.Contains(text, args[1]) {
		ts.Fatalf("reload-settings: %q, want %q in it", text, args[1])
	}
}

func TestExitCodes(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args string
		want int
	}{
		{"", exitDone}, {"--help", exitDone}, {"version", exitDone}, {"up --help", exitDone}, {"config", exitDone}, {"completion bash", exitDone},
		{"nope", exitUsage}, {"up", exitUsage}, {"up a b", exitUsage}, {"up a --nope", exitUsage}, {"up a --timeout x", exitUsage},
		{"config nope", exitUsage}, {"version x", exitUsage}, {"run --log-level loud", exitUsage}, {"run --log-format xml", exitUsage},
		{"run --data-plane kernel", exitUsage}, {"run --vici tcp://127.0.0.1:1", exitUsage}, {"run --pfkey x=openbsd", exitUsage},
		{"run --config a --swanctl b", exitUsage},
		{"config check --config a --swanctl b", exitUsage}, {"status --interval 1ms", exitUsage}, {"status x", exitUsage},
		{"demo --break nope", exitUsage}, {"demo x", exitUsage},
		{"up a --vici " + none, exitFailed}, {"down a --vici " + none, exitFailed}, {"status --vici " + none, exitFailed},
		{"config check --config " + none, exitFailed}, {"run --config " + none, exitFailed},
	} {
		var out, errOut bytes.Buffer
		if got := natterjack(strings.Fields(c.args), &out, &errOut); got != c.want {
			t.Errorf("natterjack %s: exit code %d, want %d: %s", c.args, got, c.want, &errOut)
		}
		if c.want != exitDone && (!strings.HasPrefix(errOut.String(), "natterjack: ") || out.Len() > 0) {
			t.Errorf("natterjack %s: prints %q and %q", c.args, &out, &errOut)
		}
	}
}

// TestHelp: every command has a sentence, a longer text or none to need, and examples; every flag says what it is; and the
// completions know all of them.
func TestHelp(t *testing.T) {
	everyCommand(rootCommand(), func(cmd *cobra.Command) {
		if cmd.Hidden { // what `pfkey run` starts itself as
			return
		}
		name := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its short description is %q", name, cmd.Short)
		}
		if cmd.Example == "" {
			t.Errorf("%s: it has no examples", name)
		}
		for _, line := range strings.Split(cmd.Example, "\n") {
			if !strings.HasPrefix(line, "  natterjack ") {
				t.Errorf("%s: an example is %q", name, line)
			}
		}
	})
}

// TestCompletions: what the shell completes is what --help lists, for every command.
func TestCompletions(t *testing.T) {
	everyCommand(rootCommand(), func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		var help bytes.Buffer
		if code := natterjack(append(path, "--help"), &help, &help); code != exitDone {
			t.Fatalf("%v --help: exit code %d", path, code)
		}
		for _, begin := range []string{"", "--"} {
			for _, word := range completions(t, append(path, begin)) {
				if word != "help" && !strings.Contains(help.String(), word) {
					t.Errorf("%v: %q is completed and not in --help", path, word)
				}
			}
		}
		words := completions(t, append(path, "--"))
		cmd.LocalFlags()
		for _, line := range strings.Split(help.String(), "\n") {
			if i := strings.Index(line, "      --"); i >= 0 {
				flag := strings.Fields(line[i:])[0]
				if !contains(words, flag) {
					t.Errorf("%v: %s is in --help and not completed (%v)", path, flag, words)
				}
			}
		}
	})
	for args, want := range map[string]string{"run --data-plane ": "netstack", "run --log-level ": "debug", "run --log-format ": "json", "demo --break ": "rekey"} {
		if words := completions(t, strings.Split(args, " ")); !contains(words, want) {
			t.Errorf("%s: %v, want %s among them", args, words, want)
		}
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// completions asks as a shell does.
func completions(t *testing.T, args []string) []string {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := natterjack(append([]string{cobra.ShellCompNoDescRequestCmd}, args...), &out, &errOut); code != exitDone {
		t.Fatalf("completion of %v: exit code %d: %s", args, code, &errOut)
	}
	var words []string
	for _, line := range strings.Split(out.String(), "\n") {
		if line != "" && !strings.HasPrefix(line, ":") {
			words = append(words, line)
		}
	}
	return words
}

func TestPrinted(t *testing.T) {
	for n, want := range map[uint64]string{0: "0s", 59: "59s", 61: "1m1s", 3700: "1h1m", 200000: "2d7h"} {
		if got := span(n); got != want {
			t.Errorf("span %d: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 64 << 20: "64.0 MiB", 1 << 62: "4096.0 PiB"} {
		if got := octets(n); got != want {
			t.Errorf("octets %d: %s, want %s", n, got, want)
		}
	}
	for text, want := range map[string]string{
		"sending packet: from 192.0.2.1[500] to 198.51.100.10[4500] (464 bytes)": "198.51.100.10 on UDP 4500",
		"sending packet again: from ::1[500] to 2001:db8::1[500] (464 bytes)":    "2001:db8::1 on UDP 500",
		"received packet: from 192.0.2.1[500] to 198.51.100.10[4500]":            "", "sending packet": "",
	} {
		if got := sentTo(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for to, want := range map[string]string{"": "UDP 500 and 4500", "::1 on UDP 500": "UDP 500 and 4500", "::1 on UDP 14500": "remote_port"} {
		if got := doubt(to); !strings.Contains(got, want) {
			t.Errorf("%q: %q does not say %q", to, got, want)
		}
	}
	for id, want := range map[string]string{"%any": "office #1  connecting  192.0.2.7:500", "gw": "office #1  connecting  gw at 192.0.2.7:500"} {
		var out bytes.Buffer
		st := status{IKESAs: []ikeStatus{{Connection: "office", ID: 1, State: "CONNECTING", RemoteID: id, Remote: "192.0.2.7:500"}}}
		if err := st.print(&out); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%v: %s\nexpected %s", err, &out, want)
		}
	}
	var out bytes.Buffer
	printReport(&out, host.Report{Alive: []string{"ipsec0"}}, true)
	if want := "ipsec0: its daemon runs, nothing was touched\n"; out.String() != want {
		t.Errorf("cleanup: %q, want %q", &out, want)
	}
}
