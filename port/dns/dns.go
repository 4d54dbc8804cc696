// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package dns makes the host ask the DNS servers that a gateway assigned, and takes that back. Four back ends: systemd's
// resolver (resolvectl), resolvconf, the systems' own tools (scutil, netsh), and /etc/resolv.conf itself only where nobody
// else manages it. Servers are typed addresses; domains come from the peer and are held to letters, digits and hyphens
// (HOSTILE T-099). Tools are run with a fixed argument vector and a deadline, never through a shell.
package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/natterjack/natterjack/port/store"
)

// Kind is the kind of store.Undo that Undo of this package understands.
const Kind = "dns"

const (
	// toolLimit is how long one tool may take (HOSTILE T-132).
	toolLimit = 5 * time.Second
	// serverLimit and domainLimit bound what a peer can make us set.
	serverLimit = 8
	domainLimit = 64
)

// Settings are what one connection assigned.
type Settings struct {
	Device  string
	Servers []netip.Addr
	// Domains are asked of these servers; with Full, everything else is too.
	Domains []string
	Full    bool
}

// The back ends, as they stand in the journal.
const (
	resolved   = "resolvectl"
	openresolv = "openresolv"
	resolvconf = "resolvconf"
	scutil     = "scutil"
	netsh      = "netsh"
	file       = "resolv.conf"
)

// Lease is DNS in force.
type Lease struct {
	backEnd string
	undo    store.Undo
	id      store.ID
	journal *store.Journal
}

// BackEnd names how it was set, for status.
func (l *Lease) BackEnd() string { return l.backEnd }

// Set puts the settings in force. The error is one sentence that says why it could not be.
func Set(ctx context.Context, s Settings, j *store.Journal) (*Lease, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	name, err := detect(ctx)
	if err != nil {
		return nil, err
	}
	l := &Lease{backEnd: name, journal: j, undo: store.Undo{Kind: Kind, Name: s.Device, Args: map[string]string{"backend": name}}}
	if name == file {
		if err := l.setFile(s, resolvConf); err != nil {
			return nil, err
		}
		return l, nil
	}
	if l.id, err = j.Record(l.undo); err != nil {
		return nil, err
	}
	if err := setBy(ctx, name, s); err != nil {
		err = errors.Join(err, Undo(ctx, l.undo))
		return nil, errors.Join(err, j.Done(l.id))
	}
	return l, nil
}

// Restore takes the settings back.
func (l *Lease) Restore(ctx context.Context) error {
	if err := Undo(ctx, l.undo); err != nil {
		return err
	}
	return l.journal.Done(l.id)
}

// Undo takes recorded settings back. Where the device is gone, so are its settings.
func Undo(ctx context.Context, u store.Undo) error {
	if u.Kind != Kind {
		return fmt.Errorf("journal: kind %q is not ours", u.Kind)
	}
	switch u.Args["backend"] {
	case resolved:
		if _, err := os.Stat("/sys/class/net/" + u.Name); err != nil {
			return nil
		}
		return tool(ctx, "", "resolvectl", "revert", u.Name)
	case openresolv:
		return tool(ctx, "", "resolvconf", "-f", "-d", u.Name)
	case resolvconf:
		return tool(ctx, "", "resolvconf", "-d", u.Name)
	case scutil:
		return tool(ctx, "remove "+scutilKey(u.Name)+"\nquit\n", "scutil")
	case netsh:
		return undoNetsh(ctx, u.Name)
	case file:
		return restoreFile(resolvConf, u.Args["old"], u.Args["new"])
	}
	return fmt.Errorf("journal: back end %q is not known", u.Args["backend"])
}

func (s Settings) check() error {
	switch {
	case s.Device == "" || strings.ContainsAny(s.Device, " \t\r\n/\\\"'") || strings.HasPrefix(s.Device, "-"):
		return fmt.Errorf("dns: device %q", s.Device)
	case len(s.Servers) == 0:
		return errors.New("dns: no server")
	case len(s.Servers) > serverLimit || len(s.Domains) > domainLimit:
		return fmt.Errorf("dns: %d servers and %d domains, at most %d and %d", len(s.Servers), len(s.Domains), serverLimit, domainLimit)
	}
	for _, a := range s.Servers {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return fmt.Errorf("dns: server %v is not one", a)
		}
	}
	for _, d := range s.Domains {
		if err := checkDomain(d); err != nil {
			return err
		}
	}
	return nil
}

