// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package iked

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

func TestMain(m *testing.M) {
	netlab.Main()
	code := m.Run()
	netlab.RemoveBinary()
	os.Exit(code)
}

const (
	// upLimit is for a tunnel of iked's, which waits a second or two before it begins.
	upLimit = 20 * time.Second
	psk     = "a secret of the lab only"
	left    = "10.40.0.0/24"
	right   = "10.20.0.0/24"
)

// iked is one OpenIKED under our supervision.
type iked struct {
	*netlab.Host
	lab    *netlab.Lab
	proc   *netlab.Process
	engine *netlab.Process // nil: the supervisor's own
	conf   string
	run    int
}

func (d *iked) path(suffix string) string { return filepath.Join(d.lab.Dir, d.Role+suffix) }

// world is two networks with a NAT of nftables between.
func world(t *testing.T) *netlab.World {
	t.Helper()
	return worldOf(t, false)
}

// worldOf has the outside addresses of a family.
func worldOf(t *testing.T, v6 bool) *netlab.World {
	t.Helper()
	if _, err := exec.LookPath("iked"); err != nil {
		t.Fatal("iked is not installed; run: go run ./lab/ci install")
	}
	return netlab.NewWorld(netlab.New(t), netlab.Topology{IPv6: v6, NAT: netlab.Masquerade, Networks: true})
}

// policy is an iked.conf. auth is of the Child SA.
func policy(mode, from, to, local, peer, src, dst, auth, more string) string {
	return fmt.Sprintf("ikev2 \"lab\" %s esp from %s to %s local %s peer %s \\\n"+
		"  ikesa enc aes-256 prf hmac-sha2-256 auth hmac-sha2-256 group modp2048 \\\n"+
		"  childsa enc aes-256 auth %s group modp2048 \\\n"+
		"  srcid %s dstid %s %s psk \"%s\"\n", mode, from, to, local, peer, auth, src, dst, more, psk)
}

// launch starts iked, with the engine in the supervisor or beside it.
func (d *iked) launch() {
	d.lab.Helper()
	d.run++
	if err := os.WriteFile(d.path("-iked.conf"), []byte(d.conf), 0o600); err != nil {
		d.lab.Fatal(err)
	}
	args := []string{d.lab.Binary(), "pfkey", "run", "--log-level", "debug", "--state", d.path("-state")}
	if d.engine != nil {
		args = append(args, "--socket", d.path(".pfkey"))
	} else {
		args = append(args, "--pfkey", d.path(".pfkey"))
	}
	args = append(args, "--", "iked", "-d", "-v", "-f", d.path("-iked.conf"), "-s", d.path("-iked.sock"))
	d.proc = d.Start(fmt.Sprintf("iked%d", d.run), nil, args...)
	d.lab.Eventually(upLimit, d.Role+": iked asks for ESP in UDP", func() (bool, string) {
		if d.proc.Ended() {
			d.lab.Fatalf("%s: iked ended:\n%s", d.Role, d.proc.Log())
		}
		return strings.Contains(d.proc.Log(), "ESP in UDP on the program's port"), d.proc.Log()
	})
}

// serve starts an engine of its own.
func (d *iked) serve() {
	d.lab.Helper()
	d.engine = d.Start("engine", nil, d.lab.Binary(), "pfkey", "serve", "--log-level", "debug", "--state", d.path("-state"), "--pfkey", d.path(".pfkey"))
	d.lab.Eventually(5*time.Second, "the engine listens", func() (bool, string) {
		_, err := os.Stat(d.path(".pfkey.ports"))
		return err == nil && !d.engine.Ended(), d.engine.Log()
	})
}

// programs are the processes of iked here.
func (d *iked) programs() []string {
	var list []string
	for _, pid := range strings.Fields(d.pids()) {
		if name, err := os.ReadFile("/proc/" + pid + "/comm"); err == nil && strings.TrimSpace(string(name)) == "iked" {
			list = append(list, pid)
		}
	}
	return list
}

func (d *iked) pids() string {
	out, err := command("ip", "netns", "pids", d.Name)
	if err != nil {
		d.lab.Fatal(err, out)
	}
	return out
}

func (d *iked) gone() {
	d.lab.Helper()
	d.lab.Eventually(5*time.Second, "no process of iked's is left", func() (bool, string) {
		list := d.programs()
		return len(list) == 0, fmt.Sprint(list)
	})
}

// kill ends the supervisor as a crash does, and with it all of iked.
func (d *iked) kill() {
	d.lab.Helper()
	d.proc.Kill()
	d.gone()
}

// killProgram kills all processes of iked; its supervisor ends by itself.
func (d *iked) killProgram() {
	d.lab.Helper()
	for _, pid := range d.programs() {
		_, _ = d.Try("kill", "-9", pid) // those that the first one's end has ended are gone
	}
	if err := d.proc.Wait(5 * time.Second); err == nil || !strings.Contains(err.Error(), "137") {
		d.lab.Errorf("the supervisor of a killed program: %v", err)
	}
	d.gone()
}

// dump is what the engine has.
func (d *iked) dump() string {
	out, _ := d.Try(d.lab.Binary(), "pfkey", "dump", "--socket", d.path(".pfkey"))
	return out
}

func (d *iked) policies() string {
	out, _ := d.Try(d.lab.Binary(), "pfkey", "policies", "--socket", d.path(".pfkey"))
	return out
}

// ctl is ikectl.
func (d *iked) ctl(args ...string) string {
	out, _ := d.Try(append([]string{"ikectl", "-s", d.path("-iked.sock")}, args...)...)
	return out
}

// stop ends iked in an orderly way.
func (d *iked) stop() {
	d.lab.Helper()
	if took := d.proc.Stop(syscall.SIGTERM, 10*time.Second); took > 8*time.Second {
		d.lab.Errorf("%s: the end took %v:\n%s", d.Role, took, d.proc.Log())
	}
}

// up waits until the inner hosts reach each other.
func up(w *netlab.World) time.Duration {
	w.Helper()
	c, g := w.Clients[0], w.Gateway
	return w.Eventually(upLimit, "a ping through the tunnel", func() (bool, string) {
		err := c.Inner.Ping(time.Second, g.Inner4.String())
		return err == nil, fmt.Sprint(err)
	})
}

// traffic passes a transfer each way, begun by either side, and returns what it repeats.
func traffic(w *netlab.World) []byte {
	w.Helper()
	c, g := w.Clients[0], w.Gateway
	tr := netlab.Transfer{From: c.Inner, To: g.Inner, Addr: g.Inner4.String(), Octets: 1 << 20, Pattern: netlab.NewPattern()}
	if from, took := w.Transfer(tr); from != c.Inner4.String() {
		w.Errorf("the transfer came from %s", from)
	} else {
		w.Logf("2 MiB in %v", took)
	}
	tr.From, tr.To, tr.Addr = g.Inner, c.Inner, c.Inner4.String()
	w.Transfer(tr)
	return tr.Pattern
}

func command(args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
