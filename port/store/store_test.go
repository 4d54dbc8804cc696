// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package store

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func open(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func TestWhatACrashLeftComesBackNewestFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	j := open(t, dir)
	a, _ := j.Record(Undo{Kind: "rule", Name: "a"})
	j.Record(Undo{Kind: "route", Name: "b", Args: map[string]string{"dst": "10.0.0.0/8"}})
	j.RecordDurable(Undo{Kind: "dns", Name: "c"})
	if err := j.Done(a); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = open(t, dir)
	want := []Undo{{Kind: "dns", Name: "c"}, {Kind: "route", Name: "b", Args: map[string]string{"dst": "10.0.0.0/8"}}}
	for i := range want {
		want[i].Place = place()
	}
	if d := cmp.Diff(want, j.Left()); d != "" {
		t.Error(d)
	}
	boom := errors.New("boom")
	done, err := j.TakeBack(func(u Undo) error {
		if u.Kind == "dns" {
			return boom
		}
		return nil
	})
	if !errors.Is(err, boom) || len(done) != 1 {
		t.Errorf("TakeBack: %v, %v", done, err)
	}
	j.Close()
	if left := open(t, dir).Left(); len(left) != 1 || left[0].Kind != "dns" {
		t.Errorf("what could not be taken back must stay recorded: %v", left)
	}
}

func TestOnlyOneProcess(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	open(t, dir)
	if _, err := Open(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v", err)
	}
}

// HOSTILE T-118: torn, truncated, bit-flipped, empty, of a later version, duplicated.
func TestDamagedJournal(t *testing.T) {
	u := Undo{Kind: "route", Name: "x"}
	line := string(appendEntry(nil, entry{ID: 7, Undo: &u}))
	flipped := []byte(line)
	flipped[20] ^= 1
	for _, c := range []struct {
		name, text string
		left       int
		note       bool
	}{
		{"empty", "", 0, false},
		{"torn", line + line[:len(line)/2], 1, true},
		{"no newline", line[:len(line)-1], 0, true},
		{"bit flipped", string(flipped) + line, 1, true},
		{"duplicate", line + line, 1, false},
		{"binary", strings.Repeat("\x00\xff\n", 100), 0, true},
		{"later version", "00000000 {\"v\":2,\"id\":1}\n", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "s")
			os.Mkdir(dir, 0o700)
			os.WriteFile(filepath.Join(dir, journalName), []byte(c.text), 0o600)
			j := open(t, dir)
			if len(j.Left()) != c.left || (len(j.Notes()) > 0) != c.note {
				t.Errorf("left %v, notes %q", j.Left(), j.Notes())
			}
			if c.note {
				if b, err := os.ReadFile(filepath.Join(dir, journalName+".corrupt")); err != nil || string(b) != c.text {
					t.Errorf("quarantine: %q, %v", b, err)
				}
			}
			if _, err := j.Record(Undo{Kind: "k"}); err != nil {
				t.Error(err)
			}
		})
	}
}

