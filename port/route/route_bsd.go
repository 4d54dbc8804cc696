// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build darwin || freebsd || openbsd

// macOS, FreeBSD, OpenBSD: ifconfig(8) and route(8). Not run on these systems yet.

package route

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
)

func inet(a netip.Addr) string {
	if a.Is4() {
		return "inet"
	}
	return "inet6"
}

func linkUp(device string, mtu int) error {
	_, err := tool("ifconfig", device, "mtu", strconv.Itoa(mtu), "up")
	return err
}

func addAddress(device string, a netip.Addr) error {
	if a.Is4() {
		// A TUN is point to point: the address is its own other end.
		_, err := tool("ifconfig", device, "inet", a.String(), a.String(), "netmask", "255.255.255.255", "alias")
		return err
	}
	_, err := tool("ifconfig", device, "inet6", a.String(), "prefixlen", "128", "alias")
	return err
}

func delAddress(device string, a netip.Addr) error {
	return remove("ifconfig", device, inet(a), a.String(), "-alias")
}

func addOne(device string, dst netip.Prefix, action Action, src netip.Addr) error {
	args := []string{"-q", "-n", "add", "-" + inet(dst.Addr()), dst.String()}
	switch {
	case action == Blackhole:
		args = append(args, loopback(dst.Addr()), "-blackhole")
	case runtime.GOOS == "openbsd":
		// OpenBSD names the interface by an address on it.
		if !src.IsValid() {
			return errors.New("on OpenBSD a route into the tunnel needs a source address")
		}
		args = append(args, "-iface", src.String())
	default:
		args = append(args, "-interface", device)
	}
	text, err := tool("route", args...)
	if err != nil && strings.Contains(text, "File exists") {
		args[2] = "change"
		_, err = tool("route", args...)
	}
	return err
}

func loopback(a netip.Addr) string {
	if a.Is4() {
		return "127.0.0.1"
	}
	return "::1"
}

func delOne(_ string, dst netip.Prefix, _ string) error {
	return remove("route", "-q", "-n", "delete", "-"+inet(dst.Addr()), dst.String())
}

// gatewayTo returns how a peer is reached now: the gateway's address, or "-interface NAME" for one on a link.
func gatewayTo(peer netip.Addr) (string, error) {
	text, err := tool("route", "-n", "get", "-"+inet(peer), peer.String())
	if err != nil {
		return "", err
	}
	device := ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "gateway":
			if _, err := netip.ParseAddr(value); err == nil {
				return value, nil
			}
		case "interface":
			device = value
		}
	}
	if device == "" {
		return "", fmt.Errorf("route get %s: neither gateway nor interface in the answer", peer)
	}
	return "-interface " + device, nil
}

func addExclude(peer netip.Addr, via string) error {
	args := append([]string{"-q", "-n", "add", "-" + inet(peer), peer.String()}, strings.Fields(via)...)
	_, err := tool("route", args...)
	return err
}

func delExclude(peer netip.Addr, _ string) error {
	return remove("route", "-q", "-n", "delete", "-"+inet(peer), peer.String())
}
