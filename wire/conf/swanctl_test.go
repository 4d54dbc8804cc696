// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package conf

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/wire/vici"
)

// TestSwanctl: for the same file, our tree is octet for octet what swanctl sends.
func TestSwanctl(t *testing.T) {
	file, err := os.ReadFile("testdata/gateway.conf")
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := os.ReadFile("testdata/gateway.vici")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Parse("gateway.conf", file, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := tree.Section()
	seen := 0
	for line := range strings.SplitSeq(strings.TrimSpace(string(recorded)), "\n") {
		command, message, _ := strings.Cut(line, " ")
		top := map[string]string{"load-conn": "connections", "load-pool": "pools"}[command]
		if top == "" {
			continue
		}
		b, err := hex.DecodeString(message)
		if err != nil {
			t.Fatal(err)
		}
		want, err := vici.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		name := want.Items[0].Key
		got, err := vici.New().SetSub(name, s.Sub(top).Sub(name)).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(got) != message {
			again, _ := vici.Parse(got)
			t.Errorf("%s %s: %s", command, name, cmp.Diff(text(want), text(again)))
		}
		seen++
	}
	if seen != 4 {
		t.Errorf("%d messages were compared, expected 4", seen)
	}
	if diff := cmp.Diff([]string{"remote-defaults", "child-defaults", "connections", "ike-defaults"}, tree.Templates()); diff != "" {
		t.Error(diff)
	}
}
