// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestKeyedLabs: a lab that is new runs both ways, or somebody has thought of why not.
func TestKeyedLabs(t *testing.T) {
	once := []string{"TestAuthentication", "TestOlderAuthentication", "TestRSASchemes", "TestPortsTaken", "TestHarness", "TestImpaired",
		"TestKinds", "TestLostHandshake", "TestInvalidKE",
		"TestL2TPClientsMove", "TestICMPOfTwoClients"}
	var twice []string
	for _, k := range keyedLabs() {
		twice = append(twice, k.tests...)
	}
	var there []string
	files, err := filepath.Glob("../peers/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no labs: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllSubmatch(b, -1) {
			there = append(there, string(m[1]))
		}
	}
	for _, name := range there {
		if slices.Contains(once, name) == slices.Contains(twice, name) {
			t.Errorf("%s: expected in keyedLabs or among those that run once", name)
		}
	}
	for _, name := range append(once, twice...) {
		if !slices.Contains(there, name) {
			t.Errorf("%s: there is no such lab", name)
		}
	}
}
