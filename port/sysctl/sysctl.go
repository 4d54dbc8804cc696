// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package sysctl reads and sets Linux's network settings below /proc/sys/net. Names are built from constants and the names
// of interfaces; one that would lead anywhere else is refused.
package sysctl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func path(name string) (string, error) {
	if !strings.HasPrefix(name, "net/") || strings.Contains(name, "..") || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("sysctl %q: not a network setting", name)
	}
	return filepath.Join("/proc/sys", filepath.FromSlash(name)), nil
}

// Read returns a setting such as "net/ipv4/ip_forward"; empty where there is none.
func Read(name string) string {
	p, err := path(name)
	if err != nil {
		return ""
	}
	b, err := os.ReadFile(p)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Write sets it. A setting that this kernel does not have is os.ErrNotExist.
func Write(name, value string) error {
	p, err := path(name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(p, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// Interfaces lists the interfaces that have settings of their own below "net/ipv4/conf", without "all" and "default".
func Interfaces() []string {
	entries, err := os.ReadDir("/proc/sys/net/ipv4/conf")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); n != "all" && n != "default" {
			names = append(names, n)
		}
	}
	return names
}
