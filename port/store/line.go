// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The lines of a journal: eight hex digits of CRC-32 over the rest, a space, one JSON object. A line that does not match
// its checksum, or is of a later version, is counted and ignored; the others stand for themselves.

package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
)

// version is of the line format. A line of another version is not understood.
const version = 1

// lineLimit bounds one line; the largest is a saved resolv.conf.
const lineLimit = 256 << 10

type entry struct {
	Version int   `json:"v"`
	ID      ID    `json:"id"`
	Done    bool  `json:"done,omitempty"`
	Undo    *Undo `json:"undo,omitempty"`
}

func appendEntry(b []byte, e entry) []byte {
	e.Version = version
	text, err := json.Marshal(e)
	if err != nil {
		// Strings, numbers and maps of strings always marshal.
		panic("store: " + err.Error())
	}
	b = fmt.Appendf(b, "%08x ", crc32.ChecksumIEEE(text))
	return append(append(b, text...), '\n')
}

func parseEntry(line []byte) (entry, bool) {
	if len(line) < 9 || len(line) > lineLimit || line[8] != ' ' {
		return entry{}, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.ChecksumIEEE(line[9:]) {
		return entry{}, false
	}
	var e entry
	if json.Unmarshal(line[9:], &e) != nil || e.Version != version || e.ID == 0 || e.Done == (e.Undo != nil) {
		return entry{}, false
	}
	return e, true
}

// parseJournal returns the sound lines in order, and how many were not.
func parseJournal(text []byte) (entries []entry, bad int) {
	for len(text) > 0 {
		line, rest, complete := bytes.Cut(text, []byte{'\n'})
		if e, ok := parseEntry(line); ok && complete {
			entries = append(entries, e)
		} else {
			bad++
		}
		text = rest
	}
	return entries, bad
}
