// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package conf parses swanctl.conf: nested sections of values, sections that inherit from others, and included files. Its
// input is a file that an administrator wrote, or somebody who could write there: size, depth and the growth by inheritance
// are bounded (HOSTILE T-104). Every error names file and line, what was expected and what was found; nothing is guessed.
package conf

import (
	"fmt"
	"strings"

	"github.com/natterjack/natterjack/wire/vici"
)

// The limits of a configuration. A gateway with 10,000 connections of 1 KiB stays below them.
const (
	maxFile    = 16 << 20 // octets of one file
	maxTotal   = 64 << 20 // octets of all files together
	maxFiles   = 1000     // files that one configuration may include
	maxInclude = 16       // files that include each other
	maxDepth   = 12       // sections within sections, below what VICI can carry
	maxItems   = 1 << 20  // values and sections, after inheritance
	maxChain   = 1000     // sections that inherit from each other in a row
	maxName    = 255      // octets of a name: what VICI can carry
	maxValue   = 65535    // octets of a value, likewise
)

// File is one included file.
type File struct {
	Name string
	Text []byte
}

// Include returns the files that a pattern names, in order; fromFile is the file the include statement stands in, against
// which a relative pattern is meant. A pattern with wildcards may match nothing; a plain name that is not there is an error.
type Include func(pattern, fromFile string) ([]File, error)

// Pos is where something was written.
type Pos struct {
	File string
	Line int
}

// String is "file:line".
func (p Pos) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Error is what is wrong at a place.
type Error struct {
	Pos
	Msg string
}

// Error is "file:line: message".
func (e *Error) Error() string { return e.Pos.String() + ": " + e.Msg }

// Tree is a parsed configuration, with inheritance resolved.
type Tree struct {
	root      *section
	templates []string
}

// section is one section with what inheritance adds to it later. Values come before sections in the VICI form, each in the
// order in which they were first written: swanctl enumerates them so.
type section struct {
	name   string
	pos    Pos
	values []value
	subs   []*section
	refs   []ref
	index  map[string]int // of values
	subIdx map[string]int // of subs
	size   int            // values and sections in it, once resolved
	height int            // levels of sections, once resolved
}

// value is one assignment. unset is true for "key =", which hides an inherited value.
type value struct {
	key, text string
	unset     bool
	pos       Pos
}

// ref is one name of an inheritance list.
type ref struct {
	path string
	pos  Pos
}

func newSection(name string, pos Pos) *section {
	return &section{name: name, pos: pos, index: map[string]int{}, subIdx: map[string]int{}}
}

// set replaces the value where it stands, or appends.
func (s *section) set(v value) {
	if i, ok := s.index[v.key]; ok {
		s.values[i] = v
		return
	}
	s.index[v.key] = len(s.values)
	s.values = append(s.values, v)
}

// find returns the subsection of that name, or nil.
func (s *section) find(name string) *section {
	if i, ok := s.subIdx[name]; ok {
		return s.subs[i]
	}
	return nil
}

func (s *section) add(sub *section) {
	s.subIdx[sub.name] = len(s.subs)
	s.subs = append(s.subs, sub)
}

// Parse parses a configuration. include may be nil, and then include statements are refused.
func Parse(name string, text []byte, include Include) (*Tree, error) {
	root := newSection("", Pos{File: name, Line: 1})
	s := &state{include: include}
	if err := s.file(File{Name: name, Text: text}, root, 0); err != nil {
		return nil, err
	}
	r := &resolver{root: root, done: map[*section]*section{}, open: map[*section]bool{}}
	resolved, err := r.resolve(root)
	if err != nil {
		return nil, err
	}
	return &Tree{root: resolved, templates: r.templates}, nil
}

// Templates are the names of the sections of the top level that others inherit from, wholly or in part.
func (t *Tree) Templates() []string { return t.templates }

// Section returns the configuration in the form in which swanctl sends it: list keys split at commas, values that are unset
// left out. Every item carries its position.
func (t *Tree) Section() *vici.Section { return t.root.vici(nil) }

func (s *section) vici(path []string) *vici.Section {
	out := vici.New()
	for _, v := range s.values {
		if v.unset {
			continue
		}
		it := vici.Item{Key: v.key, Pos: v.pos.String(), Value: []byte(v.text)}
		if isList(path, v.key) {
			it.Kind, it.Value, it.List = vici.KindList, nil, splitList(v.text)
		}
		out.Items = append(out.Items, it)
	}
	for _, sub := range s.subs {
		it := vici.Item{Key: sub.name, Kind: vici.KindSection, Pos: sub.pos.String()}
		it.Sub = sub.vici(append(path, sub.name))
		out.Items = append(out.Items, it)
	}
	return out
}

// isList reports whether swanctl sends the key as a list: fixed keys of connections, all but addrs of pools, and two of
// authorities.
func isList(path []string, key string) bool {
	if len(path) < 2 {
		return false
	}
	switch path[0] {
	case "connections":
		switch key {
		case "local_addrs", "remote_addrs", "proposals", "esp_proposals", "ah_proposals", "local_ts", "remote_ts", "vips",
			"pools", "groups", "cert_policy", "certs", "cacerts", "pubkeys":
			return true
		}
	case "pools":
		return key != "addrs"
	case "authorities":
		return key == "crl_uris" || key == "ocsp_uris"
	}
	return false
}

// splitList splits at commas, without the blanks around the items and without empty ones.
func splitList(text string) [][]byte {
	list := [][]byte{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.Trim(item, " \t\r\n"); item != "" {
			list = append(list, []byte(item))
		}
	}
	return list
}
