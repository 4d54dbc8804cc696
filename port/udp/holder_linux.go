// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Who holds a UDP port, from /proc: the socket's inode in /proc/net/udp, then the process that has it open. Names in
// /proc are chosen by other users; the walk is bounded by the number of processes.

package udp

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holder returns the process that has the port of addr, or false if /proc does not tell.
func holder(addr netip.AddrPort) (string, int, bool) {
	for _, table := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, inode := range inodesOf(text, addr.Port()) {
			if name, pid, ok := processOf(inode); ok {
				return name, pid, true
			}
		}
	}
	return "", 0, false
}

// inodesOf returns the sockets bound to port in the text of /proc/net/udp.
func inodesOf(text []byte, port uint16) []string {
	var inodes []string
	suffix := fmt.Sprintf(":%04X", port)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) > 9 && strings.HasSuffix(f[1], suffix) && f[9] != "0" {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}

func processOf(inode string) (string, int, bool) {
	want := "socket:[" + inode + "]"
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue // another user's process
		}
		for _, fd := range fds {
			if to, err := os.Readlink(dir + "/fd/" + fd.Name()); err != nil || to != want {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				return "", 0, false
			}
			comm, _ := os.ReadFile(dir + "/comm")
			return printable(strings.TrimSpace(string(comm))), pid, true
		}
	}
	return "", 0, false
}
