// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

func TestEveryMustHasALineAndATest(t *testing.T) {
	list, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	text, problems := table(root, list)
	for _, p := range problems {
		t.Error(p)
	}
	// So many there are; a shorter list has lost some.
	for rfc, least := range map[string]int{"RFC 3948": 11, "RFC 3947": 12, "RFC 7296": 10, "RFC 4303": 18} {
		n := 0
		for _, m := range list {
			if m.rfc == rfc {
				n++
			}
		}
		if n < least {
			t.Errorf("%s: %d requirements, expected at least %d", rfc, n, least)
		}
	}
	have, err := os.ReadFile(filepath.Join(root, "docs", "MUSTS.md"))
	if err != nil || string(have) != text {
		t.Errorf("docs/MUSTS.md is not what the tree says now (%v); go run ./lab/musts makes it", err)
	}
}

func TestWhatIsMissingIsFound(t *testing.T) {
	for in, want := range map[string]string{
		"nonsense": "expected a requirement",
		"RFC 1, Section 1: a\ncode: lab/musts/musts.go: package main":                                                                     "no test",
		"RFC 1, Section 1: a\ntest: lab/musts.TestWhatIsMissingIsFound":                                                                   "no line of code",
		"RFC 1, Section 1: a\ncode: lab/musts/musts.go: if m.rfc\ntest: lab/musts.TestNobodyWrote":                                        "no test TestNobodyWrote",
		"RFC 1, Section 1: a\ncode: lab/musts/musts.go: nobody wrote th\x69s line\ntest: lab/musts.TestWhatIsMissingIsFound":              "no line contains",
		"RFC 1, Section 1: a\ncode: lab/musts/musts.go: m := &list[len(list)-1]\ntest: lab/musts.TestWhatIsMissingIsFound":                "both contain",
		"RFC 1, Section 1: a\ncode: nowhere.go: package main\ntest: lab/musts.TestWhatIsMissingIsFound":                                   "nowhere.go",
		"RFC 1, Section 1: a\ncode: lab/musts/musts.go: package main\ntest: lab/musts.TestWhatIsMissingIsFound\nsomething: else and more": "neither code nor test",
	} {
		list, err := parse(strings.NewReader(in))
		var said []string
		if err != nil {
			said = append(said, err.Error())
		}
		_, problems := table(root, list)
		for _, p := range problems {
			said = append(said, p.Error())
		}
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("%q: %q, want %q", in, said, want)
		}
	}
}
