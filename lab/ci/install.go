// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The install stage: the Debian packages that the labs run as peers and tools.

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// policyPath is where Debian's maintainer scripts ask whether a service may be started.
const policyPath = "/usr/sbin/policy-rc.d"

// packages are what the labs and the race detector need. libstrongswan-standard-plugins holds AES-GCM and ECDH; scapy judges with
// python3-cryptography, which its package only recommends.
func packages() []string {
	return []string{
		"gcc", "libc6-dev", "conntrack", "iproute2", "iputils-ping", "nftables", "procps", "tcpdump", "tshark", "strongswan-charon",
		"charon-systemd", "strongswan-swanctl", "strongswan-pki", "libcharon-extra-plugins",
		"libstrongswan-standard-plugins", "libstrongswan-extra-plugins", "openiked", "python3-scapy", "python3-cryptography", "qemu-system-x86", "busybox-static",
	}
}

func install(ctx context.Context, r *runner) error {
	missing := missingPackages(ctx)
	switch {
	case len(missing) == 0:
		fmt.Println("all packages are installed")
		return nil
	case !r.root:
		return fmt.Errorf("%w: not root, so these are not installed and the labs do not run: %s", errSkipped, strings.Join(missing, " "))
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("%w: no apt-get on this system; the labs need %s", errSkipped, strings.Join(missing, " "))
	}
	fmt.Printf("installing (no service is started, none is enabled): %s\n", strings.Join(missing, " "))
	restore, err := forbidServices()
	if err != nil {
		return err
	}
	defer restore()
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	if err := quiet(ctx, env, "apt-get", "-q", "update"); err != nil {
		return err
	}
	args := append([]string{"-q", "-y", "--no-install-recommends", "install"}, missing...)
	return quiet(ctx, env, "apt-get", args...)
}

func missingPackages(ctx context.Context) []string {
	var missing []string
	for _, p := range packages() {
		out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Status}", p).Output()
		if err != nil || !strings.HasSuffix(string(out), " installed") {
			missing = append(missing, p)
		}
	}
	return missing
}

// forbidServices makes maintainer scripts start nothing until the returned function is called. A policy that was there
// already stays in force.
func forbidServices() (restore func(), err error) {
	f, err := os.OpenFile(policyPath, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if os.IsExist(err) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(policyPath)
		return nil, err
	}
	return func() { os.Remove(policyPath) }, nil
}
