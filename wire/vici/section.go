// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package vici has the messages of VICI, the control protocol of strongSwan's charon: an ordered tree of values, lists and
// sections, its encoding, and the packets that carry it. All input is from a local client, which is not trusted to be well
// behaved: sizes and depth are bounded, and what was parsed is appended to the same octets again.
package vici

// Kind is what an Item holds.
type Kind uint8

// The three kinds of items.
const (
	KindValue Kind = iota
	KindList
	KindSection
)

// String is the kind in words, for errors.
func (k Kind) String() string {
	switch k {
	case KindList:
		return "a list"
	case KindSection:
		return "a section"
	}
	return "a value"
}

// Item is one named element of a Section. Value is set for KindValue, List for KindList, Sub for KindSection.
type Item struct {
	Key   string
	Kind  Kind
	Value []byte
	List  [][]byte
	Sub   *Section
	// Pos says where the item was written ("swanctl.conf:12"); it is empty for an item that came through VICI, and never
	// on the wire.
	Pos string
}

// Section is an ordered tree. The zero value is an empty section. Parse keeps items that have the same key; the methods
// of Section find the first and never make a second.
type Section struct {
	Items []Item
}

// New returns an empty section.
func New() *Section { return &Section{} }

// Find returns the first item of that key, nil if there is none. A nil section has no items.
func (s *Section) Find(key string) *Item {
	if s == nil {
		return nil
	}
	for i := range s.Items {
		if s.Items[i].Key == key {
			return &s.Items[i]
		}
	}
	return nil
}

// Has reports whether there is an item of that key.
func (s *Section) Has(key string) bool { return s.Find(key) != nil }

// Get returns the value of key as text; empty if there is none.
func (s *Section) Get(key string) string { return string(s.Bytes(key)) }

// Bytes returns the value of key; nil if there is none.
func (s *Section) Bytes(key string) []byte {
	if it := s.Find(key); it != nil && it.Kind == KindValue {
		return it.Value
	}
	return nil
}

// Bool reports whether the value of key is one that VICI takes for true.
func (s *Section) Bool(key string) bool {
	switch s.Get(key) {
	case "yes", "true", "enabled", "1":
		return true
	}
	return false
}

// List returns the list of key as texts; nil if there is none.
func (s *Section) List(key string) []string {
	it := s.Find(key)
	if it == nil || it.Kind != KindList {
		return nil
	}
	list := make([]string, len(it.List))
	for i, v := range it.List {
		list[i] = string(v)
	}
	return list
}

// Sub returns the section of key; nil if there is none.
func (s *Section) Sub(key string) *Section {
	if it := s.Find(key); it != nil && it.Kind == KindSection {
		return it.Sub
	}
	return nil
}

// Set sets a value and returns s.
func (s *Section) Set(key, value string) *Section { return s.SetBytes(key, []byte(value)) }

// SetBytes sets a value of any octets and returns s.
func (s *Section) SetBytes(key string, value []byte) *Section {
	s.Put(Item{Key: key, Kind: KindValue, Value: value})
	return s
}

// SetBool sets "yes", or nothing where b is false: that is how VICI says no.
func (s *Section) SetBool(key string, b bool) *Section {
	if b {
		return s.Set(key, "yes")
	}
	return s
}

// SetList sets a list of texts and returns s.
func (s *Section) SetList(key string, values ...string) *Section {
	list := make([][]byte, len(values))
	for i, v := range values {
		list[i] = []byte(v)
	}
	s.Put(Item{Key: key, Kind: KindList, List: list})
	return s
}

// SetSub sets a section and returns s.
func (s *Section) SetSub(key string, sub *Section) *Section {
	s.Put(Item{Key: key, Kind: KindSection, Sub: sub})
	return s
}

// Add returns the section of key, which is made where there is none.
func (s *Section) Add(key string) *Section {
	if sub := s.Sub(key); sub != nil {
		return sub
	}
	sub := New()
	s.SetSub(key, sub)
	return sub
}

// Put replaces the first item of the same key where it stands, or appends.
func (s *Section) Put(it Item) {
	if old := s.Find(it.Key); old != nil {
		*old = it
		return
	}
	s.Items = append(s.Items, it)
}

// Remove takes the first item of that key out.
func (s *Section) Remove(key string) {
	for i := range s.Items {
		if s.Items[i].Key == key {
			s.Items = append(s.Items[:i], s.Items[i+1:]...)
			return
		}
	}
}