// checkDomain holds a name to RFC 1123, Section 2.1: labels of letters, digits and inner hyphens.
func checkDomain(d string) error {
	if len(d) > 253 {
		return fmt.Errorf("dns: domain of %d octets", len(d))
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(d, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("dns: domain %q: not a host name", d)
		}
		for _, c := range []byte(label) {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
				return fmt.Errorf("dns: domain %q: not a host name", d)
			}
		}
	}
	return nil
}

// detect chooses the back end of this host.
func detect(ctx context.Context) (string, error) {
	have := func(name string) bool { _, err := exec.LookPath(name); return err == nil }
	switch {
	case runtime.GOOS == "darwin":
		return scutil, nil
	case runtime.GOOS == "windows":
		return netsh, nil
	case have("resolvectl") && exists("/run/systemd/resolve/resolv.conf"):
		return resolved, nil
	case have("resolvconf"):
		if tool(ctx, "", "resolvconf", "--version") == nil {
			return openresolv, nil
		}
		return resolvconf, nil
	}
	return file, fileIsOurs(resolvConf)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// setBy runs the tools of a back end. With neither Full nor domains, the servers serve nothing by name: that is Full.
func setBy(ctx context.Context, name string, s Settings) error {
	full := s.Full || len(s.Domains) == 0
	switch name {
	case resolved:
		return setResolved(ctx, s, full)
	case openresolv:
		args := []string{"-m", "0", "-a", s.Device}
		if full {
			args = append([]string{"-x"}, args...)
		} else {
			args = append([]string{"-p"}, args...)
		}
		return tool(ctx, text(s), "resolvconf", args...)
	case resolvconf:
		if !full {
			return errors.New("dns: resolvconf on this host cannot ask different servers for different domains")
		}
		return tool(ctx, text(s), "resolvconf", "-a", s.Device)
	case scutil:
		return tool(ctx, scutilScript(s, full), "scutil")
	default:
		return setNetsh(ctx, s)
	}
}

func setResolved(ctx context.Context, s Settings, full bool) error {
	args := []string{"dns", s.Device}
	for _, a := range s.Servers {
		args = append(args, a.String())
	}
	if err := tool(ctx, "", "resolvectl", args...); err != nil {
		return err
	}
	args = []string{"domain", s.Device}
	if full {
		args = append(args, "~.")
	}
	for _, d := range s.Domains {
		args = append(args, "~"+d)
	}
	if err := tool(ctx, "", "resolvectl", args...); err != nil {
		return err
	}
	yes := "no"
	if full {
		yes = "yes"
	}
	return tool(ctx, "", "resolvectl", "default-route", s.Device, yes)
}

// text is the settings as resolv.conf(5).
func text(s Settings) string {
	var b strings.Builder
	for _, a := range s.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if len(s.Domains) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(s.Domains, " "))
	}
	return b.String()
}

func scutilKey(device string) string { return "State:/Network/Service/natterjack-" + device + "/DNS" }

func scutilScript(s Settings, full bool) string {
	var b strings.Builder
	b.WriteString("d.init\nd.add ServerAddresses *")
	for _, a := range s.Servers {
		b.WriteString(" " + a.String())
	}
	b.WriteString("\nd.add SupplementalMatchDomains *")
	for _, d := range s.Domains {
		b.WriteString(" " + d)
	}
	if full {
		// The empty domain matches every name.
		b.WriteString(" \"\"")
	}
	return b.String() + "\nset " + scutilKey(s.Device) + "\nquit\n"
}

func setNetsh(ctx context.Context, s Settings) error {
	count := map[string]int{}
	for _, a := range s.Servers {
		stack := "ipv6"
		if a.Is4() {
			stack = "ipv4"
		}
		count[stack]++
		args := []string{"interface", stack, "add", "dnsservers", "name=" + s.Device, "address=" + a.String(), fmt.Sprintf("index=%d", count[stack]), "validate=no"}
		if err := tool(ctx, "", "netsh", args...); err != nil {
			return err
		}
	}
	return nil
}

func undoNetsh(ctx context.Context, device string) error {
	return errors.Join(
		tool(ctx, "", "netsh", "interface", "ipv4", "delete", "dnsservers", "name="+device, "address=all", "validate=no"),
		tool(ctx, "", "netsh", "interface", "ipv6", "delete", "dnsservers", "name="+device, "address=all", "validate=no"),
	)
}

// tool runs a program with a deadline; its words are part of the error.
func tool(ctx context.Context, stdin, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, toolLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("dns: %s %s: %w: %.200s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
