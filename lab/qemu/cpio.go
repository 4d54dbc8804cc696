// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The initramfs: a cpio archive in the "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst), not compressed,
// for the emulated processor unpacks slowly.

package qemu

import (
	"fmt"
	"io"
	"os"
	"path"
)

const (
	modeFolder  = 0o040000
	modeFile    = 0o100000
	modeLink    = 0o120000
	modeDevice  = 0o020000
	cpioAlign   = 4
	cpioTrailer = "TRAILER!!!"
)

// archive writes a cpio archive. After an error it writes nothing more.
type archive struct {
	w      io.Writer
	inode  int
	offset int64
	made   map[string]bool // the paths that are in it
	err    error
}

func newArchive(w io.Writer) *archive { return &archive{w: w, made: map[string]bool{}} }

func (a *archive) write(b []byte) {
	if a.err != nil {
		return
	}
	_, a.err = a.w.Write(b)
	a.offset += int64(len(b))
}

func (a *archive) pad() { a.write(make([]byte, (cpioAlign-a.offset%cpioAlign)%cpioAlign)) }

// entry writes a header and its name; major and minor are a device's.
func (a *archive) entry(name string, mode, size, major, minor int) {
	a.inode++
	a.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00", a.inode, mode, 0, 0, 1, 0, size, 0, 0,
		major, minor, len(name)+1, 0, name))
	a.pad()
}

// folder makes a folder and those above it.
func (a *archive) folder(name string) {
	name = clean(name)
	if name == "." || a.made[name] {
		return
	}
	a.folder(path.Dir(name))
	a.made[name] = true
	a.entry(name, modeFolder|0o755, 0, 0, 0)
}

// file writes a file unless its path is taken.
func (a *archive) file(name string, b []byte, mode os.FileMode) {
	name = clean(name)
	if a.made[name] {
		return
	}
	a.folder(path.Dir(name))
	a.made[name] = true
	a.entry(name, modeFile|int(mode.Perm()), len(b), 0, 0)
	a.write(b)
	a.pad()
}

// link writes a symbolic link unless its path is taken.
func (a *archive) link(name, target string) {
	name = clean(name)
	if a.made[name] {
		return
	}
	a.folder(path.Dir(name))
	a.made[name] = true
	a.entry(name, modeLink|0o777, len(target), 0, 0)
	a.write([]byte(target))
	a.pad()
}

// device writes a character device.
func (a *archive) device(name string, major, minor int) {
	a.folder(path.Dir(clean(name)))
	a.entry(clean(name), modeDevice|0o600, 0, major, minor)
}

// close ends the archive.
func (a *archive) close() error {
	a.entry(cpioTrailer, 0, 0, 0, 0)
	return a.err
}

// clean makes a path relative to the root.
func clean(name string) string { return path.Clean("/" + name)[1:] + dot(name) }

func dot(name string) string {
	if path.Clean("/"+name) == "/" {
		return "."
	}
	return ""
}
