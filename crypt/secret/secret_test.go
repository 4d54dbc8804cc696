// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingPrintsAKey(t *testing.T) {
	k := New([]byte("hunter2hunter2"))
	wrapped := struct {
		K Key
		P *Key
	}{k, &k}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%t"} {
		fmt.Fprintf(&out, verb+verb+verb, k, &k, wrapped)
	}
	j, err := json.Marshal(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "k", k, "w", wrapped)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "k", k, "w", wrapped)
	out.Write(log.Bytes())
	for _, leak := range []string{"hunter2", "68756e", "68756E", "104 117"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("output contains %q: %s", leak, out.String())
		}
	}
}

func TestEqualAndWipe(t *testing.T) {
	a, b := New([]byte{1, 2, 3}), New([]byte{1, 2, 3})
	if !a.Equal(b) || a.Equal(New([]byte{1, 2, 4})) || a.Equal(New([]byte{1, 2})) {
		t.Error("Equal is wrong")
	}
	c := a.Clone()
	a.Wipe()
	if !bytes.Equal(a.Bytes(), []byte{0, 0, 0}) || !c.Equal(b) {
		t.Error("Wipe must reach its own octets only")
	}
	if !(Key{}).IsZero() || a.IsZero() {
		t.Error("IsZero is about the length")
	}
}
