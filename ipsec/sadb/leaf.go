// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The rules of one prefix in the SPD: RFC 4301, Section 4.4.1. Packets that are compared with them are anybody's; comparing allocates
// nothing.

package sadb

import "slices"

// leaf is the rules of one prefix, in order: mostly it is one. Immutable.
type leaf struct {
	one  *rule
	more *[]*rule // those behind it; nil: there are none
}

func (l *leaf) at(i int) *rule {
	if i == 0 {
		return l.one
	}
	return (*l.more)[i-1]
}

// leafOf is a leaf of rules in order; nil: there are none.
func leafOf(rules []*rule) *leaf {
	switch len(rules) {
	case 0:
		return nil
	case 1:
		return &leaf{one: rules[0]}
	}
	more := rules[1:]
	return &leaf{rules[0], &more}
}

func (l *leaf) len() int {
	switch {
	case l == nil:
		return 0
	case l.more == nil:
		return 1
	}
	return 1 + len(*l.more)
}

// edited is a leaf without the rules of a policy, or with one more; nil: it has none.
func (l *leaf) edited(out *policy, in *rule) *leaf {
	alone := l.len() == 0 || l.len() == 1 && l.one.p == out
	if alone && in == nil {
		return nil
	}
	if alone && in.p.lies != nil {
		return &in.p.lies.leaf
	}
	rules := make([]*rule, 0, l.len()+1)
	for i := range l.len() {
		if r := l.at(i); r.p != out {
			rules = append(rules, r)
		}
	}
	if in != nil {
		at, _ := slices.BinarySearchFunc(rules, in, (*rule).order)
		rules = slices.Insert(rules, at, in)
	}
	return leafOf(rules)
}

// first finds the first rule of a prefix, and the first in front of it whose ports are hidden.
func (l *leaf) first(f *Flow) (found, veiled *rule) {
	if l == nil {
		return nil, nil
	}
	for i := range l.len() {
		r := l.at(i)
		local := r.local.local(f)
		if local == outside {
			continue
		}
		switch fit := min(local, r.remote.remote(f)); {
		case fit == inside:
			return r, veiled
		case fit == hidden && r.p.action != Bypass && veiled == nil:
			veiled = r
		}
	}
	return nil, veiled
}
