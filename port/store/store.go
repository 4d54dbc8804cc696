// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package store is the crash journal: before anything of the host is changed (an address, a route, a rule, a sysctl, an
// nftables table, a DNS setting), what takes it back is written down here; when it has been taken back, that is written
// down too. What is left at the next start, or for `natterjack cleanup`, is what a crash left behind.
//
// Nothing in the file comes from the network except addresses and names that their ports have validated. The file itself
// may be torn, truncated or altered (HOSTILE T-118) and its folder may hold planted links (T-102): each line carries a
// checksum, what does not match is set aside and said, and nothing is ever opened through a link.
package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

const (
	journalName = "journal"
	lockName    = "lock"
	// fileLimit bounds what is read at start: a journal is rewritten long before it gets this large.
	fileLimit = 16 << 20
	// slack is how many finished lines a journal may carry before it is rewritten.
	slack = 1024
)

// ErrLocked is wrapped when another process holds the state folder.
var ErrLocked = errors.New("another natterjack uses this state folder")

// Undo says how one change is taken back. Kind names the port that understands it; the rest is that port's own.
type Undo struct {
	Kind string            `json:"kind"`
	Name string            `json:"name,omitempty"`
	Args map[string]string `json:"args,omitempty"`
	// Place is where the change was made; Record fills it in. See Here.
	Place string `json:"place,omitempty"`
}

// ID names a recorded change until it is done. Zero is no change.
type ID uint64

// Journal is one open state folder. Its methods are safe for concurrent use; a nil Journal records nothing.
type Journal struct {
	dir   string
	lock  *os.File
	place string

	mu    sync.Mutex // protects all following fields
	file  *os.File
	live  map[ID]Undo
	next  ID
	lines int // in the file
	size  int64
	torn  bool // the file ends with a piece of a line
	left  []Undo
	notes []string
}

// CheckFolder makes dir with mode 0700 if it is missing, or refuses it: a link, another user's, one that others can write to.
// Whoever can rename what is above a journal can plant another one.
func CheckFolder(dir string) error { return secureDir(dir) }

// Open opens the journal in dir, which is made with mode 0700 if it is missing, and locks it. What a crash left is in
// Left, and stays recorded until TakeBack.
func Open(dir string) (*Journal, error) {
	if err := secureDir(dir); err != nil {
		return nil, err
	}
	lock, err := openFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := lockFile(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	j := &Journal{dir: dir, lock: lock, place: place(), live: map[ID]Undo{}, next: 1}
	if err := j.load(); err != nil {
		lock.Close()
		return nil, err
	}
	return j, nil
}

// load reads the file, sets aside what is corrupt, and rewrites what is live.
func (j *Journal) load() error {
	path := filepath.Join(j.dir, journalName)
	f, err := openFile(path, os.O_RDONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	f.Close()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	bad := 0
	if len(text) > fileLimit {
		text, bad = text[:fileLimit], 1
	}
	entries, n := parseJournal(text)
	bad += n
	for _, e := range entries {
		j.apply(e)
	}
	if bad > 0 {
		j.notes = append(j.notes, j.quarantine(text, bad))
	}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(j.live))) {
		j.left = append(j.left, j.live[id])
	}
	if err := j.rewrite(); err != nil {
		// On a full disk what was left can still be taken back: that needs the old file only.
		j.notes = append(j.notes, err.Error())
		return j.append(path, text)
	}
	return nil
}

// append goes on with the file that holds text as it is.
func (j *Journal) append(path string, text []byte) error {
	f, err := openFile(path, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return err
	}
	j.file, j.lines, j.size = f, bytes.Count(text, []byte{'\n'}), int64(len(text))
	j.torn = len(text) > 0 && text[len(text)-1] != '\n'
	return nil
}

func (j *Journal) apply(e entry) {
	switch {
	case e.Done:
		delete(j.live, e.ID)
	case e.Undo != nil:
		j.live[e.ID] = *e.Undo
	}
	j.next = max(j.next, e.ID+1)
}

