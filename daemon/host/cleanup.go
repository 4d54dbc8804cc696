// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a crash left behind. Each device has a folder of its own below the state folder, with a journal whose lock its
// daemon holds as long as it lives; the system releases the lock of a process that died, whatever it died of. A journal
// that is locked is never touched.

package host

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/natterjack/natterjack/port/dns"
	"github.com/natterjack/natterjack/port/firewall"
	"github.com/natterjack/natterjack/port/route"
	"github.com/natterjack/natterjack/port/store"
	"github.com/natterjack/natterjack/port/updown"
)

const (
	// folder holds the journals below the state folder.
	folder = "host"
	// lockWait is how long OpenJournal waits for a Cleanup beside it to be done with the folder.
	lockWait = 3 * time.Second
	lockPoll = 50 * time.Millisecond
	// undoLimit is how long taking back one change may take: an updown command is the slowest.
	undoLimit = 15 * time.Second
)

// OpenJournal opens the journal of a device below stateDir, and takes back what earlier daemons left: of this device, and of
// others (some systems name a device anew each time) unless their daemon is alive. The error wraps store.ErrLocked when
// one with this device is. Sentences about what was found are returned for the log; what could not be taken back is one
// of them and stays recorded.
func OpenJournal(stateDir, device string) (j *store.Journal, notes []string, err error) {
	if err := checkFolders(stateDir); err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(stateDir, folder, url.PathEscape(device))
	for begin := time.Now(); ; time.Sleep(lockPoll) {
		j, err = store.Open(dir)
		if !errors.Is(err, store.ErrLocked) || time.Since(begin) > lockWait {
			break
		}
	}
	if err != nil {
		return nil, nil, err
	}
	notes = append(notes, j.Notes()...)
	done, err := j.TakeBack(undo)
	if len(done) > 0 {
		notes = append(notes, fmt.Sprintf("took back %d changes that an earlier run on %s left", len(done), device))
	}
	if err != nil {
		notes = append(notes, fmt.Sprintf("not everything that an earlier run on %s left could be taken back: %v", device, err))
	}
	others, err := Cleanup(stateDir)
	notes = append(notes, others.Notes...)
	if len(others.Removed) > 0 {
		notes = append(notes, fmt.Sprintf("took back %d changes that earlier runs on other devices left", len(others.Removed)))
	}
	if err != nil {
		notes = append(notes, fmt.Sprintf("not everything that earlier runs on other devices left could be taken back: %v", err))
	}
	return j, notes, nil
}

// checkFolders makes the folders above the journals, or refuses those in which somebody else could plant one (HOSTILE T-102).
func checkFolders(stateDir string) error {
	if err := store.CheckFolder(stateDir); err != nil {
		return err
	}
	return store.CheckFolder(filepath.Join(stateDir, folder))
}

// Report is what Cleanup found.
type Report struct {
	// Removed says what was taken back, one line each.
	Removed []string
	// Alive are the devices of daemons that run, which were left alone.
	Alive []string
	// Notes are sentences about damaged journals.
	Notes []string
}

// Cleanup takes back what daemons that are no longer alive left behind. The error joins what could not be taken back,
// which stays recorded.
func Cleanup(stateDir string) (Report, error) {
	var r Report
	entries, err := os.ReadDir(filepath.Join(stateDir, folder))
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("state folder: %w", err)
	}
	if err := checkFolders(stateDir); err != nil {
		return r, err
	}
	var errs []error
	for _, e := range entries {
		device, err := url.PathUnescape(e.Name())
		if err != nil || !e.IsDir() {
			r.Notes = append(r.Notes, fmt.Sprintf("state folder: %q is not ours and was left alone", e.Name()))
			continue
		}
		errs = append(errs, r.cleanDevice(filepath.Join(stateDir, folder, e.Name()), device))
	}
	return r, errors.Join(errs...)
}

func (r *Report) cleanDevice(dir, device string) error {
	j, err := store.Open(dir)
	if errors.Is(err, store.ErrLocked) {
		r.Alive = append(r.Alive, device)
		return nil
	}
	if err != nil {
		return err
	}
	r.Notes = append(r.Notes, j.Notes()...)
	done, err := j.TakeBack(undo)
	for _, u := range done {
		r.Removed = append(r.Removed, fmt.Sprintf("%s: %s", device, describe(u)))
	}
	return errors.Join(err, j.Close())
}

func describe(u store.Undo) string {
	text := u.Kind
	if u.Name != "" {
		text += " " + u.Name
	}
	for _, key := range []string{"dst", "addr", "table"} {
		if v := u.Args[key]; v != "" {
			text += " " + v
		}
	}
	return text
}

// undo takes one recorded change back by the port that made it.
func undo(u store.Undo) error {
	if u.Kind != dns.Kind {
		// The rest belongs to one network namespace of one boot.
		here, err := store.Here(u.Place)
		if err != nil || !here {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), undoLimit)
	defer cancel()
	switch u.Kind {
	case route.KindAddress, route.KindRoute, route.KindRule, route.KindExclude, route.KindFlow:
		return route.Undo(u)
	case firewall.KindTable:
		return firewall.Undo(u)
	case firewall.KindSysctl:
		return firewall.UndoSysctl(u)
	case dns.Kind:
		return dns.Undo(ctx, u)
	case updown.Kind:
		return updown.Undo(ctx, u)
	}
	return fmt.Errorf("kind %q is of a later version", u.Kind)
}
