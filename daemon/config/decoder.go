// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The decoder of one section: each option is taken by name, and end refuses what nobody took. The first error stays;
// everything after it gives zero values.

package config

import (
	"fmt"
	"strings"

	"github.com/natterjack/natterjack/wire/vici"
)

// Error is what is wrong with one option.
type Error struct {
	Pos      string // file:line, empty for what came through VICI
	Key      string // the full name
	Expected string
	Found    string
	Reason   string // set in place of Expected and Found where an option is refused as such
}

// Error is "file:line: key: expected …, found …".
func (e *Error) Error() string {
	s := e.Key + ": "
	if e.Pos != "" {
		s = e.Pos + ": " + s
	}
	if e.Reason != "" {
		return s + e.Reason
	}
	return s + "expected " + e.Expected + ", found " + e.Found
}

// quote shows a value in an error: one line, bounded, escaped.
func quote(v string) string {
	if v == "" {
		return "nothing"
	}
	if len(v) > 80 {
		return fmt.Sprintf("%+q…", v[:80])
	}
	return fmt.Sprintf("%+q", v)
}

// decoder reads one section. All decoders of one tree share the error.
type decoder struct {
	s     *vici.Section
	path  string
	taken map[string]bool
	err   *error
	subs  []*decoder
}

func newDecoder(s *vici.Section, path string) *decoder {
	var err error
	if s == nil {
		s = vici.New()
	}
	d := &decoder{s: s, path: path, taken: map[string]bool{}, err: &err}
	d.refuseDuplicates()
	return d
}

// refuseDuplicates: of two values of one name, which one counts is nothing to guess (VICI can carry both).
func (d *decoder) refuseDuplicates() {
	seen := make(map[string]bool, len(d.s.Items))
	for _, it := range d.s.Items {
		if seen[it.Key] {
			d.refuse(it.Key, "given twice")
			return
		}
		seen[it.Key] = true
	}
}

// name is the full name of a key of this section.
func (d *decoder) name(key string) string {
	if d.path == "" {
		return key
	}
	return d.path + "." + key
}

// fail sets the error of an option, unless there is one.
func (d *decoder) fail(key, expected, found string) {
	d.set(&Error{Key: d.name(key), Expected: expected, Found: found}, key)
}

// refuse sets the error of an option that is refused as such, or in combination.
func (d *decoder) refuse(key, format string, args ...any) {
	d.set(&Error{Key: d.name(key), Reason: fmt.Sprintf(format, args...)}, key)
}

func (d *decoder) set(e *Error, key string) {
	if *d.err != nil {
		return
	}
	if it := d.s.Find(key); it != nil {
		e.Pos = it.Pos
	}
	*d.err = e
}

// ok reports whether there was no error yet.
func (d *decoder) ok() bool { return *d.err == nil }

// take returns the item of a key if it is of the kind, and nil if there is none.
func (d *decoder) take(key string, kind vici.Kind) *vici.Item {
	d.taken[key] = true
	it := d.s.Find(key)
	if it == nil {
		return nil
	}
	if it.Kind != kind {
		d.fail(key, kind.String(), it.Kind.String())
		return nil
	}
	return it
}

// text returns a value; found is false where the option is absent. Text is UTF-8 without control characters.
func (d *decoder) text(key string) (v string, found bool) {
	it := d.take(key, vici.KindValue)
	if it == nil {
		return "", false
	}
	v = string(it.Value)
	if !plainText(v) {
		d.fail(key, "text", quote(v))
		return "", false
	}
	return v, true
}

// texts returns the items of a list.
func (d *decoder) texts(key string) []string {
	it := d.take(key, vici.KindList)
	if it == nil {
		return nil
	}
	list := d.s.List(key)
	for _, v := range list {
		if v == "" || !plainText(v) {
			d.fail(key, "text", quote(v))
			return nil
		}
	}
	return list
}

// blobs returns the items of a list as octets.
func (d *decoder) blobs(key string) [][]byte {
	if it := d.take(key, vici.KindList); it != nil {
		return it.List
	}
	return nil
}

// sub returns the decoder of a subsection, nil if it is absent.
func (d *decoder) sub(key string) *decoder {
	it := d.take(key, vici.KindSection)
	if it == nil {
		return nil
	}
	s := it.Sub
	if s == nil {
		s = vici.New()
	}
	c := &decoder{s: s, path: d.name(key), taken: map[string]bool{}, err: d.err}
	c.refuseDuplicates()
	d.subs = append(d.subs, c)
	return c
}

// each decodes every subsection of a subsection.
func (d *decoder) each(key string, f func(name string, s *decoder)) {
	s := d.sub(key)
	if s == nil {
		return
	}
	if len(s.s.Items) > maxEntries {
		d.refuse(key, "%d entries, at most %d", len(s.s.Items), maxEntries)
		return
	}
	for _, it := range s.s.Items {
		if it.Kind != vici.KindSection {
			s.refuse(it.Key, "expected a section, found %s", it.Kind)
			return
		}
		if c := s.sub(it.Key); c != nil && d.ok() {
			f(it.Key, c)
		}
	}
}

// numbered returns the keys of this section that begin with prefix and are of the kind, in order. A key that another
// option has as its name is not one of them.
func (d *decoder) numbered(prefix string, kind vici.Kind) []string {
	var keys []string
	for _, it := range d.s.Items {
		if strings.HasPrefix(it.Key, prefix) && it.Kind == kind && !d.taken[it.Key] {
			keys = append(keys, it.Key)
		}
	}
	return keys
}

// templates takes the sections of the top level that others inherit from. They are checked where they are used.
func (d *decoder) templates(names []string) {
	for _, name := range names {
		d.taken[name] = true
	}
}

// end refuses the options that nobody took, and returns the first error.
func (d *decoder) end() error {
	d.unknown()
	return *d.err
}

func (d *decoder) unknown() {
	for _, it := range d.s.Items {
		if !d.taken[it.Key] {
			d.refuse(it.Key, "unknown option%s", d.nearest(it.Key))
			return
		}
	}
	for _, c := range d.subs {
		c.unknown()
	}
}

// nearest suggests the option that was perhaps meant.
func (d *decoder) nearest(key string) string {
	best, which := 3, ""
	for known := range d.taken {
		if n := distance(key, known); n < best || n == best && which != "" && known < which {
			best, which = n, known
		}
	}
	if which == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", which)
}

// distance is the number of octets to insert, remove or change to make b of a.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			n := last
			if a[i] != b[j] {
				n = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], n
		}
	}
	return row[len(b)]
}
