// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Strict reverse-path filtering (RFC 3704, Section 2.2). Once a peer's own address is routed into the tunnel, its outer
// datagrams seem to come from the wrong interface and a host with rp_filter = 1 drops them. With src_valid_mark the check
// takes the packet's mark into account, and port/firewall marks these datagrams on input.

package route

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/natterjack/natterjack/port/store"
)

const validMark = "net/ipv4/conf/all/src_valid_mark"

func sysctlPath(name string) string { return filepath.Join("/proc/sys", filepath.FromSlash(name)) }

func readSysctl(name string) string {
	b, err := os.ReadFile(sysctlPath(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func writeSysctl(name, value string) error {
	if !strings.HasPrefix(name, "net/") || strings.Contains(name, "..") {
		return fmt.Errorf("sysctl %q: not one of ours", name)
	}
	f, err := os.OpenFile(sysctlPath(name), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// strictInterfaces returns the interfaces that filter strictly: the larger of all's and their own value counts.
func strictInterfaces(device string) []string {
	entries, err := os.ReadDir(sysctlPath("net/ipv4/conf"))
	if err != nil {
		return nil
	}
	all := readSysctl("net/ipv4/conf/all/rp_filter")
	var strict []string
	for _, e := range entries {
		name := e.Name()
		if name == "all" || name == "lo" || name == device {
			continue
		}
		own := readSysctl("net/ipv4/conf/" + name + "/rp_filter")
		if max(all, own) == "1" {
			strict = append(strict, name)
		}
	}
	sort.Strings(strict)
	return strict
}

// AllowMarked makes strict reverse-path filters honour the mark that the firewall sets on the peer's datagrams. marked
// says whether it does. The error is one sentence that names what stands in the way; without a strict filter there is
// nothing to do.
func (h *Host) AllowMarked(marked bool) error {
	strict := strictInterfaces(h.opts.Device)
	if len(strict) == 0 {
		return nil
	}
	if !marked {
		return fmt.Errorf("rp_filter = 1 on %s drops the peer's datagrams where its address is routed into the tunnel, and without nftables they cannot be marked: set net.ipv4.conf.all.rp_filter = 2", strings.Join(strict, ", "))
	}
	if readSysctl(validMark) == "1" {
		return nil
	}
	u := store.Undo{Kind: KindSysctl, Name: validMark, Args: map[string]string{"value": "0"}}
	err := h.hold("sysctl "+validMark, "1", u, func() error { return writeSysctl(validMark, "1") })
	if err == nil && readSysctl(validMark) != "1" {
		err = errors.New("it keeps its value")
	}
	if err != nil {
		return fmt.Errorf("rp_filter = 1 on %s drops the peer's datagrams where its address is routed into the tunnel, and net.ipv4.conf.all.src_valid_mark cannot be set (%v): set it to 1, or net.ipv4.conf.all.rp_filter to 2", strings.Join(strict, ", "), err)
	}
	return nil
}
