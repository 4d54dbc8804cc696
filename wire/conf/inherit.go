// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Inheritance ("name : reference"): what the referenced sections have, and the section itself does not, follows what is its
// own. References are resolved after all files were read, so that they may name what comes later. Cycles and growth beyond
// the limit are refused.

package conf

import (
	"slices"
	"strings"
)

// resolver makes copies of sections that need no references any more.
type resolver struct {
	root  *section
	done  map[*section]*section
	open  map[*section]bool // being resolved
	items int
	// templates are the first names of all references, each once.
	templates []string
}

// resolve returns the section with everything it inherits. The original is not changed.
func (r *resolver) resolve(s *section) (*section, error) {
	if out := r.done[s]; out != nil {
		return out, nil
	}
	if len(r.open) >= maxChain {
		return nil, failAt(s.pos, "the section %q is inherited through more than %d sections", s.name, maxChain)
	}
	r.open[s] = true
	defer delete(r.open, s)
	out := newSection(s.name, s.pos)
	for _, v := range s.values {
		out.set(v)
	}
	if err := r.count(s.pos, len(s.values)+1); err != nil {
		return nil, err
	}
	for _, sub := range s.subs {
		c, err := r.resolve(sub)
		if err != nil {
			return nil, err
		}
		out.add(c)
	}
	for _, rf := range s.refs {
		from, err := r.lookup(rf)
		if err != nil {
			return nil, err
		}
		if r.open[from] {
			return nil, failAt(rf.pos, "the section %q inherits from %q, which it is part of or which inherits from it", s.name, rf.path)
		}
		if from, err = r.resolve(from); err != nil {
			return nil, err
		}
		if out, err = r.merge(out, from, rf.pos); err != nil {
			return nil, err
		}
	}
	if err := out.measure(s.pos); err != nil {
		return nil, err
	}
	r.done[s] = out
	return out, nil
}

// lookup finds the section of an absolute dotted name.
func (r *resolver) lookup(rf ref) (*section, error) {
	s := r.root
	if first, _, _ := strings.Cut(rf.path, "."); !slices.Contains(r.templates, first) {
		r.templates = append(r.templates, first)
	}
	for name := range strings.SplitSeq(rf.path, ".") {
		if s = s.find(name); s == nil {
			return nil, failAt(rf.pos, "expected the absolute name of a section, found %q: there is no section %q", rf.path, name)
		}
	}
	return s, nil
}

// merge returns a section with what s has, then what only from has. Sections may be shared with other results; they are not
// changed.
func (r *resolver) merge(s, from *section, pos Pos) (*section, error) {
	out := newSection(s.name, s.pos)
	if err := r.count(pos, len(s.values)+len(s.subs)+len(from.values)+len(from.subs)+1); err != nil {
		return nil, err
	}
	for _, v := range s.values {
		out.set(v)
	}
	for _, v := range from.values {
		if _, own := out.index[v.key]; !own {
			out.set(v)
		}
	}
	for _, sub := range s.subs {
		if also := from.find(sub.name); also != nil {
			var err error
			if sub, err = r.merge(sub, also, pos); err != nil {
				return nil, err
			}
		}
		out.add(sub)
	}
	for _, sub := range from.subs {
		if out.find(sub.name) == nil {
			out.add(sub)
		}
	}
	return out, out.measure(pos)
}

// measure sets how large and deep the section is when it is written out, and refuses what is too large: sections are shared
// here, so that a few lines of inheritance may stand for an exponential number of them.
func (s *section) measure(pos Pos) error {
	s.size, s.height = 1+len(s.values), 1
	for _, sub := range s.subs {
		s.size += sub.size
		s.height = max(s.height, sub.height+1)
		if s.size > maxItems || s.height > maxDepth+1 {
			return failAt(pos, "inheritance makes the section %q too large: at most %d values and sections, %d deep",
				s.name, maxItems, maxDepth)
		}
	}
	return nil
}

// count refuses what grows without bound.
func (r *resolver) count(pos Pos, n int) error {
	if r.items += n; r.items > 2*maxItems {
		return failAt(pos, "inheritance makes more than %d values and sections", maxItems)
	}
	return nil
}
