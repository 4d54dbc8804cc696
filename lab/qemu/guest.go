// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Package qemu boots Debian's kernel for clouds in a namespace, in software emulation, so that a real kernel can be asked
// (AF_KEY) and can be a peer (ESP, AH, XFRM). The machine's network card is a tap in that namespace. Everything
// it is made of is fetched and built into a cache outside of the tree; the machine's files are in memory and end with it.
package qemu

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
	"github.com/natterjack/natterjack/lab/qemu/agent"
)

const (
	// bootLimit is for a very busy machine; a quiet one is ready in 4 to 7 s.
	bootLimit = 150 * time.Second
	// runLimit bounds every program in the guest that is run to its end, callSlack what its answer may take besides.
	runLimit, callSlack = 20 * time.Second, 10 * time.Second
	// Tap is the guest's network card as its namespace sees it.
	Tap = "tap0"
	// kernelLine is the kernel's command line: a panic ends qemu; what guards against side channels costs time and guards nobody here.
	kernelLine = "console=ttyS0 panic=-1 quiet mitigations=off net.ifnames=0 rdinit=/init"
)

// Guest is a machine that runs. It belongs to the test's goroutine.
type Guest struct {
	*netlab.Space
	// Release is the kernel's, as uname has it. Booted is how long the machine took to be ready.
	Release string
	Booted  time.Duration

	t      testing.TB
	proc   *netlab.Process
	client *rpc.Client
}

// assets are made once a process.
var assets struct {
	sync.Once
	kernel kernel
	initrd string
	err    error
}

// prepare fetches the kernel and builds the initramfs with the agent of this tree at its end, in dir.
func prepare() (kernel, string, error) {
	assets.Do(func() {
		for _, tool := range []string{"qemu-system-x86_64", "busybox", "apt-get", "dpkg-deb", "ldd"} {
			if _, err := exec.LookPath(tool); err != nil {
				assets.err = fmt.Errorf("%s is not installed; run: go run ./lab/ci install", tool)
				return
			}
		}
		cache, err := cacheFolder()
		if err != nil {
			assets.err = err
			return
		}
		unlock, err := lockCache(cache)
		if err != nil {
			assets.err = err
			return
		}
		defer unlock()
		if assets.kernel, assets.err = fetchKernel(cache); assets.err != nil {
			return
		}
		assets.initrd, assets.err = buildImage(cache, assets.kernel)
	})
	return assets.kernel, assets.initrd, assets.err
}

// appendAgent copies the initramfs to path and puts the agent behind it as /init.
func appendAgent(path, initrd string) error {
	root, err := output("", "go", "env", "GOMOD")
	if err != nil {
		return err
	}
	program := path + ".agent"
	defer os.Remove(program)
	if _, err := output(filepath.Dir(strings.TrimSpace(root)), "env", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "go", "build", "-tags", "lab",
		"-ldflags", "-s -w", "-o", program, "./lab/qemu/guest"); err != nil {
		return err
	}
	b, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	in, err := os.Open(initrd)
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := io.Copy(out, in)
	if err != nil {
		return err
	}
	// An archive begins at a multiple of four octets.
	if _, err := out.Write(make([]byte, (cpioAlign-n%cpioAlign)%cpioAlign)); err != nil {
		return err
	}
	a := newArchive(out)
	a.file("init", b, 0o755)
	return a.close()
}

