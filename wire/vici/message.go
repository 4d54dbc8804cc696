// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The encoding of a Section (strongSwan's VICI protocol, version 1): elements of one type octet, names with an 8-bit length,
// values with a 16-bit length. Input is from a local client. Parse accepts exactly what Append writes.

package vici

import (
	"fmt"
	"math"

	"github.com/natterjack/natterjack/wire"
)

// maxDepth bounds nested sections; a connection needs four.
const maxDepth = 16

// The element types.
const (
	elementSectionStart = 1
	elementSectionEnd   = 2
	elementKeyValue     = 3
	elementListStart    = 4
	elementListItem     = 5
	elementListEnd      = 6
)

// Append appends the message. It fails where a name or value is longer than the encoding can say, or sections nest deeper
// than Parse accepts.
func (s *Section) Append(dst []byte) ([]byte, error) { return s.append(dst, 0) }

func (s *Section) append(dst []byte, depth int) ([]byte, error) {
	if s == nil {
		return dst, nil
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("sections: nested deeper than %d", maxDepth)
	}
	for i := range s.Items {
		it := &s.Items[i]
		if len(it.Key) == 0 || len(it.Key) > math.MaxUint8 {
			return nil, fmt.Errorf("name %.40q: %d octets, expected 1 to %d", it.Key, len(it.Key), math.MaxUint8)
		}
		var err error
		if dst, err = it.append(dst, depth); err != nil {
			return nil, fmt.Errorf("%s: %w", it.Key, err)
		}
	}
	return dst, nil
}

func (it *Item) append(dst []byte, depth int) ([]byte, error) {
	var err error
	switch it.Kind {
	case KindValue:
		return appendValue(appendName(dst, elementKeyValue, it.Key), it.Value)
	case KindList:
		dst = appendName(dst, elementListStart, it.Key)
		for _, v := range it.List {
			if dst, err = appendValue(append(dst, elementListItem), v); err != nil {
				return nil, err
			}
		}
		return append(dst, elementListEnd), nil
	}
	if dst, err = it.Sub.append(appendName(dst, elementSectionStart, it.Key), depth+1); err != nil {
		return nil, err
	}
	return append(dst, elementSectionEnd), nil
}

func appendName(dst []byte, element byte, name string) []byte {
	return append(append(dst, element, byte(len(name))), name...)
}

func appendValue(dst, v []byte) ([]byte, error) {
	if len(v) > math.MaxUint16 {
		return nil, fmt.Errorf("value: %d octets, at most %d", len(v), math.MaxUint16)
	}
	return append(append(dst, byte(len(v)>>8), byte(len(v))), v...), nil
}

// Parse parses a whole message. The values are parts of b.
func Parse(b []byte) (*Section, error) {
	r := wire.NewReader(b)
	s := parseSection(r, 0)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// parseSection reads elements up to the end of its section, or of the message at depth 0.
func parseSection(r *wire.Reader, depth int) *Section {
	s := New()
	if depth > maxDepth {
		r.Fail("sections: nested deeper than %d", maxDepth)
		return s
	}
	for r.Err() == nil {
		if depth == 0 && r.Len() == 0 {
			return s
		}
		switch e := r.U8("element type"); e {
		case elementSectionEnd:
			if depth == 0 {
				r.Fail("section end: no section is open")
			}
			return s
		case elementSectionStart:
			key := parseName(r, "section name")
			s.Items = append(s.Items, Item{Key: key, Kind: KindSection, Sub: parseSection(r, depth+1)})
		case elementKeyValue:
			key := parseName(r, "key")
			s.Items = append(s.Items, Item{Key: key, Kind: KindValue, Value: parseValue(r, "value")})
		case elementListStart:
			key := parseName(r, "list name")
			s.Items = append(s.Items, Item{Key: key, Kind: KindList, List: parseList(r)})
		default:
			r.Fail("element type: %d, expected a section, a value or a list", e)
		}
	}
	return s
}

func parseList(r *wire.Reader) [][]byte {
	list := [][]byte{}
	for r.Err() == nil {
		switch e := r.U8("list element type"); e {
		case elementListEnd:
			return list
		case elementListItem:
			list = append(list, parseValue(r, "list item"))
		default:
			r.Fail("list element type: %d, expected an item or the list's end", e)
		}
	}
	return list
}

func parseName(r *wire.Reader, field string) string {
	n := int(r.U8(field + " length"))
	if n == 0 {
		r.Fail("%s: empty", field)
	}
	return string(r.Bytes(field, n))
}

func parseValue(r *wire.Reader, field string) []byte {
	return r.Bytes(field, int(r.U16(field+" length")))
}