// HOSTILE T-102: planted links, FIFOs' kin, and a folder that others can write to.
func TestPlantedFilesAreRefused(t *testing.T) {
	plant := func(f func(dir, victim string)) error {
		top := t.TempDir()
		victim := filepath.Join(top, "victim")
		os.WriteFile(victim, []byte("precious"), 0o600)
		dir := filepath.Join(top, "s")
		os.Mkdir(dir, 0o700)
		f(dir, victim)
		j, err := Open(dir)
		if err == nil {
			j.Close()
		}
		if b, _ := os.ReadFile(victim); string(b) != "precious" {
			t.Errorf("the planted file's target was changed: %q", b)
		}
		return err
	}
	for name, f := range map[string]func(dir, victim string){
		"journal link": func(d, v string) { os.Symlink(v, filepath.Join(d, journalName)) },
		"lock link":    func(d, v string) { os.Symlink(v, filepath.Join(d, lockName)) },
		"hard link":    func(d, v string) { os.Link(v, filepath.Join(d, journalName)) },
		"folder":       func(d, v string) { os.Mkdir(filepath.Join(d, journalName), 0o700) },
		"writable dir": func(d, v string) { os.Chmod(d, 0o777) },
		"dir is link":  func(d, v string) { os.Remove(d); os.Mkdir(d+"x", 0o700); os.Symlink(d+"x", d) },
	} {
		if err := plant(f); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func TestJournalIsRewritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	j := open(t, dir)
	keep, _ := j.Record(Undo{Kind: "keep"})
	for range 3 * slack {
		id, err := j.Record(Undo{Kind: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Done(id); err != nil {
			t.Fatal(err)
		}
	}
	if j.lines > slack+4 {
		t.Errorf("%d lines for one live change", j.lines)
	}
	j.Close()
	j = open(t, dir)
	if len(j.Left()) != 1 || j.live[keep].Kind != "keep" {
		t.Errorf("left: %v", j.Left())
	}
}

// HOSTILE T-118: a crash at any octet. What was recorded whole and is not done comes back; nothing else does.
func TestCrashAtEveryOctet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	j := open(t, dir)
	type event struct {
		end  int
		name string
		done bool
	}
	path := filepath.Join(dir, journalName)
	var events []event
	note := func(name string, done bool) {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event{int(st.Size()), name, done})
	}
	ids := map[string]ID{}
	for _, step := range []string{"a", "b", "-a", "c", "-c", "d", "-b"} {
		name, done := strings.TrimPrefix(step, "-"), step[0] == '-'
		if done {
			j.Done(ids[name])
		} else {
			ids[name], _ = j.Record(Undo{Kind: "k", Name: name})
		}
		note(name, done)
	}
	j.Close()
	text, _ := os.ReadFile(path)
	for n := range len(text) + 1 {
		want := map[string]bool{}
		for _, e := range events {
			if e.end <= n {
				want[e.name] = !e.done
			}
		}
		check := func(live map[string]bool) {
			for name, is := range want {
				if live[name] != is {
					t.Fatalf("cut at %d: %s: %v, want %v", n, name, live[name], is)
				}
			}
		}
		cut := &Journal{live: map[ID]Undo{}}
		entries, _ := parseJournal(text[:n])
		for _, e := range entries {
			cut.apply(e)
		}
		check(names(slices.Collect(maps.Values(cut.live))))
		if n%101 != 0 && n != len(text) {
			continue // a start syncs the disk
		}
		if err := os.WriteFile(path, text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second start reads what the first one rewrote
			j := open(t, dir)
			check(names(j.Left()))
			j.Close()
		}
	}
}

func names(list []Undo) map[string]bool {
	m := map[string]bool{}
	for _, u := range list {
		m[u.Name] = true
	}
	return m
}

func TestFolderOfOthers(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o777)
	if CheckFolder(dir) == nil {
		t.Error("a folder that everybody can write to was taken")
	}
	link := filepath.Join(t.TempDir(), "l")
	os.Symlink(t.TempDir(), link)
	if CheckFolder(link) == nil || CheckFolder(link+"/") == nil {
		t.Error("a link was taken")
	}
}

func TestNilJournal(t *testing.T) {
	var j *Journal
	if id, err := j.Record(Undo{}); id != 0 || err != nil {
		t.Error(id, err)
	}
	if j.Done(1) != nil || j.Close() != nil {
		t.Error("a nil journal must do nothing")
	}
}

func TestLineRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := Undo{Kind: rapid.String().Draw(t, "kind"), Args: rapid.MapOf(rapid.StringN(1, 8, 8), rapid.String()).Draw(t, "args")}
		e := entry{Version: version, ID: ID(rapid.Uint64Min(1).Draw(t, "id")), Undo: &u}
		b := appendEntry(nil, e)
		got, bad := parseJournal(b)
		if bad != 0 || len(got) != 1 || string(appendEntry(nil, got[0])) != string(b) {
			t.Fatalf("%q: %v, %d bad", b, got, bad)
		}
		for n := 1; n < len(b); n++ {
			if got, _ := parseJournal(b[:n]); len(got) != 0 {
				t.Fatalf("prefix of %d octets accepted", n)
			}
		}
	})
}

func FuzzParseJournal(f *testing.F) {
	u := Undo{Kind: "route", Name: "x", Args: map[string]string{"a": "b"}}
	f.Add(appendEntry(nil, entry{ID: 1, Undo: &u}))
	f.Add(appendEntry(appendEntry(nil, entry{ID: 1, Undo: &u}), entry{ID: 1, Done: true}))
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, _ := parseJournal(b)
		var out []byte
		for _, e := range entries {
			out = appendEntry(out, e)
		}
		again, bad := parseJournal(out)
		if bad != 0 || len(again) != len(entries) {
			t.Errorf("%q does not survive", out)
		}
	})
}
