// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadEvents(t *testing.T) {
	in := `{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC/x","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"TestC/x"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
{"Action":"skip","Package":"q"}
not json
`
	var w strings.Builder
	skips, failed := readEvents(strings.NewReader(in), &w)
	if d := cmp.Diff([]string{"p TestB"}, skips); d != "" {
		t.Errorf("skips: %s", d)
	}
	if d := cmp.Diff([]string{"p TestC/x"}, failed); d != "" {
		t.Errorf("failed: %s", d)
	}
	if d := cmp.Diff("--- SKIP: TestB\nwhy\nok  \tp\t0.1s\nnot json\n", w.String()); d != "" {
		t.Errorf("printed: %s", d)
	}
}

func TestLeaves(t *testing.T) {
	got, ok := failures{"p TestA/x/y", "p TestA/x", "p TestA", "p TestAB", "p", "q TestC", "q"}.leaves()
	if d := cmp.Diff(failures{"p TestA/x/y", "p TestAB", "q TestC"}, got); d != "" || !ok {
		t.Errorf("%t: %s", ok, d)
	}
	if got, ok := (failures{"p TestA", "p", "q"}).leaves(); ok {
		t.Errorf("q failed without a test of its own, and would be forgotten for %v", got)
	}
	if got := pattern("TestA/a.b+c/d"); got != `^TestA$/^a\.b\+c$/^d$` {
		t.Error(got)
	}
}

func TestParseTargets(t *testing.T) {
	got := parseTargets("FuzzA\nFuzzB\nok  \tx/y\t0.01s\n?   \tx/z\t[no test files]\nok  \tx/w\t0.01s\nFuzzC\nok  \tx/v\t0.01s\n")
	want := []target{{"x/y", "FuzzA"}, {"x/y", "FuzzB"}, {"x/v", "FuzzC"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(target{})); d != "" {
		t.Error(d)
	}
}

func TestChoose(t *testing.T) {
	if _, err := choose([]string{"nonsense"}); err == nil {
		t.Error("an unknown stage was accepted")
	}
	all, err := choose(nil)
	if err != nil || len(all) != len(stages())-2 {
		t.Errorf("choose(nil) = %d stages, %v", len(all), err)
	}
}

func TestOnlyTheClock(t *testing.T) {
	for text, want := range map[string]bool{
		"fuzz: elapsed: 6s\n--- FAIL: FuzzOpen (6.03s)\n    context deadline exceeded\nFAIL\nexit status 1\n":                                                    true,
		"--- FAIL: FuzzOpen (0.03s)\n    --- FAIL: FuzzOpen (0.00s)\n        a_test.go:3: delivered\n    \n    Failing input written to testdata/fuzz/x\nFAIL\n": false,
		"--- FAIL: FuzzOpen (6.03s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/x\nFAIL\n":                                        false,
		"FAIL\tx/y [build failed]\n": false,
	} {
		if got := onlyTheClock(text); got != want {
			t.Errorf("onlyTheClock(%q) = %v", text, got)
		}
	}
}
