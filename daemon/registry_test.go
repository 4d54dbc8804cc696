// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"slices"
	"testing"

	"github.com/natterjack/natterjack/ike"
)

func fqdn(s string) ike.ID { return ike.ID{Type: ike.IDFQDN, Data: []byte(s)} }

func TestAdmitByPolicy(t *testing.T) {
	for _, c := range []struct {
		name     string
		policy   ike.Unique
		initial  bool
		began    bool
		replaced bool
		refused  bool
	}{
		{name: "no", policy: ike.UniqueNo},
		{name: "no, initial contact", policy: ike.UniqueNo, initial: true, replaced: true},
		{name: "never", policy: ike.UniqueNever},
		{name: "never, initial contact", policy: ike.UniqueNever, initial: true},
		{name: "replace", policy: ike.UniqueReplace, replaced: true},
		{name: "keep", policy: ike.UniqueKeep, refused: true},
		{name: "keep, initial contact", policy: ike.UniqueKeep, initial: true, replaced: true},
		{name: "replace, begun here", policy: ike.UniqueReplace, began: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRegistry()
			first := ike.Admit{Unique: 1, Policy: c.policy, Local: fqdn("gw"), Remote: fqdn("a")}
			if replaced, others, err := r.admit(first); err != nil || others || len(replaced) > 0 {
				t.Fatalf("the first: %v, others %v, %v", replaced, others, err)
			}
			other := ike.Admit{Unique: 2, Policy: c.policy, Local: fqdn("gw"), Remote: fqdn("b"), InitialContact: true}
			if replaced, _, _ := r.admit(other); len(replaced) > 0 {
				t.Fatal("another identity replaced the first's SA (T-025)")
			}
			second := ike.Admit{Unique: 3, Policy: c.policy, Local: fqdn("gw"), Remote: fqdn("a"), InitialContact: c.initial, Initiator: c.began}
			replaced, others, err := r.admit(second)
			if !others {
				t.Error("the first SA was not seen")
			}
			if (err != nil) != c.refused {
				t.Errorf("error %v, expected refused: %v", err, c.refused)
			}
			if got := slices.Equal(replaced, []uint64{1}); got != c.replaced {
				t.Errorf("replaced %v, expected: %v", replaced, c.replaced)
			}
		})
	}
}

func TestForgetFreesTheIdentity(t *testing.T) {
	r := newRegistry()
	q := ike.Admit{Unique: 1, Policy: ike.UniqueKeep, Local: fqdn("gw"), Remote: fqdn("a")}
	if _, _, err := r.admit(q); err != nil {
		t.Fatal(err)
	}
	r.forget(1)
	r.forget(1)
	q.Unique = 2
	if _, others, err := r.admit(q); err != nil || others {
		t.Errorf("others %v, %v: the first was forgotten", others, err)
	}
	if len(r.sas) != 1 || len(r.keys) != 1 {
		t.Errorf("%d identities, %d SAs are kept, expected one each", len(r.sas), len(r.keys))
	}
}
