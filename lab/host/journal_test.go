// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package host

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/port/store"
)

// HOSTILE T-118: the disk is full for a while. What was refused is not there, what was taken is, whole.
func TestJournalOnFullDisk(t *testing.T) {
	if !inside(t) {
		return
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(disk, unix.MNT_DETACH)
	j, err := store.Open(disk + "/state")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(disk+"/filler", bytes.Repeat([]byte("x"), 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var want []string
	refused := 0
	for i := range 300 {
		name := fmt.Sprintf("number %d", i)
		if _, err := j.Record(store.Undo{Kind: "k", Name: name}); err != nil {
			refused++
			if refused == 5 {
				os.Remove(disk + "/filler")
			}
			continue
		}
		want = append(want, name)
	}
	j.Close()
	if refused != 5 {
		t.Errorf("%d refused, want 5: was the disk full?", refused)
	}
	// The disk is full again: what was left can be seen and taken back all the same.
	fill, err := os.OpenFile(disk+"/filler", os.O_CREATE|os.O_WRONLY, 0o600)
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	fill.Close()
	if j, err = store.Open(disk + "/state"); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if n := j.Notes(); len(n) != 1 || !strings.Contains(n[0], "no space") {
		t.Errorf("notes: %q", n)
	}
	left := j.Left()
	if len(left) != len(want) {
		t.Fatalf("%d left, want %d", len(left), len(want))
	}
	for i, u := range left {
		if u.Name != want[len(want)-1-i] {
			t.Errorf("%d: %s, want %s", i, u.Name, want[len(want)-1-i])
		}
	}
	if done, _ := j.TakeBack(func(store.Undo) error { return nil }); len(done) != len(want) {
		t.Errorf("%d taken back", len(done))
	}
}