// quarantine keeps a copy of a corrupt journal for a person to look at, and says so.
func (j *Journal) quarantine(text []byte, bad int) string {
	name := filepath.Join(j.dir, journalName+".corrupt")
	what := fmt.Sprintf("journal: %d lines were damaged or of a later version and are ignored; ", bad)
	if err := replaceFile(name, text); err != nil {
		return what + "no copy of it could be kept: " + err.Error()
	}
	return what + "a copy is in " + name
}

// rewrite replaces the file by one that holds only what is live. The caller holds mu, or is alone.
func (j *Journal) rewrite() error {
	var b []byte
	for _, id := range slices.Sorted(maps.Keys(j.live)) {
		u := j.live[id]
		b = appendEntry(b, entry{ID: id, Undo: &u})
	}
	path := filepath.Join(j.dir, journalName)
	if err := replaceFile(path, b); err != nil {
		return err
	}
	f, err := openFile(path, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.lines, j.size, j.torn = f, len(j.live), int64(len(b)), false
	return nil
}

// Record writes down how a change is taken back. It is called before the change is made. It returns when the line is
// with the operating system: what it undoes does not survive a power failure either, so there is nothing to sync for.
func (j *Journal) Record(u Undo) (ID, error) {
	if j == nil {
		return 0, nil
	}
	u.Place = j.place
	j.mu.Lock()
	defer j.mu.Unlock()
	id := j.next
	if err := j.write(entry{ID: id, Undo: &u}); err != nil {
		return 0, err
	}
	j.next++
	j.live[id] = u
	return id, nil
}

// RecordDurable is Record for a change that outlives a power failure, such as a file in /etc.
func (j *Journal) RecordDurable(u Undo) (ID, error) {
	id, err := j.Record(u)
	if err != nil || j == nil {
		return id, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.file.Sync(); err != nil {
		return id, fmt.Errorf("journal: %w", err)
	}
	return id, nil
}

// Done says that the change was taken back (or never made).
func (j *Journal) Done(id ID) error {
	if j == nil || id == 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.live[id]; !ok {
		return nil
	}
	delete(j.live, id)
	if j.lines > slack && j.lines > 4*len(j.live) {
		return j.rewrite()
	}
	return j.write(entry{ID: id, Done: true})
}

func (j *Journal) write(e entry) error {
	if j.file == nil {
		return errors.New("journal: closed")
	}
	var b []byte
	if j.torn {
		b = append(b, '\n')
	}
	b = appendEntry(b, e)
	n, err := j.file.Write(b)
	if err != nil {
		// A disk that is full takes a piece of a line, to which the next one must not be joined.
		if n > 0 && j.file.Truncate(j.size) != nil {
			j.torn = true
			j.size += int64(n)
		}
		return fmt.Errorf("journal: %w", err)
	}
	j.torn = false
	j.size += int64(n)
	j.lines++
	return nil
}

// Left returns what an earlier process did not take back, newest first.
func (j *Journal) Left() []Undo { return j.left }

// Notes returns sentences about what was found damaged, for the log.
func (j *Journal) Notes() []string { return j.notes }

// Dir is the state folder.
func (j *Journal) Dir() string { return j.dir }

// TakeBack undoes everything that is recorded, newest first. What fails stays recorded; the errors are joined.
func (j *Journal) TakeBack(undo func(Undo) error) (done []Undo, err error) {
	j.mu.Lock()
	ids := slices.SortedFunc(maps.Keys(j.live), func(a, b ID) int { return cmp.Compare(b, a) })
	j.mu.Unlock()
	var errs []error
	for _, id := range ids {
		j.mu.Lock()
		u, ok := j.live[id]
		j.mu.Unlock()
		if !ok {
			continue
		}
		if err := undo(u); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", u.Kind, u.Name, err))
			continue
		}
		done = append(done, u)
		if err := j.Done(id); err != nil {
			errs = append(errs, err)
		}
	}
	return done, errors.Join(errs...)
}

// Close unlocks the folder. What is still recorded stays so.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return errors.Join(err, j.lock.Close())
}
