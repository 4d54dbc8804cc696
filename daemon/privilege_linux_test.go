// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon_test

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/port/netstack"
)

// TestWithoutPrivilege: a process that may not have port 500 starts at the peer's NAT-T port from any port, and says so.
func TestWithoutPrivilege(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 500})
	if err == nil {
		c.Close()
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
	case os.Geteuid() == 0:
		asNobody(t)
		return
	default:
		t.Skip("this system gives port 500 to everybody")
	}
	check := baseline(t)
	gateway, client := direct(t, "127.0.0.1", directClient("127.0.0.1", "", ""), nil)
	client.close(t)
	cs, err := netstack.New([]netip.Addr{netip.MustParseAddr("10.40.0.1")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ikePort, nattPort := gateway.d.Ports(netip.MustParseAddr("127.0.0.1"))
	client = boot(t, cs, load(t, directClient("127.0.0.1", "", "")(ikePort, nattPort)), func(o *daemon.Options) { o.AnyPort = false })
	if w := client.d.Warnings(); len(w) != 1 || !strings.Contains(w[0], "CAP_NET_BIND_SERVICE") {
		t.Errorf("warnings %q", w)
	}
	if _, err := client.d.Initiate(t.Context(), "office", "net", daemon.Command{}); err != nil {
		t.Error(err)
	}
	if err := ping(t, client, innerWeb); err != nil {
		t.Error(err)
	}
	client.close(t)
	gateway.close(t)
	check()
}

// nobody is Debian's user without any rights.
const nobody = 65534

// asNobody runs the calling test again in a process without privileges.
func asNobody(t *testing.T) {
	t.Helper()
	// Where go test builds its binaries, nobody may not look.
	dir, err := os.MkdirTemp("", "natterjack-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	binary, err := os.ReadFile(os.Args[0])
	path := filepath.Join(dir, "test")
	if err = errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(path, binary, 0o755), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("without privileges: %v\n%s", err, out)
	}
}