// Boot starts a machine in the namespace and waits until its agent answers. The namespace gets the tap, which is up and has no address.
// The machine ends with the lab.
func Boot(l *netlab.Lab, s *netlab.Space) *Guest {
	l.Helper()
	k, base, err := prepare()
	if err != nil {
		l.Fatal(err)
	}
	g := &Guest{Space: s, Release: k.release, t: l}
	initrd, socket := filepath.Join(l.Dir, "initramfs"), filepath.Join(l.Dir, "agent")
	if err := appendAgent(initrd, base); err != nil {
		l.Fatal(err)
	}
	defer os.Remove(initrd)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		l.Fatal(err)
	}
	defer listener.Close()
	// A busy machine empties its card's queue late.
	s.IP("tuntap add "+Tap+" mode tap", "link set "+Tap+" up txqueuelen 10000")
	begin := time.Now()
	g.proc = s.Start("qemu", nil, "qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max", "-smp", "1", "-m", "512",
		"-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "file:"+filepath.Join(l.Dir, s.Role+"-console.log"),
		"-kernel", k.image(), "-initrd", initrd, "-append", kernelLine,
		"-device", "virtio-rng-pci", "-netdev", "tap,id=n,ifname="+Tap+",script=no,downscript=no", "-device", "virtio-net-pci,netdev=n,romfile=",
		"-chardev", "socket,id=c,path="+socket, "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=c,name="+agent.PortName)
	_ = listener.SetDeadline(time.Now().Add(bootLimit))
	conn, err := listener.Accept()
	if err != nil {
		l.Fatalf("qemu: %v: %s", err, g.proc.Log())
	}
	greeting := make([]byte, len(agent.Greeting))
	_ = conn.SetReadDeadline(time.Now().Add(bootLimit))
	if _, err := io.ReadFull(conn, greeting); err != nil || !bytes.Equal(greeting, []byte(agent.Greeting)) {
		l.Fatalf("the guest is not ready: %v %q: %s", err, greeting, g.proc.Log())
	}
	_ = conn.SetReadDeadline(time.Time{})
	g.Booted = time.Since(begin)
	g.client = rpc.NewClient(conn)
	l.Cleanup(func() { g.client.Close() })
	return g
}

// Call calls a method of the guest's agent; its failure is the test's.
func (g *Guest) Call(method string, args, reply any) {
	g.t.Helper()
	if err := g.TryCall(runLimit+callSlack, method, args, reply); err != nil {
		g.t.Fatal(err)
	}
}

// TryCall calls a method of the guest's agent.
func (g *Guest) TryCall(limit time.Duration, method string, args, reply any) error {
	call := g.client.Go("Agent."+method, args, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		if call.Error != nil {
			return fmt.Errorf("guest: %s: %w", method, call.Error)
		}
		return nil
	case <-time.After(limit):
		return fmt.Errorf("guest: %s: no answer within %v", method, limit)
	}
}

// TryRun runs a program in the guest to its end.
func (g *Guest) TryRun(args ...string) (string, error) {
	var o agent.Outcome
	if err := g.TryCall(runLimit+callSlack, "Run", agent.Program{Args: args, Limit: runLimit}, &o); err != nil {
		return "", err
	}
	if o.Error != "" {
		return o.Out, fmt.Errorf("guest: %s: %s: %s", strings.Join(args, " "), o.Error, o.Out)
	}
	return o.Out, nil
}

// Exec runs a program in the guest to its end; its failure is the test's.
func (g *Guest) Exec(args ...string) string {
	g.t.Helper()
	out, err := g.TryRun(args...)
	if err != nil {
		g.t.Fatal(err)
	}
	return out
}

// GuestIP runs each line as ip's arguments in the guest.
func (g *Guest) GuestIP(lines ...string) {
	g.t.Helper()
	for _, line := range lines {
		g.Exec(append([]string{"ip"}, strings.Fields(line)...)...)
	}
}

// WriteFile writes a file of the guest.
func (g *Guest) WriteFile(path, text string) {
	g.t.Helper()
	g.Call("WriteFile", agent.File{Path: path, Data: []byte(text), Mode: 0o600}, &struct{}{})
}

// Background is a program that runs in the guest.
type Background struct {
	guest *Guest
	pid   int
}

// Background starts a program in the guest.
func (g *Guest) Background(env []string, args ...string) *Background {
	g.t.Helper()
	b := &Background{guest: g}
	g.Call("Start", agent.Program{Args: args, Env: env}, &b.pid)
	return b
}

// Output is what the program has written, and whether it has ended.
func (b *Background) Output() agent.Outcome {
	b.guest.t.Helper()
	var o agent.Outcome
	b.guest.Call("Output", b.pid, &o)
	return o
}

// Kill ends the program.
func (b *Background) Kill() {
	b.guest.t.Helper()
	b.guest.Call("Kill", b.pid, &struct{}{})
}
