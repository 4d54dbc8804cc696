// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package scripts

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "record the transcripts anew")

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".script"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := replay(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("the transcript has changed (-recorded +now); if that is right, run with -update:\n%s", diff)
			}
		})
	}
}

// replay runs a file and returns it with the transcripts of this run.
func replay(text string) (string, error) {
	var out strings.Builder
	r := &runner{}
	for block := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n\n") {
		commands, _, _ := strings.Cut(block, "\n----")
		r.lines = nil
		for line := range strings.SplitSeq(commands, "\n") {
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if err := r.command(strings.Fields(line)); err != nil {
				return "", fmt.Errorf("%s: %w", line, err)
			}
		}
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		out.WriteString(commands + "\n")
		if strings.Trim(commands, "\n") == "" || allComments(commands) {
			continue
		}
		out.WriteString("----\n")
		for _, l := range r.lines {
			out.WriteString(l + "\n")
		}
		if err := r.broken(); err != nil {
			return "", fmt.Errorf("after %q: %w", commands, err)
		}
	}
	return out.String(), nil
}

func allComments(block string) bool {
	for line := range strings.SplitSeq(block, "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}
