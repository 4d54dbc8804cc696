// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Our server against what the kernel was recorded to say. Every difference stands in differences.go with its reason, and what
// our server says in a case that has one lies in testdata/ours, so that it changes only in a diff (-update writes it anew).

package oracle

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("update", false, "write our server's transcripts of the cases that differ")

func TestServer(t *testing.T) {
	used := make([]bool, len(differences()))
	for _, g := range Groups() {
		t.Run(g.Name, func(t *testing.T) { g.compare(t, used) })
	}
	for i, d := range differences() {
		if !used[i] && !t.Failed() {
			t.Errorf("difference %q in %q: no case has it any more", d.reason, d.where)
		}
	}
}

// compare holds the conversations of a group with our server.
func (g Group) compare(t *testing.T, used []bool) {
	t.Helper()
	kernel, err := readTranscript(g.path())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "ours", g.Name+".txt")
	before, err := readTranscript(path)
	if err != nil {
		t.Fatal(err)
	}
	var differ []Case
	said := map[string]string{}
	for _, c := range g.Cases {
		text, err := c.Transcript(&ours{})
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if kernel[c.Name] == "" {
			t.Errorf("%s: not recorded: go test -tags lab -run TestKernel ./lab/oracle -record", c.Name)
			continue
		}
		if kernel[c.Name] == text {
			continue
		}
		differ, said[c.Name] = append(differ, c), text
		if h := unexplained(g.Name+"/"+c.Name, kernel[c.Name], text, used); len(h) > 0 {
			t.Errorf("%s: not as the kernel: - kernel + ours\n%s", c.Name, strings.Join(h, "\n...\n"))
		}
		if d := difference(before[c.Name], text); d != "" && !*rewrite && before[c.Name] != "" {
			t.Errorf("%s: our answer has changed (-update, if that is meant): %s", c.Name, d)
		}
		if before[c.Name] == "" && !*rewrite {
			t.Errorf("%s: differs, but is not in %s (-update)", c.Name, path)
		}
		delete(before, c.Name)
	}
	if !*rewrite {
		for name := range before {
			t.Errorf("%s: is in %s, but no longer differs (-update)", name, path)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if len(differ) == 0 {
		os.Remove(path)
		return
	}
	if err := os.WriteFile(path, format(differ, func(c Case) string { return said[c.Name] }), 0o644); err != nil {
		t.Fatal(err)
	}
}
