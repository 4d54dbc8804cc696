// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The index against a map, with a hash that is the same for many keys.

package sadb

import (
	"testing"

	"pgregory.net/rapid"
)

type thing struct {
	name  int
	other *thing
}

func (t *thing) indexed() int  { return t.name }
func (t *thing) same() **thing { return &t.other }
func hashOfThing(k int) uint64 { return uint64(k % 3) }

func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, model := index[int, *thing]{}, map[int]*thing{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			k := rapid.IntRange(0, 11).Draw(t, "key")
			h := hashOfThing(k)
			if p := model[k]; p != nil {
				x.drop(h, p)
				delete(model, k)
				if p.other != nil {
					t.Fatalf("%d is out and linked", k)
				}
			} else {
				model[k] = &thing{name: k}
				x.put(h, model[k])
			}
			for k := range 12 {
				if got := x.find(hashOfThing(k), k); got != model[k] {
					t.Fatalf("%d: %v, want %v", k, got, model[k])
				}
			}
			if len(model) == 0 && len(x) != 0 {
				t.Fatal("something is left")
			}
		}
	})
}
