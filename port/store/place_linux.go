// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Where a change was made: one network namespace of one boot. Routes, rules and packet filters live and die with it, so a
// journal that outlived it (a container's volume) must neither be carried out somewhere else nor stay for ever.

package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const ownNamespace = "/proc/self/ns/net"

// place is "BOOT net:[INODE]"; empty without /proc.
func place() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	ns, err := os.Readlink(ownNamespace)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + ns
}

// Here reports whether a change made at that place is in force around this process. False without an error means that the
// place is no more, and the change with it; an error that the place is there, but not here.
func Here(at string) (bool, error) {
	now := place()
	if at == now || at == "" || now == "" {
		return true, nil
	}
	boot, ns, ok := strings.Cut(at, " ")
	if here, _, _ := strings.Cut(now, " "); !ok || boot != here || !namespaceExists(ns) {
		return false, nil
	}
	return false, fmt.Errorf("it was made in another network namespace (%s), which still exists: run natterjack there", ns)
}

// namespaceExists looks where a namespace can be kept: by a process, or by a name of ip-netns(8).
func namespaceExists(ns string) bool {
	processes, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, p := range processes {
		if link, err := os.Readlink(p); err == nil && link == ns {
			return true
		}
	}
	names, _ := filepath.Glob("/run/netns/*")
	for _, n := range names {
		var st unix.Stat_t
		if unix.Stat(n, &st) == nil && fmt.Sprintf("net:[%d]", st.Ino) == ns {
			return true
		}
	}
	return false
}
